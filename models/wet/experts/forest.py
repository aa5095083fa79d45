"""The isolation forest as an expert that fits itself, where it stands. The worker's is `fitted`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sidechain.models.wet.experts.contract import Batch, Explained, Matrix, Opinion
from sidechain.models.wet.experts.fitted import NAME, explained, scored
from sidechain.models.wet.experts.sampled import Sampled
from sidechain.models.wet.fit import fit
from sidechain.models.wet.reservoir import CAPACITY

if TYPE_CHECKING:
    from sidechain.models.wet.forest import ForestModel


class Forest(Sampled):
    """How easily a row is told apart from the others, whoever it belongs to."""

    name = NAME
    is_rank = True  # its scores are ranks already

    def __init__(self, names: Sequence[str], *, seed: int, warmup: int = 512, capacity: int = CAPACITY) -> None:
        super().__init__(names, seed=seed, warmup=warmup, capacity=capacity)
        self.model: ForestModel | None = None
        self._learned_from = 0

    def score(self, batch: Batch) -> Opinion:
        """As `scored`."""
        return scored(self.model, batch, self._learned_from)

    def explain(self, batch: Batch) -> Explained:
        """As `explained`."""
        assert self.model is not None
        return explained(self.model, batch)

    def _fit(self, sample: Matrix) -> None:
        self.model = fit(sample, self.names, self._seed + self.fits, self.fits)
        self._learned_from = len(sample)
