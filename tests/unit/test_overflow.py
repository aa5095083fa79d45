"""Overflow risk: where each level begins, that none flickers, and what ages and growth are told from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidechain.models.wet.overflow import (
    HOLD_MS,
    LEVELS,
    PASSED_BP,
    SAMPLES,
    Edges,
    Growth,
    Reading,
    Waiting,
    Watermark,
)

READINGS = st.builds(Reading, st.integers(0, 2_000_000), st.integers(0, 200_000), st.integers(0, 20_000))


@pytest.mark.parametrize(
    ("reading", "level"),
    [
        (Reading(), "safe"),
        (Reading(59_999, 9_999, 6_999), "safe"),
        (Reading(age_ms=60_000), "warning"),  # lower edges are inclusive
        (Reading(age_ms=299_999), "warning"),
        (Reading(age_ms=300_000), "critical"),
        (Reading(age_ms=899_999), "critical"),
        (Reading(age_ms=900_000), "imminent"),
        (Reading(depth=10_000), "warning"),
        (Reading(depth=49_999), "warning"),
        (Reading(depth=50_000), "critical"),
        (Reading(depth=99_999), "critical"),
        (Reading(depth=100_000), "imminent"),
        (Reading(full_bp=7_000), "warning"),
        (Reading(full_bp=8_499), "warning"),
        (Reading(full_bp=8_500), "critical"),
        (Reading(full_bp=9_499), "critical"),
        (Reading(full_bp=9_500), "imminent"),
        (Reading(60_000, 50_000, 9_500), "imminent"),  # the worst of the three counts
        (Reading(300_000, 10_000, 0), "critical"),
    ],
)
def test_each_level_begins_at_its_edge(reading, level):
    """The golden table."""
    assert Watermark().look(0, reading) == level


@pytest.mark.parametrize(
    ("waited_ms", "depth", "level"),
    [
        (0, 40_001, "critical"),  # above four fifths of 50,000: it is not left, however long
        (10 * HOLD_MS, 40_001, "critical"),
        (10 * HOLD_MS, 40_000, "critical"),  # four fifths itself is not below
        (HOLD_MS - 1, 39_999, "critical"),
        (HOLD_MS, 39_999, "warning"),
        (HOLD_MS, 0, "warning"),  # one level at a time
        (10 * HOLD_MS, 0, "warning"),
    ],
)
def test_a_level_is_left_late_and_one_at_a_time(waited_ms, depth, level):
    """It was critical; then two looks at a shallower queue, so far apart."""
    mark = Watermark()
    assert mark.look(0, Reading(depth=50_000)) == "critical"
    mark.look(1, Reading(depth=depth))
    assert mark.look(1 + waited_ms, Reading(depth=depth)) == level


def test_one_look_over_the_edge_begins_the_wait_anew():
    mark = Watermark()
    mark.look(0, Reading(depth=50_000))
    mark.look(1_000, Reading())
    mark.look(HOLD_MS, Reading(depth=45_000))
    assert mark.look(1_000 + HOLD_MS, Reading()) == "critical"
    assert mark.look(1_000 + 2 * HOLD_MS, Reading()) == "warning"


def test_all_four_levels_are_reached_by_injection_and_left_again():
    """A queue that nobody empties for a quarter of an hour at 120 records a second, and is emptied then."""
    mark, waiting, came = Watermark(), Waiting(), {}
    end = position = 0
    for second in range(1_300):
        end += 120
        if second >= 1_000:
            position = end
        reading = Reading(waiting.age_ms(second * 1_000, position, end), end - position)
        came.setdefault(mark.look(second * 1_000, reading), second)
    assert came == {
        "safe": 0,
        "warning": 60,
        "critical": 300,
        "imminent": 833,
    }  # 833 * 120 records are the first 100,000
    assert mark.level == "safe"


@given(st.lists(st.tuples(st.integers(0, 40_000), READINGS), min_size=1, max_size=60))
def test_the_level_never_falls_below_what_is_asked_and_never_skips_one_down(looks):
    mark, at_ms = Watermark(), 0
    for pause_ms, reading in looks:
        before, at_ms = mark.number, at_ms + pause_ms
        mark.look(at_ms, reading)
        assert mark.number >= mark.edges.level(reading)
        assert mark.number >= before - 1
        assert mark.number <= max(before, mark.edges.level(reading))


@pytest.mark.parametrize(
    ("most", "edges"), [(100_000, (10_000, 50_000, 100_000)), (1_000, (100, 500, 1_000)), (1, (1, 1, 1))]
)
def test_the_edges_of_depth_follow_the_room_there_is(most, edges):
    assert Edges.within(most).depth == edges


def test_stricter_levels_pass_less():
    passed = [PASSED_BP[level] for level in LEVELS]
    assert passed == sorted(passed, reverse=True)
    assert passed[0] == 10_000
    assert passed[-1] > 0  # a wet side that hears nothing would learn nothing either


@pytest.mark.parametrize(
    ("looks", "age_ms"),
    [
        ([(0, 5, 5)], 0),  # nothing waits
        ([(0, 0, 5)], 0),  # an old backlog is not late on the first look
        ([(0, 0, 5), (7_000, 0, 5)], 7_000),
        ([(0, 0, 5), (7_000, 5, 9)], 0),  # what waits now came within this look
        ([(0, 0, 5), (7_000, 0, 9), (9_000, 5, 9)], 2_000),  # the first five are done: the next came at 7 s
        ([(0, 0, 5), (7_000, 4, 9), (9_000, 4, 9)], 9_000),
    ],
)
def test_an_age_is_that_of_the_oldest_record_waiting(looks, age_ms):
    """Looks: when, position, end."""
    waiting = Waiting()
    assert [waiting.age_ms(*one) for one in looks][-1] == age_ms


def test_an_age_needs_bounded_memory():
    """A quarter of a day without one record done, looked at every second: coarser, and the oldest is kept."""
    waiting = Waiting()
    for second in range(21_600):
        age_ms = waiting.age_ms(second * 1_000, 0, second + 1)
        assert len(waiting._ends) <= SAMPLES
    assert age_ms == 21_599_000


@pytest.mark.parametrize(
    ("sizes", "full_bp"),
    [
        ([(0, 50)], 5_000),
        ([(0, 0), (1_000, 50)], 5_000),  # a second says nothing of ten minutes
        ([(0, 50), (60_000, 54)], 9_400),  # 4 a minute are 40 in ten
        ([(0, 50), (60_000, 50)], 5_000),
        ([(0, 60), (60_000, 50)], 5_000),  # what shrinks is not thought on
        ([(0, 0), (60_000, 100)], 110_000),
    ],
)
def test_growth_is_thought_on(sizes, full_bp):
    """Looks: when, how many of at most 100."""
    growth = Growth()
    assert [growth.full_bp(at, size, 100) for at, size in sizes][-1] == full_bp
