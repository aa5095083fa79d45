"""What other partitions ask of a shard's accounts and give to them: read beside the events, and folded at once.

Only partitions whose chain counts transfers are read: `next` has them from the first policy on that shares an account
between partitions. A lane without such a policy opens no connection for them.

Nobody waits for an answer here. A decision whose account is empty is refused, its question goes out with its entry,
and what is granted serves the decisions behind the credit; so two lanes that ask each other cannot stand still.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from sidechain.agents.lane.log_ends import Ends, reader
from sidechain.agents.lane.problems import Refused
from sidechain.agents.settings import Config
from sidechain.models.dry import Fold
from sidechain.models.dry.entry import TOPICS, TRANSFERS

A_ROUND: Final = 1_000  # transfers read a round


class Transfers:
    """The transfers to a shard's partitions, each from its own offset on."""

    def __init__(self, options: Mapping[str, Any], config: Config, ends: Ends, *, has_topic: bool) -> None:
        self._options = options
        self._topic = config.topic(TOPICS[TRANSFERS])
        self._ends = ends
        self._has_topic = has_topic
        self._consumer: AIOKafkaConsumer | None = None
        self._reading: set[int] = set()

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def begin(self, offsets: Mapping[int, int]) -> None:
        """Read these partitions too, from these offsets on. Raises Refused where there is no such topic."""
        if not offsets:
            return
        if not self._has_topic:
            raise Refused(missing(self._topic))
        if self._consumer is None:
            self._consumer = reader(self._options, max_partition_fetch_bytes=262_144)
            await self._consumer.start()
        standing = {one: await self._consumer.position(self._tp(one)) for one in sorted(self._reading)}
        self._reading |= offsets.keys()
        self._consumer.assign([self._tp(one) for one in sorted(self._reading)])
        for partition, offset in {**offsets, **standing}.items():
            self._consumer.seek(self._tp(partition), offset)

    async def follow(self, folds: Mapping[int, Fold]) -> None:
        """Begin to read the partitions whose policy has come to need it. Raises Refused as `begin` does."""
        fresh = [one for one, fold in folds.items() if TRANSFERS in fold.next and one not in self._reading]
        if not fresh:
            return
        if not self._has_topic:
            raise Refused(missing(self._topic))
        spans = await self._ends.spans([self._tp(one) for one in fresh])
        await self.begin({one: spans[self._tp(one)].start for one in fresh})

    async def read(
        self, only: Sequence[int] | None = None, max_records: int = A_ROUND
    ) -> dict[int, Sequence[ConsumerRecord]]:
        """What has come, without waiting. `only`: of these partitions."""
        if self._consumer is None:
            return {}
        tps = [self._tp(one) for one in only or ()]
        got = await self._consumer.getmany(*tps, timeout_ms=0, max_records=max_records)
        return {tp.partition: records for tp, records in got.items()}

    async def lag(self) -> int:
        """Records that are there and were not handed over yet."""
        behind = 0
        if self._consumer is None:
            return behind
        for partition in sorted(self._reading):
            end = self._consumer.last_stable_offset(self._tp(partition))
            if end is not None and end >= 0:
                behind += max(0, end - await self._consumer.position(self._tp(partition)))
        return behind

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)


def missing(topic: str) -> str:
    """What to tell whoever runs a policy that shares accounts without this topic."""
    return (
        f"{topic} does not exist, and the policy in force shares an account between partitions: create it "
        "(`sidechain topics apply`) and start the worker again; if it was deleted, restore it first"
    )
