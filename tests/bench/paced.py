"""Sends as fast as the lane decides, and no further ahead of it.

Outcomes are read behind the events that are in the log by then. Whoever writes a whole history first and lets the lane
come after has every outcome judged at the end of it; a sender that stays a little ahead has each judged in its time.
How far the lane is, the last entry of each chain says; how far the aggregator is, what it has committed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple, Self

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from sidechain.agents.admin import administrator
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.reader import Reader
from sidechain.agents.settings import Config

TAIL: Final = 4  # offsets: the last one is a transaction's marker, the one before it an entry
LOOK_S: Final = 0.05
STALL_S: Final = 60.0  # without one entry more: something hangs

Check = Callable[[], None]


class Record(NamedTuple):
    """What is to stand on a partition."""

    partition: int
    key: bytes
    value: bytes


class _Entry(msgspec.Struct):
    seq: int


class Gauge:
    """How far somebody has come with what was sent."""

    def __init__(self) -> None:
        self.due = 0  # what was sent must come to so many
        self.reached = 0  # so many there were when we last looked

    async def look(self) -> int:
        """How many there are now."""
        raise NotImplementedError


class Chains(Gauge):
    """Entries of all partitions, asked of the last one of each."""

    def __init__(self, config: Config, reader: Reader) -> None:
        """`reader`: of the decisions."""
        super().__init__()
        self._reader = reader
        self._partitions = list(range(config.partitions))
        self._ends = dict.fromkeys(self._partitions, 0)
        self._entries = dict.fromkeys(self._partitions, 0)
        self._decode = msgspec.json.Decoder(_Entry).decode

    async def look(self) -> int:
        """Looks only where something came."""
        ends = await self._reader.ends(self._partitions)
        grown = [one for one in self._partitions if ends[one] > self._ends[one]]
        if grown:
            async for records in self._reader.to_end(grown, start={one: ends[one] - TAIL for one in grown}):
                self._entries[records[0].partition] = self._decode(records[-1].value).seq + 1
        self._ends = ends
        return sum(self._entries.values())


class Cases(Gauge):
    """What the aggregator has learned of: one case for a decision, one for a settlement."""

    def __init__(self, config: Config, client: AIOKafkaAdminClient) -> None:
        super().__init__()
        self._client = client
        self._group = f"{config.topic_prefix}wet.aggregator"

    async def look(self) -> int:
        """By what it has committed; as before when the broker has no answer yet."""
        try:
            found = await self._client.list_consumer_group_offsets(self._group)
        except KafkaError:
            return self.reached
        return sum(max(0, one.offset) for one in found.values())


class Paced:
    """A producer that waits for the chains. Use as an async context manager."""

    def __init__(self, config: Config, lead: int, check: Check, *, with_cases: bool = False) -> None:
        """`lead`: of what was sent, so much at most is waited for. `check`: raises when who must run has ended.

        `with_cases`: what is sent must not run ahead of the aggregator either.
        """
        self._config = config
        self._lead = lead
        self._check = check
        self._with_cases = with_cases
        self._partitions: dict[bytes, int] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        options = kafka_options(self._config)
        try:
            reader = Reader(options, self._config.topic("dry.decisions"))
            self.chains = Chains(self._config, await self._stack.enter_async_context(reader))
            self.cases = Cases(self._config, await self._stack.enter_async_context(administrator(options)))
            self._gauges = (self.chains, self.cases) if self._with_cases else (self.chains,)
            self._producer = AIOKafkaProducer(**options, acks="all", enable_idempotence=True, max_batch_size=1_048_576)
            self._stack.push_async_callback(self._producer.stop)
            await self._producer.start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def record(self, key: str, value: bytes, shift: int = 0) -> Record:
        """A record where the producers of this project, and Java's, put the key; or so many partitions behind it."""
        name = key.encode()
        return Record((self.partition_of(name) + shift) % self._config.partitions, name, value)

    def partition_of(self, key: bytes) -> int:
        """Where that is; asked of few keys over and over."""
        if (found := self._partitions.get(key)) is None:
            found = self._partitions[key] = (murmur2(key) & 0x7FFFFFFF) % self._config.partitions
        return found

    async def send(self, topic: str, records: Iterable[Record]) -> None:
        """Write them and wait for the broker's word."""
        batches: dict[int, Any] = {}
        sent: list[Awaitable[Any]] = []
        for one in records:
            batch = batches.get(one.partition) or batches.setdefault(one.partition, self._producer.create_batch())
            if batch.append(timestamp=None, key=one.key, value=one.value) is None:
                sent.append(await self._producer.send_batch(batch, self._config.topic(topic), partition=one.partition))
                batch = batches[one.partition] = self._producer.create_batch()
                batch.append(timestamp=None, key=one.key, value=one.value)
        for partition, batch in batches.items():
            sent.append(await self._producer.send_batch(batch, self._config.topic(topic), partition=partition))
        await asyncio.gather(*sent)

    async def wait(self, lead: int | None = None) -> None:
        """Until at most `lead` are waited for. Raises `EnvironmentProblem` when none comes any more."""
        loop = asyncio.get_running_loop()
        lead = self._lead if lead is None else lead
        for gauge in self._gauges:
            since = loop.time()
            while gauge.due - gauge.reached > lead:
                self._check()
                now = await gauge.look()
                if now > gauge.reached:
                    gauge.reached, since = now, loop.time()
                elif loop.time() - since > STALL_S:
                    raise EnvironmentProblem(
                        f"{gauge.due - gauge.reached:,} {type(gauge).__name__.lower()} are due, and none came for "
                        f"{STALL_S:.0f} s"
                    )
                if gauge.due - gauge.reached > lead:
                    await asyncio.sleep(LOOK_S)
