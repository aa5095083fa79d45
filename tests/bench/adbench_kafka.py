"""One of ADBench's sets through a real broker: events in, scores out, by the four processes of an installation.

    python -m tests.bench.adbench_kafka ../shared/data/adbench/38_thyroid.npz

A broker of its own, a pack whose features are the set's columns, and the dry, tap and wet workers; events are sent at
`--rate`, as a seeded shuffle. A score is read from wet.scores, joined with the truth by its event's id, and judged like
the prequential table of `tests.bench.adbench`: records of the warm-up have no score and do not count.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from sidechain.agents.admin import ensure
from sidechain.agents.bench.place import Place, machine, place
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.produce import Keyed, produce
from sidechain.agents.reader import Reader
from sidechain.models.wet.ranking import rank
from sidechain.topics.wet import Score
from tests.bench.adbench_read import ENTITIES, Labelled, integers, labelled, shuffled

AT: Final = 1_700_000_000_000
WITHIN_S: Final = 300.0
LOOK_S: Final = 0.5


def pack(names: tuple[str, ...]) -> str:
    """A pack with a feature for every column, each the field itself."""
    fields = "".join(f"    {name}: {{type: int}}\n" for name in names)
    features = "".join(f"  - {{name: {name}_now, aggregate: value, of: event.{name}}}\n" for name in names)
    vector = ", ".join(f"{name}_now" for name in names)
    return (
        "pack: adbench\nversion: 1\nevent:\n  fields:\n    id: {type: string, role: id}\n"
        "    who: {type: string, role: key}\n    at: {type: int, role: time}\n"
        f"{fields}features:\n{features}rules:\n"
        f"  - {{id: never, when: event.at < 0, then: note, reason: Never.}}\n"
        f"wet: {{vector: [{vector}], experts: [forest]}}\n"
    )


def events(data: Labelled) -> Iterator[Keyed]:
    """The rows as events, a second apart; ids are their places."""
    for at, row in enumerate(data.rows.tolist()):
        who = f"entity-{at % ENTITIES}"
        event = {"id": str(at), "who": who, "at": AT + at * 1_000, **dict(zip(data.names, row, strict=True))}
        yield Keyed(who.encode(), msgspec.json.encode(event), event["at"])


async def scored(here: Place, data: Labelled, rate: float) -> np.ndarray:
    """The score of every row; NaN while warming up."""
    config = here.config()
    await ensure(config)
    with ExitStack() as stack:
        crew = [
            stack.enter_context(here.process(role, ("-m", "sidechain.agents", "worker", role)))
            for role in ("dry", "tap", "wet")
        ]
        await produce(kafka_options(config), config.topic("events"), events(data), rate=rate)
        async with Reader(kafka_options(config), config.topic("wet.scores")) as reader:
            partitions = await reader.partitions()
            async with asyncio.timeout(WITHIN_S):
                while sum((await reader.ends(partitions)).values()) < len(data.rows):
                    for one in crew:
                        one.check()
                    await asyncio.sleep(LOOK_S)
            found = np.full(len(data.rows), np.nan)
            decode = msgspec.json.Decoder(Score).decode
            async for batch in reader.to_end(partitions):
                for record in batch:
                    one = decode(record.value)
                    found[int(one.id)] = np.nan if one.score is None else one.score
    return found


async def measure(file: Path, seed: int, rate: float) -> None:
    """Run and print."""
    data = shuffled(labelled(file), seed)
    data = integers(data, len(data.rows) // 2)
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "adbench.yaml"
        policy.write_text(pack(data.names), encoding="utf-8")
        async with place("web") as here:
            here._environ = {name: one for name, one in here._environ.items() if name != "SIDECHAIN_PACK"}
            here._environ |= {"SIDECHAIN_POLICY": str(policy), "SIDECHAIN_WET_NICE": "0"}
            found = await scored(here, data, rate)
    known = ~np.isnan(found)
    if not known.any():
        raise EnvironmentProblem("every score was warming up; send more slowly (--rate)")
    said = rank(found[known], data.is_bad[known])
    print(f"{data.name}: {len(found):,} events, {known.sum():,} scored, AUROC {said.auroc:.4f}", end=", ")
    print(f"AUPR {said.average_precision:.3f}; shuffle {seed}, sent at {rate:,.0f} a second")


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("file", type=Path)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument(
        "--rate", type=float, default=100.0, help="events a second; too many are sent before a model is there"
    )
    given = options.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}, python {sys.version.split()[0]}")
    asyncio.run(measure(given.file, given.seed, given.rate))
    print(f"load average {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
