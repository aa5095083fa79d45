"""The isolation forest as an expert that fits itself, where it stands. The worker's is `fitted`."""

from sidechain.models.wet.experts.contract import Batch, Explained, Matrix, Opinion
from sidechain.models.wet.experts.fitted import NAME, explained, scored
from sidechain.models.wet.experts.sampled import Sampled
from sidechain.models.wet.fit import fit
from sidechain.models.wet.forest import ForestModel


class Forest(Sampled[ForestModel]):
    """How easily a row is told apart from the others, whoever it belongs to."""

    name = NAME
    is_rank = True  # its scores are ranks already

    def explain(self, batch: Batch) -> Explained:
        """As `explained`."""
        return explained(self.learned, batch)

    def _scored(self, batch: Batch) -> Opinion:
        return scored(self.learned, batch, self.learned_from)

    def _fit(self, sample: Matrix) -> ForestModel:
        return fit(sample, self.names, self._seed + self.fits, self.fits)
