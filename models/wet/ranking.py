"""How well scores rank what was bad: judged on labels, ties counted fairly.

All take `score` (rows,), higher is worse, and `is_bad` (rows,); rows of one score share a rank.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Ranking(NamedTuple):
    """What is said of one set of rows, None where it cannot be: without both kinds there is nothing to rank."""

    rows: int
    bad: int
    auroc: float | None  # how often a bad row stands above another; 0.5 is chance
    average_precision: float | None  # mean precision at every bad row; the share of bad rows is chance
    precision_at: float | None  # of the first `first` rows, ties taken in proportion


def rank(score: Matrix, is_bad: Flags, first: int = 100) -> Ranking:
    """All three at once."""
    rows, bad = len(is_bad), int(is_bad.sum())
    if bad in (0, rows):
        return Ranking(rows, bad, None, None, None)
    named, found = _from_the_top(score, is_bad)
    return Ranking(rows, bad, _auroc(named, found), _average_precision(named, found), _precision(named, found, first))


def _from_the_top(score: Matrix, is_bad: Flags) -> tuple[Matrix, Matrix]:
    """At each distinct score, from the highest down: how many rows have it or a higher one, and how many are bad."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    return last + 1.0, np.cumsum(is_bad[order])[last].astype(np.float64)


def _auroc(named: Matrix, found: Matrix) -> float:
    good = named - found
    steps = np.diff(good, prepend=0.0)
    middle = (found + np.concatenate(([0.0], found[:-1]))) / 2.0
    return float(steps @ middle / (good[-1] * found[-1]))


def _average_precision(named: Matrix, found: Matrix) -> float:
    return float(np.diff(found, prepend=0.0) @ (found / named) / found[-1])


def _precision(named: Matrix, found: Matrix, first: int) -> float:
    first = min(first, int(named[-1]))
    return float(np.interp(first, np.concatenate(([0.0], named)), np.concatenate(([0.0], found))) / first)
