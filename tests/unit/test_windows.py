"""Windows: what counts at the edges of panes, worked out by hand."""

import msgspec
import pytest

from sidechain.models.dry.windows import INT64_MAX, INT64_MIN, RATIO_MAX_BP, step
from sidechain.models.policy import Feature


def run(aggregate, events, *, window_ms=60, panes=6, **more):
    """What a feature says for each (time, value) or (time, value, takes part); panes of 10 ms unless told otherwise."""
    one = step(Feature(name="f", aggregate=aggregate, window_ms=window_ms, panes=panes, **more))
    slot = one.new()
    return [one.update(slot, at, part[0] if part else True, value) for at, value, *part in events]


@pytest.mark.parametrize(
    ("times", "counts"),
    [
        ([0, 0, 9], [1, 2, 3]),
        ([0, 59], [1, 2]),  # panes 0..5 are the window of pane 5
        ([0, 60], [1, 1]),  # pane 6 has left pane 0 behind
        ([9, 60], [1, 1]),
        ([10, 60], [1, 2]),  # pane 1 is still in
        ([10, 69], [1, 2]),
        ([10, 70], [1, 1]),
        ([0, 1_000_000], [1, 1]),  # a long silence
        ([0, 10, 20, 30, 40, 50, 60, 70], [1, 2, 3, 4, 5, 6, 6, 6]),
        ([60, 10, 60], [1, 2, 3]),  # late, and counted where it belongs
        ([60, 9, 60], [1, 1, 2]),  # late beyond the window: not counted
        ([60, 10, 70, 70], [1, 2, 2, 3]),  # the late one leaves with its own pane
        ([1_000_000, 0, 1_000_000], [1, 1, 2]),
    ],
)
def test_a_window_is_the_newest_pane_and_those_before_it(times, counts):
    """Six panes of 10 ms: a window of 51 to 60 ms that moves in steps of 10."""
    assert run("count", [(at, 1) for at in times]) == counts


@pytest.mark.parametrize(
    ("panes", "times", "counts"),
    [
        (1, [0, 59, 60, 119, 60, 59], [1, 2, 1, 2, 3, 3]),  # one pane: a tumbling window
        (60, [0, 59, 60, 61, 1], [1, 2, 2, 3, 3]),  # one pane a millisecond: the exact window
        (2, [29, 30, 59, 60, 89, 90], [1, 2, 3, 3, 4, 3]),
    ],
)
def test_the_number_of_panes_is_the_grain_of_the_window(panes, times, counts):
    """60 ms in one pane, two, sixty."""
    assert run("count", [(at, 1) for at in times], panes=panes) == counts


@pytest.mark.parametrize(
    ("aggregate", "events", "values"),
    [
        ("count", [(0, 1, False), (1, 1, None), (2, 1, True)], [0, 0, 1]),
        ("sum", [(0, 5), (1, -7), (2, None), (3, 1, False), (61, 2)], [5, -2, -2, -2, 2]),
        ("min", [(0, 5), (10, 3), (20, 9), (60, 7), (70, 8)], [5, 3, 3, 3, 7]),
        ("max", [(0, 5), (10, 3), (20, 9), (60, 7), (80, 8)], [5, 5, 9, 9, 8]),
        ("min", [(0, None), (1, 4, False), (2, 4)], [None, None, 4]),
        ("max", [(0, 4), (60, None), (60, 3)], [4, None, 3]),  # the window is empty again
        ("min", [(60, 4), (9, 1), (10, 2)], [4, 4, 2]),
        ("distinct", [(0, "a"), (1, "b"), (2, "a"), (3, None), (4, "c", False)], [1, 2, 2, 2, 2]),
        ("distinct", [(0, "a"), (10, "a"), (60, "b"), (70, "b")], [1, 1, 2, 1]),  # a in pane 1 keeps it until pane 7
        ("distinct", [(60, "a"), (9, "b"), (10, "b"), (70, "c")], [1, 1, 2, 2]),
        ("distinct", [(0, 1), (0, 2), (0, 1)], [1, 2, 2]),
        # before the event: the first sees nothing
        ("mean", [(0, 10), (1, 20), (2, 0), (3, 7)], [None, 10, 15, 10]),
        ("mean", [(0, 10), (1, 11), (2, 0)], [None, 10, 10]),  # rounded down
        ("mean", [(0, -10), (1, -11), (2, 0)], [None, -10, -11]),  # down, not toward zero
        ("mean", [(0, 10), (1, 90, False), (2, None), (3, 5)], [None, 10, 10, 10]),
        ("mean", [(0, 10), (60, 5)], [None, None]),  # what was before has left the window
        ("mean", [(60, 10), (9, 99), (60, 5)], [None, 10, 10]),
        ("deviation", [(0, 10), (1, 20), (2, 30), (3, 0)], [None, None, 5, 8]),  # sqrt(200 / 3) = 8.16
        ("deviation", [(0, 7), (1, 7), (2, 7)], [None, None, 0]),
        ("deviation", [(0, 10), (1, 11), (2, 31), (3, 0)], [None, None, 0, 9]),  # sqrt(93.56) about a mean of 17.33
        ("ratio", [(0, 10), (1, 20), (2, 15), (3, 0)], [None, 20_000, 10_000, 0]),
        ("ratio", [(0, 3), (1, 1)], [None, 3_333]),
        ("ratio", [(0, 0), (1, 5), (2, 5)], [None, None, 20_000]),  # no ratio to a mean of zero
        ("ratio", [(0, -5), (1, 5)], [None, None]),
        ("ratio", [(0, 10), (1, None), (2, 20, False)], [None, None, 20_000]),
        ("gap", [(0, 1), (25, 1), (25, 1), (20, 1), (30, 1)], [None, 25, 0, 0, 5]),
        ("gap", [(0, 1, False), (5, 1), (7, 1, None), (9, 1)], [None, None, 2, 4]),  # since the last that took part
    ],
)
def test_aggregates(aggregate, events, values):
    """Count, sum, min, max and distinct include the event; mean, deviation, ratio and gap look at what was before."""
    assert run(aggregate, events) == values


def test_distinct_stops_at_its_limit_and_goes_on_when_values_leave():
    """Three at most: a fourth value is not remembered, and finds a place once another has left."""
    events = [(0, "a"), (10, "b"), (20, "c"), (30, "d"), (30, "a"), (61, "d"), (71, "e"), (71, "f"), (100, "g")]
    # 61: b, c and a (pane 3) are left, d finds no place. 71: b has left, e takes its place. 100: only e is left.
    assert run("distinct", events, max_distinct=3) == [1, 2, 3, 3, 3, 3, 3, 3, 2]


def test_long_texts_are_told_apart_and_never_taken_for_a_short_one():
    """Only a hash of them is kept; the hash is longer than any text that is kept itself."""
    one = step(Feature(name="f", aggregate="distinct", window_ms=60, panes=6))
    slot = one.new()
    long = ["x" * 24, "x" * 25, "x" * 26, "y" * 1_024, "é" * 25]
    assert [one.update(slot, 0, True, text) for text in long + long] == [1, 2, 3, 4, 5] + [5] * 5
    kept = list(slot[1])
    assert kept[0] == "x" * 24
    assert {len(text) for text in kept[1:]} == {25}


@pytest.mark.parametrize(
    ("aggregate", "values", "said"),
    [
        ("sum", [INT64_MAX, 1, -1, -1], [INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX - 1]),
        ("sum", [INT64_MIN, -1, 1, 1], [INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN + 1]),
        ("sum", [INT64_MAX] * 40, [INT64_MAX] * 40),
        ("mean", [INT64_MAX, INT64_MAX, INT64_MIN], [None, INT64_MAX, INT64_MAX]),
        ("deviation", [INT64_MIN, INT64_MAX, 0], [None, None, INT64_MAX]),
        ("ratio", [1, INT64_MAX], [None, RATIO_MAX_BP]),
        ("ratio", [1, INT64_MIN], [None, -RATIO_MAX_BP]),
    ],
)
def test_what_a_feature_says_stays_within_64_bits(aggregate, values, said):
    """The slot keeps the exact sums, so that nothing is lost when large values leave."""
    assert run(aggregate, [(0, value) for value in values]) == said


@pytest.mark.parametrize("aggregate", ["sum", "mean", "deviation"])
def test_slots_of_huge_sums_survive_the_changelog(aggregate):
    """Sums of squares go far beyond 64 bits; JSON and its reader must not turn them into floats."""
    one = step(Feature(name="f", aggregate=aggregate, window_ms=60, panes=2))
    slot = one.new()
    for _ in range(5_000):
        one.update(slot, 0, True, INT64_MAX)
    back = one.load(msgspec.json.decode(msgspec.json.encode(one.dump(slot))))
    assert back == slot


@pytest.mark.parametrize("aggregate", ["count", "sum", "min", "max", "distinct", "mean", "deviation", "ratio", "gap"])
def test_a_loaded_slot_shares_nothing_with_what_it_was_loaded_from(aggregate):
    """Two features with one definition are loaded from the same dumped slot, and each goes its own way."""
    window = {} if aggregate == "gap" else {"window_ms": 60, "panes": 6}
    one = step(Feature(name="f", aggregate=aggregate, **window))
    slot = one.new()
    one.update(slot, 5, True, 3)
    dumped = msgspec.json.decode(msgspec.json.encode(one.dump(slot)))
    first, second = one.load(dumped), one.load(dumped)
    expected = one.update(second, 15, True, 8)
    assert one.update(first, 15, True, 8) == expected
    assert one.dump(first) == one.dump(second)
