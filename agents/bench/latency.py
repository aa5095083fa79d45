"""`bench latency`: milliseconds from the intended send time to a read_committed reader, at a steady rate.

Intended, not actual: when the sender falls behind, the wait counts (no coordinated omission). The sender is in a
process of its own; the reader stands here and does nothing but note when which event's entry arrived.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from sidechain.agents.admin import ensure
from sidechain.agents.bench.load import numbered
from sidechain.agents.bench.place import Place, machine, place
from sidechain.agents.child import Child
from sidechain.agents.config import load
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.produce import keyed, produce
from sidechain.agents.reader import Reader
from sidechain.agents.settings import Config
from sidechain.models.pack_file import load_pack

WARM_S: Final = 15.0  # decided and not counted: a broker just started still compiles itself
LEAD_S: Final = 5.0  # between the plan and the first event: the sender's own start ...
PREPARED_PER_S: Final = 20_000.0  # ... and the time it takes to prepare its events
PATIENCE_S: Final = 30.0
FIRST: Final = 500  # decided before anything is sent on schedule
DECIDED_S: Final = 60.0


class _Entry(msgspec.Struct):
    id: str | None = None


async def latency(
    pack: str, rate: float, seconds: float, partitions: list[int], told: Callable[[str], None]
) -> list[dict[str, Any]]:
    """One row of figures per partition count."""
    rows = []
    told("starting a broker")
    async with place(pack) as here:
        for count in partitions:
            told(f"{rate:,.0f} events/s for {seconds:.0f} s over {count} partition{'s' if count > 1 else ''}")
            rows.append(await _run(here, rate, seconds, count))
    return [{**row, "pack": pack, "machine": machine()} for row in rows]


async def _run(here: Place, rate: float, seconds: float, partitions: int) -> dict[str, Any]:
    settings = {"prefix": f"latency{partitions}.", "partitions": str(partitions)}
    config = here.config(**settings)
    await ensure(config)
    name = f"dry{partitions}"
    with here.process(name, ["-m", "sidechain.agents", "worker", "dry"], **settings) as worker:
        await decided(config, worker, 0, FIRST)
        steady = Steady(FIRST, rate, seconds, WARM_S)
        return {"partitions": partitions, **await waits(here, config, f"send{partitions}", steady, **settings)}


class Steady(NamedTuple):
    """Events at a steady rate, from the `first`-th on; those of the first `warm_s` seconds do not count."""

    first: int
    rate: float
    seconds: float
    warm_s: float

    @property
    def total(self) -> int:
        """How many are sent in all."""
        return int((self.seconds + self.warm_s) * self.rate)


async def waits(here: Place, config: Config, name: str, steady: Steady, **settings: str) -> dict[str, Any]:
    """Send them from a process of its own; returns how long their decisions took to reach a consumer."""
    lead = LEAD_S + steady.total / PREPARED_PER_S
    start = time.monotonic() + lead
    words = ["-m", "sidechain.agents.bench.latency", *map(str, (start, steady.rate, steady.first, steady.total))]
    with here.process(name, words, **settings):
        arrived = await _arrivals(config, steady, steady.seconds + steady.warm_s + lead + PATIENCE_S)
    counted = range(int(steady.warm_s * steady.rate), steady.total)
    sorted_ms = sorted((arrived[steady.first + one] - (start + one / steady.rate)) * 1000 for one in counted)
    return {
        "rate": steady.rate,
        "seconds": steady.seconds,
        "events": len(sorted_ms),
        **{name: round(sorted_ms[min(len(sorted_ms) - 1, int(len(sorted_ms) * share))], 1) for name, share in _SHARES},
        "max_ms": round(sorted_ms[-1], 1),
    }


_SHARES: Final = (("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999))


async def decided(config: Config, worker: Child, first: int, count: int) -> None:
    """Send so many events and wait until they are decided: a worker's start is not what is measured."""
    policy = load_pack(config.pack_name)
    events = keyed(numbered(policy, count, first), policy.event)
    await produce(kafka_options(config), config.topic("events"), events)
    async with Reader(kafka_options(config), config.topic("dry.decisions")) as reader, asyncio.timeout(DECIDED_S):
        while sum((await reader.ends(list(range(config.partitions)))).values()) < first + count:
            worker.check()
            await asyncio.sleep(0.1)


async def _arrivals(config: Config, steady: Steady, within_s: float) -> dict[int, float]:
    """When the entry of the n-th event was first seen, on the clock all processes share."""
    begin, total = steady.first, steady.total
    arrived: dict[int, float] = {}
    decode = msgspec.json.Decoder(_Entry).decode
    async with Reader(kafka_options(config), config.topic("dry.decisions")) as reader:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                async for records in reader.follow(list(range(config.partitions)), from_end=True):
                    now = time.monotonic()
                    for one in records:
                        name = decode(one.value).id or ""
                        if name.startswith("bench-") and (number := int(name[6:])) >= begin:
                            arrived[number] = now
                    if len(arrived) >= total:
                        return arrived
    raise EnvironmentProblem(f"{len(arrived):,} of {total:,} decisions arrived within {within_s:.0f} s")


async def _send(start: float, rate: float, first: int, count: int) -> None:
    config = load().config
    policy = load_pack(config.pack_name)
    events = list(keyed(numbered(policy, count, first), policy.event))
    topic = config.topic("events")
    await produce(kafka_options(config), topic, events, rate=rate, start=start, linger_ms=0)


if __name__ == "__main__":
    asyncio.run(_send(float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
