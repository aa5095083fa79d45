"""Taps in, scores out: how unusual each decision's features are, and why. Never in anybody's way.

Every tap gets a record on wet.scores. Until the first expert knows enough its state is `warming` and its score null:
not knowing is a state, not a zero. A panel of experts is asked (`models/wet/ensemble`), and one of them speaks. The
forest among them is learned from a reservoir of what passed, in another process, and swapped in whole between two
batches; the others learn here, in steps whose size has a limit. Each score names whose word it is.

How decisions turned out comes later, from wet.cases, and is joined with their features as they were.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from typing import Any, Final, Protocol

import msgspec
import numpy as np
from aiokafka import ConsumerRecord
from numpy.typing import NDArray

from sidechain.agents.wet.feed import UNREADABLE
from sidechain.agents.wet.recorder import Recorder
from sidechain.models.policy import Wet
from sidechain.models.wet.ensemble import Ensemble, Judged
from sidechain.models.wet.experts.contract import Batch, Expert
from sidechain.models.wet.experts.fitted import FittedForest
from sidechain.models.wet.experts.makes import experts_of
from sidechain.models.wet.forest import ForestModel, matrix
from sidechain.models.wet.reservoir import Reservoir
from sidechain.models.wet.schedule import Schedule
from sidechain.models.wet.waiting import Waiting
from sidechain.topics.wet import Case, Score, Tap

log = logging.getLogger(__name__)

SEED: Final = 1
FIRST_S: Final = 15.0
CHAMPION: Final = "champion"
MAX_STEP_MS: Final = 86_400_000


class Fits(Protocol):
    """Where forests come from: `agents.wet.fitter`, or one that fits at once."""

    @property
    def is_busy(self) -> bool: ...
    @property
    def is_done(self) -> bool: ...
    def ask(self, sample: NDArray[np.float64], names: Sequence[str], seed: int, version: int) -> None: ...
    async def wait(self, bound_s: float) -> None: ...
    def take(self) -> ForestModel | None: ...


def now_ms() -> float:
    """For the latency of experts."""
    return time.perf_counter() * 1_000.0


class Scorer:
    """The panel, the forest in use, and when to learn the next one."""

    def __init__(
        self,
        wet: Wet,
        fitter: Fits,
        *,
        seed: int = SEED,
        max_step_ms: int = MAX_STEP_MS,
        given: Mapping[str, Expert] | None = None,
        signals: Sequence[str] = (),
        clock: Callable[[], float] = now_ms,
        bounded: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`given`: experts made elsewhere, by name. `signals`: those learned from outcomes, for experts that read them.

        `max_step_ms`: how far one tap moves event time. `clock`: in ms. `bounded`: around each turn.
        """
        self.unreadable = 0
        self._wet = wet
        self._fitter = fitter
        self._seed = seed
        self._names = tuple(sorted(wet.vector))
        self._columns = (*self._names, *(signals if CHAMPION in wet.experts else ()))  # of batches
        self._forest = FittedForest(self._names) if "forest" in wet.experts else None
        made = {"forest": self._forest, **(given or {})} if self._forest is not None else given or {}
        self.ensemble = Ensemble(wet, experts_of(wet, seed, made), clock, seed, bounded)
        self.waiting = Waiting(self._columns, len(self.ensemble.names), max_step_ms)
        self.record = Recorder(wet, self.ensemble)
        self._reservoir = Reservoir(len(self._names), seed)
        self._asked_of = 0  # rows of the sample that was asked for last
        self._schedule = Schedule(wet.warmup)
        self._decode = msgspec.json.Decoder(Tap).decode
        self._decode_case = msgspec.json.Decoder(Case).decode

    @property
    def model(self) -> ForestModel | None:
        """The forest in use."""
        return self._forest.model if self._forest is not None else None

    def read(self, records: Sequence[ConsumerRecord]) -> list[Tap]:
        """The taps in a batch; what is none is skipped and counted, it cannot be scored."""
        return list(self._read(records, self._decode, "tap"))

    def read_cases(self, records: Sequence[ConsumerRecord]) -> list[Case]:
        """The same for cases."""
        return list(self._read(records, self._decode_case, "case"))

    def score(self, taps: Sequence[Tap]) -> list[Score]:
        """One score per tap; then the taps are learned from."""
        self._swap()
        batch = self._batch(taps)
        judged = self.ensemble.judge(batch)
        scores = self.record.scores(taps, batch, judged, is_warming=self._forest is not None and self.model is None)
        self._passed(taps, batch, judged)
        return scores

    def settle(self, cases: Sequence[Case]) -> None:
        """How decisions turned out; it is learned of as soon as the taps have come to that time."""
        for one in cases:
            if one.label is not None:
                self.waiting.told(one.partition, one.seq, one.at, is_bad=one.label == "bad")
        self._hear()

    async def ready(self) -> None:
        """While the very first forest is being fitted, wait for it: late advice is worth more than none at all.

        Bounded, so that a fit that hangs leaves scores that say so.
        """
        if self.model is None:
            await self._fitter.wait(FIRST_S)

    def prime(self, taps: Sequence[Tap]) -> None:
        """Taps scored before this process began: they pass once more, so that a restart need not warm up again."""
        self._swap()
        batch = self._batch(taps)
        self._passed(taps, batch, self.ensemble.judge(batch))

    def _batch(self, taps: Sequence[Tap]) -> Batch:
        width = len(self._names)
        rows = matrix(self._names, [one.features for one in taps])
        if len(self._columns) > width:
            rows = np.hstack([rows, matrix(self._columns[width:], [one.signals for one in taps])])
        return Batch(self._columns, rows, [one.key for one in taps], [one.id for one in taps])

    def _passed(self, taps: Sequence[Tap], batch: Batch, judged: Judged) -> None:
        """Learn from what was judged, and remember it until its outcome comes."""
        self.ensemble.learn(batch, judged)
        first = 0
        for partition, some in groupby(taps, lambda one: one.partition):
            own = list(some)
            part = slice(first, first + len(own))
            whole = batch if len(own) == len(taps) else _part(batch, part)
            self.waiting.tapped(partition, [x.seq for x in own], [x.at for x in own], whole, judged.said[:, part])
            first += len(own)
        self._hear()
        self._reservoir.add(batch.columns(self._names))
        self._learn()

    def _hear(self) -> None:
        settled = self.waiting.due()
        if settled is not None:
            self.ensemble.learn_outcomes(settled.batch, settled.said, settled.is_bad)

    def _swap(self) -> None:
        """Take a finished forest into use."""
        if self._forest is None or not self._fitter.is_done:
            return
        model = self._fitter.take()
        if model is None:
            self._schedule.again(self._reservoir.seen)
            return
        self._forest.use(model, self._asked_of)
        log.info("scoring with %s, learned from %d taps seen", model.name, self._reservoir.seen)

    def _learn(self) -> None:
        """Ask for the next forest when it is due. A fit under way is never overtaken."""
        if self._forest is None or self._reservoir.seen < self._schedule.due_at or self._fitter.is_busy:
            return
        version = self.model.version + 1 if self.model else 1
        self._asked_of = len(self._reservoir)
        self._fitter.ask(self._reservoir.sample(), self._names, self._seed + version, version)
        self._schedule.passed(self._reservoir.seen)

    def _read(self, records: Sequence[ConsumerRecord], decode: Callable[[bytes], Any], what: str) -> Iterator[Any]:
        for record in records:
            try:
                yield decode(record.value or b"")
            except UNREADABLE as fault:
                self.unreadable += 1
                log.warning("%s/%d@%d is no %s: %s", record.topic, record.partition, record.offset, what, fault)


def _part(batch: Batch, some: slice) -> Batch:
    return Batch(batch.names, batch.rows[some], batch.keys[some], batch.ids[some])
