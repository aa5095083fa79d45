"""One shuffle of an ADBench set cut in two, and forests learned from its first part: ours, and scikit-learn's."""

from typing import Final, NamedTuple

import numpy as np
from sklearn.ensemble import IsolationForest

from sidechain.models.wet.fit import DRAWN, TREES, fit
from sidechain.models.wet.forest import ForestModel
from sidechain.models.wet.ranking import rank
from sidechain.models.wet.reservoir import Reservoir
from sidechain.models.wet.schedule import LONGEST
from tests.bench.adbench_read import Labelled, integers, shuffled

FEATURE: Final = "{}_now"  # of a column's name
FEWEST: Final = 8  # forests that say how far forests differ


class Split(NamedTuple):
    """The same rows twice, and where they are cut."""

    rows: Labelled  # as scikit-learn sees them
    counts: Labelled  # as the pipeline does: whole numbers
    first: int  # rows to learn from; all others are scored

    @property
    def is_bad(self) -> np.ndarray:
        """The truth about the rows that are scored."""
        return self.rows.is_bad[self.first :]

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns as features of a pack."""
        return tuple(map(FEATURE.format, self.counts.names))


class Ranked(NamedTuple):
    """How well scores rank the rows that are bad."""

    auroc: float
    aupr: float


def cut(rows: int) -> int:
    """The first part: half of the rows, and more of a set so large that a second forest would be learned of the rest.

    A worker learns again when it has seen twice what it learned from, or LONGEST rows more.
    """
    return max((rows + 1) // 2, rows - LONGEST)


def split(data: Labelled, seed: int) -> Split:
    """A seeded shuffle, cut."""
    mixed, first = shuffled(data, seed), cut(len(data.rows))
    return Split(mixed, integers(mixed, first), first)


def ours(one: Split, seed: int) -> tuple[ForestModel, np.ndarray]:
    """What a wet worker with this seed learns from the first part, and its scores of the rest."""
    reservoir = Reservoir(len(one.features), seed)
    reservoir.add(one.counts.rows[: one.first].astype(np.float64))
    model = fit(reservoir.sample(), one.features, seed + 1, 1)
    return model, model.score(one.counts.rows[one.first :].astype(np.float64))


def theirs(one: Split, seed: int) -> np.ndarray:
    """Scores of the rest by scikit-learn's forest: as many trees, each of as many rows, drawn from all of the first."""
    forest = IsolationForest(n_estimators=TREES, max_samples=DRAWN, random_state=seed, n_jobs=1)
    scores: np.ndarray = -forest.fit(one.rows.rows[: one.first]).score_samples(one.rows.rows[one.first :])
    return scores


def ranked(score: np.ndarray, is_bad: np.ndarray) -> Ranked:
    """AUROC and average precision."""
    found = rank(score, is_bad)
    assert found.auroc is not None
    assert found.average_precision is not None
    return Ranked(found.auroc, found.average_precision)


class Compared:
    """Forests of both, as many of each, on the same splits: what is chance, and what is not."""

    def __init__(self, splits: list[Split]) -> None:
        self._splits = splits
        self.ours: list[list[Ranked]] = [[] for _ in splits]
        self.theirs: list[list[Ranked]] = [[] for _ in splits]

    @property
    def forests(self) -> int:
        """Of each side, over all splits."""
        return sum(map(len, self.ours))

    def add(self, seed: int) -> None:
        """One more forest of each on every split."""
        for one, mine, other in zip(self._splits, self.ours, self.theirs, strict=True):
            mine.append(ranked(ours(one, seed)[1], one.is_bad))
            other.append(ranked(theirs(one, seed), one.is_bad))

    def come_down_to(self, error: float, most: int, first: int = 1) -> None:
        """Forests until the standard error is so small, but FEWEST of each side on a split, and at most `most`.

        `first`: the seed to begin with.
        """
        for seed in range(first, first + most):
            self.add(seed)
            if seed >= first + FEWEST - 1 and self.error() <= error:
                return

    def means(self) -> tuple[Ranked, Ranked]:
        """Of all forests, ours and theirs."""
        mine, other = (np.array(side).mean(axis=(0, 1)).tolist() for side in (self.ours, self.theirs))
        return Ranked(*mine), Ranked(*other)

    def deviations(self) -> tuple[float, float]:
        """The standard deviation of AUROC from forest to forest on one split, ours and theirs."""
        mine, other = (
            float(np.sqrt(np.array(side)[:, :, 0].var(axis=1, ddof=1).mean())) for side in (self.ours, self.theirs)
        )
        return mine, other

    def error(self) -> float:
        """The standard error of the difference of the mean AUROCs on these splits, from two forests a split on."""
        return float(np.hypot(*self.deviations()) / np.sqrt(self.forests))
