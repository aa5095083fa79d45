"""What a signal is of, as the wet side knows it: a personal value under a pseudonym, any other as it is.

The tap names it so in cases, the aggregator speaks of it so, and the decider asks by the same name. The purpose of the
pseudonym is `signals.<name of the signal>`, so that it cannot be matched with that of a field.
"""

from collections.abc import Callable, Mapping
from typing import Final

from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.pseudonym import Pseudonyms
from sidechain.models.policy import Policy, Signal

KEY_MAX_BYTES: Final = 1_024  # of a key on wet.signals; what would have a longer one is not learned


def is_personal(policy: Policy, signal: Signal) -> bool:
    """Whether what the signal is of is, or is made of, a personal field."""
    personal = {f"event.{one.name}" for one in policy.event.fields if one.personal}
    return signal.of is not None and not personal.isdisjoint(signal.of.variables)


def subject_names(policy: Policy, secret: bytes | None) -> Mapping[str, Callable[[str], str]]:
    """For each learned signal how what it is of is named. Raises EnvironmentProblem where a secret is missing."""
    return {one.name: _named(policy, one, secret) for one in policy.signals if one.learn is not None}


def _named(policy: Policy, signal: Signal, secret: bytes | None) -> Callable[[str], str]:
    if not is_personal(policy, signal):
        return str
    if secret is None:
        raise EnvironmentProblem(
            f"signal {signal.name} is of a personal field, and there is no secret to make pseudonyms with; set "
            "pseudonym_key_file to a file with at least 16 random bytes"
        )
    return Pseudonyms(secret, f"signals.{signal.name}")


def signal_key(signal: str, of: str) -> bytes:
    """The key of `wet.signals` under which a signal of a subject stands."""
    return f"{signal}/{of}".encode()
