"""All experts asked at once, none able to hurt the others.

An expert that raises, or answers with anything but scores and confidences in [0, 1], has FAILED for those rows: that
is counted, and lowers what its word is worth (`selector`). Failing TRIPPED_AT batches running it is left alone for
RESTED batches and then asked again, for learning no less than for scores. A turn that never ends is ended by whoever
runs the panel: `bounded` stands around each, and what it raises is the expert's fault.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from sidechain.models.wet.experts.consensus import agree
from sidechain.models.wet.experts.contract import (
    FAILED,
    SCORED,
    STATES,
    Batch,
    Expert,
    Explained,
    Explains,
    Flags,
    Matrix,
    Opinion,
    Reasons,
    opinion,
    silent,
)
from sidechain.models.wet.selector import REASONS, Selection, Selector, Settings

log = logging.getLogger(__name__)

CONSENSUS: Final = "consensus"
TRIPPED_AT: Final = 5  # batches running
RESTED: Final = 64  # batches
FEWEST: Final = 64  # rows of which one score for all of them is no chance


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What the panel says of each row, and who says so."""

    score: Matrix  # (rows,); NaN where nobody speaks
    selection: Selection
    opinions: tuple[Opinion, ...]  # in the order of the panel's names


class Panel:
    """Some experts, their consensus, and the selector between them. The first expert is the baseline."""

    def __init__(
        self,
        experts: Sequence[Expert],
        now_ms: Callable[[], float],
        settings: Settings | None = None,
        bounded: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`now_ms`: a clock that never runs back, for the latency of the experts alone. `bounded`: raises TimeoutError
        in the middle of a turn that takes too long.
        """
        if len({one.name for one in experts} | {CONSENSUS}) != len(experts) + 1:
            raise ValueError(f"every expert needs a name of its own, and none may be called {CONSENSUS!r}")
        self.experts = tuple(experts)
        self.names = (*(one.name for one in experts), CONSENSUS)
        self.selector = Selector(self.names, settings)
        self.chosen = Counter(dict.fromkeys(self.selector.labels, 0))
        self.faults = Counter(dict.fromkeys(self.names, 0))  # batches with a row it failed for
        self.raised = Counter(dict.fromkeys(self.names, 0))  # while scoring, learning or explaining
        self.hung = Counter(dict.fromkeys(self.names, 0))  # of these: took too long
        self.trips = Counter(dict.fromkeys(self.names, 0))
        self._now_ms = now_ms
        self._bounded = bounded
        self._running = dict.fromkeys(self.names, 0)  # batches it failed to score, one after the other
        self._unlearned = dict.fromkeys(self.names, 0)  # the same, to learn from
        self._unheard = dict.fromkeys(self.names, 0)  # the same, to learn the outcomes of
        self._resting = dict.fromkeys(self.names, 0)  # batches left

    def score(self, batch: Batch) -> Verdict:
        """Ask everybody, then choose for each row."""
        return self.choose(self.ask(batch))

    def ask(self, batch: Batch) -> list[Opinion]:
        """What everybody says, in the order of the panel's names: the consensus last."""
        opinions = [self._ask(at, one, batch) for at, one in enumerate(self.experts)]
        return [*opinions, agree(opinions)]

    def choose(self, opinions: Sequence[Opinion]) -> Verdict:
        """Whose word counts for each row."""
        selection = self.selector.choose(opinions)
        scores = np.stack([*(one.score for one in opinions), np.full(len(selection.expert), np.nan)])
        self._count(selection)
        return Verdict(scores[selection.expert, np.arange(scores.shape[1])], selection, tuple(opinions))

    def learn(self, batch: Batch) -> None:
        """These rows passed."""
        for one in self.experts:
            self._teach(self._unlearned, one.name, partial(one.learn, batch))

    def learn_outcomes(self, batch: Batch, is_bad: Flags) -> None:
        """What became of rows that passed earlier."""
        for one in self.experts:
            self._teach(self._unheard, one.name, partial(one.learn_outcomes, batch, is_bad))

    def explain(self, expert: int, batch: Batch) -> Explained | None:
        """Why one of the experts, not the consensus, scored rows so; None where it cannot say, or fails to."""
        one = self.experts[expert]
        found = None
        if isinstance(one, Explains):
            with self._guarded(one.name):
                given = one.explain(batch)
                found = _explained(given, len(batch), len(one.names)) if given is not None else None
        return found

    def _ask(self, at: int, expert: Expert, batch: Batch) -> Opinion:
        name = expert.name
        if self._resting[name]:
            self._resting[name] -= 1
            return silent(len(batch), FAILED)
        given = silent(len(batch), FAILED)
        began = self._now_ms()
        with self._guarded(name):
            given = sound(expert.score(batch), len(batch))
        if at:  # the baseline speaks where nobody is surer: of a flood of what was never seen it may say one thing
            given = telling(given, batch)
        is_error = bool((given.state == FAILED).any())
        self.selector.hear(at, self._now_ms() - began, is_error=is_error)
        self.faults[name] += is_error
        self._count_running(self._running, name, is_error=is_error)
        return given

    def _teach(self, running: dict[str, int], name: str, turn: Callable[[], None]) -> None:
        if not self._resting[name]:
            is_error = True
            with self._guarded(name):
                turn()
                is_error = False
            self._count_running(running, name, is_error=is_error)

    def _count_running(self, running: dict[str, int], name: str, *, is_error: bool) -> None:
        running[name] = running[name] + 1 if is_error else 0
        if running[name] == TRIPPED_AT:
            self._resting[name] = RESTED
            for counted in (self._running, self._unlearned, self._unheard):
                counted[name] = 0
            self.trips[name] += 1
            log.warning("%s failed %d batches running, it is not asked for the next %d", name, TRIPPED_AT, RESTED)

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        """What an expert raises ends its turn, not the panel: one is somebody's model, and none is worth the others."""
        try:
            with self._bounded():
                yield
        except Exception as fault:
            self.raised[name] += 1
            self.hung[name] += isinstance(fault, TimeoutError)
            log.exception("%s raised, the other experts go on", name)

    def _count(self, selection: Selection) -> None:
        codes = (selection.expert + 1) * len(REASONS) + selection.reason
        for code, rows in zip(*np.unique(codes, return_counts=True), strict=True):
            expert, reason = divmod(int(code), len(REASONS))
            self.chosen[("nobody", *self.names)[expert], REASONS[reason]] += int(rows)


def sound(given: Opinion, rows: int) -> Opinion:
    """The opinion, with FAILED for rows whose score or confidence is no number in [0, 1]. ValueError: wrong shape."""
    parts = (given.score, given.confidence, given.evidence, given.state)
    if any(part.shape != (rows,) for part in parts):
        raise ValueError(f"an opinion on {rows} rows has the shapes {[part.shape for part in parts]}")
    with np.errstate(invalid="ignore"):
        fits = (given.score >= 0.0) & (given.score <= 1.0) & (given.confidence >= 0.0) & (given.confidence <= 1.0)
    is_wrong = ((given.state == SCORED) & ~fits) | (given.state >= len(STATES))
    if not is_wrong.any():
        return given
    return opinion(
        given.score, given.confidence, np.where(is_wrong, FAILED, given.state).astype(np.uint8), given.evidence
    )


def telling(given: Opinion, batch: Batch) -> Opinion:
    """The opinion, without confidence where rows that differ are all given one score: that says nothing of any of them.

    An expert gone wrong would else replace the baseline for everybody, by how sure of itself it says it is.
    """
    scored = given.state == SCORED
    if scored.sum() < FEWEST or np.ptp(given.score[scored]) > 0.0:
        return given
    rows = batch.rows[scored]
    if np.array_equal(rows, np.broadcast_to(rows[:1], rows.shape), equal_nan=True):
        return given
    return opinion(given.score, np.zeros(len(batch)), given.state, given.evidence)


def _explained(given: Reasons, rows: int, width: int) -> Explained:
    """The same, with what may be missing. ValueError: parts that are no numbers, or too few or too many of them."""
    if given.parts.shape != (rows, width) or not (np.isfinite(given.parts).all() and np.isfinite(given.base)):
        raise ValueError(f"the parts of {rows} rows and {width} features have the shape {given.parts.shape}")
    if isinstance(given, Explained):
        return given
    return Explained(given.base, given.parts, np.full((1, width, 2), np.nan), [""] * rows)
