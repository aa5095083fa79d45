"""The sample the forest learns from, and when it does."""

import numpy as np
import pytest

from sidechain.models.wet.reservoir import Reservoir
from sidechain.models.wet.schedule import LONGEST, Schedule


def rows(first: int, count: int) -> np.ndarray:
    """Rows that carry their own position."""
    return np.arange(first, first + count, dtype=float)[:, None]


@pytest.mark.parametrize("cut", [1, 7, 64, 1000])
def test_the_sample_does_not_depend_on_how_rows_were_cut_into_batches(cut: int) -> None:
    """One by one, in sevens, in one go: the same sample."""
    whole, cut_up = Reservoir(1, seed=3, capacity=50), Reservoir(1, seed=3, capacity=50)
    whole.add(rows(0, 1000))
    for first in range(0, 1000, cut):
        cut_up.add(rows(first, min(cut, 1000 - first)))
    assert np.array_equal(whole.sample(), cut_up.sample())
    assert whole.seen == cut_up.seen == 1000


def test_below_capacity_the_sample_is_everything() -> None:
    """And it is a copy: a fit in another process cannot see it change."""
    reservoir = Reservoir(1, seed=1, capacity=10)
    reservoir.add(rows(0, 4))
    taken = reservoir.sample()
    reservoir.add(rows(4, 100))
    assert taken.ravel().tolist() == [0, 1, 2, 3]
    assert len(reservoir) == 10


def test_every_row_has_the_same_chance() -> None:
    """Over 400 seeds, each tenth of the stream holds a tenth of the sample (standard error 0.15 %)."""
    counts = np.zeros(10)
    for seed in range(400):
        reservoir = Reservoir(1, seed, capacity=100)
        reservoir.add(rows(0, 1000))
        counts += np.histogram(reservoir.sample(), bins=10, range=(0, 1000))[0]
    assert np.abs(counts / counts.sum() - 0.1).max() < 0.006


def test_another_seed_is_another_sample() -> None:
    """The seed is an argument, not the weather."""
    one, other = Reservoir(1, seed=1, capacity=20), Reservoir(1, seed=2, capacity=20)
    one.add(rows(0, 500))
    other.add(rows(0, 500))
    assert not np.array_equal(one.sample(), other.sample())


def test_fits_are_due_at_warm_up_then_at_every_doubling_then_at_a_steady_pace() -> None:
    """512, 1024, 2048 … and never further apart than LONGEST."""
    schedule, due = Schedule(512), []
    while schedule.due_at < 300_000:
        due.append(schedule.due_at)
        schedule.passed(schedule.due_at)
    assert due[:8] == [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536]
    assert set(np.diff(due[7:])) == {LONGEST}


def test_a_failed_fit_is_tried_again_after_a_tenth_more_rows() -> None:
    """Not at once: what crashed it is most likely still there."""
    schedule = Schedule(512)
    schedule.passed(520)
    schedule.again(520)
    assert schedule.due_at == 572
