"""What was made unusual is what is named: the planted feature stands first."""

import numpy as np
import pytest

from sidechain.models.wet.attribution import ForestParts
from sidechain.models.wet.fit import fit
from tests.bench.causes import told
from tests.bench.forest import FIRST, UNUSUAL, planted

NAMES = tuple(f"f{at}" for at in range(9))


def usual(seed: int, rows: int) -> np.ndarray:
    """Nine features of three kinds, each three sharing a cause: counts, sizes over decades, times of day."""
    random = np.random.default_rng(seed)
    shared = random.normal(0, 1, (rows, 3)).repeat(3, axis=1)
    own = 0.6 * shared + 0.8 * random.normal(0, 1, (rows, 9))
    own[:, 3:6] = np.exp(own[:, 3:6])
    own[:, 0:3] = random.poisson(np.exp(own[:, 0:3] / 2 + 1))
    return np.round(own * 1_000)


@pytest.mark.parametrize("has_outcomes", [False, True])
def test_the_panel_names_it_in_four_of_five_of_all_planted_rows(has_outcomes: bool) -> None:
    """In its records, as the wet worker writes them; one without reasons would be a miss."""
    found = told(NAMES, usual(1, 1_500), usual(2, 3_000), 3, has_outcomes=has_outcomes)
    assert found.planted > 100
    assert found.share >= FIRST, found


def test_a_forest_alone_does_not() -> None:
    """The test above can fail: how far beyond its range a value lies no tree can see."""
    found = told(NAMES, usual(1, 1_500), usual(2, 3_000), 3, has_outcomes=False, experts=("forest",))
    assert found.share < FIRST


def test_a_planted_cause_stands_first_in_four_of_five() -> None:
    """Of the rows the forest calls unusual; by the order of splits, as records have it, and by Shapley values."""
    sample = usual(1, 4_096)
    model = fit(sample, NAMES, 1, 1)
    made, cause = planted(sample, usual(2, 600), np.random.default_rng(3))
    why = model.explain(made)
    unusual = np.flatnonzero(why.score >= UNUSUAL)
    assert len(unusual) > 150
    assert (why.parts.argmax(axis=1) == cause)[unusual].mean() >= 0.8
    some = unusual[:80]
    assert (ForestParts(model).explain(made[some]).parts.argmax(axis=1) == cause[some]).mean() >= 0.8


def test_without_a_plant_nothing_stands_first_so_often() -> None:
    """The test above can fail: the same rows before anything was planted name it no more often than chance."""
    sample, rows = usual(1, 4_096), usual(2, 300)
    _, cause = planted(sample, rows, np.random.default_rng(3))
    parts = fit(sample, NAMES, 1, 1).explain(rows).parts
    assert (parts.argmax(axis=1) == cause).mean() < 0.25
