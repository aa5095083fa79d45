"""The metric scorer: what was never seen is strange once, what repeats is not, and nothing grows."""

import math

import numpy as np
import pytest

from sidechain.models.wet.metric_stream import ALARM, BLOCK, BLOCKS, MEMORY, RECENT, STRIDE, MetricStream

DAY = 288


def days(seed: int, count: int, noise: float = 1.0) -> np.ndarray:
    """A busy day and a quiet night, over and over."""
    made = np.random.default_rng(seed)
    at = np.arange(count * DAY)
    return np.where(at % DAY < DAY // 2, 80.0, 20.0) + made.normal(0, noise, len(at))


def alarms(values: np.ndarray) -> list[int]:
    """The places of strange values."""
    stream = MetricStream()
    return [at for at, value in enumerate(values.tolist()) if stream.add(value).score >= ALARM]


def test_a_spike_is_strange_once_and_says_what_is_nearest() -> None:
    """The same again is known."""
    values = days(1, 12)
    values[[2_000, 2_400, 2_800]] = 140.0
    stream = MetricStream()
    said = [stream.add(value) for value in values.tolist()]
    assert said[2_000].score > 0.9
    assert said[2_000].why.startswith("no value like 140 was seen, the nearest is 8")
    assert said[2_400].score < ALARM > said[2_800].score
    assert not [
        at for at in range(DAY * 2, len(values)) if said[at].why and "value like" in said[at].why and at != 2_000
    ]


def test_a_value_between_two_usual_ones_is_strange_too() -> None:
    """Neither the mean nor the extremes know it: 50 is where the day's 80 and the night's 20 never are."""
    values = days(2, 8)
    values[1_900] = 50.0
    assert 1_900 in alarms(values)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_day_that_does_not_come_is_strange_although_each_value_is_usual(noise: float) -> None:
    """A night instead of the tenth day; within half a day, and no other day is."""
    values = days(3, 14, noise)
    begin = 10 * DAY
    values[begin : begin + DAY // 2] = values[begin + DAY // 2 : begin + DAY]
    found = [at for at in alarms(values) if at >= 3 * DAY]
    assert found
    assert begin < found[0] < begin + DAY
    assert all(begin <= at < begin + 3 * DAY for at in found)


@pytest.mark.parametrize("values", [np.zeros(3_000), np.full(3_000, 7.5), days(4, 12, 0.0)])
def test_what_repeats_exactly_is_never_strange(values: np.ndarray) -> None:
    """No distance, no alarm; the first two days have nothing before them."""
    assert [at for at in alarms(values) if at >= 2 * DAY] == []


def test_a_new_level_is_strange_and_then_usual() -> None:
    """Told at once, and over when the course has been seen: nobody is told for a week."""
    made = np.random.default_rng(5)
    values = made.normal(10, 1, 4_000)
    values[2_500:] += 30
    found = [at for at in alarms(values) if at > 1_000]
    assert len([at for at in found if at < 2_500]) <= 2, "noise has records of its own, and ever fewer"
    assert 2_500 in found
    assert max(found) < 2_500 + 2 * BLOCK * BLOCKS


def test_scale_and_shift_change_nothing() -> None:
    """A metric in bytes is as strange as in megabytes."""
    values = days(6, 5)
    values[1_000] = 55.0
    one, other = MetricStream(), MetricStream()
    for value in values.tolist():
        assert one.add(value).score == pytest.approx(other.add(value * 1024 - 512).score, abs=1e-6)


def test_what_is_no_number_is_passed_over() -> None:
    """And changes nothing of what comes behind it."""
    values = days(7, 3).tolist()
    plain, holed = MetricStream(), MetricStream()
    for at, value in enumerate(values):
        if at % 50 == 0:
            assert [holed.add(one) for one in (math.nan, math.inf, -math.inf)] == [(0.0, "")] * 3
        assert plain.add(value) == holed.add(value)


def test_scores_lie_in_their_range_whatever_comes() -> None:
    """Enormous, tiny, repeated, alternating."""
    stream = MetricStream()
    for value in [0.0, 1e300, -1e300, 1e-300, *([5.0] * 500), *([1e9, -1e9] * 300), 1e150]:
        assert 0.0 <= stream.add(value).score < 1.0


def test_memory_is_bounded() -> None:
    """Behind MEMORY values nothing grows, and what was forgotten is strange again."""
    stream = MetricStream()
    stream.add(500.0)
    made = np.random.default_rng(8)
    for value in made.normal(0, 1, MEMORY + 2_000).tolist():
        stream.add(value)
    value, course = stream._value, stream._course
    assert len(value._order) == len(value._sorted) == MEMORY
    assert len(value._usual._order) == len(value._usual._sorted) == RECENT
    assert course._seen.shape == (MEMORY // STRIDE, BLOCKS)
    assert len(course._recent) == BLOCK * BLOCKS // STRIDE
    assert len(course._usual._sorted) == RECENT // STRIDE
    assert stream.add(500.0).score > ALARM
