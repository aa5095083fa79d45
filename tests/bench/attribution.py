"""Exact parts beside those of shap's TreeExplainer: how far apart, and how many rows a second each.

    python -m tests.bench.attribution ../shared/data/adbench/32_shuttle.npz --rows 1000

A forest is fitted to a seeded sample of X, and a champion to X and y; both explain the same rows. shap is no dependency
of Sidechain: it brings numba and LLVM along. Put it on the path, or this measures our side alone and says so.
"""

import argparse
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from sidechain.agents.bench.place import machine
from sidechain.models.wet.attribution import ForestParts
from sidechain.models.wet.boosted_fit import flatten, grow
from sidechain.models.wet.fit import fit
from sidechain.models.wet.fit import grow as grow_forest

SAMPLE = 4_096

try:
    import shap
except ImportError:
    shap = None


def timed(name: str, act: Callable[[], np.ndarray], rows: int) -> np.ndarray:
    """What `act` returns, and how many rows a second it was; its first use is not counted."""
    act()
    began = time.perf_counter()
    found = act()
    print(f"{name}: {rows / (time.perf_counter() - began):,.0f} rows/s")
    return found


def main() -> None:
    """Fit, explain, compare, print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("file", type=Path, help="an .npz with X and y")
    options.add_argument("--rows", type=int, default=1_000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    with np.load(given.file, allow_pickle=False) as arrays:
        x, y = arrays["X"].astype(np.float32).astype(np.float64), arrays["y"].ravel() > 0
    mixed = np.random.default_rng(given.seed).permutation(len(x))
    sample, asked, names = x[mixed[:SAMPLE]], x[mixed[-given.rows :]], [f"f{at:03}" for at in range(x.shape[1])]
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}, python {sys.version.split()[0]}, one thread")
    print(f"{given.file.name}: {len(asked)} rows of {len(names)} features")
    if shap is None:
        print("shap is not installed: NOTHING IS COMPARED, only our own speed is measured", file=sys.stderr)
    with threadpool_limits(1):
        parts = ForestParts(fit(sample, names, given.seed, 1))
        ours = timed("forest, ours", lambda: parts.lengths(asked)[1], len(asked))
        champion = grow(x[mixed[: -given.rows]], y[mixed[: -given.rows]], given.seed)
        model = flatten(champion, names, 1)
        ours_too = timed("champion, ours", lambda: model.explain(asked).parts, len(asked))
        if shap is not None:
            judge = shap.TreeExplainer(grow_forest(sample, given.seed), feature_perturbation="tree_path_dependent")
            theirs = timed("forest, shap", lambda: judge.shap_values(asked), len(asked))
            print(f"forest: at most {np.abs(ours - theirs).max():.3g} apart, of path lengths")
            judge = shap.TreeExplainer(champion, feature_perturbation="tree_path_dependent")
            theirs = timed("champion, shap", lambda: judge.shap_values(asked), len(asked))
            print(f"champion: at most {np.abs(ours_too - theirs).max():.3g} apart, of log-odds")


if __name__ == "__main__":
    main()
