"""The forest on ADBench's sets, through the code of the wet worker: beside scikit-learn, and beside half-space trees.

    OMP_NUM_THREADS=1 python -m tests.bench.adbench ../shared/data/adbench --most 100000

Every feature becomes an integer, its range in the first part cut into 10^9, as the pipeline knows features.

Batch: seeded shuffles, cut in two; of the first part the worker's reservoir is filled and one forest is fitted, the
rest is scored. Beside it stands scikit-learn's IsolationForest, fitted to all of the first part as it is, its
`score_samples` asked. One forest is chance, so as many of each are drawn on the same splits as bring the standard error
of the difference down to `--error`. That the pipeline says the same to nine digits, `tests.bench.adbench_kafka` shows.

Prequential: the whole shuffle as taps through the worker's own scorer, reservoir, schedule and fit, each row scored
before it is learned. Beside it River's HalfSpaceTrees behind its MinMaxScaler (25 trees of height 8, windows of 250),
one row after the other. Both are judged on the same rows: those behind our warm-up. `--file-order` does without the
shuffle.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from sidechain.agents.bench.place import machine
from sidechain.agents.wet.anomaly import Scorer
from sidechain.models.policy import Wet
from sidechain.models.wet.fit import fit
from sidechain.models.wet.forest import ForestModel
from sidechain.models.wet.ranking import rank
from sidechain.topics.wet import Tap
from tests.bench.adbench_read import Labelled, drawn, integers, labelled, shuffled, taps
from tests.bench.adbench_split import Compared, split

BATCH: Final = 1_000
CLOSE: Final = 0.01  # AUROC
WINS: Final = 7

try:
    from river import anomaly, preprocessing
except ImportError:
    anomaly = None


class Fits:
    """Stands in for the fitting process: a fit is done when the next batch comes."""

    def __init__(self) -> None:
        self._made: ForestModel | None = None

    @property
    def is_busy(self) -> bool:
        return self._made is not None

    @property
    def is_done(self) -> bool:
        return self._made is not None

    def ask(self, sample: np.ndarray, names: Sequence[str], seed: int, version: int) -> None:
        self._made = fit(sample, names, seed, version)

    def take(self) -> ForestModel | None:
        made, self._made = self._made, None
        return made


class Judged(NamedTuple):
    """How well one row's score ranked it, over all rows."""

    auroc: float
    aupr: float
    rows_s: float  # of processor time


def judged(score: np.ndarray, is_bad: np.ndarray, seconds: float) -> Judged:
    """All rows at once."""
    found = rank(score, is_bad)
    assert found.auroc is not None
    assert found.average_precision is not None
    return Judged(found.auroc, found.average_precision, len(score) / seconds)


def ours_prequential(data: Labelled, seed: int) -> tuple[Judged, np.ndarray]:
    """Every row scored, then learned. And which rows were: NaN stands for those of the warm-up."""
    score, seconds = _scored(Scorer(Wet(vector=data.names, experts=("forest",)), Fits(), seed=seed), data)
    known = ~np.isnan(score)
    return judged(score[known], data.is_bad[known], seconds), known


def theirs_prequential(data: Labelled, known: np.ndarray, seed: int) -> Judged:
    """River's, one row after the other."""
    model = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(n_trees=25, height=8, window_size=250, seed=seed)
    score = np.empty(len(data.rows))
    began = time.process_time()
    for at, values in enumerate(data.rows.tolist()):
        row = dict(zip(data.names, values, strict=True))
        score[at] = model.score_one(row)
        model.learn_one(row)
    seconds = time.process_time() - began
    return judged(score[known], data.is_bad[known], seconds)


def _scored(scorer: Scorer, data: Labelled) -> tuple[np.ndarray, float]:
    """What the records of wet.scores say of each row; NaN where they say that the model is warming up."""
    score: list[float] = []
    spent = 0.0
    for batch in _cut(taps(data)):
        began = time.process_time()
        records = scorer.score(batch)
        spent += time.process_time() - began
        score += [np.nan if one.score is None else one.score for one in records]
    return np.array(score), spent


def _cut(made: Iterable[Tap]) -> Iterator[list[Tap]]:
    batch: list[Tap] = []
    for one in made:
        batch.append(one)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def batch_table(sets: Sequence[Labelled], shuffles: int, forests: int, error: float) -> int:
    """Means over forests on the same splits. Returns on how many sets they are close."""
    print(
        "| set | rows | features | bad | forests | AUROC scikit-learn | AUROC ours | apart | AUPR theirs | AUPR ours |"
    )
    print("|---|" + "---:|" * 9)
    close = 0
    for data in sets:
        compared = Compared([split(data, seed) for seed in range(1, shuffles + 1)])
        compared.come_down_to(error, forests)
        (ours, theirs), (own, other) = compared.means(), compared.deviations()
        close += abs(ours.auroc - theirs.auroc) <= CLOSE
        print(
            f"| {data.name} | {len(data.rows):,} | {len(data.names)} | {100 * data.is_bad.mean():.2f} % | "
            f"{compared.forests} | {theirs.auroc:.4f} ({other:.4f}) | {ours.auroc:.4f} ({own:.4f}) | "
            f"{ours.auroc - theirs.auroc:+.4f} ({compared.error():.4f}) | {theirs.aupr:.3f} | {ours.aupr:.3f} |",
            flush=True,
        )
    print(f"\nwithin {CLOSE} of scikit-learn: {close} of {len(sets)}; {shuffles} shuffles, forests of each side")
    print("in brackets the deviation from forest to forest, and of the difference its standard error\n")
    return close


def prequential_table(sets: Sequence[Labelled], seed: int, *, is_shuffled: bool) -> int:
    """Scored, then learned. Returns on how many sets we are the better."""
    heads = [f"{figure} {who}" for figure in ("AUROC", "AUPR", "rows/s") for who in ("half-space trees", "ours")]
    print(f"| set | rows judged | {' | '.join(heads)} |")
    print("|---|" + "---:|" * (len(heads) + 1))
    better = 0
    for one in sets:
        data = shuffled(one, seed) if is_shuffled else one
        ours, known = ours_prequential(integers(data, len(data.rows) // 2), seed)
        theirs = theirs_prequential(data, known, seed) if anomaly is not None else Judged(np.nan, np.nan, np.nan)
        better += ours.auroc > theirs.auroc
        print(
            f"| {data.name} | {known.sum():,} | {theirs.auroc:.4f} | {ours.auroc:.4f} | {theirs.aupr:.3f} | "
            f"{ours.aupr:.3f} | {theirs.rows_s:,.0f} | {ours.rows_s:,.0f} |",
            flush=True,
        )
    order = f"seeded shuffle {seed}" if is_shuffled else "file order"
    print(f"\n{order}; better than half-space trees: {better} of {len(sets)}, {WINS} of 9 are asked for\n")
    return better


def main() -> int:
    """Measure and print; 1 where a set is too far apart, or half-space trees are better on too many."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--sets", default="", help="only these, with commas, as in 38_thyroid")
    options.add_argument("--shuffles", type=int, default=3, help="of the first table")
    options.add_argument("--forests", type=int, default=100, help="of each side on a shuffle, at most")
    options.add_argument("--error", type=float, default=0.002, help="standard error to come down to")
    options.add_argument("--seed", type=int, default=1, help="shuffle of the second table")
    options.add_argument("--tables", default="batch,prequential")
    options.add_argument("--most", type=int, default=10**9, help="rows of a set; of a larger one as many are drawn")
    options.add_argument("--file-order", action="store_true")
    given = options.parse_args()
    wanted = tuple(filter(None, given.sets.split(",")))
    files = [one for one in sorted(given.folder.glob("*.npz")) if not wanted or one.stem in wanted]
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}, python {sys.version.split()[0]}, one thread\n")
    sets = [drawn(labelled(one), given.most) for one in files]
    if anomaly is None:
        print("river is not installed: half-space trees are NOT MEASURED", file=sys.stderr)
    tables, is_enough = given.tables.split(","), True
    with threadpool_limits(1):
        if "batch" in tables:
            is_enough = batch_table(sets, given.shuffles, given.forests, given.error) == len(sets)
        if "prequential" in tables:
            better = prequential_table(sets, given.seed, is_shuffled=not given.file_order)
            is_enough &= anomaly is None or better * 9 >= WINS * len(sets)
    print(f"load average {os.getloadavg()[0]:.2f}")
    return 0 if is_enough else 1


if __name__ == "__main__":
    sys.exit(main())
