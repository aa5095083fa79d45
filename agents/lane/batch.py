"""One round of a lane: what was read, what to decide it with, and where the answer goes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiokafka import ConsumerRecord

from sidechain.agents.lane.pipeline import Output
from sidechain.models.dry import Fold, Latest
from sidechain.models.policy import Policy

HandOver = Callable[["Batch", Sequence[Output]], Awaitable[None]]


class Batch:
    """What the agent gets. It asks the kernel, once per partition, and commits the answer."""

    def __init__(
        self,
        folds: Mapping[int, Fold],
        events: Mapping[int, Sequence[ConsumerRecord]],
        control: Sequence[ConsumerRecord],
        latest: Mapping[int, Latest],
        load: Callable[[bytes], Policy],
        hand_over: HandOver,
    ) -> None:
        self.folds = folds
        self.events = events
        self.control = control
        self.latest = latest
        self.load = load
        self.fetched_at = time.perf_counter()
        self.fault: BaseException | None = None
        self._hand_over = hand_over
        self._settled = asyncio.Event()

    @property
    def size(self) -> int:
        """Input records."""
        return len(self.control) + sum(len(records) for records in self.events.values())

    @property
    def only(self) -> ConsumerRecord | None:
        """The one input record of a batch of one; None for a larger one."""
        records = [*self.control, *(one for records in self.events.values() for one in records[:2])]
        return records[0] if len(records) == 1 else None

    async def commit(self, outputs: Sequence[Output]) -> None:
        """Returns as soon as the outputs are on their way, so that the next batch can be read; waits while two are."""
        await self._hand_over(self, outputs)
        self._settled.set()

    def fail(self, fault: BaseException) -> None:
        """The agent could not decide it."""
        self.fault = fault
        self._settled.set()

    async def settled(self) -> None:
        """Returns when the agent is done with it, one way or the other; raises what the agent raised."""
        await self._settled.wait()
        if self.fault is not None:
            raise self.fault
