"""One contract, held by every expert of the panel."""

import math
import pickle
from copy import deepcopy
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from sidechain.models.wet.experts.contract import FAILED, SCORED, STATES, WARMING, Batch, Expert, Opinion
from tests.experts import MAKES, NAMES, Make, part, taught, turned, world

EVERY = pytest.mark.parametrize("make", list(MAKES.values()), ids=list(MAKES))

values = st.one_of(
    st.just(math.nan),
    st.integers(-(2**60), 2**60).map(float),
    st.sampled_from([0.0, 1.0, 2.0, 1e18, -1e18]),
)


def same(one: Opinion, other: Opinion) -> bool:
    """To the last bit."""
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name in ("score", "confidence"))
        for name in ("score", "confidence", "evidence", "state")
    )


def alike(one: Opinion, other: Opinion) -> bool:
    """Up to rounding: sums and products of matrices depend on how many rows stand together."""
    return (
        np.array_equal(one.state, other.state)
        and np.allclose(one.score, other.score, rtol=0, atol=1e-5, equal_nan=True)
        and np.allclose(one.confidence, other.confidence, rtol=0, atol=1e-5)
    )


def check(given: Opinion, rows: int) -> None:
    """What every opinion must be."""
    assert {one.shape for one in (given.score, given.confidence, given.evidence, given.state)} == {(rows,)}
    scored = given.state == SCORED
    assert np.array_equal(np.isnan(given.score), ~scored)
    assert ((given.score[scored] >= 0.0) & (given.score[scored] <= 1.0)).all()
    assert ((given.confidence >= 0.0) & (given.confidence <= 1.0)).all()
    assert (given.confidence[~scored] == 0.0).all()
    assert (given.evidence[~scored] == 0).all()
    assert (given.evidence >= 0).all()
    assert (given.state < len(STATES)).all()
    assert not (given.state == FAILED).any()


@cache
def known(make: Make) -> Expert:
    """One that learned, to be asked only."""
    return taught(make(NAMES, 1), rows=300)


@EVERY
def test_before_anything_is_learned_it_says_so(make: Make) -> None:
    """No score, no confidence, and a state that names why; never a zero."""
    batch, _ = world(2, 30)
    given = make(NAMES, 1).score(batch)
    check(given, 30)
    assert np.isnan(given.score).all()
    assert set(given.state.tolist()) <= {WARMING, STATES.index("too few voices")}


@EVERY
def test_what_is_bad_scores_higher(make: Make) -> None:
    """On rows it has not seen; how much each is worth on real data is measured, not tested."""
    expert = taught(make(NAMES, 1), rows=800)
    batch, is_bad = world(3, 600)
    given = expert.score(batch)
    check(given, 600)
    scored = given.state == SCORED
    assert scored.mean() > 0.5
    assert roc_auc_score(is_bad[scored], given.score[scored]) > 0.85


@EVERY
@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(values, values, values, values), max_size=12), learn=st.booleans())
def test_any_numbers_get_an_opinion_that_keeps_to_the_contract(
    make: Make, rows: list[tuple[float, ...]], learn: bool
) -> None:
    """Huge, negative, unknown, none at all; before and after it learned from them."""
    expert = known(make) if not learn else deepcopy(known(make))
    keys = [f"host-{at % 3}" for at in range(len(rows))]
    batch = Batch(NAMES, np.array(rows, dtype=np.float64).reshape(len(rows), 4), keys, keys)
    check(expert.score(batch), len(rows))
    if learn:
        expert.learn(batch)
        expert.learn_outcomes(batch, np.arange(len(rows)) % 2 == 0)
        check(expert.score(batch), len(rows))


@EVERY
def test_scoring_changes_nothing(make: Make) -> None:
    """Asked twice it says the same, and inputs stay as they were."""
    expert = taught(make(NAMES, 1))
    batch, is_bad = world(4, 100)
    before = batch.rows.copy()
    first = expert.score(batch)
    expert.score(world(5, 100)[0])
    assert same(first, expert.score(batch))
    expert.learn(batch)
    expert.learn_outcomes(batch, is_bad)
    assert np.array_equal(batch.rows, before, equal_nan=True)
    with pytest.raises(ValueError, match="read-only"):
        batch.rows[0, 0] = 1.0


@EVERY
@pytest.mark.parametrize("order", [(3, 2, 1, 0), (1, 0, 3, 2)])
def test_the_order_of_features_means_nothing(make: Make, order: tuple[int, ...]) -> None:
    """Neither where an expert is told their names nor where a batch has its columns."""
    batch, is_bad = world(6, 300)
    new, _ = world(7, 200)
    one, other = make(NAMES, 1), make([NAMES[at] for at in order], 1)
    one.learn(batch)
    other.learn(turned(batch, order))
    one.learn_outcomes(batch, is_bad)
    other.learn_outcomes(turned(batch, order[::-1]), is_bad)
    assert same(one.score(new), other.score(turned(new, order)))


@EVERY
def test_the_seed_decides(make: Make) -> None:
    """The same seed and rows, the same scores."""
    batch, _ = world(8, 200)
    assert same(taught(make(NAMES, 1)).score(batch), taught(make(NAMES, 1)).score(batch))


@EVERY
@pytest.mark.parametrize("size", [1, 64, 399])
def test_batches_may_be_cut_anywhere(make: Make, size: int) -> None:
    """Learning, and asking."""
    batch, is_bad = world(1, 400)
    whole, cut = make(NAMES, 1), make(NAMES, 1)
    whole.learn(batch)
    whole.learn_outcomes(batch, is_bad)
    for start in range(0, 400, size):
        cut.learn(part(batch, slice(start, start + size)))
    for start in range(0, 400, size):
        some = slice(start, start + size)
        cut.learn_outcomes(part(batch, some), is_bad[some])
    new, _ = world(9, 90)
    expected = whole.score(new)
    assert alike(cut.score(new), expected)
    ninth = [whole.score(part(new, slice(start, start + 10))) for start in range(0, 90, 10)]
    assert np.allclose(np.concatenate([one.score for one in ninth]), expected.score, atol=1e-5, equal_nan=True)


@EVERY
def test_memory_has_a_limit(make: Make) -> None:
    """Nine thousand more entities and as many more cases later it holds what it held."""
    expert = taught(make(NAMES, 1))
    random = np.random.default_rng(10)

    def feed(first: int) -> None:
        for start in range(first, first + 3_000, 1_000):
            ids = [f"host-{at}" for at in range(start, start + 1_000)]
            batch = Batch(NAMES, random.normal(100, 30, (1_000, 4)), ids, ids)
            expert.learn(batch)
            expert.learn_outcomes(batch, random.random(1_000) < 0.5)

    feed(0)
    before = len(pickle.dumps(expert))
    for first in (10_000, 20_000, 30_000):
        feed(first)
    grown = len(pickle.dumps(expert)) - before
    assert grown < 100_000, f"{grown} bytes more: nine thousand rows of four numbers take 288,000"


def test_a_batch_whose_parts_do_not_fit_is_refused() -> None:
    """Two rows, one key."""
    with pytest.raises(ValueError, match="1 keys and 2 ids"):
        Batch(("a",), np.zeros((2, 1)), ["x"], ["1", "2"])


def test_a_feature_nobody_brought_is_an_error_not_a_guess() -> None:
    """An expert that reads `gap` cannot score a batch without it."""
    expert = taught(MAKES["geometric"](NAMES, 1))
    with pytest.raises(KeyError, match="rare"):
        expert.score(Batch(NAMES[:3], np.zeros((1, 3)), ["x"], ["1"]))
