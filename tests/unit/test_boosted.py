"""The champion: scikit-learn's probabilities from plain arrays, and log-odds that add up."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sidechain.models.wet.boosted import Boosted
from sidechain.models.wet.boosted_fit import fit, flatten, grow

NAMES = ("amount", "count", "gap")


def outcomes(seed: int, rows: int = 3_000) -> tuple[np.ndarray, np.ndarray]:
    """Rows over many orders of magnitude, some unknown; the bad ones are large, or in a hurry."""
    random = np.random.default_rng(seed)
    made = random.lognormal((5, 2, 15), (2, 1, 3), (rows, 3)).round()
    is_bad = ((made[:, 0] > 2_000) | (made[:, 2] < 1e4)) ^ (random.random(rows) < 0.02)
    made[random.random(made.shape) < 0.05] = np.nan
    return made, is_bad


@pytest.fixture(scope="module")
def grown() -> Any:
    """By scikit-learn."""
    return grow(*outcomes(1), seed=1, rounds=40)


@pytest.fixture(scope="module")
def model(grown: Any) -> Boosted:
    """The same as arrays."""
    return flatten(grown, NAMES, 3)


def test_probabilities_are_those_of_scikit_learn(grown: Any, model: Boosted) -> None:
    """On rows it saw and did not see, far out, unknown, and beside every threshold; before and after it travelled."""
    seen, new = outcomes(1)[0], outcomes(2)[0]
    edges = np.unique(model.nodes.threshold[np.isfinite(model.nodes.threshold)])
    beside = np.concatenate([edges, np.nextafter(edges, np.float32(np.inf))]).astype(np.float64)
    for rows in (seen, new * 1e9, -new, np.full((2, 3), np.nan), np.repeat(beside[:, None], 3, axis=1)):
        expected = grown.predict_proba(rows.astype(np.float32))[:, 1]
        assert np.abs(model.score(rows) - expected).max() < 1e-12
        assert np.array_equal(Boosted.from_bytes(model.to_bytes()).score(rows), model.score(rows))
    assert model.score(np.empty((0, 3))).shape == (0,)


def test_neighbours_of_float32_take_the_same_side_as_in_scikit_learn() -> None:
    """Between 16,777,218 and 16,777,220 there is a threshold, but no float32 for it."""
    rows = np.random.default_rng(5).integers(2**23, 2**23 + 20, (2_000, 1)) * 2.0
    is_bad = rows[:, 0] % 8 > 3
    grown = grow(rows, is_bad, seed=1, rounds=5)
    assert np.abs(flatten(grown, ("a",), 1).score(rows) - grown.predict_proba(rows)[:, 1]).max() < 1e-12


def test_base_and_parts_add_up_to_the_log_odds(model: Boosted) -> None:
    """Unknown values included; the feature that decides nothing gets next to nothing."""
    rows, _ = outcomes(2, 300)
    why = model.explain(rows)
    assert np.abs(why.log_odds - model.log_odds(rows)).max() < 1e-9
    assert np.abs(why.base + why.parts.sum(axis=1) - why.log_odds).max() < 1e-9
    assert np.abs(why.parts[:, 1]).mean() < np.abs(why.parts[:, [0, 2]]).mean() / 2
    ordinary = np.array([[100.0, 7.0, 3e6]])
    for at, value in ((0, 90_000.0), (2, 5.0)):
        moved = ordinary.copy()
        moved[0, at] = value
        assert model.explain(moved).parts[0].argmax() == at
        assert model.score(moved)[0] > 0.9 > 0.1 > model.score(ordinary)[0]


def test_the_same_outcomes_and_seed_give_the_same_model() -> None:
    """Its name is what it is made of; one altered leaf is another name."""
    first, again = (fit(*outcomes(4), NAMES, seed=1, version=1, rounds=5) for _ in range(2))
    assert first.name == again.name
    assert first.to_bytes() == again.to_bytes()
    assert fit(*outcomes(4), NAMES, seed=1, version=2, rounds=5).digest != first.digest
    moved = replace(first.nodes, value=np.where(first.nodes.is_leaf, first.nodes.value + 1e-12, 0.0))
    assert Boosted(1, first.names, first.intercept, moved).digest != first.digest


def test_a_feature_nobody_ever_knew_decides_nothing() -> None:
    """A signal that nobody told yet; when somebody does, the model made before does not mind."""
    rows, is_bad = outcomes(6)
    rows[:, 1] = np.nan
    model = fit(rows, is_bad, NAMES, seed=1, version=1, rounds=5)
    told = rows.copy()
    told[:, 1] = 7.0
    assert np.array_equal(model.score(rows), model.score(told))


@pytest.mark.parametrize(("bad", "good"), [(49, 500), (500, 49), (0, 0)])
def test_too_few_outcomes_of_a_kind_are_refused(bad: int, good: int) -> None:
    """Fifty of each."""
    with pytest.raises(ValueError, match="50 outcomes of each kind"):
        fit(np.zeros((bad + good, 3)), np.arange(bad + good) < bad, NAMES, seed=1, version=1)
