"""The isolation forest as an expert: the panel's baseline."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from sidechain.models.wet.experts.contract import SCORED, WARMING, Batch, Matrix, Opinion, clarity, opinion, silent
from sidechain.models.wet.experts.sampled import Sampled
from sidechain.models.wet.fit import fit
from sidechain.models.wet.reservoir import CAPACITY

if TYPE_CHECKING:
    from sidechain.models.wet.forest import ForestModel

NAME: Final = "forest"


class Forest(Sampled):
    """How easily a row is told apart from the others, whoever it belongs to."""

    name = NAME

    def __init__(self, names: Sequence[str], *, seed: int, warmup: int = 512, capacity: int = CAPACITY) -> None:
        super().__init__(names, seed=seed, warmup=warmup, capacity=capacity)
        self.model: ForestModel | None = None
        self._learned_from = 0

    def score(self, batch: Batch) -> Opinion:
        """The rank of each row's isolation among the sample's."""
        if self.model is None:
            return silent(len(batch), WARMING)
        score = self.model.score(batch.columns(self.names))
        return opinion(score, clarity(score, float(self._learned_from)), np.full(len(batch), SCORED, dtype=np.uint8))

    def _fit(self, sample: Matrix) -> None:
        self.model = fit(sample, self.names, self._seed + self.fits, self.fits)
        self._learned_from = len(sample)
