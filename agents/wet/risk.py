"""Scores in, advice out: the risk of each entity for the next decision, and compensations where one came too late.

What is held about a partition's entities is rebuilt from wet.metadata when the partition arrives, and which
compensations were asked for already, and when, from the tail of theirs. Both are bounded in time and count: if the
topics are slow the agent starts with less, and says so. A compensation's id depends on its decision alone, so the rare
repetition that gets through is the same request, not a second one.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import ConsumerRecord

from sidechain.agents.reader import Reader
from sidechain.agents.wet.feed import Out
from sidechain.agents.wet.legible import Legible
from sidechain.models.policy import Policy
from sidechain.models.wet import risk
from sidechain.models.wet.reasoning import Reasoning
from sidechain.topics.codec import encode
from sidechain.topics.wet import Compensation, DecisionRef, Metadata, Score

log = logging.getLogger(__name__)

RESTORE_S: Final = 20.0
REMEMBERED: Final = 20_000  # compensation ids per partition


@dataclass(frozen=True, slots=True)
class Names:
    """The topics the risk agent reads back and writes."""

    metadata: str
    compensations: str


@dataclass(slots=True)
class Tally:
    """What became of one batch, for the metrics."""

    levels: list[str] = field(default_factory=list)
    compensations: list[str] = field(default_factory=list)  # sent, suppressed, repeated
    forgotten: int = 0
    breaker_trips: int = 0


class RiskAgent:
    """Everything held about the partitions of this worker."""

    def __init__(self, policy: Policy, names: Names, options: Mapping[str, Any]) -> None:
        self._policy = policy
        self._names = names
        self._options = options
        self._risks: dict[int, risk.Risks] = {}
        self._asked: dict[int, OrderedDict[str, None]] = {}
        self._scores = Legible(Score, "score")
        self._told = Legible(Metadata, "metadata")
        self._due = Legible(Compensation, "compensation")

    @property
    def unreadable(self) -> int:
        """Records on any of its topics that were not what they should be."""
        return self._scores.unreadable + self._told.unreadable + self._due.unreadable

    @property
    def entities(self) -> int:
        """How many entities are remembered."""
        return sum(map(len, self._risks.values()))

    @property
    def fullest(self) -> int:
        """How many are remembered in the partition with most."""
        return max(map(len, self._risks.values()), default=0)

    async def open(self, held: Sequence[int]) -> None:
        """These partitions are ours now; what is known about them is rebuilt from the topics."""
        risks = {one: risk.Risks(self._policy.wet, self._policy.event.max_step_ms) for one in held}
        asked: dict[int, OrderedDict[str, None]] = {one: OrderedDict() for one in held}
        started = asyncio.get_running_loop().time()
        try:
            if held:  # more workers than partitions: one of them holds none
                async with asyncio.timeout(RESTORE_S):
                    await self._restore_risks(risks)
                    await self._restore_asked(asked, risks)
        except TimeoutError:
            log.warning("not all of the past was read within %.0f s, going on with what is known", RESTORE_S)
        self._risks, self._asked = risks, asked
        took, ids = asyncio.get_running_loop().time() - started, sum(map(len, asked.values()))
        log.info("%d risks and %d compensations known in %d partitions, %.2f s", self.entities, ids, len(held), took)

    def fold(self, partition: int, batch: Sequence[ConsumerRecord]) -> tuple[list[Out], Tally]:
        """One batch of scores: what to write, and what became of it."""
        risks, out, tally = self._risks[partition], [], Tally()
        forgotten, trips = risks.forgotten, risks.breaker.trips
        for score in self._scores.read(batch):
            outcome = risks.fold(score)
            if outcome.metadata is not None:
                out.append(self._metadata(outcome.metadata))
                tally.levels.append(outcome.metadata.level)
            if outcome.is_suppressed:
                tally.compensations.append("suppressed")
            if outcome.compensation is not None:
                is_new = self._is_new(partition, outcome.compensation.id)
                tally.compensations.append("sent" if is_new else "repeated")
                if is_new:
                    out.append(self._compensation(outcome.compensation))
        tally.forgotten, tally.breaker_trips = risks.forgotten - forgotten, risks.breaker.trips - trips
        return out, tally

    def _metadata(self, told: risk.Metadata) -> Out:
        record = Metadata(
            key=told.key,
            risk_bp=told.risk_bp,
            level=told.level,
            model=told.model,
            as_of=told.as_of,
            expires_at=told.expires_at,
            id=told.id,
            rationale=told.why.rationale,
            reasons=told.why.reasons,
            score=told.why.score,
            base=told.why.base,
            explained=told.why.of,
        )
        return Out(self._names.metadata, told.key.encode(), encode(record))

    def _compensation(self, asked: risk.Compensation) -> Out:
        decision = DecisionRef(id=asked.decision_id, partition=asked.partition, seq=asked.seq, action=asked.action)
        record = Compensation(
            id=asked.id,
            key=asked.key,
            decision=decision,
            risk_bp=asked.risk_bp,
            model=asked.model,
            as_of=asked.as_of,
            rationale=asked.why.rationale,
            reasons=asked.why.reasons,
            request=asked.request,
            score=asked.why.score,
            base=asked.why.base,
            explained=asked.why.of,
        )
        return Out(self._names.compensations, asked.key.encode(), encode(record))

    def _is_new(self, partition: int, asked: str) -> bool:
        known = self._asked[partition]
        if asked in known:
            return False
        known[asked] = None
        if len(known) > REMEMBERED:
            known.popitem(last=False)
        return True

    async def _restore_risks(self, risks: Mapping[int, risk.Risks]) -> None:
        async with Reader(self._options, self._names.metadata) as reader:
            async for batch in reader.to_end(list(risks)):
                for record in batch:
                    if (told := self._told.one(record)) is not None:
                        restored(risks[record.partition], told)

    async def _restore_asked(
        self, asked: Mapping[int, OrderedDict[str, None]], risks: Mapping[int, risk.Risks]
    ) -> None:
        async with Reader(self._options, self._names.compensations) as reader:
            starts = {one: max(0, end - REMEMBERED) for one, end in (await reader.ends(list(asked))).items()}
            async for batch in reader.to_end(list(asked), start=starts):
                for record in batch:
                    if (due := self._due.one(record)) is not None:
                        asked[record.partition][due.id] = None
                        risks[record.partition].breaker.restore(due.as_of)


def restored(risks: risk.Risks, told: Metadata) -> None:
    """Go on from what a metadata record says."""
    why = Reasoning(told.score, told.base, told.reasons, told.rationale, told.explained)
    risks.restore(told.key, told.risk_bp, told.level, told.as_of, why)
