"""The Faust app every worker runs: channels, agents and supervision, and nothing of Faust's that talks to Kafka.

Stock Faust spends four tasks on every event and acknowledges an event whose agent raised. Here whole batches travel
through in-memory channels, and whoever feeds a channel owns offsets, transactions and failures. So this app starts no
consumer, no producer, no tables and no web server, and keeps nothing on disk.

    app = make_app("dry")
    batches = app.channel(maxsize=1)
    app.agent(batches, name="decider-0", on_error=feeder.failed)(decider)
    async with running(app):
        await batches.put(batch)
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import faust
from faust.app.base import BootStrategy

log = logging.getLogger(__name__)

OnError = Callable[[Any, BaseException], Awaitable[None]]
START_S: Final = 30.0
STOP_S: Final = 10.0


class _AgentsOnly(BootStrategy):
    """`producer_only` is the mode in which Faust waits neither for tables nor for an assignment."""

    def producer_only(self) -> Iterable[Any]:
        """What starts with the app: its agents."""
        return [self.app.agents]


class App(faust.App):
    """Faust without Kafka."""

    BootStrategy = _AgentsOnly
    producer_only = True

    def __init__(self, name: str, **options: Any) -> None:
        self._on_errors: dict[str, OnError] = {}
        super().__init__(name, **options)

    def agent(  # type: ignore[override]
        self, channel: Any, *, name: str, on_error: OnError, **options: Any
    ) -> Callable[[Any], Any]:
        """Declare an agent on a channel; `on_error` is awaited with the agent and what it raised.

        Stock Faust logs what an agent raised and goes on with the next batch. Whoever feeds the channel must know
        instead, before another batch is put, so there is no default.
        """
        self._on_errors[name] = on_error
        return super().agent(channel, name=name, **options)

    async def _on_agent_error(self, agent: Any, fault: BaseException) -> None:
        await self._on_errors[agent.name](agent, fault)

    async def on_first_start(self) -> None:
        """Faust would create folders here; the app has nothing to keep."""


def make_app(name: str) -> App:
    """An app named `name`, not started. Agents are declared on it before `running`."""
    return App(
        f"sidechain-{name}",
        broker="kafka://127.0.0.1:0",  # never dialled
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        # The compiled stream iterator looks into the channel first instead of always waiting for it.
        cython_optimizations=True,
    )


@asynccontextmanager
async def running(app: App) -> AsyncIterator[None]:
    """The app within the running loop: started, every agent listening; stopped within STOP_S."""
    async with asyncio.timeout(START_S):
        await app.start()
    app.flow_control.resume()  # channels are closed until somebody opens them
    try:
        yield
    finally:
        try:
            async with asyncio.timeout(STOP_S):
                await app.stop()
        except TimeoutError:
            log.warning("the agents did not stop within %.0f s", STOP_S)
