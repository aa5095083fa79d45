"""How many events a second the whole panel takes on one core: every expert asked, one chosen, everything learned.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python -m tests.bench.panel --events 200000 --batch 1000

Made-up rows of nine features and 10,000 entities, 1 % bad; outcomes of every batch are told 20 batches later. Learning
is part of the figure, fits of the forest included, as they fall due. Before the clock starts, --warm events pass.
Printed too: microseconds an event and expert for scoring alone, and the longest batch, in which a fit fell due.
"""

import argparse
import os
import sys
import time
from collections import deque
from datetime import UTC, datetime

import numpy as np
from threadpoolctl import threadpool_limits

from sidechain.agents.bench.place import machine
from sidechain.models.wet.experts.contract import Batch, Flags
from sidechain.models.wet.experts.forest import Forest
from sidechain.models.wet.experts.geometric import Geometric
from sidechain.models.wet.experts.heuristic import Heuristic
from sidechain.models.wet.experts.panel import Panel
from sidechain.models.wet.experts.retrieval import Retrieval

NAMES = tuple(f"feature_{at}" for at in range(9))
ENTITIES = 10_000
LATE = 20  # batches


def made(random: np.random.Generator, rows: int, first: int) -> tuple[Batch, Flags]:
    """Some events and their truth."""
    who = random.integers(0, ENTITIES, rows)
    is_bad = random.random(rows) < 0.01
    values = random.lognormal(3 + (who % 7)[:, None] / 3, 1, (rows, len(NAMES))).round()
    values[is_bad] *= 5
    ids = [f"req-{at}" for at in range(first, first + rows)]
    return Batch(NAMES, values, [f"entity-{one}" for one in who], ids), is_bad


def clock_ms() -> float:
    """For latencies."""
    return time.perf_counter() * 1_000.0


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--events", type=int, default=200_000)
    options.add_argument("--warm", type=int, default=70_000)
    options.add_argument("--batch", type=int, default=1_000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    experts = [make(NAMES, seed=given.seed) for make in (Forest, Geometric, Heuristic, Retrieval)]
    panel = Panel(experts, clock_ms)
    random = np.random.default_rng(given.seed)
    late: deque[tuple[Batch, Flags]] = deque()
    spent = worked = longest = 0.0
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}, python {sys.version.split()[0]}, one thread")
    with threadpool_limits(1):
        for first in range(0, given.warm + given.events, given.batch):
            batch, is_bad = made(random, given.batch, first)
            late.append((batch, is_bad))
            began, work = time.perf_counter(), time.process_time()
            panel.score(batch)
            panel.learn(batch)
            if len(late) > LATE:
                panel.learn_outcomes(*late.popleft())
            took = time.perf_counter() - began
            if first >= given.warm:
                spent += took
                worked += time.process_time() - work
                longest = max(longest, took)
        batches = given.events // given.batch
        print(f"whole panel, learning included: {batches * given.batch / spent:,.0f} events/s")
        print(f"by its own time on the processor: {batches * given.batch / worked:,.0f} events/s")
        print(
            f"longest batch: {longest * 1_000:,.0f} ms of {given.batch:,} events; mean {spent / batches * 1_000:.1f} ms"
        )
        for expert in experts:
            began = time.perf_counter()
            for _ in range(20):
                expert.score(batch)
            print(f"{expert.name}: {(time.perf_counter() - began) / 20 / given.batch * 1e6:.2f} µs an event to score")
    print({" ".join(pair): rows for pair, rows in panel.chosen.items() if rows})
    print(f"load average {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
