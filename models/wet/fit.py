"""Learn a forest from a sample. The only file that needs scikit-learn; it runs in a process of its own.

The same sample, seed and version give the same model, digest included, on the same version of scikit-learn.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest

from sidechain.models.wet import ranks
from sidechain.models.wet.forest import Fitted, ForestModel, quantiles
from sidechain.models.wet.ranks import Ranks
from sidechain.models.wet.schedule import FEWEST
from sidechain.models.wet.trees import LEAF, Grown

Matrix = NDArray[np.float64]

TREES: Final = 100
DRAWN: Final = 256  # rows per tree: more would hide anomalies among each other

UNRANKED: Final = Ranks(np.array([0.0, 1.0]), np.array([0.0, 1.0]))


def fit(sample: Matrix, names: Sequence[str], seed: int, version: int) -> ForestModel:
    """A model of `sample` (rows × features, NaN for unknown). Raises ValueError below FEWEST rows."""
    if len(sample) < FEWEST or sample.shape[1] != len(names) or not names:
        raise ValueError(f"a forest needs at least {FEWEST} rows of its {len(names)} features, not {sample.shape}")
    medians, usual = _describe(sample)
    known = np.where(np.isnan(sample), medians, sample)
    drawn = min(DRAWN, len(sample))
    forest = grow(known, seed)
    untrained = Fitted(version, tuple(names), drawn, flatten(forest, drawn), medians, usual, UNRANKED)
    learned = ranks.learn(ForestModel(untrained).raw(known))
    return ForestModel(Fitted(version, tuple(names), drawn, untrained.grown, medians, usual, learned))


def grow(known: Matrix, seed: int) -> Any:
    """The scikit-learn forest of a sample without unknowns."""
    drawn = min(DRAWN, len(known))
    return IsolationForest(n_estimators=TREES, max_samples=drawn, random_state=seed, n_jobs=1).fit(known)


def flatten(forest: Any, drawn: int) -> Grown:
    """scikit-learn's trees as the full binary trees of `trees`."""
    depth = math.ceil(math.log2(max(drawn, 2)))
    count = len(forest.estimators_)
    feature = np.full((count, 2**depth - 1), LEAF, dtype=np.int16)
    threshold = np.zeros((count, 2**depth - 1), dtype=np.float64)
    samples = np.zeros((count, 2 ** (depth + 1) - 1), dtype=np.int32)
    for at, estimator in enumerate(forest.estimators_):
        tree = estimator.tree_
        todo = [(0, 0)]  # (scikit-learn's node, our position)
        while todo:
            node, position = todo.pop()
            samples[at, position] = tree.n_node_samples[node]
            if tree.children_left[node] != LEAF:
                feature[at, position] = tree.feature[node]
                threshold[at, position] = tree.threshold[node]
                todo += [
                    (tree.children_left[node], 2 * position + 1),
                    (tree.children_right[node], 2 * position + 2),
                ]
    return Grown(feature, threshold, samples)


def _describe(sample: Matrix) -> tuple[Matrix, Matrix]:
    """Per feature the median of the known values (0 if none), and their usual range (NaN if none)."""
    medians = np.zeros(sample.shape[1])
    for at, column in enumerate(sample.T):
        values = column[~np.isnan(column)]
        if len(values):
            medians[at] = np.median(values)
    return medians, quantiles(sample)
