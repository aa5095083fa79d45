"""`bench backtest`: events a second that a candidate policy is held against, over several chains in several processes.

Each chain is a file of numbered events of the pack's sample and the entries they were sealed as. The candidate is the
same pack with one edge of trust moved, so that it costs what a small change costs.
The start of the processes is included.
"""

import os
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from sidechain.agents.backtest import Asked, FileChain, backtest
from sidechain.agents.bench.load import numbered
from sidechain.agents.bench.place import machine
from sidechain.models.decider import Decider
from sidechain.models.pack_file import load_pack
from sidechain.models.policy import Policy

BATCH: Final = 2_000
REAL_TIME: Final = 10_000  # events a second that a back-test is held against
EDGE: Final = ("monitor: 7500", "monitor: 8600")


def backtesting(pack: str, events: int, jobs: int, rounds: int, told: Callable[[str], None]) -> dict[str, Any]:
    """Run the measurement and return its figures."""
    policy = load_pack(pack)
    asked = Asked(policy=policy.text.replace(*EDGE).encode(), stake=policy.event.stake)
    with TemporaryDirectory(prefix="sidechain-bench-") as folder:
        told(f"sealing {events:,} events of pack {pack} in {jobs} chains")
        chains = [_chain(policy, events // jobs, number, jobs, Path(folder)) for number in range(jobs)]
        rates, costs, flips = [], [], 0
        for turn in range(rounds):
            began, spent = time.perf_counter(), _cpu_s()
            found = backtest(chains, asked, lambda _count: None, jobs=jobs)
            rates.append(found.sums.inputs / (time.perf_counter() - began))
            costs.append(found.sums.inputs / (_cpu_s() - spent))
            flips = found.sums.flips.count
            told(f"round {turn + 1} of {rounds}: {rates[-1]:,.0f} events/s, {costs[-1]:,.0f} a second of a core")
    return {
        "events_per_s": round(median(rates)),
        "events_per_cpu_s": round(median(costs)),
        "times_real_time": round(median(rates) / REAL_TIME, 2),
        "jobs": jobs,
        "rounds": rounds,
        "events": events // jobs * jobs,
        "flips": flips,
        "pack": policy.ref,
        "all": [round(one) for one in rates],
        "load": [round(one, 2) for one in os.getloadavg()],
        "machine": machine(),
    }


def _cpu_s() -> float:
    """Of this process and of those that ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _chain(policy: Policy, events: int, number: int, jobs: int, folder: Path) -> FileChain:
    chain = FileChain(folder / f"events-{number}", folder / f"decisions-{number}")
    decider, source = Decider(policy, partition=number, partitions=jobs), numbered(policy, events)
    with chain.events.open("wb") as given, chain.decisions.open("wb") as made:
        while batch := list(islice(source, BATCH)):
            given.writelines(one + b"\n" for one in batch)
            made.writelines(one + b"\n" for one in decider.lines(batch))
    return chain
