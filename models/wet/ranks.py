"""From a raw anomaly score to a number between 0 and 1 that means the same for every forest.

The calibrated score is a rank: 0.95 says "more unusual than about 95 % of the training sample". It is not the
probability that something is wrong. Between the sample's own scores it runs in straight lines, above the largest one
it goes on towards 1: two rows more unusual than anything seen still stand in their order.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

KNOTS: Final = 512
CLOSEST: Final = 1e-6  # raw scores nearer than this are one knot: their order is rounding


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """A strictly rising curve through (0, 0) and (1, 1)."""

    raw: Matrix
    rank: Matrix

    def of(self, raw: Matrix) -> Matrix:
        """The rank of each raw score; both in [0, 1]."""
        return np.interp(raw, self.raw, self.rank)


def learn(raw: Matrix) -> Ranks:
    """The ranks of a training sample's raw scores, which lie strictly between 0 and 1."""
    ordered = np.sort(raw)
    picked = _apart(ordered)
    # The middle of the rows that share a score: a value half the sample has is not "more unusual than half".
    below = np.searchsorted(ordered, picked - CLOSEST / 2, side="left")
    up_to = np.searchsorted(ordered, picked + CLOSEST / 2, side="right")
    rank = (below + up_to) / 2 / len(ordered)
    return Ranks(
        raw=np.concatenate(([0.0], picked, [1.0])),
        rank=np.concatenate(([0.0], rank, [1.0])),
    )


def _apart(ordered: Matrix) -> Matrix:
    """At most KNOTS of the distinct values, evenly chosen by rank, the smallest and the largest among them."""
    wanted = ordered[np.linspace(0, len(ordered) - 1, min(KNOTS, len(ordered))).round().astype(np.int64)]
    kept = [float(wanted[0])]
    for one in wanted[1:]:
        if one - kept[-1] > CLOSEST:
            kept.append(float(one))
    return np.array(kept)
