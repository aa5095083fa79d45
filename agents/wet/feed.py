"""How records reach a wet agent, and how its answers leave: whole rounds in and out, at least once.

A feed is a plain group consumer and a channel. One round: fetch, put what came into the channel as one list with a
`Batch` for each partition, wait until the agent has committed every one of them, commit the offsets. Offsets follow the
answers, so after a crash records come again, never not at all; what reads the answers takes repetition (ids, versions,
compaction).

Rounds are few and large: the broker holds a fetch back for `gather_ms` unless much waits already. Each round costs the
broker a fetch, a write for every partition and a commit, which the dry side would wait behind.

Bounds: one round is under way at a time, so at most `max_records` records are held; an agent that does not answer
within BATCH_S ends the worker; a feed that may skip (`max_lag`) jumps forward and counts instead of falling behind.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, RebalanceInProgressError

from sidechain.agents.arrivals import Arrivals, Fullest
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.wet.overflow import QueueGuard
from sidechain.agents.wet.pace import Pace
from sidechain.agents.wet.pauses import waited

log = logging.getLogger(__name__)

BATCH_S: Final = 120.0  # an agent that takes longer over one round is stuck
START_S: Final = 60.0
POLL_MS: Final = 200
BATCH_BYTES: Final = 512 * 1024
GATHER_MS: Final = 200
GATHER_BYTES: Final = 512 * 1024  # what is worth a round at once
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError)  # what msgspec raises for bytes that are no such record


class Out(NamedTuple):
    """One record to write; it goes to the partition its batch came from."""

    topic: str
    key: bytes
    value: bytes | None


class AgentStuckError(RuntimeError):
    """Our own fault: an agent stopped answering. The worker ends, its partitions go to the next."""


class Batch:
    """Records of one partition, in order, and where the answers go."""

    def __init__(
        self, partition: int, records: Sequence[ConsumerRecord], publisher: "Publisher", topic: str = ""
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.records = records
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._publisher = publisher

    async def commit(self, answers: Iterable[Out]) -> None:
        """Write the answers; once they are acknowledged, the batch is done."""
        await self._publisher.publish(self.partition, answers)
        if not self.done.done():
            self.done.set_result(None)


class Publisher:
    """Writes records to given partitions, whole batches at a time."""

    def __init__(self, options: Mapping[str, Any], transactional_id: str | None = None) -> None:
        """`transactional_id`: whoever had it before is fenced, and can write no more; needed for `publish_once`."""
        self._producer = AIOKafkaProducer(
            **options,
            acks="all",
            enable_idempotence=True,
            transactional_id=transactional_id,
            max_batch_size=BATCH_BYTES,
            max_request_size=4 * BATCH_BYTES,
        )

    async def start(self) -> None:
        """Connect, within START_S."""
        await asyncio.wait_for(self._producer.start(), START_S)

    async def stop(self) -> None:
        """Write what is under way and disconnect."""
        await self._producer.stop()

    async def publish(self, partition: int, records: Iterable[Out]) -> None:
        """Returns when all are acknowledged; raises what the broker answers."""
        by_topic: dict[str, list[Out]] = {}
        for one in records:
            by_topic.setdefault(one.topic, []).append(one)
        sent = [
            await self._producer.send_batch(batch, topic, partition=partition)
            for topic, group in by_topic.items()
            for batch in self._filled(group)
        ]
        await asyncio.gather(*sent)

    async def publish_once(
        self, partition: int, records: Iterable[Out], offsets: Mapping[TopicPartition, int], group: str
    ) -> None:
        """Write the answers and how far the group has read in one transaction, so that nothing counts twice.

        After an exception this publisher is done: whoever comes next ends the transaction.
        """
        await self._producer.begin_transaction()
        await self.publish(partition, records)
        await self._producer.send_offsets_to_transaction(offsets, group)
        await self._producer.commit_transaction()

    def _filled(self, records: Sequence[Out]) -> Iterable[Any]:
        batch = self._producer.create_batch()
        for one in records:
            if batch.append(timestamp=None, key=one.key, value=one.value) is None:
                yield batch
                batch = self._producer.create_batch()  # an empty batch takes one record of any size
                batch.append(timestamp=None, key=one.key, value=one.value)
        if batch.record_count():
            yield batch


class _Assigned(ConsumerRebalanceListener):  # type: ignore[misc]
    """Only counts: whatever was held about partitions is stale after a rebalance."""

    def __init__(self) -> None:
        self.generation = 0

    def on_partitions_revoked(self, revoked: object) -> None:
        """Nothing to hand over: offsets are committed after every round."""

    def on_partitions_assigned(self, assigned: object) -> None:  # noqa: ARG002 - aiokafka's signature
        """What is held about partitions is read again before their next batch."""
        self.generation += 1


def gathering(gather_ms: int) -> dict[str, int]:
    """Options of a consumer that would rather have much at once than little at a time."""
    return {"fetch_min_bytes": GATHER_BYTES, "fetch_max_wait_ms": gather_ms} if gather_ms > 0 else {}


async def _nothing(partitions: Sequence[int]) -> None:
    """The default of `opened`: an agent that holds nothing per partition."""


class Feed:
    """Partition batches of one topic, for one agent."""

    def __init__(
        self,
        app: Any,
        publisher: Publisher,
        options: Mapping[str, Any],
        *,
        topic: str,
        group: str,
        max_records: int = 2_000,
        max_lag: int | None = None,
        gather_ms: int = GATHER_MS,
        pace: Pace | None = None,
        beside: Sequence[str] = (),
        guard: QueueGuard | None = None,
        opened: Callable[[Sequence[int]], Awaitable[None]] = _nothing,
    ) -> None:
        """`app`: the Faust app. `max_lag`: further behind than this, skip. `gather_ms`: how long records may wait for
        others, 0: not at all. `pace`: when to rest. `beside`: topics with as many partitions, of which the same ones
        are held. `guard`: told how much waits of `topic`, and asked what is to go. `opened`: told after every rebalance
        which partitions are held now, before their first batch: others may have had them meanwhile."""
        self.rounds = app.channel(maxsize=1)  # of lists of batches
        self.lag = 0
        self.skipped = 0
        self.fullest = Fullest()
        self.partitions = 0
        self._topic = topic
        self._topics = (topic, *beside)
        self._publisher = publisher
        self._max_records = max_records
        self._max_lag = max_lag
        self._guard = guard
        self._pace = pace
        self._opened = opened
        self._arrivals = Arrivals()
        self._held: list[int] = []
        self._under_way: list[Batch] = []
        self._assigned = _Assigned()
        self._consumer = AIOKafkaConsumer(
            **options,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=max_records,
            **gathering(gather_ms),
            # By range, equal numbers are given to one and the same; the other is what members of before still speak.
            partition_assignment_strategy=(RangePartitionAssignor, RoundRobinPartitionAssignor),
        )

    async def run(self, stop: asyncio.Event, told: Callable[["Feed"], None] = lambda _: None) -> None:
        """Feed the agent until `stop`; `told` after each round, for metrics."""
        try:
            await asyncio.wait_for(self._consumer.start(), START_S)
            there = await self._consumer.topics()
            for topic in self._topics:  # subscribing to one that is missing would wait for ever
                if topic not in there:
                    raise EnvironmentProblem(f"topic {topic} does not exist; `sidechain topics apply` creates it")
            self._consumer.subscribe(list(self._topics), listener=self._assigned)
            log.info("feeding %s", self._topic)
            generation = -1
            while not stop.is_set():
                got = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=self._max_records)
                if generation != self._assigned.generation:
                    generation = self._assigned.generation
                    self._held = sorted({tp.partition for tp in self._consumer.assignment()})
                    await self._opened(self._held)
                await self._round({tp: records for tp, records in got.items() if tp.partition in self._held})
                await self._measure()
                told(self)
                if self._pace is not None and (rest_s := self._pace.rest_s()) > 0.0:
                    await waited(stop, rest_s)
        finally:
            await self._consumer.stop()

    async def fail(self, _agent: object, fault: BaseException) -> None:
        """The agent's error handler: its error ends the feed, and with it the worker."""
        for batch in self._under_way:
            if not batch.done.done():
                batch.done.set_exception(fault)

    async def _round(self, got: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        self._under_way = [Batch(tp.partition, records, self._publisher, tp.topic) for tp, records in got.items()]
        if not self._under_way:
            return
        try:
            async with asyncio.timeout(BATCH_S):
                await self.rounds.put(self._under_way)
                await asyncio.gather(*(batch.done for batch in self._under_way))
        except TimeoutError:
            raise AgentStuckError(f"the agent on {self._topic} did not answer within {BATCH_S:.0f} s") from None
        await self._commit({tp: records[-1].offset + 1 for tp, records in got.items()})

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        held = self._consumer.assignment()
        try:
            await self._consumer.commit({tp: offset for tp, offset in offsets.items() if tp in held})
        except (CommitFailedError, IllegalStateError, RebalanceInProgressError) as fault:
            # The partitions moved meanwhile: their next owner reads these records once more.
            log.info("offsets of %s not committed, the group is rebalancing: %s", self._topic, type(fault).__name__)

    async def _measure(self) -> None:
        """How far behind the feed is; skips ahead where it may and must."""
        places = dict(self._places())
        over = self._guard.look(asyncio.get_running_loop().time(), places) if self._guard is not None else []
        skipped = self.skipped
        for partition, (position, end) in places.items():
            behind = max(end - position, 0)
            if self._max_lag is not None and (behind > self._max_lag or partition in over):
                # Half of what may wait, or of what does, so that the next skip is not one record away.
                places[partition] = self._skip(partition, position, end, min(behind, self._max_lag) // 2)
        self.fullest = self._arrivals.fullest(asyncio.get_running_loop().time(), places)
        self.lag, self.partitions = sum(max(end - at, 0) for at, end in places.values()), len(places)
        if self._guard is not None and (self.skipped > skipped or self._guard.is_over):
            self._guard.dropped(self.skipped - skipped)
            await self._commit({TopicPartition(self._topic, one): place[0] for one, place in places.items()})
            self._guard.forced()

    def _places(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """Position and end of each partition of the feed's own topic that both are known of."""
        for tp in self._consumer.assignment():
            end = self._consumer.last_stable_offset(tp)
            state = self._consumer._subscription.subscription.assignment.state_value(tp)  # noqa: SLF001 - no public call
            if end is None or end < 0 or not state.has_valid_position:  # tells the position without waiting for it
                continue
            if tp.topic == self._topic:
                yield tp.partition, (state.position, end)

    def _skip(self, partition: int, position: int, end: int, kept: int) -> tuple[int, int]:
        """Leave out all but the newest `kept` records."""
        target = end - kept
        self.skipped += target - position
        self._consumer.seek(TopicPartition(self._topic, partition), target)
        log.warning("%s/%d: %d behind, skipped to %d", self._topic, partition, end - position, target)
        return target, end
