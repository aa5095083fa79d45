"""The forest: scikit-learn's scores from plain arrays, and reasons that add up."""

import io

import numpy as np
import pytest

from sidechain.models.wet import ranks
from sidechain.models.wet.fit import fit, grow
from sidechain.models.wet.forest import ForestModel, matrix

NAMES = ("calm", "spiky", "rare", "flat")


def sample(seed: int, rows: int = 1500) -> np.ndarray:
    """Four features: a normal one, a heavy-tailed one, one mostly zero, one constant. 5 % unknown."""
    random = np.random.default_rng(seed)
    columns = [
        random.normal(100, 15, rows).round(),
        random.lognormal(3, 1.5, rows).round(),
        np.where(random.random(rows) < 0.9, 0, random.integers(1, 50, rows)),
        np.full(rows, 7.0),
    ]
    made = np.stack(columns, axis=1)
    made[random.random(made.shape) < 0.05] = np.nan
    return made


@pytest.fixture(scope="module")
def model() -> ForestModel:
    return fit(sample(1), NAMES, seed=11, version=3)


@pytest.mark.parametrize("rows", [16, 100, 255, 256, 257, 1500])
def test_raw_scores_are_those_of_scikit_learn(rows: int) -> None:
    """From the arrays alone, before and after they travelled, on rows it was and was not fitted on."""
    seen, new = sample(rows, rows), sample(rows + 1, 2100)
    model = fit(seen, NAMES, seed=rows, version=1)
    filled = np.where(np.isnan(seen), model.medians, seen)
    judge = grow(filled, seed=rows)
    for rows_of in (seen, new, np.vstack([new * 1e6, -new, new * 0])):
        expected = -judge.score_samples(np.where(np.isnan(rows_of), model.medians, rows_of))
        assert np.abs(model.raw(rows_of) - expected).max() <= 1e-9
        assert np.array_equal(ForestModel.from_bytes(model.to_bytes()).raw(rows_of), model.raw(rows_of))


def test_integers_beyond_float32_take_the_same_side_as_in_scikit_learn() -> None:
    """scikit-learn compares float32 values with float64 thresholds; 16,777,217 has no float32 of its own."""
    random = np.random.default_rng(5)
    rows = random.integers(2**24 - 20, 2**24 + 20, (600, 2)).astype(float)
    model = fit(rows, ("a", "b"), seed=2, version=1)
    assert np.abs(model.raw(rows) + grow(rows, seed=2).score_samples(rows)).max() <= 1e-9


@pytest.mark.parametrize("seed", range(8))
def test_base_and_parts_add_up_to_the_score(seed: int) -> None:
    """On seen, unseen, extreme, constant and tied data; no part is out of proportion."""
    made = sample(seed, 700)
    if seed % 2:
        made[: len(made) // 2] = made[0]  # half the rows are one and the same: the calibration has a step there
    model = fit(made, NAMES, seed=seed, version=1)
    for rows in (made, sample(seed + 100, 1300), np.full((3, 4), np.nan), np.full((2, 4), 1e12)):
        why = model.explain(rows)
        assert np.abs(why.base + why.parts.sum(axis=1) - why.score).max() <= 1e-9
        assert np.array_equal(why.score, model.score(rows))
        assert np.abs(why.parts).max() <= 2.0


def test_the_feature_that_is_off_has_the_largest_part(model: ForestModel) -> None:
    """One feature is moved far out at a time; the constant one never splits and never has a part."""
    ordinary = np.array([100.0, 20.0, 0.0, 7.0])
    for at, value in ((0, 400.0), (1, 90_000.0), (2, 49.0)):
        row = ordinary.copy()
        row[at] = value
        why = model.explain(row[None, :])
        assert why.score[0] > model.score(ordinary[None, :])[0]
        assert why.parts[0].argmax() == at
        assert why.parts[0, 3] == 0.0


def test_the_score_is_a_rank_of_the_training_sample(model: ForestModel) -> None:
    """Half the training rows are above one half, a tenth above 0.9, all of them inside (0, 1)."""
    score = model.score(sample(1))
    for share in (0.1, 0.5, 0.9, 0.99):
        assert (score > share).mean() == pytest.approx(1 - share, abs=0.01)
    assert score.min() > 0.0
    assert score.max() < 1.0


def test_ranks_rise_strictly_even_beyond_the_training_sample() -> None:
    """Two rows more unusual than anything seen still stand in their order."""
    learned = ranks.learn(np.array([0.4, 0.4, 0.4, 0.5, 0.6]))
    assert learned.of(np.array([0.4, 0.5, 0.6])).tolist() == pytest.approx([0.3, 0.7, 0.9])  # mid-ranks by hand
    walk = learned.of(np.linspace(0.0, 1.0, 10_001))
    assert (np.diff(walk) > 0).all()
    assert (walk[0], walk[-1]) == (0.0, 1.0)


def test_the_same_seed_gives_the_same_model_and_another_seed_another() -> None:
    """The digest names the arrays: same name, same scores."""
    made = sample(4)
    first, again, other = (fit(made, NAMES, seed, 1) for seed in (9, 9, 10))
    assert first.name == again.name
    assert first.to_bytes() == again.to_bytes()
    assert first.name != other.name
    assert fit(made, NAMES, 9, 2).digest != first.digest  # the version is part of what is named
    assert ForestModel.from_bytes(first.to_bytes()).name == first.name


def test_one_altered_threshold_is_another_name(model: ForestModel) -> None:
    """The digest covers the arrays, not the file."""
    with np.load(io.BytesIO(model.to_bytes())) as arrays:
        altered = dict(arrays)
    altered["threshold"] = altered["threshold"].copy()
    altered["threshold"].flat[0] += 1e-9
    file = io.BytesIO()
    np.savez_compressed(file, **altered)
    assert ForestModel.from_bytes(file.getvalue()).name != model.name


def test_a_pickled_array_is_refused() -> None:
    """Loading a model never runs code."""
    file = io.BytesIO()
    np.savez(file, format=np.array([{"any": "object"}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        ForestModel.from_bytes(file.getvalue())


@pytest.mark.parametrize(
    ("rows", "names"),
    [(15, NAMES), (0, NAMES), (100, NAMES[:3]), (100, ())],
)
def test_too_little_to_learn_from_is_refused(rows: int, names: tuple[str, ...]) -> None:
    """Fewer than 16 rows, or columns that are not the features."""
    with pytest.raises(ValueError, match="at least 16 rows"):
        fit(sample(1, 100)[:rows], names, seed=1, version=1)


def test_an_unknown_value_is_taken_for_the_median(model: ForestModel) -> None:
    """And a feature that was never known is taken for 0."""
    known = np.array([[model.medians[0], 20.0, 0.0, 7.0]])
    unknown = np.array([[np.nan, 20.0, 0.0, 7.0]])
    assert model.score(known) == model.score(unknown)
    never = sample(2, 64)
    never[:, 1] = np.nan
    assert fit(never, NAMES, 1, 1).medians[1] == 0.0


def test_a_matrix_has_the_models_order_and_nan_for_unknown() -> None:
    """Features the model does not know are left out; missing and null ones are NaN."""
    made = matrix(("b", "a"), [{"a": 1, "b": 2, "c": 3}, {"a": None}])
    assert made[0].tolist() == [2.0, 1.0]
    assert np.isnan(made[1]).all()
    assert matrix(("b", "a"), []).shape == (0, 2)
