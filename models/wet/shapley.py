"""What each feature adds to the output of an ensemble of trees: Shapley values, exactly.

    shapley = Shapley(trees, width=9)
    shapley.base                    the output with nothing known: the mean over what the trees were grown from
    shapley.parts(rows)             (rows, features); base + parts.sum(axis=1) is the ensemble's output

The game is the path-dependent one of Lundberg et al. 2020 (TreeSHAP): a feature nobody knows is followed down both
sides of a split, weighed by how many training rows went there. Unlike the parts of `trees`, these credit a feature over
every order in which features could become known, so it does not matter where in a tree it was split.

How: a leaf is reached if every feature of its path lies in an interval, so its share of a value depends on which of its
m features do, 2^m patterns. What each pattern gives each feature is worked out once:

    value · (inside - reach) · integral over t in [0, 1] of the product over the others of inside · t + reach · (1 - t)

where `reach` is the share of training rows that pass the feature's splits. The integrand is a polynomial in t of degree
m - 1, so the Gauss-Legendre sum of ceil(m / 2) terms is exact. A row then costs one look into a table per leaf.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEAF: Final = -1
FEATURES_MOST: Final = 10  # of one path: the table doubles with each
CHUNK: Final = 16  # rows at once
BUILT: Final = 64  # leaves at once while the table is made


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One tree as arrays over its nodes, the root first."""

    left: NDArray[np.int64]  # where rows with value <= threshold go; LEAF: nowhere
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: Matrix
    cover: Matrix  # training rows that came here, above 0
    value: Matrix  # what a row that ends here adds to the output
    unknown_left: Flags  # where NaN goes


class Leaf(NamedTuple):
    """One way down, its splits joined per feature: feature -> (above, up to, reach, takes unknown)."""

    value: float
    path: dict[int, tuple[float, float, float, bool]]


class Shapley:
    """The parts of one ensemble: the sum of its trees. Immutable."""

    def __init__(self, trees: Sequence[Tree], width: int) -> None:
        """ValueError where a path splits on more than FEATURES_MOST features."""
        leaves = [leaf for tree in trees for leaf in _leaves(tree)]
        most = max((len(leaf.path) for leaf in leaves), default=0)
        if most > FEATURES_MOST:
            raise ValueError(f"a path splits on {most} features, exact parts are kept for {FEATURES_MOST} at most")
        self.width = width
        self.base = sum(leaf.value * float(np.prod([one[2] for one in leaf.path.values()])) for leaf in leaves)
        # A slot nobody needs is always inside with a reach of 1: it changes no product and gets no part.
        self._feature = np.zeros((most, len(leaves)), dtype=np.intp)
        self._above = np.full((most, len(leaves)), -np.inf)
        self._up_to = np.full((most, len(leaves)), np.inf)
        self._takes_unknown = np.ones((most, len(leaves)), dtype=np.bool_)
        reach = np.ones((len(leaves), most))
        for at, leaf in enumerate(leaves):
            for slot, (feature, (above, up_to, share, takes_unknown)) in enumerate(leaf.path.items()):
                self._feature[slot, at], reach[at, slot] = feature, share
                self._above[slot, at], self._up_to[slot, at] = above, up_to
                self._takes_unknown[slot, at] = takes_unknown
        sizes = np.array([len(leaf.path) for leaf in leaves], dtype=np.intp)
        self._first, self._table = _table(np.array([leaf.value for leaf in leaves]), reach, sizes)
        self._worth = np.left_shift(1, np.arange(most))[:, None] * (np.arange(most)[:, None] < sizes)  # 0: not its slot
        self._slots = np.ascontiguousarray(self._feature.T).ravel()

    def parts(self, rows: Matrix) -> Matrix:
        """(rows, features): what each feature adds, positive or negative."""
        out = np.zeros((len(rows), self.width))
        for start in range(0, len(rows), CHUNK):
            found = self._table.take(self._patterns(rows[start : start + CHUNK]), axis=0)  # (rows, leaves, slots)
            for at, one in enumerate(found, start):
                out[at] = np.bincount(self._slots, weights=one.ravel(), minlength=self.width)
        return out

    def _patterns(self, rows: Matrix) -> NDArray[np.intp]:
        """(rows, leaves): which line of the table; a bit for every feature of the path that lies inside."""
        lines = np.broadcast_to(self._first, (len(rows), len(self._first))).copy()
        has_unknown = bool(np.isnan(rows).any())
        for slot, feature in enumerate(self._feature):
            value = rows.take(feature, axis=1)
            inside = (value > self._above[slot]) & (value <= self._up_to[slot])
            if has_unknown:
                inside |= np.isnan(value) & self._takes_unknown[slot]
            lines += inside * self._worth[slot]
        return lines


def _leaves(tree: Tree) -> Iterator[Leaf]:
    """Every leaf of a tree, with its path."""
    todo: list[tuple[int, dict[int, tuple[float, float, float, bool]]]] = [(0, {})]
    while todo:
        node, path = todo.pop()
        if tree.left[node] == LEAF:
            yield Leaf(float(tree.value[node]), path)
            continue
        feature, threshold = int(tree.feature[node]), float(tree.threshold[node])
        above, up_to, reach, takes = path.get(feature, (-np.inf, np.inf, 1.0, True))
        goes_left = bool(tree.unknown_left[node])
        for child, low, high, takes_unknown in (
            (int(tree.left[node]), above, min(up_to, threshold), takes and goes_left),
            (int(tree.right[node]), max(above, threshold), up_to, takes and not goes_left),
        ):
            share = reach * float(tree.cover[child] / tree.cover[node])
            todo.append((child, {**path, feature: (low, high, share, takes_unknown)}))


def _table(value: Matrix, reach: Matrix, sizes: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Per leaf its first line, and per line (pattern of one leaf) what every slot gets."""
    lines = np.left_shift(1, sizes)
    first = np.concatenate(([0], np.cumsum(lines)))
    table = np.zeros((int(first[-1]), reach.shape[1]), dtype=np.float64)
    for size in np.unique(sizes[sizes > 0]).tolist():
        inside = (np.arange(2**size)[:, None] >> np.arange(size)) & 1 == 1  # (patterns, slots)
        at = np.flatnonzero(sizes == size)
        for start in range(0, len(at), BUILT):
            some = at[start : start + BUILT]
            made = _given(value[some], reach[some, :size], inside)
            table[(first[some][:, None] + np.arange(2**size)), :size] = made
    return first[:-1].astype(np.intp), table


def _given(value: Matrix, reach: Matrix, inside: Flags) -> Matrix:
    """(leaves, patterns, slots): what leaves with these values and reaches give, pattern by pattern."""
    total = np.zeros((len(value), *inside.shape))
    nodes, weights = np.polynomial.legendre.leggauss((inside.shape[1] + 1) // 2)
    for t, weight in zip((nodes + 1.0) / 2.0, weights / 2.0, strict=True):
        factor = inside[None, :, :] * t + reach[:, None, :] * (1.0 - t)
        total += weight * factor.prod(axis=2, keepdims=True) / factor
    return np.asarray(value[:, None, None] * (inside[None, :, :] - reach[:, None, :]) * total)
