"""Read a topic from here to there, as a read_committed reader sees it.

Every reading command (verify, replay, explain, tail, the demo's proof) goes through here, so that what they show is
what a consumer would get: no aborted record, no transaction marker, an end that was fixed when reading began.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from sidechain.agents.problems import EnvironmentProblem

POLL_MS = 500
STALL_S = 20.0  # no progress for this long although the end is not reached: the broker is gone or a transaction hangs


class Reader:
    """A consumer without a group over some partitions of one topic. Use as an async context manager."""

    def __init__(self, options: Mapping[str, Any], topic: str) -> None:
        """`options`: aiokafka's connection settings, as `config.kafka_options` gives them."""
        self.topic = topic
        self._consumer = AIOKafkaConsumer(
            **options,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )

    async def __aenter__(self) -> "Reader":
        try:
            await asyncio.wait_for(self._consumer.start(), STALL_S)
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def exists(self) -> bool:
        """Whether there is such a topic."""
        return bool(await self._partitions())

    async def partitions(self) -> list[int]:
        """The topic's partitions; a missing topic is the reader's environment, not an empty answer."""
        found = await self._partitions()
        if not found:
            raise EnvironmentProblem(f"topic {self.topic} does not exist; `sidechain topics apply` creates it")
        return sorted(found)

    async def _partitions(self) -> set[int]:
        await self._consumer._client.force_metadata_update()  # noqa: SLF001 - no public call refreshes without a subscription
        return set(self._consumer.partitions_for_topic(self.topic) or ())

    async def ends(self, partitions: Sequence[int]) -> dict[int, int]:
        """Per partition the offset behind the last stable record, as of now."""
        tps = [TopicPartition(self.topic, one) for one in partitions]
        return {tp.partition: end for tp, end in (await self._consumer.end_offsets(tps)).items()}

    async def to_end(
        self, partitions: Sequence[int], *, start: Mapping[int, int] | None = None
    ) -> AsyncIterator[Sequence[ConsumerRecord]]:
        """Batches of records of one partition each, from `start` (default: the beginning) to the end as of now."""
        tps = {one: TopicPartition(self.topic, one) for one in partitions}
        self._consumer.assign(list(tps.values()))
        ends = await self.ends(partitions)
        begins = await self._consumer.beginning_offsets(list(tps.values()))
        for number, tp in tps.items():
            self._consumer.seek(tp, max(begins[tp], (start or {}).get(number, 0)))
        waiting = {number for number, tp in tps.items() if await self._consumer.position(tp) < ends[number]}
        last_progress = asyncio.get_running_loop().time()
        while waiting:
            got = await self._consumer.getmany(*(tps[one] for one in waiting), timeout_ms=POLL_MS)
            for tp, records in got.items():
                if kept := [one for one in records if one.offset < ends[tp.partition]]:
                    yield kept
            reached = {one for one in waiting if await self._consumer.position(tps[one]) >= ends[one]}
            now = asyncio.get_running_loop().time()
            if got or reached:
                last_progress = now
            elif now - last_progress > STALL_S:
                raise EnvironmentProblem(
                    f"no record of {self.topic} came for {STALL_S:.0f} s although its end is not reached; "
                    "is the broker up, or does a transaction hang? (`sidechain doctor`)"
                )
            waiting -= reached

    async def follow(self, partitions: Sequence[int], *, from_end: bool) -> AsyncIterator[Sequence[ConsumerRecord]]:
        """Batches for ever; the caller stops."""
        tps = [TopicPartition(self.topic, one) for one in partitions]
        self._consumer.assign(tps)
        await (self._consumer.seek_to_end(*tps) if from_end else self._consumer.seek_to_beginning(*tps))
        while True:
            for records in (await self._consumer.getmany(*tps, timeout_ms=POLL_MS)).values():
                yield records
