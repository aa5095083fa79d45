"""aiokafka's three clients and the clock, put in the place of the real ones.

Each client speaks through its process's wire; they follow aiokafka 0.14 as far as the installation uses it.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import aiokafka
import aiokafka.admin

from tests.simulation.consumer import Consumer
from tests.simulation.machine import PROCESS
from tests.simulation.producer import Producer

if TYPE_CHECKING:
    from tests.simulation.wire import Wire

EPOCH_S: Final = 1_700_000_000.0  # what the wall clock says when a schedule begins


class Admin:
    """AIOKafkaAdminClient, for one question."""

    def __init__(self, **_options: Any) -> None:
        self._wire: Wire = PROCESS.get().wire

    async def start(self) -> None:
        await self._wire.insist("meet", lambda: None)

    async def close(self) -> None:
        """Nothing is held."""

    async def describe_topics(self) -> Any:
        counts = self._wire.cluster.counts
        found = [{"topic": topic, "partitions": list(range(n))} for topic, n in counts.items()]
        return await self._wire.insist("describe", lambda: found)


class Clock:
    """The module `time`, as a process sees it."""

    def perf_counter(self) -> float:
        return asyncio.get_running_loop().time()

    monotonic = perf_counter

    def time(self) -> float:
        return EPOCH_S + asyncio.get_running_loop().time() + PROCESS.get().skew_s

    def time_ns(self) -> int:
        return int(self.time() * 1e9)


FAKES: Final = {
    aiokafka.AIOKafkaProducer: Producer,
    aiokafka.AIOKafkaConsumer: Consumer,
    aiokafka.admin.AIOKafkaAdminClient: Admin,
}


@contextmanager
def in_place() -> Iterator[None]:
    """Within it, every module of `agents` has these clients for aiokafka's, and a clock that shows the loop's time."""
    clock, replaced = Clock(), []
    for name, module in sorted(sys.modules.items()):
        if not name.startswith("sidechain.agents."):
            continue
        for attribute, value in list(vars(module).items()):
            fake = clock if value is time else FAKES.get(value) if isinstance(value, type) else None
            if fake is not None:
                replaced.append((module, attribute, value))
                setattr(module, attribute, fake)
    try:
        yield
    finally:
        for module, attribute, value in replaced:
            setattr(module, attribute, value)
