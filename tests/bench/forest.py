"""The forest beside scikit-learn's own scoring at batches of a thousand, and whether it names a planted cause.

    OMP_NUM_THREADS=1 python -m tests.bench.forest ../shared/data/adbench

Speed: rows a second of processor time, our score (`score_samples`, ranked), our score with a part for each feature, and
scikit-learn's `score_samples`, in turns, so that what drifts drifts for all; medians of the rounds, and their ratio.

Causes: a forest is fitted to rows that are not bad. In other such rows one feature, drawn at random, is put as far
behind the sample's largest value, or before its smallest, as the sample is wide; how far makes no difference to a
forest. Told is how often that very feature has the largest part: among all such rows, and among those the forest calls
unusual (0.95 or more), by the order of splits, as every record has it, and by Shapley values. Of a row that was in the
tail of another feature before, the forest may well name that one.
"""

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import numpy as np
from threadpoolctl import threadpool_limits

from sidechain.agents.bench.place import machine
from sidechain.models.wet.attribution import ForestParts
from sidechain.models.wet.fit import fit, grow
from tests.bench.adbench_read import Labelled, labelled, shuffled

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE: Final = 4_096
BATCH: Final = 1_000
ASKED: Final = 0.5  # of scikit-learn's speed
FIRST: Final = 0.8  # of planted causes
UNUSUAL: Final = 0.95
SHAPLEY_ROWS: Final = 100


def speed(data: Labelled, rounds: int, seed: int) -> float:
    """Prints three speeds and returns our share of scikit-learn's."""
    model, theirs = fit(data.rows[:SAMPLE], data.names, seed, 1), grow(data.rows[:SAMPLE], seed)
    batches = [data.rows[first : first + BATCH] for first in range(0, min(10 * BATCH, len(data.rows)), BATCH)]
    asked: dict[str, Callable[[np.ndarray], object]] = {
        "ours": model.score,
        "ours, with parts": model.explain,
        "scikit-learn": theirs.score_samples,
    }
    spent: dict[str, list[float]] = {name: [] for name in asked}
    for turn in range(rounds + 1):
        for name, score in asked.items():
            began = time.process_time()
            for batch in batches:
                score(batch)
            if turn:  # the first one warms up
                spent[name].append(time.process_time() - began)
    rows = sum(map(len, batches))
    rates = {name: rows / median(seconds) for name, seconds in spent.items()}
    share = rates["ours"] / rates["scikit-learn"]
    told = " | ".join(f"{rates[name]:,.0f}" for name in asked)
    print(f"| {data.name} | {len(data.names)} | {told} | {share:.2f} |", flush=True)
    return share


def planted(sample: np.ndarray, rows: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The rows, one feature of each far outside the sample, and which one; never one that does not vary."""
    low, high = sample.min(axis=0), sample.max(axis=0)
    varies = np.flatnonzero(high > low)
    cause = varies[random.integers(0, len(varies), len(rows))]
    outside = (high - low)[cause]
    made = rows.copy()
    above = random.random(len(rows)) < 0.5
    made[np.arange(len(rows)), cause] = np.where(above, high[cause] + outside, low[cause] - outside)
    return made, cause


def causes(data: Labelled, rows: int, seed: int) -> tuple[float, float]:
    """Shares of planted causes that stand first, by splits and by Shapley values; printed too."""
    usual = data.rows[~data.is_bad]
    sample = usual[:SAMPLE] if len(usual) > SAMPLE + rows else usual[: len(usual) // 2]
    model = fit(sample, data.names, seed, 1)
    made, cause = planted(sample, usual[len(sample) : len(sample) + rows], np.random.default_rng(seed))
    why = model.explain(made)
    unusual = np.flatnonzero(why.score >= UNUSUAL)
    is_first = why.parts.argmax(axis=1) == cause
    some = unusual[:SHAPLEY_ROWS]
    by_shapley = _share(ForestParts(model).explain(made[some]).parts.argmax(axis=1) == cause[some])
    by_splits = _share(is_first[unusual])
    told = f"{_share(is_first):.1%} | {len(unusual)} | {by_splits:.1%} | {by_shapley:.1%}"
    print(f"| {data.name} | {len(data.names)} | {len(made)} | {told} |", flush=True)
    return by_splits, by_shapley


def _share(flags: np.ndarray) -> float:
    return float(flags.mean()) if len(flags) else float("nan")


def main() -> int:
    """Measure and print; 1 where a set is scored too slowly."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--sets", default="", help="only these, with commas, as in 32_shuttle")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--rows", type=int, default=500, help="planted anomalies of a set")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    wanted = tuple(filter(None, given.sets.split(",")))
    files = [one for one in sorted(given.folder.glob("*.npz")) if not wanted or one.stem in wanted]
    sets = [shuffled(labelled(one), given.seed) for one in files]
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}, python {sys.version.split()[0]}, one thread\n")
    with threadpool_limits(1):
        print(f"| set | features | ours, rows/s | ours with parts | scikit-learn | share, {ASKED} asked for |")
        print("|---|---:|---:|---:|---:|---:|")
        shares = [speed(one, given.rounds, given.seed) for one in sets]
        print(f"\n{sum(one >= ASKED for one in shares)} of {len(sets)} at {ASKED} or more\n")
        print("| set | features | planted | first | unusual | of those first, by splits | by Shapley values |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        found = [causes(one, given.rows, given.seed) for one in sets]
        print(f"\n{sum(one[0] >= FIRST for one in found)} of {len(sets)} at {FIRST:.0%} or more by splits")
        print(f"{sum(one[1] >= FIRST for one in found)} of {len(sets)} by Shapley values")
    print(f"load average {os.getloadavg()[0]:.2f}")
    return 0 if min(shares) >= ASKED else 1


if __name__ == "__main__":
    sys.exit(main())
