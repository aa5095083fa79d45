"""ADBench's sets, and their rows as the pipeline knows rows: features that are integers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from sidechain.topics.wet import Tap

STEPS: Final = 10**9  # a feature's range in the first part, in steps: finer than the float32 a tree compares
ENTITIES: Final = 1_000


class Labelled(NamedTuple):
    """Rows and their truth."""

    name: str
    names: tuple[str, ...]  # of the features
    rows: np.ndarray  # (rows, features)
    is_bad: np.ndarray  # (rows,)

    def part(self, some: slice) -> "Labelled":
        """Some of the rows."""
        return self._replace(rows=self.rows[some], is_bad=self.is_bad[some])


def labelled(file: Path) -> Labelled:
    """One set, in the order of its file."""
    with np.load(file, allow_pickle=False) as arrays:
        rows, is_bad = arrays["X"].astype(np.float64), arrays["y"].ravel() > 0
    return Labelled(file.stem.partition("_")[2], tuple(f"f{at:02}" for at in range(rows.shape[1])), rows, is_bad)


def drawn(data: Labelled, most: int) -> Labelled:
    """At most so many rows, drawn at random, in their order."""
    if len(data.rows) <= most:
        return data
    some = np.sort(np.random.default_rng(0).permutation(len(data.rows))[:most])
    return data._replace(rows=data.rows[some], is_bad=data.is_bad[some])


def shuffled(data: Labelled, seed: int) -> Labelled:
    """The same rows in a random order."""
    order = np.random.default_rng(seed).permutation(len(data.rows))
    return data._replace(rows=data.rows[order], is_bad=data.is_bad[order])


def integers(data: Labelled, first: int) -> Labelled:
    """Every feature in whole steps of a fixed size, STEPS of them over its range in the `first` rows."""
    low, high = data.rows[:first].min(axis=0), data.rows[:first].max(axis=0)
    step = np.where(high > low, (high - low) / STEPS, 1.0)
    return data._replace(rows=np.round((data.rows - low) / step).astype(np.int64))


def taps(data: Labelled) -> Iterator[Tap]:
    """The rows as records of wet.taps."""
    for seq, row in enumerate(data.rows.tolist()):
        yield Tap(
            id=f"{data.name}-{seq}",
            key=f"entity-{seq % ENTITIES}",
            at=seq,
            partition=0,
            seq=seq,
            action="allow",
            tier="pass",
            trust_bp=9_000,
            score_bp=0,
            policy="adbench@1:000000000000",
            features=dict(zip(data.names, row, strict=True)),
        )
