"""The trees of an ensemble as flat arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """All nodes of all trees in one row; a tree's root comes first, children are positions in the same row."""

    root: Integers  # (trees,)
    left: Integers  # (nodes,): where value <= threshold goes; at a leaf its own position
    right: Integers
    feature: Integers  # 0 at a leaf
    threshold: NDArray[np.float32]
    unknown_left: NDArray[np.bool_]
    value: NDArray[np.float64]  # log-odds that a leaf adds
    cover: Integers  # training rows that came here

    @property
    def is_leaf(self) -> NDArray[np.bool_]:
        """Whether a node splits no further."""
        return np.asarray(self.left == np.arange(len(self.left)))


def check(nodes: Nodes, width: int) -> None:
    """ValueError where these are no trees over so many features: nothing that was read may lead a walk astray."""
    count = len(nodes.left)
    here = np.arange(count)
    leaf = nodes.is_leaf
    ends = np.append(nodes.root[1:], count)
    if not len(nodes.root) or nodes.root[0] != 0 or (np.diff(ends, prepend=0) <= 0).any():
        raise ValueError("its trees do not stand one behind the other")
    end = np.repeat(ends, np.diff(ends, prepend=0))
    for child in (nodes.left, nodes.right):
        # Children stand behind their parent, so no way leads round in a circle.
        if (~leaf & ((child <= here) | (child >= end))).any():
            raise ValueError("a split leads out of its tree, or back")
    if ((nodes.feature < 0) | (nodes.feature >= width)).any() or (nodes.cover <= 0).any():
        raise ValueError("a node asks for a feature that is not there, or was never reached")
    if not np.isfinite(nodes.value).all() or np.isnan(nodes.threshold).any():
        raise ValueError("a leaf or a threshold is no number")
