"""Faust, as far as our workers use it: channels, and agents that read them."""

import asyncio
from collections.abc import Callable
from typing import Any


class App:
    """Starts and stops its agents."""

    def __init__(self) -> None:
        self._agents: list[tuple[Any, Any, Any]] = []
        self._tasks: list[Any] = []

    def channel(self, maxsize: int) -> Any:
        return _Channel(maxsize)

    def agent(self, channel: Any, *, name: str, on_error: Any) -> Callable[[Any], Any]:
        def declare(function: Any) -> Any:
            self._agents.append((function, channel, on_error))
            return function

        return declare

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._work(*one)) for one in self._agents]

    async def stop(self) -> None:
        for one in self._tasks:
            one.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _work(self, function: Any, channel: Any, on_error: Any) -> None:
        while True:
            try:
                await function(channel)
            except Exception as fault:  # noqa: BLE001 - as Faust: the handler is told, the agent begins again
                await on_error(function, fault)


class _Channel:
    def __init__(self, maxsize: int) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue(maxsize)

    async def put(self, item: Any) -> None:
        await self._queue.put(item)

    def __aiter__(self) -> "_Channel":
        return self

    async def __anext__(self) -> Any:
        return await self._queue.get()
