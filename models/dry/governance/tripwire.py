"""The tripwire: costs that exceed their estimates several times in a row halve what comes next.

    watching ──3 breaches in a row──▶ downgraded ──a person, or costs near their estimates──▶ watching

Rule 1: a cost that is no breach sets the count to 0, and does not end a downgrade.
Rule 2: what is read back is a state that steps can lead to, or it is refused: a state that silently became "all is
well" would lift a downgrade that nobody lifted.
"""

from typing import Literal

import msgspec

from sidechain.models.dry.governance.rules import FULL_BP, Governance

Event = Literal["breach", "downgraded", "calm", "recovered"]


class CorruptTripwire(ValueError):  # noqa: N818 - named for what it is
    """A record that no sequence of costs leads to."""


class Tripwire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is remembered: `[2,false,0]`."""

    breaches: int = 0  # in a row, up to now
    is_downgraded: bool = False
    calm: int = 0  # costs near their estimate in a row, while downgraded


def step(rules: Governance, state: Tripwire, *, estimate: int, cost: int) -> tuple[Tripwire, Event]:
    """One cost has become known. `downgraded` and `recovered` are said once, by the cost that brought it about.

    A cost where nothing was estimated is a breach.
    """
    beyond = (cost - estimate) * FULL_BP
    if beyond > rules.breach_above_bp * estimate:
        breaches = state.breaches + 1
        if state.is_downgraded:
            return Tripwire(breaches, is_downgraded=True), "breach"
        is_downgraded = breaches >= rules.breaches
        return Tripwire(breaches, is_downgraded), "downgraded" if is_downgraded else "breach"
    if not state.is_downgraded or rules.recover_at_bp is None:
        return Tripwire(0, state.is_downgraded), "calm"
    if beyond > rules.recover_at_bp * estimate:
        return Tripwire(0, is_downgraded=True), "calm"  # between the two edges: neither worse nor better
    if state.calm + 1 >= rules.recover_after:
        return Tripwire(), "recovered"
    return Tripwire(0, is_downgraded=True, calm=state.calm + 1), "calm"


def recovered(state: Tripwire) -> Tripwire:
    """A person ends the downgrade; `state` is what they saw. Raises ValueError where there is none to end."""
    if not state.is_downgraded:
        raise ValueError("the tripwire is not downgraded; there is nothing to recover from")
    return Tripwire()


def adopted(rules: Governance, state: Tripwire) -> Tripwire:
    """A policy took effect: a downgrade stays one, and what is counted begins where the new numbers allow."""
    if state.is_downgraded:
        return Tripwire(state.breaches, is_downgraded=True)
    return Tripwire(min(state.breaches, rules.breaches - 1))


def dump(state: Tripwire) -> bytes:
    """The state as it stands on the changelog."""
    return msgspec.json.encode(state)


def load(rules: Governance, value: bytes) -> Tripwire:
    """A state read back. Raises CorruptTripwire with a sentence; the worker must not decide on a guess."""
    try:
        state = msgspec.json.decode(value, type=Tripwire)
    except (ValueError, RecursionError) as fault:
        raise CorruptTripwire(
            f"the tripwire's record cannot be read ({fault}); nobody can say whether it was downgraded. "
            "Restore the state, or begin an epoch with `sidechain repair`"
        ) from fault
    if (
        min(state.breaches, state.calm) < 0
        or (state.calm and (state.breaches or not state.is_downgraded))
        or (not state.is_downgraded and state.breaches >= rules.breaches)
        or (state.calm and (rules.recover_at_bp is None or state.calm >= rules.recover_after))
    ):
        raise CorruptTripwire(
            f"the tripwire's record {value[:80]!r} is no state that costs lead to under this policy. "
            "Restore the state, or begin an epoch with `sidechain repair`"
        )
    return state
