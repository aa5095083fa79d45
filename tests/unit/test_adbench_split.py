"""What the measurement on ADBench's sets rests on: one forest of the first part, and a pack the pipeline takes."""

from pathlib import Path

import numpy as np
import pytest

from sidechain.models.pack_file import load_file
from sidechain.models.wet.schedule import FEWEST, Schedule
from tests.bench.adbench_kafka import pack
from tests.bench.adbench_read import Labelled
from tests.bench.adbench_split import Compared, cut, split


def made(rows: int, seed: int) -> Labelled:
    """Two columns; what is bad lies apart in the first."""
    random = np.random.default_rng(seed)
    is_bad = np.arange(rows) % 10 == 0
    return Labelled("made", ("f00", "f01"), random.normal(size=(rows, 2)) + 4.0 * is_bad[:, None] * [1, 0], is_bad)


@pytest.mark.parametrize(
    ("rows", "first"),
    [
        (2 * FEWEST, FEWEST),
        (2 * FEWEST + 1, FEWEST + 1),  # of an odd number the first part is the larger
        (99_999, 50_000),
        (100_000, 50_000),
        (100_001, 50_001),
        (567_498, 517_498),
    ],
)
def test_no_second_forest_is_due_before_the_last_row(rows: int, first: int) -> None:
    """So that one forest scores all of the rest, by the worker's own schedule."""
    schedule = Schedule(cut(rows))
    assert schedule.due_at == cut(rows) == first
    schedule.passed(first)
    assert schedule.due_at >= rows


def test_the_pack_of_a_set_is_one_the_pipeline_takes(tmp_path: Path) -> None:
    """With as many columns as the widest set, and the first part as its warm-up."""
    file = tmp_path / "adbench.yaml"
    file.write_text(pack(tuple(f"f{at:02}" for at in range(62)), 20_594), encoding="utf-8")
    wet = load_file(file).wet
    assert (wet.vector[0], wet.vector[-1], len(wet.vector)) == ("f00_now", "f61_now", 62)
    assert (wet.experts, wet.warmup) == (("forest",), 20_594)


def test_what_is_compared_is_the_rest_of_the_same_split() -> None:
    """Both find what lies apart, on the same rows, and each forest has a seed of its own."""
    compared = Compared([split(made(600, seed), seed) for seed in (1, 2)])
    for seed in (1, 2, 3):
        compared.add(seed)
    ours, theirs = compared.means()
    assert compared.forests == 6
    assert len({one.auroc for side in (compared.ours[0], compared.theirs[0]) for one in side}) > 2
    assert min(ours.auroc, theirs.auroc) > 0.9
    assert 0 < compared.error() < 0.02
