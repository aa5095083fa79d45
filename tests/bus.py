"""The topics of the wet side on a real broker, and its workers in this process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from sidechain.agents.app import make_app, running
from sidechain.agents.metrics import TapMetrics, WetMetrics, registry
from sidechain.agents.reader import Reader
from sidechain.agents.tap import TapWorker
from sidechain.agents.wet.worker import WetWorker
from sidechain.models.policy import Policy
from sidechain.topics.catalog import catalog

SECRET = b"0123456789abcdef0123456789abcdef"
PARTITIONS = 2
WAIT_S = 60.0


class Bus:
    """The topics of one test."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.options = {"bootstrap_servers": bootstrap}
        self.prefix = prefix

    def name(self, logical: str) -> str:
        return self.prefix + logical

    async def create(self) -> None:
        admin = AIOKafkaAdminClient(**self.options)
        await admin.start()
        ours = ("wet.", "dry.decisions", "alerts", "metrics", "human.proposals")
        wanted = [one for one in catalog().values() if one.name.startswith(ours)]
        made = [NewTopic(self.name(one.name), one.count(PARTITIONS), 1, topic_configs=one.config()) for one in wanted]
        await admin.create_topics(made)
        await admin.close()

    async def write(self, logical: str, partition: int, pairs: Sequence[tuple[bytes | None, bytes]]) -> None:
        async with AIOKafkaProducer(**self.options) as producer:
            sent = [
                await producer.send(self.name(logical), value, key=key, partition=partition) for key, value in pairs
            ]
            await asyncio.gather(*sent)

    async def read(self, logical: str) -> list[Any]:
        """Every record of a topic, partition by partition."""
        found = []
        async with Reader(self.options, self.name(logical)) as reader:
            async for batch in reader.to_end(await reader.partitions()):
                found += batch
        return sorted(found, key=lambda one: (one.partition, one.offset))

    async def until(self, logical: str, enough: Callable[[list[Any]], bool]) -> list[Any]:
        """The topic's records once there are enough of them; fails after WAIT_S."""
        async with asyncio.timeout(WAIT_S):
            while not enough(found := await self.read(logical)):  # noqa: ASYNC110 - a topic has no event
                await asyncio.sleep(0.05)
        return found

    async def count(self, logical: str, count: int) -> list[Any]:
        """At least so many records."""
        return await self.until(logical, lambda found: len(found) >= count)


async def eventually(holds: Callable[[], bool]) -> None:
    """Waits until it does; fails after WAIT_S."""
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 - what is asked about has no event
            await asyncio.sleep(0.02)


@asynccontextmanager
async def working(worker: Any, app: Any) -> AsyncIterator[asyncio.Task[None]]:
    """The worker at work; stopped cleanly at the end."""
    stop = asyncio.Event()
    async with running(app):
        task = asyncio.create_task(worker.run(stop))
        try:
            yield task
        finally:
            stop.set()
            await asyncio.wait_for(task, 30)


@asynccontextmanager
async def tapping(bus: Bus, one: Policy, **more: Any) -> AsyncIterator[TapMetrics]:
    metrics, app = TapMetrics(registry()), make_app("tap")
    worker = TapWorker(app, one, SECRET, bus.options, bus.name, bus.prefix, metrics, **more)
    async with working(worker, app):
        yield metrics


@asynccontextmanager
async def advising(bus: Bus, one: Policy) -> AsyncIterator[tuple[WetWorker, WetMetrics]]:
    metrics, app = WetMetrics(registry()), make_app("wet")
    worker = WetWorker(app, one, bus.options, bus.name, bus.prefix, metrics)
    async with working(worker, app):
        yield worker, metrics


def values(found: Sequence[Any], type_: type[Any]) -> list[Any]:
    return [msgspec.json.decode(one.value, type=type_) for one in found]
