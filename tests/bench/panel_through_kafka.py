"""What the wet worker takes through Kafka: every expert asked, records in and out, risk behind it.

    python -m tests.bench.panel_through_kafka --events 150000 --rate 5000 --seconds 20

throughput   taps lie on wet.taps, and labels of a tenth of them on wet.cases; the worker starts, warms up, and is timed
             from a fifth of its scores on: scores a second by the clock, and by the processor time of its own process,
             which reads taps and scores, asks the panel, and writes scores and risks. The process that fits forests,
             broker and bench are not in it; where they share the cores, processor time says what one core can.
latency      taps arrive at a steady rate; from a score on wet.scores to the risk it led to on wet.metadata, by the
             broker's clock for both

Nine features, 10,000 entities, 1 % bad, as in `tests.bench.panel`; the pack is payments.
"""

import argparse
import asyncio
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer

from sidechain.agents.admin import ensure
from sidechain.agents.bench.place import Place, discard, machine, place
from sidechain.agents.child import Child
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.reader import Reader
from sidechain.agents.settings import Config
from sidechain.models.pack_file import load_pack
from sidechain.topics.codec import encode
from sidechain.topics.wet import Case, Tap

WORKER = ("-m", "sidechain.agents", "worker", "wet")
ENTITIES = 10_000
LATE = 20_000  # events between a decision and its label
WARM = 0.2
WITHIN_S = 240.0
LOOK_S = 0.05
ALONE = {"wet_nice": "0", "wet_share": "1"}  # nobody it would have to make room for


class Id(msgspec.Struct):
    """What a record is about."""

    id: str


def own_s(pid: int) -> float:
    """Processor time of one process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Stream:
    """Made-up taps, and what became of a tenth of them."""

    def __init__(self, partitions: int, seed: int) -> None:
        self._names = load_pack("payments").wet.vector
        self._random = np.random.default_rng(seed)
        self._partitions = partitions
        self._bad: list[bool] = []
        self._where: list[int] = []

    def records(self, count: int) -> list[tuple[str, int, bytes]]:
        """(topic, partition, value) of so many more events and of the labels that are due meanwhile."""
        random, first = self._random, len(self._bad)
        who = random.integers(0, ENTITIES, count)
        is_bad = random.random(count) < 0.01
        values = random.lognormal(3 + (who % 7)[:, None] / 3, 1, (count, len(self._names))).round().astype(int)
        values[is_bad] *= 5
        self._bad += is_bad.tolist()
        made = []
        for at in range(count):
            number = first + at
            partition, seq = int(who[at]) % self._partitions, number
            tap = Tap(
                id=f"e-{number}", key=f"p:entity-{who[at]}", at=number, partition=partition, seq=seq, action="allow",
                tier="pass", trust_bp=9_000, score_bp=0, policy="payments@1:000000000000",
                features=dict(zip(self._names, values[at].tolist(), strict=True)),
            )  # fmt: skip
            made.append(("wet.taps", partition, encode(tap)))
            self._where.append(partition)
            told = number - LATE
            if told >= 0 and told % 10 == 0:
                case = Case(
                    partition=self._where[told], offset=number, seq=told, at=number,
                    label="bad" if self._bad[told] else "good",
                )  # fmt: skip
                made.append(("wet.cases", self._where[told], encode(case)))
        return made


async def write(config: Config, made: list[tuple[str, int, bytes]]) -> None:
    """Batches of each partition."""
    async with AIOKafkaProducer(**kafka_options(config)) as producer:
        await send(producer, config, made)


async def send(producer: AIOKafkaProducer, config: Config, made: list[tuple[str, int, bytes]]) -> None:
    """The same through a producer that is there."""
    waiting = []
    by_place: dict[tuple[str, int], list[bytes]] = {}
    for topic, partition, value in made:
        by_place.setdefault((topic, partition), []).append(value)
    for (topic, partition), values in by_place.items():
        batch = producer.create_batch()
        for value in values:
            if batch.append(key=b"k", value=value, timestamp=None) is None:
                waiting.append(await producer.send_batch(batch, config.topic(topic), partition=partition))
                batch = producer.create_batch()
                batch.append(key=b"k", value=value, timestamp=None)
        waiting.append(await producer.send_batch(batch, config.topic(topic), partition=partition))
    await asyncio.gather(*waiting)


async def reached(config: Config, worker: Child, count: int) -> tuple[float, float]:
    """When there are so many scores: by the clock, and by the worker's processor time."""
    deadline = time.perf_counter() + WITHIN_S
    async with Reader(kafka_options(config), config.topic("wet.scores")) as reader:
        while sum((await reader.ends(range(config.partitions))).values()) < count:
            worker.check()
            if time.perf_counter() > deadline:
                raise SystemExit(f"no {count:,} scores within {WITHIN_S:.0f} s")
            await asyncio.sleep(LOOK_S)
    return time.perf_counter(), own_s(worker.pid)


async def throughput(here: Place, config: Config, events: int, seed: int) -> str:
    """Scores a second, of taps that lie there."""
    stream = Stream(config.partitions, seed)
    for _ in range(0, events, 10_000):
        await write(config, stream.records(10_000))
    with here.process("wet", WORKER, prefix=config.topic_prefix, **ALONE) as worker:
        clock, used = await reached(config, worker, round(events * WARM))
        ended, spent = await reached(config, worker, events)
    count = events * (1 - WARM)
    return (
        f"through Kafka, {events:,} events: {count / (spent - used):,.0f} events/s of the worker's own processor time, "
        f"{count / (ended - clock):,.0f} by the clock"
    )


async def latency(here: Place, config: Config, rate: int, seconds: int, seed: int) -> str:
    """Milliseconds from score to metadata."""
    stream, options = Stream(config.partitions, seed), kafka_options(config)
    with here.process("steady", WORKER, prefix=config.topic_prefix, **ALONE) as worker:
        await write(config, stream.records(LATE))
        await reached(config, worker, LATE)
        async with AIOKafkaProducer(**options) as producer:
            began = time.perf_counter()
            for tick in range(seconds * 20):
                await send(producer, config, stream.records(rate // 20))
                await asyncio.sleep(max(0.0, began + (tick + 1) / 20 - time.perf_counter()))
            took = time.perf_counter() - began
        await reached(config, worker, LATE + rate * seconds)
        await asyncio.sleep(2.0)
    at: dict[str, int] = {}
    decode = msgspec.json.Decoder(Id).decode
    async with Reader(options, config.topic("wet.scores")) as reader:
        async for batch in reader.to_end(await reader.partitions()):
            at.update((decode(one.value).id, one.timestamp) for one in batch)
    waits = []
    async with Reader(options, config.topic("wet.metadata")) as reader:
        async for batch in reader.to_end(await reader.partitions()):
            waits += [one.timestamp - at[decode(one.value).id] for one in batch]
    steady = np.array(waits[len(waits) // 10 :])
    return (
        f"at {rate * seconds / took:,.0f} events/s: score to metadata p50 {np.median(steady):.0f} ms, "
        f"p99 {np.percentile(steady, 99):.0f} ms, longest {steady.max()} ms, of {len(steady):,} records"
    )


async def measure(given: argparse.Namespace) -> None:
    """Both, each on topics of its own."""
    async with place("payments") as here:
        for name, work in (
            ("throughput", lambda config: throughput(here, config, given.events, given.seed)),
            ("latency", lambda config: latency(here, config, given.rate, given.seconds, given.seed)),
        ):
            if name in given.only:
                config = here.config(prefix=f"{name}.")
                await ensure(config)
                print(await work(config), flush=True)
                await discard(config)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--events", type=int, default=150_000)
    options.add_argument("--rate", type=int, default=5_000)
    options.add_argument("--seconds", type=int, default=20)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", nargs="*", default=["throughput", "latency"])
    given = options.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}, python {sys.version.split()[0]}, one thread")
    asyncio.run(measure(given))
    print(f"load average {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
