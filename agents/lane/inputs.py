"""What a lane reads: events, what the wet side says, and what people activated.

Events have a connection of their own, so that neither a flood of metadata nor of control records can keep one waiting;
the side inputs are polled once a round, a bounded number at a time. Losing sight of the wet side is its problem, not
ours: values grow old and then are unknown.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from sidechain.agents.lane.control_queue import ControlQueue
from sidechain.agents.lane.lists import ListLoader
from sidechain.agents.lane.log_ends import FETCH_BYTES, Ends, reader
from sidechain.agents.lane.metadata import MetadataTable
from sidechain.agents.settings import Config
from sidechain.models.dry.lists import Activation, Table

log = logging.getLogger(__name__)

POLL_MS: Final = 20
SIDE_RECORDS: Final = 500  # side records read a round
CONTROL_HELD: Final = 64  # control records waiting; beyond it the topic is not read
CONTROL_A_ROUND: Final = 4  # a new policy is compiled, which takes long enough to feel
COMPLAIN_S: Final = 60.0


class Events:
    """The events of a shard's partitions, from given offsets on."""

    def __init__(self, options: Mapping[str, Any], config: Config, partitions: Sequence[int]) -> None:
        self._tps = {one: TopicPartition(config.topic("events"), one) for one in partitions}
        self._max_records = config.batch_max_records
        self._consumer = reader(
            options,
            max_partition_fetch_bytes=max(65_536, config.batch_max_bytes // max(1, len(partitions))),
            fetch_max_bytes=config.batch_max_bytes,
        )

    async def start(self) -> None:
        """Connect; nothing is read yet."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Begin to read, at these offsets."""
        self._consumer.assign([self._tps[one] for one in offsets])
        for partition, offset in offsets.items():
            self._consumer.seek(self._tps[partition], offset)

    async def poll(
        self, max_records: int | None = None, only: Sequence[int] | None = None
    ) -> dict[int, Sequence[ConsumerRecord]]:
        """What has come, in order within each partition; waits POLL_MS at most. `only`: of these partitions."""
        tps = [self._tps[one] for one in only or ()]
        got = await self._consumer.getmany(*tps, timeout_ms=POLL_MS, max_records=max_records or self._max_records)
        return {tp.partition: records for tp, records in got.items()}

    async def reached(self, partition: int) -> int:
        """The offset behind the last record `poll` returned, and behind markers that follow it."""
        return await self._consumer.position(self._tps[partition])  # type: ignore[no-any-return]

    async def places(self) -> dict[int, tuple[int, int]]:
        """Of each partition the offset of the next record to read, and behind the last one that is there."""
        places = {}
        for tp in self._consumer.assignment():
            end = self._consumer.last_stable_offset(tp)
            if end is not None and end >= 0:
                places[tp.partition] = (await self._consumer.position(tp), end)
        return places


class SideInputs:
    """Metadata of the shard's partitions, and the control topic."""

    def __init__(
        self,
        options: Mapping[str, Any],
        config: Config,
        partitions: Sequence[int],
        name: Callable[[str], str],
        lists: ListLoader,
    ) -> None:
        """`name`: an event's key -> the key its metadata stands under."""
        self.tables = {one: MetadataTable(name) for one in partitions}
        self._control_tp = TopicPartition(config.topic("control"), 0)
        self._metadata = {TopicPartition(config.topic("wet.metadata"), one): one for one in partitions}
        self._timeout_s = config.metadata_timeout_s
        self._consumer: AIOKafkaConsumer = reader(options, max_partition_fetch_bytes=FETCH_BYTES)
        self._control = ControlQueue(lists)
        self._complained = float("-inf")

    async def start(self) -> None:
        """Connect; nothing is read yet."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Disconnect."""
        self._control.close()
        await self._consumer.stop()

    @property
    def is_behind(self) -> bool:
        """Whether control records are here that are not obeyed yet."""
        return bool(len(self._control))

    def rows(self, offset: int, activation: Activation) -> Table | None:
        """The rows of a list that a control record of this round puts in force."""
        return self._control.rows(offset, activation)

    async def catch_up(self) -> dict[int, Sequence[ConsumerRecord]]:
        """Wait a little for the rows of a list, if control records wait for them; no events come of it."""
        await self._control.wait(POLL_MS / 1_000)
        return {}

    async def load(self, ends: Ends, has_metadata: bool, control_from: int) -> None:
        """Read metadata and control up to their ends as of now, within the time metadata may take.

        All of control is waited for: a policy that is active already must not begin a little later by chance.
        """
        metadata = list(self._metadata) if has_metadata else []
        spans = await ends.spans([self._control_tp, *metadata])
        self._consumer.assign(list(spans))
        for tp, span in spans.items():
            self._consumer.seek(tp, span.start)
        self._consumer.seek(self._control_tp, max(spans[self._control_tp].start, control_from))
        loop = asyncio.get_running_loop()
        deadline = patience = loop.time() + self._timeout_s
        reached = -1
        while behind := [tp for tp, span in spans.items() if await self._consumer.position(tp) < span.end]:
            if (position := await self._consumer.position(self._control_tp)) > reached:
                reached, patience = position, loop.time() + self._timeout_s  # the rows of lists may take a while
            if self._control_tp in behind and loop.time() > patience:
                raise TimeoutError(f"{self._control_tp.topic} was not read within {self._timeout_s:.0f} s")
            if self._control_tp not in behind and loop.time() > deadline:
                log.warning("metadata not loaded within %.0f s: going on, what is missing is unknown", self._timeout_s)
                return
            self._sort(await self._consumer.getmany(timeout_ms=100))

    async def poll(self) -> list[ConsumerRecord]:
        """Take in what has come, without waiting; returns the control records to obey now. A lost side is no fault.

        What is returned is to be decided before the next call.
        """
        if len(self._control) > CONTROL_HELD:
            self._consumer.pause(self._control_tp)
        elif self._consumer.paused():
            self._consumer.resume(self._control_tp)
        try:
            self._sort(await self._consumer.getmany(timeout_ms=0, max_records=SIDE_RECORDS))
        except KafkaError as fault:
            now = asyncio.get_running_loop().time()
            if now - self._complained > COMPLAIN_S:
                self._complained = now
                log.warning("metadata or control cannot be read at the moment: %r", fault)
        return self._control.ready(CONTROL_A_ROUND)

    def _sort(self, got: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        for tp, records in got.items():
            if tp == self._control_tp:
                self._control.extend(records)
            else:
                self.tables[self._metadata[tp]].take(records)
