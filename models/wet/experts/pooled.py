"""What calibrated experts come to together: the log-odds each of them adds, weighed by what they were worth together.

A plain mean would count twice what two of them see alike, and a poor one as much as a good one. So the weights are
learned: those, none below 0, that make the outcomes likeliest (a logistic regression in which either kind of outcome
counts for one half, however rare), held by HELD to the single best expert alone. With few labels, or experts that add
nothing to the best one, the best one is what the pool says; at worst it is as good on the labels kept as that one.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from sidechain.models.wet.calibration import Flags, Matrix
from sidechain.models.wet.experts.labelled import NEWEST, ByKind, Labelled

HELD: Final = 0.01  # of the squared distance from the best expert alone, beside a mean loss of ln 2 for saying nothing
STEPS: Final = 50  # of Newton's method; it needs about ten
ENOUGH: Final = 1e-6
ROOT: Final = 1e-9  # keeps a singular system solvable
STEEPEST: Final = 30.0  # log-odds beyond which nothing changes any more


class Pool:
    """The weights of some experts, and what they said of rows whose outcome is known. Bounded."""

    def __init__(self, experts: int, newest: int = NEWEST) -> None:
        self.weights: Matrix = np.zeros(experts)
        self._kept = ByKind(experts, newest)

    @property
    def well(self) -> Matrix:
        """(experts, rows): what was said of the newest rows that turned out well; NaN: nothing."""
        return self._kept.of(is_bad=False).T

    def learn(self, said: Matrix, is_bad: Flags) -> None:
        """What they said (experts, rows) of rows that passed earlier, and what became of them."""
        self._kept.add(said.T, is_bad)

    def fit(self, labelled: Sequence[Labelled]) -> None:
        """Weigh those that are calibrated by the labels kept."""
        members = np.flatnonzero([one.calibration.is_calibrated for one in labelled])
        said, is_bad = self._kept.kept()
        self.weights = np.zeros(len(labelled))
        if len(members) and 0 < is_bad.sum() < len(is_bad):
            added = np.stack([labelled[at].log_odds(said[:, at]) for at in members.tolist()], axis=1)
            self.weights[members] = weigh(added, is_bad)

    def odds(self, said: Matrix, labelled: Sequence[Labelled]) -> Matrix:
        """The log-odds of rows, from what each expert said of them (experts, rows)."""
        total = np.zeros(said.shape[1])
        for weight, one, score in zip(self.weights.tolist(), labelled, said, strict=True):
            if weight > 0.0:
                total += weight * one.log_odds(score)
        return total


def weigh(added: Matrix, is_bad: Flags) -> Matrix:
    """The weights of experts by what each adds to the log-odds (rows, experts) of rows of both kinds."""
    share = np.where(is_bad, 0.5 / is_bad.sum(), 0.5 / (~is_bad).sum())
    alone = [_loss(added[:, at], is_bad, share) for at in range(added.shape[1])]
    best = np.zeros(added.shape[1])
    best[int(np.argmin(alone))] = 1.0
    columns = np.column_stack([added, np.ones(len(added))])  # the last one moves all rows alike, and is not held
    held = np.diag([*[HELD] * len(best), ROOT])
    begin = np.append(best, 0.0)
    found = begin.copy()
    for _ in range(STEPS):
        likely = 1.0 / (1.0 + np.exp(-np.clip(columns @ found, -STEEPEST, STEEPEST)))
        slope = columns.T @ (share * (likely - is_bad)) + held @ (found - begin)
        bend = (columns * (share * likely * (1.0 - likely))[:, None]).T @ columns + held + ROOT * np.eye(len(found))
        before = found
        found = found - np.linalg.solve(bend, slope)
        found[:-1] = np.maximum(found[:-1], 0.0)
        if np.abs(found - before).max() < ENOUGH:
            break
    is_better = _loss(columns @ found, is_bad, share) <= min(alone)
    return np.asarray(found[:-1] if is_better else best)


def _loss(odds: Matrix, is_bad: Flags, share: Matrix) -> float:
    return float(share @ np.logaddexp(0.0, np.where(is_bad, -odds, odds)))
