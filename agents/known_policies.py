"""Finding the policy a chain began under: the one that was given, or one that a control record holds."""

from collections.abc import Mapping

import msgspec

from sidechain.agents.problems import UsageProblem
from sidechain.models.dry.fold import InputRecord
from sidechain.models.dry.state import POLICY_PREFIX
from sidechain.models.pack_file import load
from sidechain.models.policy import Policy


class _Opening(msgspec.Struct):
    policy: str
    previous: str | None = None


def genesis_policy(first: bytes, given: Policy, control: Mapping[int, InputRecord]) -> Policy:
    """The policy a chain's first entry was decided under; raises `UsageProblem` when it is not at hand."""
    try:
        opening = msgspec.json.decode(first, type=_Opening)
    except (ValueError, RecursionError):
        return given  # whoever replays the entry says what is wrong with it
    ref = opening.previous or opening.policy
    if ref == given.ref:
        return given
    for record in control.values():
        policy = policy_in(record)
        if policy is not None and policy.ref == ref:
            return policy
    raise UsageProblem(
        f"the chain begins under policy {ref}; {given.ref} was given and `control` does not hold it. "
        "Name the file it began under with --policy"
    )


def policies_in_state(state: Mapping[bytes, bytes]) -> list[Policy]:
    """Every policy the chain was ever under, as the records of its `dry.state` hold their texts."""
    found = []
    for name, text in state.items():
        if name.startswith(POLICY_PREFIX):
            try:
                found.append(load(text, name="dry.state"))
            except ValueError:  # of a release that knew more, or altered: whoever needs it says that it is missing
                continue
    return found


def policy_in(record: InputRecord) -> Policy | None:
    """The policy a control record holds; None when it holds none."""
    try:
        return load(msgspec.json.decode(record.value or b"")["text"].encode(), name="control")
    except (ValueError, KeyError, TypeError):
        return None
