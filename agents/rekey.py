"""Copy a topic to one keyed by a field of its records, each record exactly once.

The position in the source is committed in the same transaction as the copies. There is one copier per pair of topics:
its transactional id fences a predecessor that is still alive, so two cannot both copy. What has no such field, or is
no JSON, is copied without a key (a null value with the key it had): judging is the decider's work, and the dead
letters are where it is kept.

One key's records keep their order where they stood on one source partition. Between source partitions there is no
order to keep: they are copied as they arrive.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import ProducerFenced

from sidechain.agents.admin import administrator
from sidechain.agents.lane.producers import retrieve
from sidechain.agents.problems import EnvironmentProblem, UsageProblem

BATCH: Final = 2_000  # records of one transaction
POLL_MS: Final = 500
MAX_REQUEST_BYTES: Final = 16 * 1024 * 1024
TRANSACTION_MS: Final = 60_000
STOP_S: Final = 10.0

Record = ConsumerRecord[Any, Any]


@dataclass
class Copied:
    """What a copier has done."""

    records: int = 0
    without_key: int = 0  # no JSON object, or the field is missing or no text


class Rekey:
    """One copier from `source` to `target`."""

    def __init__(self, options: Mapping[str, Any], source: str, target: str, field: str) -> None:
        """`options`: aiokafka's connection settings. `field`: the text field that becomes the key."""
        if source == target:
            raise UsageProblem("the source and the target are the same topic; it would be copied for ever")
        self.copied = Copied()
        self._options = options
        self._source = source
        self._target = target
        self._decode = msgspec.json.Decoder(
            msgspec.defstruct("Keyed", [("key", str, msgspec.field(name=field))])
        ).decode
        self._group = f"rekey.{source}.{target}"
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End after the transaction under way."""
        self._stopping.set()

    async def run(self, *, once: bool, progress: Callable[[int, int], None] = lambda _done, _left: None) -> Copied:
        """Copy until stopped, or with `once` until the end as it stands now.

        `progress` is told how many were copied and how many are left. Raises EnvironmentProblem, KafkaError.
        """
        counts = await _partition_counts(self._options)
        for topic in (self._source, self._target):
            if topic not in counts:
                raise EnvironmentProblem(f"topic {topic} does not exist, or we may not see it")
        producer = AIOKafkaProducer(
            **self._options,
            transactional_id=self._group,
            transaction_timeout_ms=TRANSACTION_MS,
            max_request_size=MAX_REQUEST_BYTES,
            linger_ms=5,
        )
        consumer = AIOKafkaConsumer(
            **self._options,
            group_id=self._group,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        try:
            await producer.start()  # first: whoever copied before us is fenced, its last commit decided
            await consumer.start()
            tps = [TopicPartition(self._source, number) for number in range(counts[self._source])]
            await self._copy(producer, consumer, tps, counts[self._target], once=once, progress=progress)
        except ProducerFenced:
            raise EnvironmentProblem(
                f"another `sidechain rekey` from {self._source} to {self._target} took over"
            ) from None
        finally:
            await asyncio.wait_for(consumer.stop(), STOP_S)
            await asyncio.wait_for(producer.stop(), STOP_S)
            retrieve(producer)
        return self.copied

    async def _copy(
        self,
        producer: Any,
        consumer: Any,
        tps: Sequence[TopicPartition],
        width: int,
        *,
        once: bool,
        progress: Callable[[int, int], None],
    ) -> None:
        consumer.assign(tps)
        await self._check_positions(consumer, tps)
        ends = await consumer.end_offsets(tps)
        while not self._stopping.is_set():
            left = sum([max(0, ends[tp] - await consumer.position(tp)) for tp in tps])
            if once and not left:
                return
            got = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH)
            if got:
                await self._transaction(producer, got, width)
                progress(sum(map(len, got.values())), left)
            elif not once:
                ends = await consumer.end_offsets(tps)

    async def _transaction(
        self, producer: Any, got: Mapping[Any, Sequence[ConsumerRecord[Any, Any]]], width: int
    ) -> None:
        async with producer.transaction():
            sent = [await self._send(producer, record, width) for records in got.values() for record in records]
            await asyncio.gather(*sent)
            await producer.send_offsets_to_transaction(
                {tp: records[-1].offset + 1 for tp, records in got.items()}, self._group
            )
        self.copied.records += len(sent)

    async def _send(self, producer: Any, record: ConsumerRecord[Any, Any], width: int) -> Any:
        key = self._key(record.value)
        if key is None and record.value is None:
            key = record.key or b""  # a record without key and value cannot be sent; its fault is the value
        return await producer.send(
            self._target,
            value=record.value,
            key=key,
            # Without a key any partition is right, as long as a repetition chooses the same one.
            partition=record.partition % width if key is None else None,
            timestamp_ms=max(record.timestamp, 0),
            headers=list(record.headers),
        )

    def _key(self, value: bytes | None) -> bytes | None:
        try:
            found: Any = self._decode(value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.copied.without_key += 1
            return None
        key: bytes = found.key.encode()
        return key

    async def _check_positions(self, consumer: Any, tps: Sequence[TopicPartition]) -> None:
        """Refuse to go on where records were deleted before they were copied."""
        begins = await consumer.beginning_offsets(tps)
        for tp in tps:
            done = await consumer.committed(tp)
            if done is not None and done < begins[tp]:
                raise EnvironmentProblem(
                    f"{tp.topic} partition {tp.partition}: records {done} to {begins[tp] - 1} were deleted before they "
                    f"were copied; to go on without them, set the offset of group {self._group} to {begins[tp]}"
                )


async def _partition_counts(options: Mapping[str, Any]) -> dict[str, int]:
    async with administrator(options) as client:
        return {one["topic"]: len(one["partitions"]) for one in await client.describe_topics()}
