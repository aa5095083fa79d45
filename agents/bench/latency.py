"""`bench latency`: milliseconds from the intended send time to a read_committed reader, at a steady rate.

Intended, not actual: when the sender falls behind, the wait counts (no coordinated omission). The sender is in a
process of its own; the reader stands here and does nothing but note when which event's entry arrived.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from sidechain.agents.admin import ensure
from sidechain.agents.bench.load import numbered
from sidechain.agents.bench.place import Place, machine, place
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
            rows.append(await _run(here, pack, rate, seconds, count))
    return [{**row, "pack": pack, "machine": machine()} for row in rows]


async def _run(here: Place, pack: str, rate: float, seconds: float, partitions: int) -> dict[str, Any]:
    settings = {"prefix": f"latency{partitions}.", "partitions": str(partitions)}
    config = here.config(**settings)
    await ensure(config)
    total, warm = int((seconds + WARM_S) * rate), int(WARM_S * rate)
    with here.process(f"dry{partitions}", ["-m", "sidechain.agents", "worker", "dry"], **settings) as worker:
        await _first_decision(here, config, pack, worker)
        lead = LEAD_S + total / PREPARED_PER_S
        start = time.monotonic() + lead
        words = ["-m", "sidechain.agents.bench.latency", str(start), str(rate), str(total)]
        with here.process(f"send{partitions}", words, **settings):
            arrived = await _arrivals(config, total, seconds + WARM_S + lead + PATIENCE_S)
    waits = sorted((arrived[number] - (start + number / rate)) * 1000 for number in range(warm, total))
    return {
        "partitions": partitions,
        "rate": rate,
        "seconds": seconds,
        "events": len(waits),
        **{name: round(waits[min(len(waits) - 1, int(len(waits) * share))], 1) for name, share in _SHARES},
        "max_ms": round(waits[-1], 1),
    }


_SHARES: Final = (("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999))


async def _first_decision(here: Place, config: Config, pack: str, worker: Any) -> None:
    """Wait until the worker has decided an event on every partition: its start is not what is measured."""
    policy = load_pack(pack)
    events = keyed((one.replace(b'"bench-', b'"warm-') for one in numbered(policy, 500)), policy.event)
    sent = await produce(kafka_options(config), config.topic("events"), events)
    async with Reader(kafka_options(config), config.topic("dry.decisions")) as reader, asyncio.timeout(60):
        while sum((await reader.ends(list(range(config.partitions)))).values()) < sent:
            if (code := worker.poll()) is not None:
                raise here.ended(f"dry{config.partitions}", code)
            await asyncio.sleep(0.1)


async def _arrivals(config: Config, total: int, within_s: float) -> dict[int, float]:
    """When the entry of the n-th event was first seen, on the clock all processes share."""
    arrived: dict[int, float] = {}
    decode = msgspec.json.Decoder(_Entry).decode
    async with Reader(kafka_options(config), config.topic("dry.decisions")) as reader:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                async for records in reader.follow(list(range(config.partitions)), from_end=True):
                    now = time.monotonic()
                    for one in records:
                        name = decode(one.value).id or ""
                        if name.startswith("bench-"):
                            arrived[int(name[6:])] = now
                    if len(arrived) >= total:
                        return arrived
    raise EnvironmentProblem(f"{len(arrived):,} of {total:,} decisions arrived within {within_s:.0f} s")


async def _send(start: float, rate: float, total: int) -> None:
    config = load().config
    policy = load_pack(config.pack_name)
    events = list(keyed(numbered(policy, total), policy.event))
    topic = config.topic("events")
    await produce(kafka_options(config), topic, events, rate=rate, start=start, linger_ms=0)


if __name__ == "__main__":
    asyncio.run(_send(float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
