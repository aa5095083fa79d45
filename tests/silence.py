"""Nobody at the other side: what a wait is driven to its end with."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition

TP = TopicPartition("t", 0)


def run(story: Callable[[], Any], within_s: float = 10.0) -> Any:
    """A story in a loop of its own; one that hangs fails."""

    async def bounded() -> Any:
        async with asyncio.timeout(within_s):
            return await story()

    return asyncio.run(bounded())


async def for_ever(*_: Any, **__: Any) -> Any:
    """The other side does not answer."""
    await asyncio.Event().wait()


async def nothing(*_: Any, **__: Any) -> None:
    """The other side has nothing to say."""


def at(offset: int) -> Any:
    """A broker that says this of every partition it is asked about."""

    async def offsets(tps: Any) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, offset)

    return offsets


class Silent:
    """A consumer whose connections are up and on which nothing ever comes, unless a test puts it there."""

    def __init__(self, come: Sequence[Mapping[TopicPartition, Sequence[Any]]] = ()) -> None:
        self.come = list(come)
        self.is_paused: set[TopicPartition] = set()
        self.positions: dict[TopicPartition, int] = {}

    async def getmany(self, *_: Any, **__: Any) -> Mapping[TopicPartition, Sequence[Any]]:
        await asyncio.sleep(0)
        if self.is_paused or not self.come:
            return {}
        return self.come.pop(0)

    async def position(self, tp: TopicPartition) -> int:
        return self.positions.get(tp, 0)

    def assign(self, tps: Any) -> None: ...
    def seek(self, tp: TopicPartition, offset: int) -> None: ...

    def pause(self, *tps: TopicPartition) -> None:
        self.is_paused |= set(tps)

    def resume(self, *tps: TopicPartition) -> None:
        self.is_paused -= set(tps)

    def paused(self) -> set[TopicPartition]:
        return self.is_paused
