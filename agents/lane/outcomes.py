"""Outcomes of a shard's partitions: read beside the events, handed over behind those that may be about them.

An outcome is folded only when every event that was in the log before the outcome was read has been handed over. So
nobody who writes an outcome after its event is told that the decision is unknown because a lane was behind: events
have the right of way, and each outcome waits for a number of them that is fixed when it is read.

One that names another partition is written there in the transaction of its own entry, with headers that say where it
was. Whoever finds it misplaced once more leaves it: nothing goes round in circles.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import ConsumerRecord, TopicPartition

from sidechain.agents.lane.log_ends import Ends, reader
from sidechain.agents.settings import Config
from sidechain.models.dry.records import Misplaced

A_ROUND: Final = 1_000  # outcomes read a round; of each partition, no more than one round's are held
FROM: Final = "forwarded.from"  # header: `<partition>@<offset>` where the outcome was written at first


class Forward(NamedTuple):
    """An outcome on its way to the partition it names."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class _Held(NamedTuple):
    records: Sequence[ConsumerRecord]
    until: int  # offset of the partition's events that must have been handed over


class Outcomes:
    """The outcomes of a shard's partitions, from given offsets on."""

    def __init__(self, options: Mapping[str, Any], config: Config, partitions: Sequence[int], ends: Ends) -> None:
        self._tps = {one: TopicPartition(config.topic("outcomes"), one) for one in partitions}
        self._events = {one: TopicPartition(config.topic("events"), one) for one in partitions}
        self._ends = ends
        self._consumer = reader(options, max_partition_fetch_bytes=262_144)
        self._held: dict[int, _Held] = {}
        self._reads = False

    async def start(self) -> None:
        """Connect; nothing is read yet."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Begin to read, at these offsets; none: there is no such topic."""
        self._reads = bool(offsets)
        self._consumer.assign([self._tps[one] for one in offsets])
        for partition, offset in offsets.items():
            self._consumer.seek(self._tps[partition], offset)

    async def read(self) -> None:
        """Take in what has come, without waiting; partitions whose outcomes are held are left alone."""
        if got := await self._come([one for one in self._tps if one not in self._held], A_ROUND):
            ends = await self._ends.stable([self._events[one] for one in got])
            self._held |= {one: _Held(records, ends[self._events[one]]) for one, records in got.items()}

    async def due(self, reached: Callable[[int], Awaitable[int]]) -> dict[int, Sequence[ConsumerRecord]]:
        """What may be folded now. `reached`: up to which offset a partition's events were handed over."""
        free = [one for one, held in self._held.items() if await reached(one) >= held.until]
        return {one: self._held.pop(one).records for one in free}

    async def again(self, partitions: Sequence[int], max_records: int) -> dict[int, Sequence[ConsumerRecord]]:
        """What was handed over before, and is now to be folded in smaller batches: its events have been."""
        return await self._come(partitions, max_records)

    async def _come(self, partitions: Sequence[int], max_records: int) -> dict[int, Sequence[ConsumerRecord]]:
        if not self._reads or not partitions:
            return {}
        tps = [self._tps[one] for one in partitions]
        got = await self._consumer.getmany(*tps, timeout_ms=0, max_records=max_records)
        return {tp.partition: records for tp, records in got.items()}

    async def lag(self) -> int:
        """Records that are there and were not handed over yet."""
        behind = sum(len(held.records) for held in self._held.values())
        for tp in self._consumer.assignment():
            end = self._consumer.last_stable_offset(tp)
            if end is not None and end >= 0:
                behind += max(0, end - await self._consumer.position(tp))
        return behind


def forwards(misplaced: Iterable[Misplaced], own: int, partitions: int) -> list[Forward]:
    """Those that go to the partition they name: it must be there, and none is sent on twice. `own`: where they are."""
    return [
        Forward(one.partition, one.record.key, one.record.value, ((FROM, b"%d@%d" % (own, one.record.offset)),))
        for one in misplaced
        if one.partition < partitions and not _was_forwarded(one.record)
    ]


def _was_forwarded(record: Any) -> bool:
    return any(name == FROM for name, _ in record.headers)
