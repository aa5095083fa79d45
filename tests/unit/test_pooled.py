"""Labels by kind, and how experts are weighed by them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidechain.models.wet.experts.labelled import ByKind, Labelled
from sidechain.models.wet.experts.pooled import Pool, weigh

ROWS = 4_000


def world(seed: int, bad: float = 0.2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, and two voices that see it each for itself: bad rows are one and a half deviations up."""
    random = np.random.default_rng(seed)
    is_bad = random.random(ROWS) < bad
    voices = random.normal(0, 1, (2, ROWS)) + 1.5 * is_bad
    return is_bad, voices[0] * 1.5 - 1.125, voices[1] * 1.5 - 1.125  # log-odds of a normal shifted by 1.5


@given(
    st.lists(st.lists(st.booleans(), max_size=9), max_size=12),
    st.integers(1, 4),
)
def test_the_newest_of_each_kind_stay(batches: list[list[bool]], newest: int) -> None:
    """Against lists cut at the end; in the order in which they came."""
    kept, dumb, seen = ByKind(1, newest), {False: [], True: []}, 0
    for flags in batches:
        rows = np.arange(seen, seen + len(flags), dtype=np.float64)[:, None]
        kept.add(rows, np.array(flags, dtype=np.bool_))
        for at, is_bad in enumerate(flags, seen):
            dumb[is_bad] = [*dumb[is_bad], at][-newest:]
        seen += len(flags)
    rows, is_bad = kept.kept()
    assert rows[:, 0].tolist() == sorted(dumb[False] + dumb[True])
    assert is_bad.tolist() == [at in dumb[True] for at in rows[:, 0]]
    assert kept.seen == seen


def test_what_two_see_alike_counts_once_and_what_says_nothing_counts_nothing() -> None:
    """Each for itself both voices count in full; the first one twice shares its weight; noise has next to none."""
    is_bad, one, other = world(1)
    noise = np.random.default_rng(2).normal(0, 1, ROWS)
    assert weigh(np.stack([one, other], axis=1), is_bad) == pytest.approx([1.0, 1.0], abs=0.15)
    twice = weigh(np.stack([one, one, other], axis=1), is_bad)
    assert twice[:2].sum() == pytest.approx(1.0, abs=0.15)
    assert twice[2] == pytest.approx(1.0, abs=0.15)
    assert weigh(np.stack([one, noise], axis=1), is_bad)[1] < 0.05


def test_the_pool_is_never_less_likely_than_the_best_alone() -> None:
    """Also where what is said contradicts what became of it: nobody's word counts backwards."""
    random = np.random.default_rng(3)
    for seed in range(6):
        is_bad, one, other = world(seed, bad=float(random.choice([0.01, 0.5, 0.99])))
        added = np.stack([one, -other, random.normal(0, 3, ROWS)], axis=1)
        weights = weigh(added, is_bad)
        assert (weights >= 0.0).all()
        assert weights[1] == pytest.approx(0.0, abs=0.02)
        assert _loss(added @ weights, is_bad) <= min(_loss(added[:, at], is_bad) for at in range(3)) + 1e-3


def _loss(odds: np.ndarray, is_bad: np.ndarray) -> float:
    """Of either kind a half; all rows moved alike, as is best for them."""
    sides = [np.logaddexp(0.0, sign * (odds + moved)) for sign in (-1, 1) for moved in np.linspace(-4, 4, 161)]
    both = [(sides[at][is_bad].mean() + sides[161 + at][~is_bad].mean()) / 2 for at in range(161)]
    return float(min(both))


def test_a_flood_of_one_kind_washes_away_nothing_that_is_known_of_the_other() -> None:
    """A hundred thousand bad rows later, scores add the same to the odds; only the probability knows how many."""
    random = np.random.default_rng(4)
    made = Labelled(newest=5_000)
    score = random.random(9_000)
    made.learn(score, random.random(9_000) < score)
    asked = np.linspace(0.2, 0.8, 13)
    before, likely = made.log_odds(asked), made.probability(asked)
    flood = np.sqrt(random.random(100_000))  # scores of bad rows, drawn as the first ones were
    made.learn(flood, np.ones(100_000, dtype=np.bool_))
    assert np.abs(made.log_odds(asked) - before).max() < 1.0
    assert likely == pytest.approx(asked, abs=0.08)
    assert (made.probability(asked) > 0.9).all()


def test_a_pool_without_outcomes_of_both_kinds_has_no_weights() -> None:
    """There is nothing to weigh by."""
    pool, labelled = Pool(2), [Labelled(), Labelled()]
    pool.learn(np.full((2, 10), 0.5), np.zeros(10, dtype=np.bool_))
    pool.fit(labelled)
    assert pool.weights.tolist() == [0.0, 0.0]
    assert pool.odds(np.full((2, 3), 0.9), labelled).tolist() == [0.0] * 3
    assert pool.well.shape == (2, 10)
