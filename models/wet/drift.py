"""Whether what comes in, and how well it is scored, is still what it was. It says so, and changes nothing.

Input: the values of every feature in the first REFERENCE rows are cut into tenths. From then on each WINDOW of rows is
held against them by the population stability index, Σ (a − e) · ln(a / e) over the tenths and the unknown, where e and
a are the shares then and now. Below 0.1 nothing moved, from 0.25 on it did: the edges of its users in credit scoring
(Siddiqi 2006). What came out of a feature is an alarm when it starts, and the end of one when it falls below 0.1.

Performance: of scored decisions whose outcome became known, ADWIN (Bifet and Gavaldà 2007, here River's) watches three
means: the score of what was bad, the score of what was not, and the share of what was bad. Scores that fall for the
bad or rise for the others are worse; a share that moves in either direction is no fault of the model, but it is another
world than the one it learned. ADWIN forgets what lies before a change, so an alarm ends when so many further outcomes
came without another one, or when the mean turns for the better.

Memory is bounded: the reference while it is collected, then counts; ADWIN keeps a logarithm of its window.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from river.drift import ADWIN

from sidechain.models.wet.reasoning import Reasoning, of_parts

Matrix = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rule = Literal["InputDrift", "PerformanceDrift", "LabelDrift"]

RULES: Final[tuple[Rule, ...]] = ("InputDrift", "PerformanceDrift", "LabelDrift")
REFERENCE: Final = 20_000  # rows that say what is usual
WINDOW: Final = 5_000  # rows held against them at once
TENTHS: Final = 10
MOVED: Final = 0.25  # PSI at or above which a feature has moved ...
CLEAR: Final = 0.10  # ... and below which it is back
FEWEST: Final = 0.5  # rows taken for none: the logarithm of an empty share has no end
CONFIDENCE: Final = 0.002  # ADWIN's delta: the chance of a false alarm at any one time
SETTLED: Final = 2_000  # outcomes without another change: the new level is the usual one by now


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something moved, or is back."""

    rule: Rule
    of: str  # a feature, or a measure of performance
    is_firing: bool
    summary: str
    evidence: Mapping[str, float]
    why: Reasoning  # what the index, or the mean, is made of


def psi(expected: Matrix, actual: Matrix) -> float:
    """The population stability index of two histograms over the same bins, in counts of rows.

    0 for equal shares. An empty bin counts as half a row, so that the index stays finite.
    """
    return float(terms(expected, actual).sum())


def terms(expected: Matrix, actual: Matrix) -> Matrix:
    """What each bin adds to the index; never below 0 but for what empty bins are taken for."""
    e = np.maximum(expected, FEWEST) / expected.sum()
    a = np.maximum(actual, FEWEST) / actual.sum()
    return np.asarray((a - e) * np.log(a / e))


class InputDrift:
    """Watches the columns of rows that pass. The same rows in any batches make the same alarms."""

    def __init__(self, names: Sequence[str], *, reference: int = REFERENCE, window: int = WINDOW) -> None:
        self.names = tuple(names)
        self.psi: dict[str, float] = dict.fromkeys(self.names, 0.0)  # of the last whole window
        self.moved: dict[str, bool] = dict.fromkeys(self.names, False)
        self._window = window
        self._first: Matrix | None = np.empty((reference, len(self.names)))
        self._filled = 0  # rows of the reference, then of the window
        self._edges: list[Matrix] = []
        self._expected: list[Matrix] = []
        self._actual: list[Matrix] = []

    @property
    def is_learning(self) -> bool:
        """Whether what is usual is still being learned."""
        return self._first is not None

    def add(self, rows: Matrix) -> list[Alarm]:
        """Rows (rows, features) with NaN for unknown, and what follows from them."""
        alarms: list[Alarm] = []
        done = 0
        while done < len(rows):
            limit = len(self._first) if self._first is not None else self._window
            until = done + min(len(rows) - done, limit - self._filled)
            self._take(rows[done:until])
            done = until
            if self._filled == limit:
                alarms += self._full()
        return alarms

    def _take(self, rows: Matrix) -> None:
        if self._first is not None:
            self._first[self._filled : self._filled + len(rows)] = rows
        else:
            for at, edges in enumerate(self._edges):
                self._actual[at] += _counts(rows[:, at], edges)
        self._filled += len(rows)

    def _full(self) -> list[Alarm]:
        self._filled = 0
        if self._first is not None:
            self._edges = [_tenths(column) for column in self._first.T]
            self._expected = [_counts(column, edges) for column, edges in zip(self._first.T, self._edges, strict=True)]
            self._first = None
            alarms = []
        else:
            alarms = [one for at, name in enumerate(self.names) if (one := self._judge(at, name)) is not None]
        self._actual = [np.zeros_like(one) for one in self._expected]
        return alarms

    def _judge(self, at: int, name: str) -> Alarm | None:
        found = self.psi[name] = psi(self._expected[at], self._actual[at])
        if found >= MOVED and not self.moved[name]:
            text = f"{name} is not what it was: PSI {found:.2f}, and {MOVED} is the edge; a model that reads it is due"
        elif found < CLEAR and self.moved[name]:
            text = f"{name} is what it was: PSI {found:.2f}"
        else:
            return None
        self.moved[name] = not self.moved[name]
        figures = {"psi": round(found, 6), "edge": MOVED, "rows": float(self._window)}
        parts = terms(self._expected[at], self._actual[at]).tolist()
        why = of_parts(zip(_bins(self._edges[at]), parts, strict=True))
        return Alarm("InputDrift", name, self.moved[name], text, figures, why)


def _tenths(column: Matrix) -> Matrix:
    """The inner edges between the tenths of the known values; fewer where values repeat, none where none is known."""
    known = column[~np.isnan(column)]
    if not len(known):
        return np.empty(0)
    edges = np.unique(np.quantile(known, np.arange(1, TENTHS) / TENTHS))
    # A bin takes values up to and including its edge: an edge at the largest value would leave the last bin empty.
    return np.asarray(edges[edges < known.max()])


def _bins(edges: Matrix) -> list[str]:
    """What to call them: `up to 3`, `3 to 10`, `above 10`, `unknown`."""
    ends = [f"{one:.12g}" for one in edges.tolist()]
    if not ends:
        return ["known", "unknown"]
    between = [f"{low} to {high}" for low, high in pairwise(ends)]
    return [f"up to {ends[0]}", *between, f"above {ends[-1]}", "unknown"]


def _counts(column: Matrix, edges: Matrix) -> Matrix:
    """Rows in every bin, the unknown in one of their own behind the others."""
    unknown = np.isnan(column)
    bins = np.searchsorted(edges, column[~unknown], side="left")
    return np.append(np.bincount(bins, minlength=len(edges) + 1), unknown.sum()).astype(np.float64)


class _Watched:
    """One mean that must not move, or not in one direction."""

    def __init__(self, rule: Rule, name: str, is_worse: Callable[[float, float], bool], words: str) -> None:
        """`is_worse`: (mean before, mean after). `words`: what is said of it, with the two means to put in."""
        self.mean = 0.0
        self.is_firing = False
        self._rule: Rule = rule
        self._name = name
        self._is_worse = is_worse
        self._words = words
        self._adwin = ADWIN(delta=CONFIDENCE)  # type: ignore[no-untyped-call]
        self._quiet = 0  # values since the last change

    def add(self, value: float) -> Alarm | None:
        before = float(self._adwin.estimation)
        self._adwin.update(value)  # type: ignore[no-untyped-call]
        self.mean = float(self._adwin.estimation)
        self._quiet += 1
        if not self._adwin.drift_detected:
            return self._settled() if self.is_firing and self._quiet >= SETTLED else None
        self._quiet = 0
        if self._is_worse(before, self.mean):
            self.is_firing = True
            return self._alarm(self._words.format(before, self.mean), before)
        return self._settled() if self.is_firing else None

    def _settled(self) -> Alarm:
        self.is_firing = False
        return self._alarm(f"the {self._name} stands at {self.mean:.3f} and has stopped getting worse", self.mean)

    def _alarm(self, text: str, before: float) -> Alarm:
        figures = {"before": round(before, 6), "now": round(self.mean, 6), "outcomes": float(self._adwin.width)}
        why = of_parts([(self._name, self.mean - before)], before)
        return Alarm(self._rule, self._name, self.is_firing, text, figures, why)


BAD: Final = "score of what was bad"
OTHERS: Final = "score of what was not bad"
SHARE: Final = "share of what was bad"
MEASURES: Final = (BAD, OTHERS, SHARE)


class PerformanceDrift:
    """Watches scores whose outcomes became known, in the order in which they did."""

    def __init__(self) -> None:
        fell, rose, moved = "it fell from {:.3f} to {:.3f}", "it rose from {:.3f} to {:.3f}", "it was {:.3f}, is {:.3f}"
        self._bad = _Watched("PerformanceDrift", BAD, float.__gt__, f"what turns out bad is recognised less: {fell}")
        self._others = _Watched(
            "PerformanceDrift", OTHERS, float.__lt__, f"what turns out well looks stranger than it did: {rose}"
        )
        self._share = _Watched("LabelDrift", SHARE, float.__ne__, f"another share of outcomes is bad: {moved}")

    @property
    def means(self) -> Mapping[str, float]:
        """As of now, by measure; 0 before anything is known."""
        return {BAD: self._bad.mean, OTHERS: self._others.mean, SHARE: self._share.mean}

    @property
    def firing(self) -> int:
        """Alarms that stand."""
        return sum(one.is_firing for one in (self._bad, self._others, self._share))

    def add(self, score: float, *, is_bad: bool) -> list[Alarm]:
        """A score in [0, 1] and what the decision turned out to be."""
        watched = (self._bad if is_bad else self._others).add(score)
        share = self._share.add(float(is_bad))
        return [one for one in (watched, share) if one is not None]
