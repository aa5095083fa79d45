"""The panel at work: whose word counts for each row, what it comes to, why, and how well it is borne out.

    judged = ensemble.judge(batch)              scores that mean the same whoever speaks, and who spoke
    whys = ensemble.explain(batch, judged, at)  for some of the rows: a base and parts that add up to the score
    ensemble.learn(batch, judged)               these rows passed
    ensemble.learn_outcomes(batch, said, is_bad)   what became known of rows that passed earlier

A score is a rank in [0, 1]: about the share of rows that were less unusual; of all rows at first, and once outcomes
are known of those that turned out well, so that a flood of what is bad does not come to look usual. Experts score on
scales of their own, so beside each other stand their ranks, and once outcomes have calibrated them what they add to the
odds. From two calibrated experts on, their pool speaks as a rule (`experts/pooled`). An expert whose scores have no
rank yet stays silent. Nothing here reads a clock but the one it is given, for latencies.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

import numpy as np

from sidechain.models.policy import Wet
from sidechain.models.wet.experts.consensus import FEWEST
from sidechain.models.wet.experts.contract import (
    SCORED,
    TOO_FEW,
    WARMING,
    Batch,
    Codes,
    Counts,
    Expert,
    Explained,
    Flags,
    Matrix,
    Opinion,
    model_name,
    opinion,
)
from sidechain.models.wet.experts.labelled import Labelled
from sidechain.models.wet.experts.panel import CONSENSUS, Panel
from sidechain.models.wet.experts.pooled import Pool
from sidechain.models.wet.experts.ranked import Ranked, Spoken
from sidechain.models.wet.forest import exactly, scaled
from sidechain.models.wet.rationale import AGREED
from sidechain.models.wet.selector import Settings

NOBODY: Final = -1
UNDECIDED: Final = 0.5  # no odds either way
SOFT: Final = 4.0  # log-odds are many where several agree: so many count as one before they are squeezed into [0, 1]
TIED: Final = 1e-3  # of a score on top of its probability: the steps of a calibration have an order within
MEMBER: Final = 0.5  # what the word of one expert counts for beside the pool it is part of


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What the panel says of each row of a batch."""

    score: Matrix  # (rows,): a rank; NaN: nobody speaks
    probability: Matrix  # (rows,) of a bad outcome; NaN: not calibrated
    expert: Counts  # (rows,): position among the panel's names; NOBODY
    reason: Codes  # (rows,): position in selector.REASONS
    evidence: Counts  # (rows,): past cases the score quotes
    said: Matrix  # (experts, rows): what each of them said, on its own scale
    opinions: tuple[Opinion, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Why:
    """Why some rows have their scores: judged.score[at] == base + parts.sum(axis=1)."""

    at: Counts  # positions in the batch
    base: float
    names: tuple[str, ...]  # of the parts
    parts: Matrix  # (rows, parts)
    usual: Matrix  # (rows or 1, parts, 2), NaN where nobody knows
    words: Sequence[str]  # (rows,)


class Ensemble:
    """Some experts, the first of which is the baseline. Bounded."""

    def __init__(
        self,
        wet: Wet,
        experts: Sequence[Expert],
        now_ms: Callable[[], float],
        seed: int = 1,
        bounded: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`now_ms`: a clock that never runs back. `bounded`: see `Panel`."""
        self.panel = Panel(experts, now_ms, Settings(), bounded)
        self.names = self.panel.names
        self.labelled = tuple(Labelled() for _ in self.names)
        self._pool = Pool(len(experts))
        # What is a rank already needs none of its own.
        self._ranked = tuple(None if getattr(one, "is_rank", False) else Ranked(seed) for one in (*experts, None))
        self._spoken = Spoken(seed) if len(self.panel.experts) > 1 else None  # one alone has nobody beside it
        self._consenting = CONSENSUS in wet.experts

    def model_name(self, expert: int) -> str:
        """Whose word it is: `forest-3:ab12cd34`."""
        return model_name(self.panel.experts[expert]) if expert < len(self.panel.experts) else CONSENSUS

    def judge(self, batch: Batch) -> Judged:
        """Ask everybody, choose for each row, and say what it comes to. Changes nothing but how experts are counted."""
        asked = self._pooled(self.panel.ask(batch))
        verdict = self.panel.choose([one if self._may_speak(at) else _quiet(one) for at, one in enumerate(asked)])
        expert, said = verdict.selection.expert, np.stack([one.score for one in asked])
        score, probability = np.full(len(batch), np.nan), np.full(len(batch), np.nan)
        evidence = np.zeros(len(batch), dtype=np.int64)
        for at in np.unique(expert[expert >= 0]).tolist():
            own = expert == at
            score[own] = self._standing(at, said[at, own])
            if self.labelled[at].calibration.is_calibrated:
                probability[own] = self.labelled[at].probability(said[at, own])
            evidence[own] = asked[at].evidence[own]
        return Judged(score, probability, expert, verdict.selection.reason, evidence, said, tuple(asked))

    def learn(self, batch: Batch, judged: Judged) -> None:
        """These rows passed, judged so; what became of them is not known."""
        self.panel.learn(batch)
        for ranked, said in zip(self._ranked, judged.said, strict=True):
            if ranked is not None:
                ranked.learn(said[~np.isnan(said)])
        if self._spoken is not None:
            rows = np.flatnonzero(judged.expert >= 0)
            who = judged.expert[rows]
            if self._spoken.learn(who, judged.said[who, rows]):
                self._draw()

    def learn_outcomes(self, batch: Batch, said: Matrix, is_bad: Flags) -> None:
        """What became of rows that passed earlier. `said` (experts, rows): as it was then, NaN where nothing was."""
        changed = [one.learn(score, is_bad) for one, score in zip(self.labelled, said, strict=True)]
        self._pool.learn(said[:-1], is_bad)
        self.panel.learn_outcomes(batch, is_bad)
        if any(changed):
            self._pool.fit(self.labelled[:-1])
            if self._is_pooling:
                self.panel.selector.skill = np.array([MEMBER] * len(self.panel.experts) + [1.0])
            self._draw()

    def explain(self, batch: Batch, judged: Judged, rows: Counts) -> list[Why]:
        """Of the rows at these positions, those that have a score; together for each expert that spoke."""
        spoke = judged.expert[rows]
        return [self._why(batch, judged, at, rows[spoke == at]) for at in np.unique(spoke[spoke >= 0]).tolist()]

    def _why(self, batch: Batch, judged: Judged, expert: int, rows: Counts) -> Why:
        some = Batch(batch.names, batch.rows[rows], [batch.keys[at] for at in rows], [batch.ids[at] for at in rows])
        found = self._agreed(some, judged, rows) if expert == len(self.panel.experts) else self._own(expert, some)
        score = judged.score[rows]
        if found is None:  # an expert that cannot say: its word is the whole reason
            parts = score[:, None]
            return Why(rows, 0.0, (self.names[expert],), parts, np.full((1, 1, 2), np.nan), [""] * len(rows))
        base = float(self._standing(expert, np.array([found.base]))[0])
        parts = exactly(scaled(found.parts, score - base), score - base)
        names = batch.names if expert == len(self.panel.experts) else self.panel.experts[expert].names
        return Why(rows, base, names, parts, found.usual, found.words)

    def _own(self, expert: int, some: Batch) -> Explained | None:
        return self.panel.explain(expert, some)

    def _agreed(self, some: Batch, judged: Judged, rows: Counts) -> Explained | None:
        """What its members give as reasons, together: added up as log-odds, or weighed as their scores are."""
        total, parts, bases = np.zeros(len(rows)), np.zeros(some.rows.shape), []
        words, weightiest = [AGREED] * len(rows), np.zeros(len(rows))
        usual: Matrix | None = None
        for at, expert in enumerate(self.panel.experts):
            given = judged.opinions[at]
            spoke = given.state[rows] == SCORED
            found = self._own(at, some) if spoke.any() else None
            if found is None:
                continue
            column = [some.names.index(name) for name in expert.names]
            if self._is_pooling:
                odds = self.labelled[at].log_odds(judged.said[at, rows])
                parts[:, column] += scaled(found.parts, self._pool.weights[at] * odds)
                bases, total = [UNDECIDED], np.ones(len(rows))
                for row in np.flatnonzero(odds > weightiest).tolist():  # in the words of who is surest
                    words[row], weightiest[row] = found.words[row], odds[row]
            else:
                weight = np.where(spoke, given.confidence[rows], 0.0)
                parts[:, column] += weight[:, None] * found.parts
                total += weight
                bases.append(found.base)
            if usual is None:
                usual = np.full((len(found.usual), len(some.names), 2), np.nan)
                usual[:, column] = found.usual
        if not bases:
            return None
        if usual is None:
            usual = np.full((1, len(some.names), 2), np.nan)
        mean = parts / np.maximum(total, 1e-12)[:, None]
        return Explained(float(np.mean(bases)), mean, usual, words)

    def _pooled(self, asked: list[Opinion]) -> list[Opinion]:
        """The same, the consensus of calibrated experts in the place of that of the others.

        It is their logarithmic opinion pool: what each of them adds to the odds, weighed. Where they differ is taken
        into account by that already, so it is as sure as the surest of them.
        """
        if not self._is_pooling:
            return asked
        members = [at for at, is_calibrated in enumerate(self._is_calibrated[:-1]) if is_calibrated]
        voices = np.sum([asked[at].state == SCORED for at in members], axis=0)
        score = self._together(np.stack([one.score for one in asked[:-1]]))
        sure = np.max([asked[at].confidence for at in members], axis=0)
        state = np.where(voices >= FEWEST, SCORED, TOO_FEW).astype(np.uint8)
        return [*asked[:-1], opinion(score, sure, state, asked[-1].evidence)]

    def _together(self, said: Matrix) -> Matrix:
        """The value of the pool, from what each expert said (experts, rows)."""
        members = np.flatnonzero(self._is_calibrated[:-1])
        return _valued(self._pool.odds(said, self.labelled[:-1]), np.nan_to_num(said[members], nan=UNDECIDED).mean(0))

    def _may_speak(self, expert: int) -> bool:
        ranked = self._ranked[expert]
        is_asked = expert < len(self.panel.experts) or self._consenting
        return is_asked and (ranked is None or ranked.is_ready)

    @property
    def _is_pooling(self) -> bool:
        return self._consenting and sum(self._is_calibrated[:-1]) >= FEWEST

    @property
    def _is_calibrated(self) -> list[bool]:
        return [one.calibration.is_calibrated for one in self.labelled]

    def _standing(self, expert: int, said: Matrix) -> Matrix:
        """What an expert's scores come to, beside everybody's."""
        value, is_calibrated = self._value(expert, said), self.labelled[expert].calibration.is_calibrated
        return value if self._spoken is None else self._spoken.of(value, is_calibrated=is_calibrated)

    def _value(self, expert: int, said: Matrix) -> Matrix:
        """Its odds if it is calibrated and not alone, on the scale of the pool; else its ranks."""
        labelled, ranked = self.labelled[expert], self._ranked[expert]
        if labelled.calibration.is_calibrated and self._spoken is not None:
            is_pool = expert == len(self.panel.experts) and self._is_pooling
            return said if is_pool else _valued(labelled.log_odds(said), said)
        return said if ranked is None else ranked.of(said)

    def _draw(self) -> None:
        if self._spoken is not None:
            self._spoken.draw(self._value, self._is_calibrated, self._well())

    def _well(self) -> Matrix:
        """What rows that turned out well come to on the scale of those that are calibrated; none before there are."""
        said, calibrated = self._pool.well, np.flatnonzero(self._is_calibrated[:-1])
        if self._is_pooling:
            voices = (~np.isnan(said[calibrated])).sum(axis=0)
            return self._together(said[:, voices >= FEWEST])
        return np.concatenate(
            [self._value(at, said[at, ~np.isnan(said[at])]) for at in calibrated.tolist()] or [np.empty(0)]
        )


def _valued(odds: Matrix, said: Matrix) -> Matrix:
    """Log-odds in [0, 1], rising with them, and at equal odds with what was said."""
    return np.asarray((1.0 / (1.0 + np.exp(-odds / SOFT)) + TIED * said) / (1.0 + TIED))


def _quiet(given: Opinion) -> Opinion:
    return opinion(
        given.score, given.confidence, np.where(given.state == SCORED, WARMING, given.state).astype(np.uint8)
    )
