"""One round of `bench wet`: an installation of its own, its workers, what the dry side does and the wet side did."""

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from functools import partial
from typing import Any, Final

from sidechain.agents.admin import ensure
from sidechain.agents.bench import advised
from sidechain.agents.bench.cpu import Meter, used_s
from sidechain.agents.bench.latency import Steady, decided, waits
from sidechain.agents.bench.load import numbered
from sidechain.agents.bench.place import Place, discard, growth, rate
from sidechain.agents.bench.unruly import WAYS
from sidechain.agents.broker_probe import free_port
from sidechain.agents.child import Child
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.produce import keyed, produce
from sidechain.agents.reader import Reader
from sidechain.models.pack_file import load_pack

TRAINING: Final = 20_000  # events decided before anything is measured: the forest learns, the broker compiles
WARM_S: Final = 5.0
WARM_SHARE: Final = 0.2
ADVICE_S: Final = 180.0  # a nice wet side on a machine that is busy otherwise is in no hurry
WITHIN_S: Final = 180.0
KILL_EVERY_S: Final = 5.0
UNRULY: Final = (*WAYS, "killed")
UNRULY_WORKER: Final = ("-m", "sidechain.agents.bench.unruly")
WORKER: Final = ("-m", "sidechain.agents", "worker")
Row = dict[str, Any]


class Round:
    """One installation: its topics, its workers, both parts of the measurement."""

    def __init__(self, here: Place, name: str, mode: str, nice: int) -> None:
        self._here = here
        self._name = name
        self.mode = mode
        self._settings = {"prefix": f"wet.{name}.", "wet_nice": str(nice)}
        self._config = here.config(**self._settings)

    async def measure(self, rate: float, seconds: float, events: int) -> Row:
        """Latency at `rate` for so many seconds, then throughput over so many events."""
        await ensure(self._config)
        did: Row = {}
        try:
            async with AsyncExitStack() as stack:
                wet_side = None if self.mode == "off" else await stack.enter_async_context(_WetSide(self))
                steady = Steady(TRAINING, rate, seconds, WARM_S)
                waited, at_rate = await self._latency(steady, wet_side)
                per_s, at_full = await self._throughput(TRAINING + steady.total, events, wet_side)
                if wet_side is not None:
                    wet_side.check()
                    did = {**(await wet_side.told() or {}), **await advised.asked(self._config)}
        finally:
            await discard(self._config)
        shares = {"cpu_at_rate": at_rate, "cpu_at_full_speed": at_full}
        return {"mode": self.mode, "events_per_s": round(per_s), **waited, **shares, **did}

    async def _latency(self, steady: Steady, wet_side: "_WetSide | None") -> tuple[Row, dict[str, float]]:
        config, send = self._config, f"{self._name}-send"
        with self.process("dry", *WORKER, "dry") as dry:
            await decided(config, dry, 0, TRAINING)
            if wet_side is not None:
                await self._advised()
                wet_side.begin()
            meter = self._meter(dry, wet_side)
            return await waits(self._here, config, send, steady, **self._settings), meter.shares()

    async def _throughput(self, first: int, events: int, wet_side: "_WetSide | None") -> tuple[float, dict[str, float]]:
        config = self._config
        policy, partitions = load_pack(config.pack_name), range(config.partitions)
        lines = keyed(numbered(policy, events, first), policy.event)
        await produce(kafka_options(config), config.topic("events"), lines)
        async with Reader(kafka_options(config), config.topic("dry.decisions")) as reader:
            base = sum((await reader.ends(partitions)).values())
        with self.process("dry", *WORKER, "dry") as dry:
            meter = self._meter(dry, wet_side)
            seen = await growth(config, dry, base + events, WITHIN_S)
            shares = meter.shares()
        return rate(seen, base + events * WARM_SHARE), shares

    def process(self, name: str, *words: str, **more: str) -> AbstractContextManager[Child]:
        """A process of this installation, with more settings of its own."""
        return self._here.process(f"{self._name}-{name}", words, **self._settings, **more)

    def wet_worker(self) -> Sequence[str]:
        """What the wet worker of this mode runs."""
        return (*UNRULY_WORKER, self.mode, "worker", "wet") if self.mode in WAYS else (*WORKER, "wet")

    def _meter(self, dry: Child, wet_side: "_WetSide | None") -> Meter:
        used = {"dry": partial(used_s, dry.pid), "broker": partial(used_s, self._here.broker_pid)}
        return Meter({**used, "wet": wet_side.seconds} if wet_side is not None else used)

    async def _advised(self) -> None:
        """Until the wet side has said something: a forest is learned, and the dry side has metadata to read."""
        config = self._config
        async with Reader(kafka_options(config), config.topic("wet.metadata")) as reader:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ADVICE_S):
                    while not any((await reader.ends(range(config.partitions))).values()):  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
                    return
        raise EnvironmentProblem(f"the wet side gave no advice within {ADVICE_S:.0f} s")


class _WetSide:
    """Tap and wet worker of one round, and the processor time they have used."""

    def __init__(self, owner: Round) -> None:
        self._owner = owner
        self._stack = ExitStack()
        self._processes: list[Child] = []
        self._killing: asyncio.Task[None] | None = None
        self._spent = 0.0  # by those that were killed
        self._port = free_port()

    async def __aenter__(self) -> "_WetSide":
        self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._killing is not None:
            self._killing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._killing
        await asyncio.to_thread(self._stack.close)

    def seconds(self) -> float:
        """Processor time since the start of the round."""
        return self._spent + sum(used_s(one.pid) for one in self._processes)

    def begin(self) -> None:
        """What is measured begins: from here on it is killed, if this is that round."""
        if self._owner.mode == "killed":
            self._killing = asyncio.create_task(self._kill_over_and_over())

    async def _kill_over_and_over(self) -> None:
        """SIGKILL every few seconds, and at once a new start; for ever."""
        while True:
            await asyncio.sleep(KILL_EVERY_S)
            self._spent = self.seconds()
            ended, self._processes = self._processes, []
            for one in ended:
                one.signal(signal.SIGKILL)
            await asyncio.to_thread(self._stack.close)
            self._start()

    def _start(self) -> None:
        tap = self._owner.process("tap", *WORKER, "tap")
        wet = self._owner.process("wet", *self._owner.wet_worker(), metrics_port=str(self._port))
        self._processes = [self._stack.enter_context(one) for one in (tap, wet)]

    async def told(self) -> Row | None:
        """What the wet worker shows of what went wrong; of one that is killed over and over nothing can be asked."""
        return await advised.counted(self._port) if self._killing is None else None

    def check(self) -> None:
        """Raise when one ended that nobody killed: without a wet side there is nothing to compare."""
        for one in self._processes if self._killing is None else ():
            one.check()
