"""`bench wet`: what the wet side costs the dry side, with both on one machine.

Interleaved pairs, without the wet side and with it, then one round each of a wet side that is slow, lies, or is killed
over and over. A round has topics of its own and two parts:

latency      an open loop at a steady rate, from intended send time to a read_committed reader, as `bench latency`
throughput   the worker stopped, events preloaded, the worker started again: its rate from outside, as `bench dry`

A round that is thrown away comes first, or the broker would compile during the first that counts. With the wet side on,
a forest is learned and advice has reached wet.metadata before anything is measured. Tap and wet worker are the
processes `sidechain worker` starts, as nice as `wet_nice` makes them; their share of the machine's processor time is
reported for each part.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from functools import partial
from statistics import median
from typing import Any, Final

from sidechain.agents.admin import ensure
from sidechain.agents.bench.cpu import Meter, used_s
from sidechain.agents.bench.latency import Steady, decided, waits
from sidechain.agents.bench.load import numbered
from sidechain.agents.bench.place import Place, discard, growth, machine, place, rate
from sidechain.agents.child import Child
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.produce import keyed, produce
from sidechain.agents.reader import Reader
from sidechain.models.pack_file import load_pack

THROUGHPUT_RATIO: Final = 0.9  # with the wet side, of without: at least
P99_RATIO: Final = 1.25  # with the wet side, of without: at most
TRAINING: Final = 20_000  # events decided before anything is measured: the forest learns, the broker compiles
WARM_S: Final = 5.0
WARM_SHARE: Final = 0.2
ADVICE_S: Final = 180.0  # a nice wet side on a machine that is busy otherwise is in no hurry
WITHIN_S: Final = 180.0
KILL_EVERY_S: Final = 5.0
UNRULY: Final = ("slow", "lying", "killed")
UNRULY_WORKER: Final = ("-m", "sidechain.agents.bench.unruly")
WORKER: Final = ("-m", "sidechain.agents", "worker")
Told = Callable[[str], None]
Row = dict[str, Any]


async def wet(pack: str, rate: float, seconds: float, events: int, rounds: int, nice: int, told: Told) -> Row:
    """Run the measurement and return its figures."""
    told("starting a broker")
    async with place(pack) as here:
        modes = [mode for turn in range(rounds) for mode in (("off", "on") if turn % 2 == 0 else ("on", "off"))]
        rows: list[Row] = []
        await _Round(here, "warm", "on", nice).measure(rate, seconds, events)
        for number, mode in enumerate([*modes, *UNRULY], 1):
            round_ = _Round(here, f"{mode}{number}", mode, nice)
            rows.append(await round_.measure(rate, seconds, events))
            told(f"{number} of {len(modes) + len(UNRULY)}: {line(rows[-1])}")
    return {**_summary(rows), "rounds": rounds, "nice": nice, "all": rows, "pack": pack, "machine": machine()}


def line(row: Row) -> str:
    """One round in a line."""
    shares = ", ".join(f"{name} {share:.0%}" for name, share in row["cpu_at_rate"].items())
    return (
        f"wet {row['mode']}: {row['events_per_s']:,} decisions/s, p50 {row['p50_ms']} ms, p99 {row['p99_ms']} ms; "
        f"processor at the steady rate: {shares}"
    )


def _summary(rows: Sequence[Row]) -> Row:
    by_mode: dict[str, list[Row]] = {}
    for row in rows:
        by_mode.setdefault(row["mode"], []).append(row)
    # The n-th round without stands beside the n-th with, minutes apart at most: what drifts, drifts for both.
    pairs = list(zip(by_mode["off"], by_mode["on"], strict=True))
    throughputs = [on["events_per_s"] / off["events_per_s"] for off, on in pairs]
    p99s = [on["p99_ms"] / off["p99_ms"] for off, on in pairs]
    middle = {
        mode: {name: median(one[name] for one in found) for name in ("events_per_s", "p50_ms", "p99_ms")}
        for mode, found in by_mode.items()
    }
    return {
        "throughput_ratio": round(median(throughputs), 3),
        "p99_ratio": round(median(p99s), 3),
        "is_met": median(throughputs) >= THROUGHPUT_RATIO and median(p99s) <= P99_RATIO,
        "throughput_ratios": [round(one, 3) for one in throughputs],
        "p99_ratios": [round(one, 3) for one in p99s],
        "modes": middle,
    }


class _Round:
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
        try:
            async with AsyncExitStack() as stack:
                wet_side = None if self.mode == "off" else await stack.enter_async_context(_WetSide(self))
                steady = Steady(TRAINING, rate, seconds, WARM_S)
                waited, at_rate = await self._latency(steady, wet_side)
                per_s, at_full = await self._throughput(TRAINING + steady.total, events, wet_side)
                if wet_side is not None:
                    wet_side.check()
        finally:
            await discard(self._config)
        shares = {"cpu_at_rate": at_rate, "cpu_at_full_speed": at_full}
        return {"mode": self.mode, "events_per_s": round(per_s), **waited, **shares}

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

    def process(self, name: str, *words: str) -> AbstractContextManager[Child]:
        """A process of this installation."""
        return self._here.process(f"{self._name}-{name}", words, **self._settings)

    def wet_worker(self) -> Sequence[str]:
        """What the wet worker of this mode runs."""
        return (*UNRULY_WORKER, self.mode, "worker", "wet") if self.mode in ("slow", "lying") else (*WORKER, "wet")

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

    def __init__(self, owner: _Round) -> None:
        self._owner = owner
        self._stack = ExitStack()
        self._processes: list[Child] = []
        self._killing: asyncio.Task[None] | None = None
        self._spent = 0.0  # by those that were killed

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
        words = {"tap": (*WORKER, "tap"), "wet": self._owner.wet_worker()}
        self._processes = [self._stack.enter_context(self._owner.process(name, *one)) for name, one in words.items()]

    def check(self) -> None:
        """Raise when one ended that nobody killed: without a wet side there is nothing to compare."""
        for one in self._processes if self._killing is None else ():
            one.check()
