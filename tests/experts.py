"""Experts for tests of the panel: one of every make, batches to show them, and the world they come from."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from sidechain.models.wet.boosted_fit import flatten, grow
from sidechain.models.wet.experts.champion import Champion, ChampionSlot
from sidechain.models.wet.experts.consensus import Consensus
from sidechain.models.wet.experts.contract import Batch, Expert, Flags
from sidechain.models.wet.experts.forest import Forest
from sidechain.models.wet.experts.geometric import Geometric
from sidechain.models.wet.experts.heuristic import Heuristic
from sidechain.models.wet.experts.retrieval import Retrieval

NAMES = ("amount", "count", "gap", "rare")
WARMUP = 150

Make = Callable[[Sequence[str], int], Expert]


def consensus(names: Sequence[str], seed: int) -> Consensus:
    """Of two experts that learn."""
    return Consensus(
        [
            Geometric(names, seed=seed, warmup=WARMUP, capacity=512),
            Heuristic(names, seed=seed, warmup=WARMUP, capacity=512, entities=60),
        ]
    )


@cache
def grown(names: tuple[str, ...], seed: int) -> Champion:
    """What a trainer would have proposed of this world."""
    batch, is_bad = world(seed + 1_000, 2_000)
    return Champion(flatten(grow(batch.columns(names), is_bad, seed, rounds=30), names, 1), learned_from=len(batch))


class Promoted(ChampionSlot):
    """A slot whose first outcomes lead to a promotion, as they would after a while."""

    def __init__(self, names: Sequence[str], seed: int) -> None:
        super().__init__()
        self._names, self._seed = tuple(sorted(names)), seed

    def learn_outcomes(self, batch: Batch, is_bad: Flags) -> None:
        self.take(grown(self._names, self._seed))


MAKES: dict[str, Make] = {
    "forest": lambda names, seed: Forest(names, seed=seed, warmup=WARMUP, capacity=512),
    "geometric": lambda names, seed: Geometric(names, seed=seed, warmup=WARMUP, capacity=512),
    "heuristic": lambda names, seed: Heuristic(names, seed=seed, warmup=WARMUP, capacity=512, entities=60),
    "retrieval": lambda names, seed: Retrieval(names, seed=seed, warmup=WARMUP, capacity=512, cases=32),
    "consensus": consensus,
    "champion": Promoted,
}


def world(seed: int, rows: int, *, bad: float = 0.1) -> tuple[Batch, Flags]:
    """Rows of fifty entities, each with habits of its own; what is bad is far from them. 3 % unknown."""
    random = np.random.default_rng(seed)
    who = random.integers(0, 50, rows)
    is_bad = random.random(rows) < bad
    amount = (100 + 20 * who) * random.lognormal(0, 0.2, rows) * np.where(is_bad, 8, 1)
    count = random.poisson(2 + who / 25, rows) + np.where(is_bad, 20, 0)
    gap = random.exponential(60_000, rows) / np.where(is_bad, 30, 1)
    rare = np.where(random.random(rows) < 0.95, 0, random.integers(1, 9, rows))
    made = np.stack([amount.round(), count, gap.round(), rare], axis=1).astype(np.float64)
    made[random.random(made.shape) < 0.03] = np.nan
    return Batch(NAMES, made, [f"host-{one}" for one in who], [f"req-{seed}-{at}" for at in range(rows)]), is_bad


def part(batch: Batch, some: slice) -> Batch:
    """Some rows of a batch."""
    return Batch(batch.names, batch.rows[some], batch.keys[some], batch.ids[some])


def turned(batch: Batch, order: Sequence[int]) -> Batch:
    """The same batch, its columns in another order."""
    return Batch(tuple(batch.names[at] for at in order), batch.rows[:, order], batch.keys, batch.ids)


def taught(expert: Expert, seed: int = 1, rows: int = 400) -> Expert:
    """An expert that saw so many rows, and heard what became of the first half."""
    batch, is_bad = world(seed, rows)
    half = slice(0, rows // 2)
    expert.learn(batch)
    expert.learn_outcomes(part(batch, half), is_bad[half])
    return expert
