"""Every aggregate against a model that keeps all events and computes the window anew each time."""

from decimal import ROUND_FLOOR, Decimal, localcontext

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidechain.models.dry.windows import INT64_MAX, INT64_MIN, RATIO_MAX_BP, step
from sidechain.models.policy import Feature

AGGREGATES = ("count", "sum", "min", "max", "distinct", "mean", "deviation", "ratio", "gap")
values = st.integers(-9, 99) | st.integers(-9, 99) | st.none() | st.integers(INT64_MIN, INT64_MAX)
parts = st.sampled_from((True, True, True, False, None))
times = st.integers(0, 70) | st.integers(60, 200) | st.integers(0, 100_000_000)
events = st.lists(st.tuples(times, parts, values), min_size=6, max_size=30)
shapes = st.sampled_from([(60, 6), (60, 1), (60, 60), (60, 2), (7, 7), (86_400_000, 24)])


class Model:
    """All events that ever took part, and the definition of each aggregate, word by word."""

    def __init__(self, aggregate: str, window_ms: int, panes: int, max_distinct: int = 10**9) -> None:
        self.aggregate, self.pane_ms, self.panes = aggregate, window_ms // panes if window_ms else 0, panes
        self.max_distinct = max_distinct
        self.newest = -1
        self.kept: list[tuple[int, int]] = []  # (pane, value)
        self.last: int | None = None

    def window(self) -> list[int]:
        return [value for pane, value in self.kept if self.newest - self.panes < pane <= self.newest]

    def see(self, at: int, takes_part: bool | None, value: int | None) -> int | None:
        if self.aggregate == "gap":
            gap = None if self.last is None else max(at - self.last, 0)
            if takes_part:
                self.last = at if self.last is None else max(at, self.last)
            return gap
        pane = at // self.pane_ms
        self.newest = max(self.newest, pane)
        before = self.window()
        if takes_part and value is not None and pane > self.newest - self.panes:
            self.kept.append((pane, value))
        now = self.window()
        match self.aggregate:
            case "count":
                return len(now)
            case "sum":
                return max(INT64_MIN, min(sum(now), INT64_MAX))
            case "min":
                return min(now, default=None)
            case "max":
                return max(now, default=None)
            case "distinct":
                return len(set(now))
            case "mean":
                return sum(before) // len(before) if before else None
            case "deviation":
                return deviation(before) if len(before) > 1 else None
            case _:
                if value is None or not before or sum(before) <= 0:
                    return None
                exact = value * 10_000 * len(before) // sum(before)
                return max(-RATIO_MAX_BP, min(exact, RATIO_MAX_BP))


def deviation(found: list[int]) -> int:
    """The population standard deviation, rounded down, with 120 digits."""
    with localcontext() as context:
        context.prec = 120
        mean = Decimal(sum(found)) / len(found)
        variance = sum((one - mean) ** 2 for one in found) / len(found)
        nearest = variance.sqrt().quantize(Decimal("1e-50"))  # an exact root must not end just below itself
        return int(nearest.to_integral_value(ROUND_FLOOR))


def made(aggregate: str, shape: tuple[int, int]) -> tuple[object, Model]:
    window_ms, panes = (0, 12) if aggregate == "gap" else shape
    # A count is told the constant 1 for each event, as the compiled policy tells it.
    feature = Feature(name="f", aggregate=aggregate, window_ms=window_ms, panes=panes, max_distinct=65_536)
    return step(feature), Model(aggregate, window_ms, panes)


def told(aggregate: str, value: int | None) -> int | None:
    return 1 if aggregate in ("count", "gap") else value


@pytest.mark.parametrize("aggregate", AGGREGATES)
@settings(max_examples=70)
@given(shapes, events)
def test_every_aggregate_says_what_the_whole_history_says(aggregate, shape, events):
    """Late, early, out of order, not taking part, unknown: after each event the same answer."""
    one, model = made(aggregate, shape)
    slot = one.new()
    for at, part, value in events:
        value = told(aggregate, value)
        assert one.update(slot, at, part, value) == model.see(at, part, value), (at, part, value)


@pytest.mark.parametrize("aggregate", AGGREGATES)
@settings(max_examples=40)
@given(shapes, events, st.integers(0, 30))
def test_a_slot_written_down_and_read_back_has_the_same_future(aggregate, shape, events, moment):
    """At any moment, through the bytes of the changelog; and what it would write next is the same."""
    one, _ = made(aggregate, shape)
    slot, cut = one.new(), moment % (len(events) + 1)
    for at, part, value in events[:cut]:
        one.update(slot, at, part, told(aggregate, value))
    back = one.load(msgspec.json.decode(msgspec.json.encode(one.dump(slot))))
    for at, part, value in events[cut:]:
        value = told(aggregate, value)
        assert one.update(back, at, part, value) == one.update(slot, at, part, value)
    assert msgspec.json.encode(one.dump(back)) == msgspec.json.encode(one.dump(slot))


@settings(max_examples=200)
@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 9)), max_size=60), st.booleans())
def test_distinct_with_a_limit_is_a_table_that_forgets_with_its_panes(limit, events, restored):
    """The model: which panes hold which remembered values; a value nobody remembers needs a free place."""
    one = step(Feature(name="f", aggregate="distinct", window_ms=60, panes=6, max_distinct=limit))
    slot, held, newest = one.new(), set(), -1
    for at, value in events:
        pane = at // 10
        newest = max(newest, pane)
        held = {(where, what) for where, what in held if where > newest - 6}
        remembered = {what for _, what in held}
        if pane > newest - 6 and (value in remembered or len(remembered) < limit):
            held.add((pane, value))
        assert one.update(slot, at, True, value) == len({what for _, what in held}) <= limit
        if restored:
            slot = one.load(msgspec.json.decode(msgspec.json.encode(one.dump(slot))))
