"""Exact parts beside those of shap's TreeExplainer: how far apart, and how many rows a second each.

    OMP_NUM_THREADS=1 python -m tests.bench.attribution ../shared/data/adbench --rows 1000

Of each set, shuffled, a forest is fitted to 4,096 rows of X, and a champion to at most 50,000 of X and y; both explain
the last rows, which neither has seen. The run fails where a part differs by more than 1e-6. shap is no dependency of
Sidechain: it brings numba and LLVM along. Put it on the path (it is in no requirements file), or only our own speed is
measured, and that is said aloud.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from sidechain.agents.bench.place import machine
from sidechain.models.wet.attribution import ForestParts
from sidechain.models.wet.boosted_fit import flatten, grow
from sidechain.models.wet.fit import fit
from sidechain.models.wet.fit import grow as grow_forest
from tests.bench.adbench_read import Labelled, labelled, shuffled

SAMPLE: Final = 4_096
LABELLED: Final = 50_000
CLOSE: Final = 1e-6

try:
    import shap
except ImportError:
    shap = None


class Beside(NamedTuple):
    """One model's parts."""

    apart: float  # at most; NaN: not compared
    ours: float  # rows/s of processor time
    theirs: float


def timed(act: Callable[[], np.ndarray], rows: int) -> tuple[np.ndarray, float]:
    """What `act` returns, and how many rows a second it was; its first use is not counted."""
    act()
    began = time.process_time()
    found = act()
    return found, rows / (time.process_time() - began)


def beside(parts: Callable[[], np.ndarray], fitted: object, asked: np.ndarray) -> Beside:
    """Our parts and shap's of one fitted model of scikit-learn."""
    ours, speed = timed(parts, len(asked))
    if shap is None:
        return Beside(np.nan, speed, np.nan)
    judge = shap.TreeExplainer(fitted, feature_perturbation="tree_path_dependent")
    theirs, other = timed(lambda: judge.shap_values(asked), len(asked))
    return Beside(float(np.abs(ours - theirs).max()), speed, other)


def compared(data: Labelled, rows: int, seed: int) -> tuple[Beside, Beside]:
    """The forest's path lengths, and the champion's log-odds."""
    x = data.rows.astype(np.float32).astype(np.float64)
    sample, asked = x[:SAMPLE], x[-rows:]
    parts = ForestParts(fit(sample, data.names, seed, 1))
    forest = beside(lambda: parts.lengths(asked)[1], grow_forest(sample, seed), asked)
    champion = grow(x[:-rows][:LABELLED], data.is_bad[:-rows][:LABELLED], seed)
    model = flatten(champion, data.names, 1)
    return forest, beside(lambda: model.explain(asked).parts, champion, asked)


def main() -> int:
    """Fit, explain, compare, print; 1 where parts are apart."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--sets", default="", help="only these, with commas, as in 32_shuttle")
    options.add_argument("--rows", type=int, default=1_000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    wanted = tuple(filter(None, given.sets.split(",")))
    files = [one for one in sorted(given.folder.glob("*.npz")) if not wanted or one.stem in wanted]
    which = "no shap" if shap is None else f"shap {shap.__version__}"
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}, {which}, one thread, rows/s of processor time\n")
    if shap is None:
        print("shap is not installed: NOTHING IS COMPARED, only our own speed is measured", file=sys.stderr)
    heads = [f"{model} {what}" for model in ("forest", "champion") for what in ("apart", "ours rows/s", "shap rows/s")]
    print(f"| set | rows | features | {' | '.join(heads)} |\n|---|---:|---:|" + "---:|" * len(heads))
    worst = 0.0
    with threadpool_limits(1):
        for file in files:
            data = shuffled(labelled(file), given.seed)
            both = compared(data, given.rows, given.seed)
            told = " | ".join(f"{one.apart:.1e} | {one.ours:,.0f} | {one.theirs:,.0f}" for one in both)
            print(f"| {data.name} | {given.rows:,} | {len(data.names)} | {told} |", flush=True)
            worst = max(worst, *(one.apart for one in both if one.apart == one.apart), 0.0)
    print(f"\nat most {worst:.1e} apart, {CLOSE} asked for; load average {os.getloadavg()[0]:.2f}")
    return 0 if worst <= CLOSE else 1


if __name__ == "__main__":
    sys.exit(main())
