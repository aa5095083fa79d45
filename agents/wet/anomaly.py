"""Taps in, scores out: how unusual each decision's features are, and why. Never in anybody's way.

Every tap gets a record on wet.scores. Until the first model is there its state is `warming` and its score null: not
knowing is a state, not a zero. Models are learned from a reservoir of what passed, in another process, and swapped in
whole between two batches; each score names the version it came from.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from aiokafka import ConsumerRecord

from sidechain.agents.reader import Reader
from sidechain.agents.wet.feed import UNREADABLE
from sidechain.agents.wet.fitter import Fitter
from sidechain.models.policy import Wet
from sidechain.models.wet.forest import ForestModel, matrix
from sidechain.models.wet.rationale import rationale
from sidechain.models.wet.reservoir import Reservoir
from sidechain.models.wet.schedule import Schedule
from sidechain.topics.records import Score, Tap

log = logging.getLogger(__name__)

SEED: Final = 1
DIGITS: Final = 9  # of a score's numbers: parts rounded so still sum to the score within 1e-6
WARMING: Final = "warming up"
FIRST_S: Final = 15.0
PAST: Final = 4_096  # taps of each partition that a new process looks back on
PAST_S: Final = 20.0


class Scorer:
    """The reservoir, the model in use, and when to learn the next one."""

    def __init__(self, wet: Wet, fitter: Fitter, *, seed: int = SEED) -> None:
        self.model: ForestModel | None = None
        self.unreadable = 0
        self._wet = wet
        self._fitter = fitter
        self._seed = seed
        self._reservoir = Reservoir(len(wet.vector), seed)
        self._schedule = Schedule(wet.warmup)
        self._usual: dict[str, tuple[float, float]] = {}
        self._decode = msgspec.json.Decoder(Tap).decode

    def read(self, records: Sequence[ConsumerRecord]) -> list[Tap]:
        """The taps in a batch; what is none is skipped and counted, it cannot be scored."""
        taps = []
        for record in records:
            try:
                taps.append(self._decode(record.value or b""))
            except UNREADABLE as fault:
                self.unreadable += 1
                log.warning("%s/%d@%d is no tap: %s", record.topic, record.partition, record.offset, fault)
        return taps

    def score(self, taps: Sequence[Tap]) -> list[Score]:
        """One score per tap, by the model in use; then the taps join the sample."""
        self._swap()
        rows = matrix(self._wet.vector, [one.features for one in taps])
        scores = list(self._scored(self.model, taps, rows) if self.model else map(_warming, taps))
        self._reservoir.add(rows)
        self._learn()
        return scores

    async def ready(self) -> None:
        """While the very first model is being fitted, wait for it: late advice is worth more than none at all.

        Bounded, so that a fit that hangs leaves scores that say so.
        """
        if self.model is None:
            await self._fitter.wait(FIRST_S)

    def prime(self, taps: Sequence[Tap]) -> None:
        """Taps scored before this process began: they join the sample, so that a restart need not warm up again."""
        self._reservoir.add(matrix(self._wet.vector, [one.features for one in taps]))
        self._learn()

    def _swap(self) -> None:
        """Take a finished model into use."""
        if not self._fitter.is_done:
            return
        model = self._fitter.take()
        if model is None:
            self._schedule.again(self._reservoir.seen)
            return
        self.model = model
        self._usual = {name: (low, high) for name, (low, high) in zip(model.names, model.usual.tolist(), strict=True)}
        log.info("scoring with %s, learned from %d taps seen", model.name, self._reservoir.seen)

    def _learn(self) -> None:
        """Ask for the next model when it is due. A fit under way is never overtaken."""
        if self._reservoir.seen >= self._schedule.due_at and not self._fitter.is_busy:
            version = self.model.version + 1 if self.model else 1
            self._fitter.ask(self._reservoir.sample(), self._wet.vector, self._seed + version, version)
            self._schedule.passed(self._reservoir.seen)

    def _scored(self, model: ForestModel, taps: Sequence[Tap], rows: Any) -> Iterator[Score]:
        why = model.explain(rows)
        base = round(why.base, DIGITS)
        score = np.round(why.score, DIGITS).tolist()
        order = np.argsort(-np.abs(why.parts), axis=1, kind="stable")
        parts = np.round(np.take_along_axis(why.parts, order, axis=1), DIGITS).tolist()
        for tap, value, ranked, shares in zip(taps, score, order.tolist(), parts, strict=True):
            reasons = tuple((model.names[at], part) for at, part in zip(ranked, shares, strict=True))
            yield Score(
                id=tap.id,
                key=tap.key,
                at=tap.at,
                partition=tap.partition,
                seq=tap.seq,
                action=tap.action,
                model=model.name,
                state="scored",
                score=value,
                base=base,
                reasons=reasons,
                rationale=rationale(reasons, tap.features, self._usual, self._wet.words),
            )


class Past:
    """Reads the tail of every partition of wet.taps once, when it first arrives. Bounded, and may fail."""

    def __init__(self, scorer: Scorer, topic: str, options: Mapping[str, Any]) -> None:
        self._scorer = scorer
        self._topic = topic
        self._options = options
        self._read: set[int] = set()

    async def open(self, held: Sequence[int]) -> None:
        """Taps not scored yet are among them and come again: a sample does not mind."""
        new = [one for one in held if one not in self._read]
        if not new:
            return
        self._read.update(new)
        try:
            async with asyncio.timeout(PAST_S), Reader(self._options, self._topic) as reader:
                starts = {one: max(0, end - PAST) for one, end in (await reader.ends(new)).items()}
                async for batch in reader.to_end(new, start=starts):
                    self._scorer.prime(self._scorer.read(batch))
        except TimeoutError:
            log.warning("not all of the tail of %s was read within %.0f s, going on", self._topic, PAST_S)


def _warming(tap: Tap) -> Score:
    return Score(
        id=tap.id,
        key=tap.key,
        at=tap.at,
        partition=tap.partition,
        seq=tap.seq,
        action=tap.action,
        model=None,
        state="warming",
        score=None,
        base=None,
        reasons=(),
        rationale=WARMING,
    )
