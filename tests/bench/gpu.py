"""How many rows a second the forest scores on a GPU, where there is one and CuPy to reach it.

    python -m tests.bench.gpu --rows 2000000 --features 9

The walk is the forest's own, level by level over all trees (`models/wet/trees.py`), with CuPy's arrays in the place of
numpy's; rows go to the device and path lengths come back within what is timed. Its answers are held against those of
the processor, and a difference beyond 1e-6 is no figure. Without a GPU nothing is measured, and that is said aloud.
"""

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, Final

import numpy as np

from sidechain.agents.bench.place import machine
from sidechain.models.wet.fit import fit
from sidechain.models.wet.forest import ForestModel
from sidechain.models.wet.trees import LEAF, average_path_length, round_down

ASKED: Final = 333_000  # rows a second
SAMPLE: Final = 4_096
CHUNK: Final = 65_536
APART: Final = 1e-6


class Walk:
    """One forest's trees in the arrays of `xp`, which is numpy or CuPy."""

    def __init__(self, model: ForestModel, xp: ModuleType) -> None:
        grown = model.grown
        self._xp = xp
        self._count, inner = grown.feature.shape
        self._depth = (inner + 1).bit_length() - 1
        splits = grown.feature != LEAF
        self._feature = xp.asarray(np.where(splits, grown.feature, 0).astype(np.int64).ravel())
        self._threshold = xp.asarray(round_down(np.where(splits, grown.threshold, np.inf)).ravel())
        self._length = xp.asarray(_slots(model).ravel())

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """The mean path length of each row (rows, features), float32 without unknowns."""
        found = [self._chunk(rows[first : first + CHUNK]) for first in range(0, len(rows), CHUNK)]
        return np.concatenate(found)

    def _chunk(self, rows: np.ndarray) -> np.ndarray:
        xp = self._xp
        flat = xp.asarray(rows).ravel()
        first = xp.arange(len(rows), dtype=np.int64)[None, :] * rows.shape[1]
        tree = xp.arange(self._count, dtype=np.int64)[:, None]
        inner = 2**self._depth - 1
        node = xp.zeros((self._count, len(rows)), dtype=np.int64)
        for _ in range(self._depth):
            at = node + tree * inner
            value = flat.take(self._feature.take(at) + first)
            node = 2 * node + 1 + (value > self._threshold.take(at))
        total = self._length.take(node - inner + tree * (inner + 1)).mean(axis=0)
        return np.asarray(total.get() if hasattr(total, "get") else total)


def _slots(model: ForestModel) -> np.ndarray:
    """At every leaf slot of the full trees, the length of the path that ends there, or above it."""
    grown = model.grown
    length = np.zeros((len(grown.feature), 1))
    done = np.zeros((len(grown.feature), 1), dtype=np.bool_)
    depth = (grown.feature.shape[1] + 1).bit_length() - 1
    for level in range(depth + 1):
        here = slice(2**level - 1, 2 ** (level + 1) - 1)
        is_leaf = grown.feature[:, here] == LEAF if level < depth else np.ones_like(done)
        ends = is_leaf & ~done
        length = np.where(ends, level + average_path_length(grown.samples[:, here]), length)
        done = done | ends
        if level < depth:
            length, done = length.repeat(2, axis=1), done.repeat(2, axis=1)
    return length


def main() -> int:
    """Measure and print, or say that nothing was measured."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=int, default=2_000_000)
    options.add_argument("--features", type=int, default=9)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}, load average {os.getloadavg()[0]:.2f}")
    cupy = _device()
    if cupy is None:
        return 0
    random = np.random.default_rng(given.seed)
    rows = random.lognormal(3, 1, (given.rows, given.features)).round().astype(np.float32)
    model = fit(rows[:SAMPLE].astype(np.float64), [f"f{at}" for at in range(given.features)], given.seed, 1)
    walk = Walk(model, cupy)
    some = rows[:CHUNK]
    apart = np.abs(walk.lengths(some) - Walk(model, np).lengths(some)).max()  # its first use is not timed
    if apart > APART:
        print(f"the device is {apart:.2g} apart from the processor: NO FIGURE", file=sys.stderr)
        return 1
    began = time.perf_counter()
    walk.lengths(rows)
    rate = len(rows) / (time.perf_counter() - began)
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    print(f"{name}: {rate:,.0f} rows/s of {given.features} features, {ASKED:,} asked for", end=", ")
    print(f"{apart:.2g} apart from the processor")
    return 0 if rate >= ASKED else 1


def _device() -> Any:
    """CuPy where it finds a GPU, else None, and why."""
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except ImportError:
        print("cupy is not installed: NOTHING IS MEASURED, no row was scored on a GPU", file=sys.stderr)
        return None
    except Exception as fault:  # noqa: BLE001 - whatever the driver says, there is none to measure on
        print(f"no GPU answers ({fault}): NOTHING IS MEASURED, no row was scored on a GPU", file=sys.stderr)
        return None
    return cupy


if __name__ == "__main__":
    sys.exit(main())
