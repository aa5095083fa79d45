"""What the wet side said, as the shell hands it to the fold, and how much of it a decision may use."""

from collections.abc import Callable, Sequence
from typing import Any

from sidechain.models.dry.program import Program, SealedSignals, SignalValue, UnknownSignal

Said = SignalValue | UnknownSignal | SealedSignals | None
Latest = Callable[[str], Said]  # a key -> what the wet side last said about it
LatestOf = Callable[[str, str], Said]  # a signal that has `of`, and what it is about -> what was last said of that


def unknown(_key: str) -> None:
    """The wet side is silent: the `latest` of a run without it."""


def nothing_said(_signal: str, _about: str) -> None:
    """Nobody tells of other keys: the `latest_of` of a run without such a teller."""


def weighed(
    program: Program, said: Sequence[Said], at_ms: int, abouts: Sequence[str | None] = ()
) -> tuple[tuple[int | None, ...], Any]:
    """The values the rules see, and what the entry records of each.

    `said`: one for each signal of the policy. `abouts`: what each is about, where it has `of`; the entry says so of
    those that are learned, because whoever learns reads entries and no events.
    """
    values: list[int | None] = []
    used: list[dict[str, Any]] = []
    for signal, found in zip(program.policy.signals, said, strict=True):
        if isinstance(found, SealedSignals):
            found = found.by_name.get(signal.name)
        if found is None:
            reason = "absent"
        elif isinstance(found, UnknownSignal):
            reason = found.reasons.get(signal.name, "absent")
        elif found.as_of > at_ms:
            reason = "future"
        elif at_ms - found.as_of > signal.max_age_ms:
            reason = "stale"
        elif not signal.minimum <= found.value <= signal.maximum:
            reason = "bounds"
        else:
            values.append(found.value)
            used.append(found._asdict())
            continue
        values.append(None)
        used.append({"unknown": reason})
    for signal, about, one in zip(program.policy.signals, abouts, used, strict=False):  # most policies have none
        if signal.learn is not None:
            one["of"] = about
    return tuple(values), program.signals_type(*used)
