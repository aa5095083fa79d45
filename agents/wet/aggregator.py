"""Cases in, learned signals out: what outcomes say about something many keys share. It never blocks a decision.

Every case is counted once: what is written and how far was read are one transaction, and one transactional id for the
whole installation shuts out whoever was the aggregator before. The compacted topic is the memory: a new aggregator
reads every subject's last word, and the cases of decisions whose outcome may still come. What it cannot read, counts.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from sidechain.agents.lane.problems import is_fenced
from sidechain.agents.metrics import AggregatorMetrics
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.reader import STALL_S, Reader
from sidechain.agents.subjects import signal_key
from sidechain.agents.wet.feed import START_S, UNREADABLE, Out, Publisher
from sidechain.models.policy import Policy
from sidechain.models.wet import aggregate
from sidechain.topics.codec import encode
from sidechain.topics.wet import Case, LearnedSignal

log = logging.getLogger(__name__)

POLL_MS: Final = 200
A_ROUND: Final = 5_000  # cases of one transaction
COMMIT_S: Final = 60.0  # for one transaction; then the worker ends, and the next one counts from there
CASES_A_DECISION: Final = 2  # itself, and its label


class AggregatorWorker:
    """Reads wet.cases of all partitions, and writes wet.signals."""

    def __init__(
        self,
        policy: Policy,
        options: Mapping[str, Any],
        name: Callable[[str], str],
        group: str,
        metrics: AggregatorMetrics,
    ) -> None:
        """`options`: aiokafka's connection settings. `name`: topic of a logical name. `group`: prefix of the group."""
        self.shares = aggregate.Shares(policy)
        self._signals = tuple(aggregate.learned(policy))
        # A decision can be settled so many entries behind it; its case is looked for no further back.
        self._back = CASES_A_DECISION * policy.event.duplicate_horizon
        self._options = options
        self._cases, self._topic = name("wet.cases"), name("wet.signals")
        self._group = f"{group}wet.aggregator"
        self._metrics = metrics
        self._forgotten = 0
        self._case = msgspec.json.Decoder(Case).decode
        self._word = msgspec.json.Decoder(LearnedSignal).decode

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises EnvironmentProblem when another aggregator has begun."""
        if not self._signals:
            log.info("the pack has no signal that is learned from outcomes (`learn`); nothing to do")
            await stop.wait()
            return
        async with AsyncExitStack() as stack:
            publisher = Publisher(self._options, transactional_id=self._group)
            stack.push_async_callback(publisher.stop)
            await publisher.start()
            consumer = self._consumer()
            stack.push_async_callback(consumer.stop)
            await asyncio.wait_for(consumer.start(), START_S)
            await self._restore(consumer)
            try:
                while not stop.is_set():
                    got = await consumer.getmany(timeout_ms=POLL_MS, max_records=A_ROUND)
                    if got:
                        with self._metrics.seconds.time():
                            await self._round(publisher, got)
                    self._measure(consumer)
            except KafkaError as fault:
                if not is_fenced(fault):
                    raise
                raise EnvironmentProblem(
                    "another aggregator of this prefix has begun, and goes on where this one stood; run one of them"
                ) from fault

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._options,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=A_ROUND,
        )

    async def _restore(self, consumer: AIOKafkaConsumer) -> None:
        """Read back what is known, and begin to read what is new."""
        async with Reader(self._options, self._topic) as words, Reader(self._options, self._cases) as cases:
            async for batch in words.to_end(await words.partitions()):
                self._recall(batch)
            tps = [TopicPartition(self._cases, one) for one in await cases.partitions()]
        reached = {tp: await consumer.committed(tp) or 0 for tp in tps}
        consumer.assign(tps)
        for tp, offset in reached.items():
            consumer.seek(tp, max(0, offset - self._back))
        progress = asyncio.get_running_loop().time()
        while behind := [tp for tp, offset in reached.items() if await consumer.position(tp) < offset]:
            got = await consumer.getmany(*behind, timeout_ms=POLL_MS, max_records=A_ROUND)
            for tp, batch in got.items():
                for case in self._read([one for one in batch if one.offset < reached[tp]]):
                    self.shares.remember(tp.partition, case)
            now = asyncio.get_running_loop().time()
            progress = now if got else progress
            if now - progress > STALL_S:
                raise EnvironmentProblem(f"no record of {self._cases} came for {STALL_S:.0f} s; is the broker up?")
        for tp, offset in reached.items():
            consumer.seek(tp, offset)
        log.info("%d subjects known, %d decisions without an outcome", len(self.shares), self.shares.decisions)

    async def _round(self, publisher: Publisher, got: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        became: Counter[str] = Counter()
        for tp in sorted(got):
            became.update(self.shares.take(tp.partition, case) for case in self._read(got[tp]))
        told = list(self._told())
        async with asyncio.timeout(COMMIT_S):
            offsets = {tp: batch[-1].offset + 1 for tp, batch in got.items()}
            await publisher.publish_once(0, told, offsets, self._group)
        for result, count in became.items():
            self._metrics.cases[result].inc(count)
        self._metrics.told.inc(len(told))

    def _told(self) -> Iterator[Out]:
        for (signal, of), word in self.shares.told():
            yield Out(self._topic, signal_key(signal, of), None if word is None else encode(learned_record(word)))

    def _read(self, batch: Sequence[ConsumerRecord]) -> Iterator[aggregate.Case]:
        for record in batch:
            try:
                case = self._case(record.value or b"")
            except UNREADABLE as fault:
                self._metrics.unreadable.inc()
                log.warning("%s/%d@%d is no case: %s", record.topic, record.partition, record.offset, fault)
                continue
            yield aggregate.Case(case.offset, case.seq, case.at, case.of, case.label)

    def _recall(self, batch: Sequence[ConsumerRecord]) -> None:
        for record in batch:
            signal, _, of = (record.key or b"").decode(errors="replace").partition("/")
            if signal not in self._signals:
                continue
            try:
                word = None if record.value is None else self._word(record.value)
            except UNREADABLE as fault:
                self._metrics.unreadable.inc()
                log.warning("%s@%d is no learned signal: %s", record.topic, record.offset, fault)
                continue
            self.shares.restore((signal, of), word.panes if word is not None else None)

    def _measure(self, consumer: AIOKafkaConsumer) -> None:
        shares = self.shares
        self._metrics.subjects.set(len(shares))
        self._metrics.decisions.set(shares.decisions)
        self._metrics.forgotten.inc(shares.forgotten - self._forgotten)
        self._forgotten = shares.forgotten
        self._metrics.lag.set(sum(_lag(consumer, tp) for tp in consumer.assignment()))


def _lag(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int:
    end = consumer.last_stable_offset(tp)
    state = consumer._subscription.subscription.assignment.state_value(tp)  # noqa: SLF001 - no public call tells without waiting
    return max(0, end - state.position) if end is not None and end >= 0 and state.has_valid_position else 0


def learned_record(word: aggregate.Word) -> LearnedSignal:
    """The word as it stands on the topic."""
    return LearnedSignal(
        signal=word.signal,
        of=word.of,
        value=word.value_bp,
        model=word.model,
        as_of=word.as_of,
        known=word.known,
        hits=word.hits,
        rationale=word.rationale,
        panes=word.panes,
    )
