"""A score becomes a probability when enough labels say which."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from sidechain.models.wet.calibration import Calibration, Method, calibrate, reliability

BOTH: tuple[Method, ...] = ("platt", "isotonic")


def labels(seed: int, count: int, *, power: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose true probability is their third power: a rank is no probability."""
    random = np.random.default_rng(seed)
    score = random.random(count).round(3)  # some of them tied
    return score, random.random(count) < score**power


@pytest.mark.parametrize(
    ("count", "kinds", "method"),
    [
        (0, "both", "uncalibrated"),
        (49, "both", "uncalibrated"),
        (50, "both", "platt"),
        (999, "both", "platt"),
        (1_000, "both", "isotonic"),
        (5_000, "good", "uncalibrated"),  # one kind of label compares nothing
        (5_000, "bad", "uncalibrated"),
    ],
)
def test_the_number_of_labels_decides_what_is_learned(count: int, kinds: str, method: str) -> None:
    """Below fifty it says that it is not calibrated, and scores stay what they are."""
    score, is_bad = labels(1, count)
    if kinds != "both":
        is_bad[:] = kinds == "bad"
    made = calibrate(score, is_bad)
    assert (made.method, made.labels, made.is_calibrated) == (method, count, method != "uncalibrated")
    assert (made.reliability is None) == (method == "uncalibrated")
    if not made.is_calibrated:
        assert made.of(score) is score


def test_isotonic_is_that_of_scikit_learn() -> None:
    """Between the corners and beyond them; but never nearer to 0 or 1 than one label in all could have moved it."""
    for seed in range(5):
        score, is_bad = labels(seed, 2_000)
        made = calibrate(score, is_bad)
        judge = IsotonicRegression(out_of_bounds="clip").fit(score, is_bad)
        asked = np.linspace(-0.1, 1.1, 5_000)
        expected = np.clip(judge.predict(asked), 1 / 2_002, 2_001 / 2_002)
        assert np.abs(made.of(asked) - expected).max() < 1e-9


def test_platt_is_the_logistic_regression_on_outcomes_drawn_in() -> None:
    """Each label weighed as (N+1)/(N+2) of its kind and the rest of the other."""
    for seed in range(5):
        score, is_bad = labels(seed, 300)
        made = calibrate(score, is_bad)
        bad = is_bad.sum()
        target = np.where(is_bad, (bad + 1) / (bad + 2), 1 / (300 - bad + 2))
        judge = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000).fit(
            np.tile(score, 2)[:, None], np.repeat([1, 0], 300), sample_weight=np.concatenate([target, 1 - target])
        )
        expected = np.clip(judge.predict_proba(score[:, None])[:, 1], 1 / 302, 301 / 302)
        assert np.abs(made.of(score) - expected).max() < 1e-4


@pytest.mark.parametrize("method", BOTH)
def test_on_new_labels_it_is_nearer_to_the_truth_than_the_score_was(method: Method) -> None:
    """Within 0.05 of the true probability on average; and what it says of itself is what new labels say."""
    made = calibrate(*labels(1, 5_000), method)
    score, is_bad = labels(2, 20_000)
    assert np.abs(made.of(score) - score**3).mean() < 0.05 < np.abs(score - score**3).mean()
    found, new = made.reliability, reliability(made.of(score), is_bad)
    assert found is not None
    assert found.brier == pytest.approx(new.brier, abs=0.01)
    assert new.brier < reliability(score, is_bad).brier < new.brier_of_base + 0.2
    assert new.error < 0.05 < reliability(score, is_bad).error


@pytest.mark.parametrize("method", BOTH)
def test_scores_that_say_nothing_or_the_opposite_do_not_turn_it_round(method: Method) -> None:
    """A higher score is never a lower probability."""
    score, is_bad = labels(3, 2_000)
    made = calibrate(1.0 - score, is_bad, method)
    assert (np.diff(made.of(np.linspace(0, 1, 101))) >= 0.0).all()
    assert made.of(np.array([0.5]))[0] == pytest.approx(is_bad.mean(), abs=0.02)


@given(
    st.lists(st.tuples(st.integers(0, 10).map(lambda one: one / 10), st.booleans()), min_size=50, max_size=120),
    st.sampled_from(BOTH),
)
def test_probabilities_rise_with_the_score_and_stay_inside(pairs: list[tuple[float, bool]], method: Method) -> None:
    """Whatever the labels, separable ones and a single score included."""
    made = calibrate(np.array([one for one, _ in pairs]), np.array([bad for _, bad in pairs]), method)
    walk = made.of(np.linspace(0, 1, 101))
    if made.is_calibrated:
        assert (np.diff(walk) >= -1e-12).all()
        assert (walk > 0.0).all()
        assert (walk < 1.0).all()
    assert Calibration.from_bytes(made.to_bytes()) == made


def test_reliability_by_hand() -> None:
    """Four labels: Brier, its base, and one bin for each."""
    found = reliability(np.array([0.9, 0.1, 0.6, 0.2]), np.array([True, False, False, False]))
    assert (found.labels, found.bad) == (4, 1)
    assert found.brier == pytest.approx((0.01 + 0.01 + 0.36 + 0.04) / 4)
    assert found.brier_of_base == pytest.approx(0.75 * 0.25)
    assert [tuple(one) for one in found.curve] == [(0.1, 0.0, 1), (0.2, 0.0, 1), (0.6, 0.0, 1), (0.9, 1.0, 1)]
    assert found.error == pytest.approx((0.1 + 0.2 + 0.6 + 0.1) / 4)


def test_what_it_says_of_itself_is_judged_on_labels_it_did_not_see() -> None:
    """Pure noise: fitted to itself the step curve would look better than the base; judged fairly it does not."""
    random = np.random.default_rng(5)
    score, is_bad = random.random(1_000), random.random(1_000) < 0.3
    made = calibrate(score, is_bad)
    assert made.reliability is not None
    assert reliability(made.of(score), is_bad).brier < made.reliability.brier_of_base < made.reliability.brier


@pytest.mark.parametrize("method", BOTH)
def test_the_same_labels_give_the_same_calibration_and_it_travels(method: Method) -> None:
    """Named by what was learned; another label, another name."""
    score, is_bad = labels(4, 1_500)
    made = calibrate(score, is_bad, method)
    assert made.name == calibrate(score.copy(), is_bad.copy(), method).name
    assert made.name.startswith(f"{method}:")
    again = Calibration.from_bytes(made.to_bytes())
    assert again == made
    assert np.array_equal(again.of(score), made.of(score))
    is_bad[0] = ~is_bad[0]
    assert calibrate(score, is_bad, method).name != made.name
    for wrong, why in ((b'{"format":2}', "format 2"), (b'{"method":"guess"}', "not a calibration"), (b"", "not a cal")):
        with pytest.raises(ValueError, match=why):
            Calibration.from_bytes(wrong)


def test_a_label_without_a_score_is_refused() -> None:
    """NaN would spoil the fit silently."""
    score, is_bad = labels(1, 100)
    score[3] = np.nan
    with pytest.raises(ValueError, match="none of them NaN"):
        calibrate(score, is_bad)
    assert np.isnan(calibrate(*labels(1, 100)).of(np.array([np.nan]))[0])
