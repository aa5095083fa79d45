"""The champion: gradient-boosted trees learned from outcomes, carried as plain arrays.

    champion-3:ab12cd34      the third fit; the first 8 hex digits of SHA-256 over its file

`score` is the probability of a bad outcome among rows like those it was fitted to. `explain` gives, in log-odds, a base
and a part for each feature that add up to the log-odds of the score, exactly (`shapley`). Values are read as float32,
while fitting too, so that an ONNX runtime, which knows no other, comes to the same side of every split.

A model travels as an ONNX file (`onnx_file`), which holds numbers only: loading one runs no code.
"""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidechain.models.wet import onnx_file
from sidechain.models.wet.nodes import Nodes
from sidechain.models.wet.shapley import LEAF, Shapley, Tree

Matrix = NDArray[np.float64]

CHUNK: Final = 1_024  # rows walked at once


@dataclass(frozen=True, eq=False)
class Explained:
    """Why each row of a batch has its score: log_odds[i] == base + parts[i].sum()."""

    base: float
    log_odds: Matrix  # (rows,)
    parts: Matrix  # (rows, features)


class Boosted:
    """Scores and explains rows of features. Unknown is NaN and goes where fitting found it best to go."""

    def __init__(self, version: int, names: tuple[str, ...], intercept: float, nodes: Nodes) -> None:
        """`intercept`: log-odds before any tree."""
        self.version = version
        self.names = names
        self.intercept = intercept
        self.nodes = nodes
        self.depth = _depth(nodes)
        self.digest = sha256(self.to_bytes()).hexdigest()
        self.name = f"champion-{version}:{self.digest[:8]}"
        self.file_name = onnx_file.file_name(version, self.digest)

    def log_odds(self, rows: Matrix) -> Matrix:
        """Of a bad outcome, for each row (rows × features, in the order of `names`)."""
        out = np.empty(len(rows))
        for start in range(0, len(rows), CHUNK):
            leaves = self._leaves(rows[start : start + CHUNK].astype(np.float32))
            out[start : start + CHUNK] = self.nodes.value.take(leaves).sum(axis=0)
        return out + self.intercept

    def score(self, rows: Matrix) -> Matrix:
        """The probability of a bad outcome."""
        return np.asarray(np.exp(-np.logaddexp(0.0, -self.log_odds(rows))))

    def explain(self, rows: Matrix) -> Explained:
        """The log-odds of each row, and the part every feature has in them. About a third of a millisecond a row."""
        parts = self._shapley.parts(rows.astype(np.float32).astype(np.float64))
        base = self._shapley.base + self.intercept
        return Explained(base, base + parts.sum(axis=1), parts)

    def to_bytes(self) -> bytes:
        """The model as an ONNX file, the same bytes for the same model."""
        return onnx_file.write(onnx_file.Content(self.version, self.names, self.intercept, self.nodes))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Boosted":
        """The model `to_bytes` wrote. Raises ValueError when it is something else."""
        return cls(*onnx_file.read(data))

    @cached_property
    def _shapley(self) -> Shapley:
        return Shapley(self.trees(), len(self.names))

    def trees(self) -> list[Tree]:
        """Each tree on its own."""
        nodes, ends = self.nodes, [*self.nodes.root[1:].tolist(), len(self.nodes.left)]
        leaf = nodes.is_leaf
        found = []
        for first, end in zip(nodes.root.tolist(), ends, strict=True):
            own = slice(first, end)
            found.append(
                Tree(
                    left=np.where(leaf[own], LEAF, nodes.left[own] - first),
                    right=np.where(leaf[own], LEAF, nodes.right[own] - first),
                    feature=nodes.feature[own].astype(np.int64),
                    threshold=nodes.threshold[own].astype(np.float64),
                    cover=nodes.cover[own].astype(np.float64),
                    value=nodes.value[own],
                    unknown_left=nodes.unknown_left[own],
                )
            )
        return found

    def _leaves(self, rows: NDArray[np.float32]) -> NDArray[np.intp]:
        """(trees, rows): the leaf each row comes to in each tree."""
        nodes = self.nodes
        flat, first = rows.ravel(), np.arange(len(rows)) * rows.shape[1]
        has_unknown = bool(np.isnan(flat).any())
        at = np.repeat(nodes.root.astype(np.intp)[:, None], len(rows), axis=1)
        for _ in range(self.depth):
            value = flat.take(nodes.feature.take(at) + first)
            goes_left = value <= nodes.threshold.take(at)
            if has_unknown:
                goes_left |= np.isnan(value) & nodes.unknown_left.take(at)
            at = np.where(goes_left, nodes.left.take(at), nodes.right.take(at))
        return at


def _depth(nodes: Nodes) -> int:
    """Splits on the longest way down."""
    level, depth = nodes.root[~nodes.is_leaf[nodes.root]], 0
    while len(level):
        depth += 1
        below = np.concatenate([nodes.left[level], nodes.right[level]])
        level = below[~nodes.is_leaf[below]]
    return depth
