"""What became of what an expert said: its newest scores with their outcomes, and the calibration learned of them.

A score counts as it was given when the decision was made, so an expert is judged by what it knew then. The newest of
either kind are kept apart: a flood of one kind does not wash away what is known of the other, and how much likelier a
score is among the bad does not depend on how many there are. How many there are lately counts for probabilities alone.
Learned anew at `calibration.FEWEST` labels, at every quarter more, and then at every EVERY of them.
"""

from typing import Final

import numpy as np

from sidechain.models.wet.calibration import FEWEST, Calibration, Flags, Matrix, calibrate

NEWEST: Final = 8_192  # of a kind
LATELY: Final = 2 * NEWEST  # labels, of which the share of the bad is taken
DIGITS: Final = 3  # of a score: what its labels are told apart by; finer would cost more and say nothing
EVERY: Final = 8_192  # labels between two fits, at most: one takes about 0.1 s


class ByKind:
    """The newest rows that turned out bad, and apart from them the newest that did not. Bounded."""

    def __init__(self, width: int, newest: int = NEWEST) -> None:
        """`newest` rows of `width` numbers of each kind."""
        self.seen = 0
        self._count = dict.fromkeys((False, True), 0)
        self._rows = {kind: np.empty((newest, width)) for kind in (False, True)}
        self._number = {kind: np.empty(newest, dtype=np.int64) for kind in (False, True)}

    def add(self, rows: Matrix, is_bad: Flags) -> None:
        """Rows in the order in which their outcomes came; later ones take the place of the oldest."""
        number = self.seen + np.arange(len(rows))
        for kind, kept in self._rows.items():
            own = np.flatnonzero(is_bad == kind)
            newest = own[max(0, len(own) - len(kept)) :]
            slots = (self._count[kind] + np.arange(len(own) - len(newest), len(own))) % len(kept)
            kept[slots], self._number[kind][slots] = rows[newest], number[newest]
            self._count[kind] += len(own)
        self.seen += len(rows)

    def of(self, *, is_bad: bool) -> Matrix:
        """The rows of one kind, in no meaningful order."""
        return self._rows[is_bad][: self._count[is_bad]]

    def kept(self) -> tuple[Matrix, Flags]:
        """Those of both kinds, the oldest first."""
        good, bad = self.of(is_bad=False), self.of(is_bad=True)
        number = np.concatenate([self._number[False][: len(good)], self._number[True][: len(bad)]])
        order = np.argsort(number)
        return np.concatenate([good, bad])[order], (np.arange(len(number)) >= len(good))[order]


class Labelled:
    """The labels of one expert. Bounded."""

    def __init__(self, newest: int = NEWEST) -> None:
        self.calibration = Calibration()
        self._kept = ByKind(1, newest)
        self._lately = np.zeros(2 * newest, dtype=np.bool_)
        self._share = 0.5  # of labels lately that were bad, when it was fitted
        self._due_at = FEWEST

    @property
    def seen(self) -> int:
        """Labels heard."""
        return self._kept.seen

    def log_odds(self, score: Matrix) -> Matrix:
        """How much likelier a bad outcome is than on average; 0 where nothing was said or nothing is known."""
        found = self.calibration
        if not found.is_calibrated:
            return np.zeros(len(score))
        known = _odds(found.of(score)) - _odds(found.bad / found.labels)
        return np.asarray(np.nan_to_num(known, nan=0.0))

    def probability(self, score: Matrix) -> Matrix:
        """Of a bad outcome, as many as there are lately; NaN stays. Only when calibrated."""
        found = self.calibration
        moved = _odds(self._share) - _odds(found.bad / found.labels)
        return np.asarray(1.0 / (1.0 + np.exp(-_odds(found.of(score)) - moved)))

    def learn(self, score: Matrix, is_bad: Flags) -> bool:
        """Scores as they were given, NaN where there was none, and what became of them. Whether it changed anything."""
        before = self.calibration
        known = ~np.isnan(score)
        score, is_bad = score[known], is_bad[known]
        done = 0
        while done < len(score):
            until = done + min(len(score) - done, self._due_at - self.seen)
            newest = slice(max(done, until - len(self._lately)), until)
            at = (self.seen + np.arange(newest.start - done, until - done)) % len(self._lately)
            self._lately[at] = is_bad[newest]
            self._kept.add(np.round(score[done:until, None], DIGITS), is_bad[done:until])
            done = until
            if self.seen == self._due_at:
                self._fit()
        return self.calibration is not before

    def _fit(self) -> None:
        score, is_bad = self._kept.kept()
        made = calibrate(score[:, 0], is_bad)
        if made.is_calibrated or not self.calibration.is_calibrated:
            self.calibration = made
        heard = min(self.seen, len(self._lately))
        nearest = 1.0 / (heard + 2)
        self._share = float(np.clip(self._lately[:heard].mean(), nearest, 1.0 - nearest))
        self._due_at += min(max(self._due_at // 4, 1), EVERY)


def _odds(probability: Matrix | float) -> Matrix:
    return np.asarray(np.log(probability) - np.log1p(-np.asarray(probability)))
