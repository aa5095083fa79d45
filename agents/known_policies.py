"""Finding the policies that entries cite: the one given, those on `control`, those kept in `dry.state` or an export."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from sidechain.agents.problems import UsageProblem
from sidechain.models.dry.chain import Fault
from sidechain.models.dry.lists import is_rows
from sidechain.models.dry.records import InputRecord
from sidechain.models.dry.state import POLICY_PREFIX
from sidechain.models.pack_file import load
from sidechain.models.policy import Policy
from sidechain.models.proof.chain_check import EpochCheck

UNKNOWN: Final = "nobody here has the text of the policy it was decided under"


class _Opening(msgspec.Struct):
    policy: str
    previous: str | None = None


def genesis_ref(first: bytes) -> str | None:
    """The policy a chain's first entry was decided under; None where it cannot be read."""
    try:
        opening = msgspec.json.decode(first, type=_Opening)
    except (ValueError, RecursionError):
        return None  # whoever replays the entry says what is wrong with it
    return opening.previous or opening.policy


def begun_under(first: bytes, given: Policy, known: Mapping[str, Policy]) -> tuple[Policy, Fault | None]:
    """The policy to replay a chain from its first entry with, and why that entry's epoch cannot be, where it cannot."""
    ref = genesis_ref(first)
    if ref is None or ref in known:
        return known.get(ref or "", given), None
    return given, Fault(0, None, UNKNOWN, ref, f"{given.ref}, which was given, and those on `control`")


def must_be_known(epochs: Sequence[EpochCheck]) -> None:
    """Raises `UsageProblem` for a chain of which nothing could be replayed because nobody named its policy."""
    fault = epochs[0].fault if len(epochs) == 1 else None
    if fault is not None and fault.problem == UNKNOWN:
        raise UsageProblem(
            f"the chain begins under policy {fault.expected}; {fault.found} do not include it. "
            "Name the file it began under with --policy"
        )


def policies_of(entry: bytes) -> list[str]:
    """Every policy an entry names; none where it cannot be read."""
    try:
        named = msgspec.json.decode(entry, type=_Opening)
    except (ValueError, RecursionError):
        return []
    return [named.policy] if named.previous is None else [named.policy, named.previous]


def cited_by(line: bytes) -> str | None:
    """The policy that an entry brings into force: that of an epoch's first, or of a policy entry."""
    opening = line[:192]  # nothing but fixed fields stands before the kind
    if b'"kind":"epoch"' not in opening and b'"kind":"policy"' not in opening:
        return None
    try:
        return msgspec.json.decode(line, type=_Opening).policy
    except (ValueError, RecursionError):
        return None


def policies_by_digest(texts: Iterable[bytes]) -> dict[str, Policy]:
    """Those of some texts that this release can read, by the reference entries cite."""
    found = {}
    for text in texts:
        try:
            policy = load(text, name="a kept policy")
        except ValueError:  # of a release that knew more, or altered: whoever needs it says that it is missing
            continue
        found[policy.ref] = policy
    return found


def policies_in_state(state: Mapping[bytes, bytes]) -> list[Policy]:
    """Every policy the chain was ever under, as the records of its `dry.state` hold their texts."""
    return list(policies_by_digest(text for name, text in state.items() if name.startswith(POLICY_PREFIX)).values())


def policy_in(record: InputRecord) -> Policy | None:
    """The policy a control record holds; None when it holds none."""
    if is_rows(record.value):
        return None
    try:
        return load(msgspec.json.decode(record.value or b"")["text"].encode(), name="control")
    except (ValueError, KeyError, TypeError):
        return None
