"""How far a row lies from its own entity's history: arithmetic anybody can redo.

    deviation   (value - own mean) / (own deviation + a quarter of everybody's), both squashed (`robust`)
    strayed     the root mean square of the three largest deviations
    score       strayed² / (strayed² + 3²): three of one's own deviations make one half

The quarter keeps an entity that has always done exactly the same from being a scandal at its first small change. A
feature's part in the score is its share of the squares, so the parts add up to the score and the base is 0.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from sidechain.models.wet.experts import robust
from sidechain.models.wet.experts.contract import (
    NO_HISTORY,
    SCORED,
    Batch,
    Explained,
    Matrix,
    Opinion,
    clarity,
    opinion,
)
from sidechain.models.wet.experts.histories import ENTITIES, Histories, History
from sidechain.models.wet.experts.robust import Scale
from sidechain.models.wet.experts.sampled import WARMUP, Sampled
from sidechain.models.wet.rationale import OWN_HISTORY
from sidechain.models.wet.reservoir import CAPACITY

FEWEST: Final = 5  # events of an entity before its next one can be unlike it
LARGEST: Final = 3  # deviations that count
HALF_AT: Final = 3.0  # deviations
QUARTER: Final = 0.25


class Heuristic(Sampled[Scale]):
    """Deviation from the entity's own history."""

    name = "heuristic"

    def __init__(
        self,
        names: Sequence[str],
        *,
        seed: int,
        warmup: int = WARMUP,
        capacity: int = CAPACITY,
        entities: int = ENTITIES,
    ) -> None:
        super().__init__(names, seed=seed, warmup=warmup, capacity=capacity)
        self.histories = Histories(len(self.names), entities)

    def parts(self, batch: Batch) -> Matrix:
        """(rows, features), in the order of `names`: what each feature adds to the score; 0 where there is none."""
        own = self.histories.of(batch.keys)
        squares = self._squares(batch, own)
        parts = squares / (squares.sum(axis=1, keepdims=True) + HALF_AT**2)
        return np.where((own.events >= FEWEST)[:, None], parts, 0.0)

    def explain(self, batch: Batch) -> Explained:
        """Every part in words of the entity's own: what it usually does lies within two deviations of its mean."""
        own = self.histories.of(batch.keys)
        off = 2.0 * np.sqrt(own.variance)
        usual = np.sinh(np.stack([own.mean - off, own.mean + off], axis=2))
        return Explained(0.0, self.parts(batch), usual, [OWN_HISTORY] * len(batch))

    def learn(self, batch: Batch) -> None:
        """Add each row to everybody's sample and to its entity's history."""
        super().learn(batch)
        self.histories.add(batch.keys, robust.squashed(batch.columns(self.names)))

    def _scored(self, batch: Batch) -> Opinion:
        """How far each row strays from what its entity usually does."""
        own = self.histories.of(batch.keys)
        score = self._squares(batch, own).sum(axis=1)
        score = score / (score + HALF_AT**2)
        state = np.where(own.events >= FEWEST, SCORED, NO_HISTORY).astype(np.uint8)
        return opinion(score, clarity(score, own.events.astype(np.float64)), state)

    def _squares(self, batch: Batch, own: History) -> Matrix:
        """Squared deviations, the LARGEST of a row alone, over their number; unknown: 0."""
        values = robust.squashed(batch.columns(self.names))
        deviation = (values - own.mean) / (np.sqrt(own.variance) + QUARTER * self.learned.unit)
        squares = np.nan_to_num(deviation, nan=0.0) ** 2
        counted = min(LARGEST, squares.shape[1])
        smallest = -np.partition(-squares, counted - 1, axis=1)[:, counted - 1 : counted]
        larger, tied = squares > smallest, squares == smallest
        places = counted - larger.sum(axis=1, keepdims=True)  # those that are tied for the last of them share
        return np.asarray(squares * (larger + tied * places / tied.sum(axis=1, keepdims=True)) / counted)

    def _fit(self, sample: Matrix) -> Scale:
        return robust.learn(sample)
