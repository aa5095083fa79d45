"""Why a forest's row has its score, exactly: Shapley values of its path length, led over to the score.

`ForestModel.explain` answers faster by the order of splits; this answers by all orders (`shapley`), and costs about a
third of a millisecond a row, so it is for rows that somebody will look at. The parts of the path length are exact; the
score is a bent function of it, so they are scaled to add up to it, as there.
"""

import numpy as np

from sidechain.models.wet.forest import Explained, ForestModel, Matrix
from sidechain.models.wet.shapley import LEAF, Shapley, Tree
from sidechain.models.wet.trees import Grown, average_path_length


class ForestParts:
    """Explains the rows of one forest. Made once per model; its table takes some tens of MB at most."""

    def __init__(self, model: ForestModel) -> None:
        self._model = model
        self._shapley = Shapley(trees(model.grown), len(model.names))

    def lengths(self, rows: Matrix) -> tuple[float, Matrix]:
        """The mean path length with nothing known, and (rows, features) what each feature adds to it."""
        single = self._model.known(rows).astype(np.float32)  # as the forest itself reads them
        return self._shapley.base, self._shapley.parts(single.astype(np.float64))

    def explain(self, rows: Matrix) -> Explained:
        """The score of each row, and the part every feature has in it."""
        base, moved = self.lengths(rows)
        return self._model.explained(base + moved.sum(axis=1), moved)


def trees(grown: Grown) -> list[Tree]:
    """The forest's trees, each adding its share of the mean path length."""
    return [_tree(grown, at) for at in range(len(grown.feature))]


def _tree(grown: Grown, at: int) -> Tree:
    """Node i of a full binary tree has the children 2i+1 and 2i+2, if it splits."""
    samples = grown.samples[at]
    inner = grown.feature.shape[1]
    node = np.arange(len(samples))
    splits = np.zeros(len(samples), dtype=np.bool_)
    splits[:inner] = grown.feature[at] != LEAF
    level = np.floor(np.log2(node + 1.0))
    padding = len(samples) - inner
    return Tree(
        left=np.where(splits, 2 * node + 1, LEAF),
        right=np.where(splits, 2 * node + 2, LEAF),
        feature=np.pad(grown.feature[at].astype(np.int64), (0, padding), constant_values=LEAF),
        threshold=np.pad(grown.threshold[at], (0, padding)),
        cover=samples.astype(np.float64),
        value=(level + average_path_length(samples)) / len(grown.feature),
        unknown_left=np.zeros(len(samples), dtype=np.bool_),  # there is no unknown: it was taken for the median
    )
