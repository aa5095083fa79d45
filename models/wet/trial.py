"""A challenger beside the champion, on decisions neither had seen the outcome of when it scored them.

    trial = Trial("champion-2:12ab34cd", "champion-3:ab12cd34")
    trial.add(Judged(...))          scores both gave when the decision was made, and what became of it since
    trial.is_over                   there are labels enough to say something, or too many to go on
    trial.verdict()                 PROMOTE, REVIEW or REJECT, by stated thresholds, and why

Prequential: every row is scored first and judged later, so no figure rests on an outcome the model was fitted to. Where
there is no champion yet the challenger stands beside the rules' own score, which is no probability: it is ranked alone.
Weeks are those of the decision, counted from 1970-01-01, a Thursday. The same labels in the same order give the same
figures. Memory is bounded by `Thresholds.labels_most`.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sidechain.models.verdict import Verdict
from sidechain.models.wet.calibration import reliability
from sidechain.models.wet.ranking import rank

Matrix = NDArray[np.float64]
Flags = NDArray[np.bool_]

WEEK_MS: Final = 7 * 86_400_000
FIRST: Final = 100  # rows of a week that precision is told of
RULES: Final = "rules"


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """What a challenger is held to. AP: average precision, in [0, 1]."""

    labels: int = 5_000  # fewer say too little
    bad: int = 100  # ... and fewer bad ones
    labels_most: int = 200_000  # a trial is over then, whatever is known
    gain: float = 0.02  # AP must rise by so much to be worth a change
    fall: float = 0.01  # AUROC may fall by so much
    weeks_lost: float = 0.34  # in a larger share of the weeks it may not be worse


STATED: Final = Thresholds()


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How well one scorer did on some rows; None where it cannot be said."""

    rows: int
    bad: int
    auroc: float | None
    average_precision: float | None
    precision_at: float | None  # of the first FIRST rows
    brier: float | None  # None: its score is no probability


class Week(msgspec.Struct, frozen=True, kw_only=True):
    """One week of decisions, by both."""

    begin: int  # event time, ms
    before: Figures
    after: Figures


class Judged(NamedTuple):
    """Decisions whose outcome became known."""

    at: NDArray[np.int64]  # event time of the decisions, ms
    is_bad: Flags
    before: Matrix  # the score of what is in place, as of the decision
    after: Matrix  # the challenger's
    groups: Matrix  # (rows, groups): what segments are told of; NaN: unknown


class Trial:
    """One challenger's trial."""

    def __init__(
        self, before: str | None, after: str, thresholds: Thresholds = STATED, groups: tuple[str, ...] = ()
    ) -> None:
        """`before`: who is champion, None: nobody, so it is the rules. `groups`: names of `Judged.groups`."""
        self.before = RULES if before is None else before
        self.after = after
        self.thresholds = thresholds
        self.groups = groups
        self.bad = 0
        self._at = array("q")
        self._is_bad = array("b")
        self._before = array("d")
        self._after = array("d")
        self._groups = array("d")  # row by row

    def __len__(self) -> int:
        return len(self._at)

    def add(self, some: Judged) -> None:
        """Rows both scored. Those beyond `labels_most` are not taken: the trial is over."""
        room = slice(0, max(0, self.thresholds.labels_most - len(self)))
        self._at.extend(some.at[room].tolist())
        self._is_bad.extend(some.is_bad[room].tolist())
        self._before.extend(some.before[room].tolist())
        self._after.extend(some.after[room].tolist())
        self._groups.extend(some.groups[room].ravel().tolist())
        self.bad += int(some.is_bad[room].sum())

    @property
    def is_over(self) -> bool:
        """Whether a verdict is due."""
        limit = self.thresholds
        return len(self) >= limit.labels_most or (len(self) >= limit.labels and self.bad >= limit.bad)

    @property
    def judged(self) -> Judged:
        """All rows so far, in the order their outcomes became known."""
        return Judged(
            np.array(self._at, dtype=np.int64),
            np.array(self._is_bad, dtype=np.bool_),
            np.array(self._before, dtype=np.float64),
            np.array(self._after, dtype=np.float64),
            np.array(self._groups, dtype=np.float64).reshape(len(self), len(self.groups)),
        )

    def overall(self) -> tuple[Figures, Figures]:
        """Before and after, over all rows."""
        rows = self.judged
        return self._both(rows, np.ones(len(rows.at), dtype=np.bool_))

    def weekly(self) -> tuple[Week, ...]:
        """Week by week, the earliest first."""
        rows = self.judged
        week = rows.at // WEEK_MS
        found = []
        for one in np.unique(week).tolist():
            before, after = self._both(rows, week == one)
            found.append(Week(begin=one * WEEK_MS, before=before, after=after))
        return tuple(found)

    def gain(self) -> float | None:
        """By how much average precision rose; None: nobody knows."""
        before, after = self.overall()
        if before.average_precision is None or after.average_precision is None:
            return None
        return after.average_precision - before.average_precision

    def is_better(self) -> bool:
        """Whether it is worth asking people about: over the stated labels, by the stated margin, and not rejected."""
        gain, limit = self.gain(), self.thresholds
        has_enough = len(self) >= limit.labels and self.bad >= limit.bad
        return has_enough and gain is not None and gain >= limit.gain and self.verdict().word != "REJECT"

    def verdict(self) -> Verdict:
        """What the trial says for the challenger. It decides nothing: a person promotes a model."""
        if against := tuple(self._against()):
            return Verdict("REJECT", against)
        if doubts := tuple(self._doubts()):
            return Verdict("REVIEW", doubts)
        return Verdict("PROMOTE", (f"every threshold is kept: average precision rises by {self.gain():.3f}",))

    def _both(self, rows: Judged, some: Flags) -> tuple[Figures, Figures]:
        is_bad = rows.is_bad[some]
        is_probability = self.before != RULES
        return (
            figures(rows.before[some], is_bad, is_probability=is_probability),
            figures(rows.after[some], is_bad, is_probability=True),
        )

    def _against(self) -> Iterator[str]:
        gain, limit = self.gain(), self.thresholds
        before, after = self.overall()
        if self.bad < limit.bad or gain is None or before.auroc is None or after.auroc is None:
            return  # too little to hold against anybody
        if gain < -limit.gain:
            yield f"average precision falls by {-gain:.3f} to {after.average_precision:.3f}; the limit is {limit.gain}"
        if after.auroc < before.auroc - limit.fall:
            yield f"AUROC falls by {before.auroc - after.auroc:.3f} to {after.auroc:.3f}; the limit is {limit.fall}"

    def _doubts(self) -> Iterator[str]:
        gain, limit = self.gain(), self.thresholds
        if len(self) < limit.labels or self.bad < limit.bad:
            asked = f"{limit.labels:,} with {limit.bad:,} bad ones are asked for"
            yield f"{len(self):,} labels, {self.bad:,} of them bad, say little; {asked}"
        if gain is None:
            return
        if gain < limit.gain:
            yield f"average precision moves by {gain:+.3f}; {limit.gain} more is worth a change"
        held = [
            (one.before.average_precision, one.after.average_precision)
            for one in self.weekly()
            if one.before.average_precision is not None and one.after.average_precision is not None
        ]
        lost = sum(after < before for before, after in held)
        if lost > limit.weeks_lost * len(held):
            yield f"it is worse in {lost} of {len(held)} weeks; somebody looks above {limit.weeks_lost:.0%}"
        rows = self.judged
        found = reliability(rows.after, rows.is_bad) if len(rows.at) else None
        if found is not None and found.brier >= found.brier_of_base:
            yield f"its probabilities (Brier {found.brier:.5f}) say no more than their mean ({found.brier_of_base:.5f})"


def figures(score: Matrix, is_bad: Flags, *, is_probability: bool) -> Figures:
    """How well a score ranks, and how near it is where it is a probability."""
    found = rank(score, is_bad, FIRST)
    return Figures(
        rows=found.rows,
        bad=found.bad,
        auroc=_short(found.auroc),
        average_precision=_short(found.average_precision),
        precision_at=_short(found.precision_at),
        brier=_short(reliability(score, is_bad).brier) if is_probability and len(score) else None,
    )


def _short(value: float | None) -> float | None:
    """Six digits: what follows is noise, and two machines may differ there."""
    return None if value is None else round(value, 6)
