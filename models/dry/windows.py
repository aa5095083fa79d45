"""Windows over event time, in panes, in integers.

A window of length L in N panes covers the newest pane and the N-1 before it, so it moves in steps of L/N and memory is
bounded by N, whatever the traffic. Each feature keeps one *slot* per key: a plain list, so that state is what the
changelog holds. `update` folds one event in and returns the feature's value for that event.

    count, sum, min, max, distinct   include the event itself
    mean, deviation, ratio, gap      look at the history before it; None where there is none yet

An event older than the window's oldest pane is not counted (its entry says `late`); a younger late one is counted in
the pane where it belongs. Mean and deviation use exact sums and sums of squares: Python's integers do not overflow and
panes can be subtracted, which a running Welford update does not allow. What a feature says stays within 64 bits, as
every integer of a rule does: a total beyond them reads as the nearer end, its slot keeps the exact one.
"""

from collections.abc import Callable
from hashlib import blake2b
from math import isqrt
from typing import Any, NamedTuple

from sidechain.models.policy import Feature

Slot = list[Any]
Value = int | None
RATIO_MAX_BP = 1_000_000_000
INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1


class Step(NamedTuple):
    """How one feature lives: an empty slot, the update, and the slot's form in the changelog."""

    name: str
    new: Callable[[], Slot]
    update: Callable[[Slot, int, bool | None, Any], Value]  # slot, event time, takes part, value
    dump: Callable[[Slot], Slot]
    load: Callable[[Slot], Slot]


def step(feature: Feature) -> Step:
    """The step of a windowed feature or of `gap`; `value` features need no state and have none."""
    pane_ms = feature.window_ms // feature.panes if feature.window_ms else 0
    make = {
        "count": lambda: _additive(pane_ms, feature.panes),
        "sum": lambda: _sum(pane_ms, feature.panes),
        "min": lambda: _extreme(pane_ms, feature.panes, min),
        "max": lambda: _extreme(pane_ms, feature.panes, max),
        "distinct": lambda: _distinct(pane_ms, feature.panes, feature.max_distinct),
        "mean": lambda: _history(pane_ms, feature.panes, _mean),
        "deviation": lambda: _history(pane_ms, feature.panes, _deviation),
        "ratio": lambda: _history(pane_ms, feature.panes, _ratio),
        "gap": _gap,
    }[feature.aggregate]
    new, update, dump, load = make()
    return Step(feature.name, new, update, dump, load)


Parts = tuple[
    Callable[[], Slot],
    Callable[[Slot, int, bool | None, Any], Value],
    Callable[[Slot], Slot],
    Callable[[Slot], Slot],
]


def _same(slot: Slot) -> Slot:
    return slot


def _fresh(dumped: Slot) -> Slot:
    """A slot of its own: two features with one definition are loaded from the same dumped slot."""
    return [one.copy() if one.__class__ is list else one for one in dumped]


def _additive(pane_ms: int, panes: int) -> Parts:
    """Slot: [newest pane, total, [one number a pane]]."""

    def new() -> Slot:
        return [-1, 0, [0] * panes]

    def update(slot: Slot, at_ms: int, takes_part: bool | None, value: Any) -> Value:
        pane = at_ms // pane_ms
        newest = slot[0]
        if pane > newest:
            slot[0] = pane
            ring = slot[2]
            for old in range(max(newest, pane - panes) + 1, pane + 1):
                if here := ring[old % panes]:
                    slot[1] -= here
                    ring[old % panes] = 0
        elif newest - pane >= panes:
            return slot[1]  # type: ignore[no-any-return]
        if takes_part and value is not None:
            slot[1] += value
            slot[2][pane % panes] += value
        return slot[1]  # type: ignore[no-any-return]

    return new, update, _same, _fresh


def _sum(pane_ms: int, panes: int) -> Parts:
    new, add, dump, load = _additive(pane_ms, panes)

    def update(slot: Slot, at_ms: int, takes_part: bool | None, value: Any) -> Value:
        total: Any = add(slot, at_ms, takes_part, value)
        return total if INT64_MIN <= total <= INT64_MAX else INT64_MIN if total < 0 else INT64_MAX

    return new, update, dump, load


def _extreme(pane_ms: int, panes: int, better: Callable[..., Any]) -> Parts:
    """Slot: [newest pane, extreme or None, [one extreme or None a pane]]."""

    def new() -> Slot:
        return [-1, None, [None] * panes]

    def update(slot: Slot, at_ms: int, takes_part: bool | None, value: Any) -> Value:
        pane = at_ms // pane_ms
        newest, ring = slot[0], slot[2]
        if pane > newest:
            slot[0] = pane
            has_left = False
            for old in range(max(newest, pane - panes) + 1, pane + 1):
                if ring[old % panes] is not None:
                    has_left = has_left or ring[old % panes] == slot[1]
                    ring[old % panes] = None
            if has_left:
                slot[1] = better((one for one in ring if one is not None), default=None)
        elif newest - pane >= panes:
            return slot[1]  # type: ignore[no-any-return]
        if takes_part and value is not None:
            here = ring[pane % panes]
            if here is None or better(here, value) != here:
                ring[pane % panes] = value
                if slot[1] is None or better(slot[1], value) != slot[1]:
                    slot[1] = value
        return slot[1]  # type: ignore[no-any-return]

    return new, update, _same, _fresh


def _distinct(pane_ms: int, panes: int, limit: int) -> Parts:
    """Slot: [newest pane, {value: panes that hold it}, [{value: None} a pane]]; the dicts are ordered sets.

    At `limit` distinct values new ones are no longer remembered and the count stays there. Texts of more than 24
    characters are kept as `#` and 24 hex digits of BLAKE2b: 25 characters, so no short text is taken for a long one.
    """

    def new() -> Slot:
        return [-1, {}, [{} for _ in range(panes)]]

    def update(slot: Slot, at_ms: int, takes_part: bool | None, value: Any) -> Value:
        pane = at_ms // pane_ms
        if pane > slot[0]:
            _forget(slot, pane, panes)
        holders = slot[1]
        if takes_part and value is not None and slot[0] - pane < panes:
            if value.__class__ is str and len(value) > 24:
                value = "#" + blake2b(value.encode(), digest_size=12).hexdigest()
            here = slot[2][pane % panes]
            if value not in here:
                count = holders.get(value)
                if count is not None:
                    here[value] = None
                    holders[value] = count + 1
                elif len(holders) < limit:
                    here[value] = None
                    holders[value] = 1
        return len(holders)

    def dump(slot: Slot) -> Slot:
        return [slot[0], [list(one) for one in slot[2]]]

    def load(dumped: Slot) -> Slot:
        rings = [dict.fromkeys(one) for one in dumped[1]]
        holders: dict[Any, int] = {}
        for ring in rings:
            for value in ring:
                holders[value] = holders.get(value, 0) + 1
        return [dumped[0], holders, rings]

    return new, update, dump, load


def _forget(slot: Slot, pane: int, panes: int) -> None:
    """Advance a distinct slot to `pane`, dropping the values only the dropped panes held."""
    holders, rings = slot[1], slot[2]
    for old in range(max(slot[0], pane - panes) + 1, pane + 1):
        if here := rings[old % panes]:
            for value in here:
                if holders[value] == 1:
                    del holders[value]
                else:
                    holders[value] -= 1
            here.clear()
    slot[0] = pane


Statistic = Callable[[int, int, int, int], Value]  # count, sum, sum of squares, the event's value


def _mean(count: int, total: int, _squares: int, _value: int) -> Value:
    return total // count if count else None


def _deviation(count: int, total: int, squares: int, _value: int) -> Value:
    """Floor of the population standard deviation; None below two values."""
    return isqrt((count * squares - total * total) // (count * count)) if count > 1 else None


def _ratio(count: int, total: int, _squares: int, value: int) -> Value:
    """The value in basis points of the mean before it, within RATIO_MAX_BP; None without a positive mean."""
    if not count or total <= 0:
        return None
    ratio_bp = value * count * 10_000 // total
    return ratio_bp if -RATIO_MAX_BP < ratio_bp < RATIO_MAX_BP else RATIO_MAX_BP if ratio_bp > 0 else -RATIO_MAX_BP


def _history(pane_ms: int, panes: int, statistic: Statistic) -> Parts:
    """Slot: [newest pane, count, sum, sum of squares, [count, sum, sum of squares a pane, flat]]."""

    def new() -> Slot:
        return [-1, 0, 0, 0, [0] * (3 * panes)]

    def update(slot: Slot, at_ms: int, takes_part: bool | None, value: Any) -> Value:
        pane = at_ms // pane_ms
        newest, ring = slot[0], slot[4]
        if pane > newest:
            slot[0] = pane
            for old in range(max(newest, pane - panes) + 1, pane + 1):
                at = old % panes * 3
                if ring[at]:
                    slot[1] -= ring[at]
                    slot[2] -= ring[at + 1]
                    slot[3] -= ring[at + 2]
                    ring[at] = ring[at + 1] = ring[at + 2] = 0
        if value is None:
            return None if statistic is _ratio else statistic(slot[1], slot[2], slot[3], 0)
        result = statistic(slot[1], slot[2], slot[3], value)
        if takes_part and newest - pane < panes:
            at = pane % panes * 3
            slot[1] += 1
            slot[2] += value
            slot[3] += value * value
            ring[at] += 1
            ring[at + 1] += value
            ring[at + 2] += value * value
        return result

    return new, update, _same, _fresh


def _gap() -> Parts:
    """Slot: [time of the last event or -1]. Milliseconds since it, 0 for an event that comes out of order."""

    def new() -> Slot:
        return [-1]

    def update(slot: Slot, at_ms: int, takes_part: bool | None, _value: Any) -> Value:
        last = slot[0]
        if takes_part and at_ms > last:
            slot[0] = at_ms
        return None if last < 0 else max(at_ms - last, 0)

    return new, update, _same, _fresh
