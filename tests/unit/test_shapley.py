"""Exact parts of tree ensembles, against Shapley's definition: every order in which features can become known."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidechain.models.wet.attribution import ForestParts, trees
from sidechain.models.wet.fit import fit
from sidechain.models.wet.forest import ForestModel
from sidechain.models.wet.shapley import LEAF, Shapley, Tree

NAMES = ("a", "b", "c", "d")


def expected(tree: Tree, row: np.ndarray, known: frozenset[int], node: int = 0) -> float:
    """A tree's output when only some features are known: both sides of a split, weighed by their rows."""
    if tree.left[node] == LEAF:
        return float(tree.value[node])
    left, right = int(tree.left[node]), int(tree.right[node])
    feature = int(tree.feature[node])
    if feature in known:
        goes_left = tree.unknown_left[node] if math.isnan(row[feature]) else row[feature] <= tree.threshold[node]
        return expected(tree, row, known, left if goes_left else right)
    sides = [(tree.cover[child], expected(tree, row, known, child)) for child in (left, right)]
    return float(sum(cover * value for cover, value in sides) / tree.cover[node])


def brute(ensemble: list[Tree], row: np.ndarray) -> list[float]:
    """Shapley's formula, word for word."""
    width, parts = len(row), []
    for feature in range(width):
        others = [one for one in range(width) if one != feature]
        part = 0.0
        for size in range(width):
            weight = math.factorial(size) * math.factorial(width - size - 1) / math.factorial(width)
            for some in combinations(others, size):
                without = frozenset(some)
                part += weight * sum(
                    expected(tree, row, without | {feature}) - expected(tree, row, without) for tree in ensemble
                )
        parts.append(part)
    return parts


def grown(random: np.random.Generator, width: int, depth: int) -> Tree:
    """A tree that splits anywhere, on any feature, again and again."""
    left, right, feature, threshold, cover, value, unknown = [], [], [], [], [], [], []

    def grow(rows: float, level: int) -> int:
        at = len(left)
        is_leaf = level == depth or rows < 2 or random.random() < 0.1
        left.append(LEAF)
        right.append(LEAF)
        feature.append(LEAF if is_leaf else int(random.integers(width)))
        threshold.append(float(random.integers(-3, 4)))
        cover.append(rows)
        value.append(float(random.normal()))
        unknown.append(bool(random.random() < 0.5))
        if not is_leaf:
            share = int(random.integers(1, int(rows)))
            left[at] = grow(share, level + 1)
            right[at] = grow(rows - share, level + 1)
        return at

    grow(100.0, 0)
    return Tree(*(np.array(one) for one in (left, right, feature, threshold, cover, value, unknown)))


@given(seed=st.integers(0, 10**6), width=st.integers(1, 5), depth=st.integers(0, 6), count=st.integers(0, 3))
def test_parts_are_those_of_the_definition(seed: int, width: int, depth: int, count: int) -> None:
    """On made-up trees, values on thresholds, unknown values and features that never split."""
    random = np.random.default_rng(seed)
    ensemble = [grown(random, width, depth) for _ in range(count)]
    rows = random.integers(-4, 5, (4, width)).astype(np.float64)
    rows[random.random(rows.shape) < 0.2] = np.nan
    shapley = Shapley(ensemble, width)
    parts = shapley.parts(rows)
    nothing, everything = frozenset[int](), frozenset(range(width))
    assert shapley.base == pytest.approx(sum(expected(one, rows[0], nothing) for one in ensemble), abs=1e-9)
    for at, row in enumerate(rows):
        assert parts[at].tolist() == pytest.approx(brute(ensemble, row), abs=1e-9)
        output = sum(expected(one, row, everything) for one in ensemble)
        assert shapley.base + parts[at].sum() == pytest.approx(output, abs=1e-9)


@pytest.fixture(scope="module")
def model() -> ForestModel:
    """Of 600 rows of four features, some of them unknown."""
    random = np.random.default_rng(1)
    rows = random.lognormal(3, 1, (600, 4)).round()
    rows[random.random(rows.shape) < 0.05] = np.nan
    return fit(rows, NAMES, seed=1, version=1)


def test_a_forests_parts_are_those_of_the_definition(model: ForestModel) -> None:
    """A hundred trees, three rows, one of them unknown in part."""
    rows = np.array([[20.0, 20.0, 20.0, 20.0], [1e6, 1.0, 20.0, np.nan], [0.0, 0.0, 0.0, 5_000.0]])
    base, moved = ForestParts(model).lengths(rows)
    ensemble = trees(model.grown)
    for row, parts in zip(model.known(rows).astype(np.float32).astype(np.float64), moved, strict=True):
        assert parts.tolist() == pytest.approx(brute(ensemble, row), abs=1e-9)
    assert base == pytest.approx(model._trees.root_length, abs=1e-9)


def test_base_and_parts_add_up_to_the_length_and_to_the_score(model: ForestModel) -> None:
    """And the score is the one the forest gives."""
    rows = np.random.default_rng(2).lognormal(3, 2, (400, 4))
    parts = ForestParts(model)
    base, moved = parts.lengths(rows)
    assert np.abs(base + moved.sum(axis=1) - model._trees.lengths(rows)).max() < 1e-9
    why = parts.explain(rows)
    assert np.abs(why.score - model.score(rows)).max() < 1e-9
    assert np.abs(why.base + why.parts.sum(axis=1) - why.score).max() < 1e-9
    assert why.base == pytest.approx(model.explain(rows[:1]).base, abs=1e-9)


def test_a_planted_cause_comes_first(model: ForestModel) -> None:
    """One feature of an ordinary row is moved far out: in at least four of five it has the largest part."""
    random = np.random.default_rng(3)
    rows = random.lognormal(3, 1, (200, 4)).round()
    cause = random.integers(0, 4, 200)
    rows[np.arange(200), cause] *= 200
    assert (ForestParts(model).explain(rows).parts.argmax(axis=1) == cause).mean() >= 0.8


def test_a_path_of_too_many_features_is_refused() -> None:
    """Eleven in a row would double the table once too often."""
    nodes = np.arange(23)
    inner = (nodes % 2 == 0) & (nodes < 22)  # 0, 2, 4 …: each has a leaf on its left and the next on its right
    deep = Tree(
        left=np.where(inner, nodes + 1, LEAF),
        right=np.where(inner, nodes + 2, LEAF),
        feature=np.where(inner, nodes // 2, LEAF),
        threshold=np.zeros(23),
        cover=np.ones(23),
        value=np.zeros(23),
        unknown_left=np.zeros(23, dtype=np.bool_),
    )
    with pytest.raises(ValueError, match="11 features"):
        Shapley([deep], 11)
