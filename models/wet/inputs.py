"""What a champion may read of a decision: the pack's vector, and what outcomes taught of the event's surroundings.

    columns(policy)                     ("amount", "gap", "door_risk")
    values(tap.features, tap.signals)   {"amount": 1250, "gap": None, "door_risk": 1538}

What the wet side itself says of the entity is no column: a model that read it would hear itself.
"""

from collections.abc import Mapping

from sidechain.models.policy import Policy


def columns(policy: Policy) -> tuple[str, ...]:
    """The names: features in the order of the vector, then signals with `learn`."""
    learned = (one.name for one in policy.signals if one.learn is not None)
    return tuple(dict.fromkeys((*policy.wet.vector, *learned)))


def values(features: Mapping[str, int | None], signals: Mapping[str, int | None]) -> dict[str, int | None]:
    """One decision by those names; None: unknown."""
    return {**signals, **features}
