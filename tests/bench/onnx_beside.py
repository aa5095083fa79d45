"""ONNX files of forest and champion, run by ONNX Runtime, beside scikit-learn on the same rows of ADBench's sets.

    python -m tests.bench.onnx_beside ../shared/data/adbench --rows 1000

Of a seeded shuffle the last rows are asked about; the forest is fitted to 4,096 of the others, the champion to at most
50,000 of them and their labels. Told is the largest difference, of the forest's score and of the champion's
probability; the run fails where one is beyond 1e-5.
"""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from threadpoolctl import threadpool_limits

from sidechain.agents.bench.place import machine
from sidechain.models.wet.boosted_fit import flatten
from sidechain.models.wet.boosted_fit import grow as grow_champion
from sidechain.models.wet.fit import fit, grow
from sidechain.models.wet.forest_onnx import to_onnx
from tests.bench.adbench_read import Labelled, labelled, shuffled

SAMPLE: Final = 4_096
LABELLED: Final = 50_000
CLOSE: Final = 1e-5


def run(file: bytes, output: str, rows: np.ndarray) -> np.ndarray:
    """One output of an ONNX file for these rows, on the processor."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (found,) = session.run([output], {"features": rows.astype(np.float32)})
    return np.asarray(found)[:, 0]


def apart(data: Labelled, rows: int, seed: int) -> tuple[float, float]:
    """The largest differences: forest, champion."""
    learned, asked = data.part(slice(None, -rows)).part(slice(None, LABELLED)), data.rows[-rows:].astype(np.float32)
    sample = learned.rows[:SAMPLE]
    ours = run(to_onnx(fit(sample, data.names, seed, 1)), "score", asked)
    forest = np.abs(ours + grow(sample, seed).score_samples(asked)).max()
    champion = grow_champion(learned.rows, learned.is_bad, seed)
    said = run(flatten(champion, data.names, 1).to_bytes(), "probability", asked)
    return float(forest), float(np.abs(said - champion.predict_proba(asked)[:, 1]).max())


def main() -> int:
    """Compare and print; 1 where one is too far apart."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--rows", type=int, default=1_000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}, ONNX Runtime {onnxruntime.__version__}\n")
    print("| set | rows asked | forest at most apart | champion at most apart |\n|---|---:|---:|---:|")
    worst = []
    with threadpool_limits(1):
        for file in sorted(given.folder.glob("*.npz")):
            data = shuffled(labelled(file), given.seed)
            worst.append(apart(data, given.rows, given.seed))
            print(f"| {data.name} | {given.rows:,} | {worst[-1][0]:.1e} | {worst[-1][1]:.1e} |", flush=True)
    print(f"\nat most {max(map(max, worst)):.1e}, {CLOSE} asked for; load average {os.getloadavg()[0]:.2f}")
    return 0 if max(map(max, worst)) <= CLOSE else 1


if __name__ == "__main__":
    sys.exit(main())
