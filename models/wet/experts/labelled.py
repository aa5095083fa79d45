"""What became of what an expert said: its newest scores with their outcomes, and the calibration learned of them.

A score counts as it was given when the decision was made, so an expert is judged by what it knew then. Learned anew at
`calibration.FEWEST` labels, at every quarter more, and then at every EVERY of them.
"""

from typing import Final

import numpy as np

from sidechain.models.wet.calibration import FEWEST, Calibration, Flags, Matrix, calibrate

NEWEST: Final = 16_384
DIGITS: Final = 3  # of a score: what its labels are told apart by; finer would cost more and say nothing
EVERY: Final = 8_192  # labels between two fits, at most: one takes about 0.1 s


class Labelled:
    """The labels of one expert. Bounded."""

    def __init__(self, newest: int = NEWEST) -> None:
        self.seen = 0
        self.calibration = Calibration()
        self._score = np.empty(newest)
        self._is_bad = np.empty(newest, dtype=np.bool_)
        self._due_at = FEWEST

    def log_odds(self, score: Matrix) -> Matrix:
        """How much likelier a bad outcome is than on average; 0 where nothing was said or nothing is known."""
        found = self.calibration
        if not found.is_calibrated:
            return np.zeros(len(score))
        probability, base = found.of(score), found.bad / found.labels
        known = np.log(probability / (1.0 - probability)) - np.log(base / (1.0 - base))
        return np.asarray(np.nan_to_num(known, nan=0.0))

    def learn(self, score: Matrix, is_bad: Flags) -> bool:
        """Scores as they were given, NaN where there was none, and what became of them. Whether it changed anything."""
        before = self.calibration
        known = ~np.isnan(score)
        score, is_bad = score[known], is_bad[known]
        done, most = 0, len(self._score)
        while done < len(score):
            until = done + min(len(score) - done, self._due_at - self.seen)
            first = max(done, until - most)
            at = (self.seen + np.arange(first - done, until - done)) % most
            self._score[at], self._is_bad[at] = np.round(score[first:until], DIGITS), is_bad[first:until]
            self.seen += until - done
            done = until
            if self.seen == self._due_at:
                self._fit()
        return self.calibration is not before

    def _fit(self) -> None:
        kept = min(self.seen, len(self._score))
        order = np.roll(np.arange(kept), -(self.seen % kept)) if self.seen > kept else np.arange(kept)  # oldest first
        made = calibrate(self._score[order], self._is_bad[order])
        if made.is_calibrated or not self.calibration.is_calibrated:
            self.calibration = made
        self._due_at += min(max(self._due_at // 4, 1), EVERY)
