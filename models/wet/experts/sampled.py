"""Learning from a bounded sample, at places that depend on the rows alone.

A model is fitted to a uniform sample of all rows seen, first after `warmup` rows, then at every doubling, then every
50,000 (`schedule`). A batch that crosses such a place is cut there, so the models are the same however the rows came.
"""

from collections.abc import Sequence

from sidechain.models.wet.experts.contract import Batch, Flags, Matrix
from sidechain.models.wet.reservoir import CAPACITY, Reservoir
from sidechain.models.wet.schedule import Schedule


class Sampled:
    """What experts share that learn from passing rows. Subclasses fit, and have a name."""

    name: str

    def __init__(self, names: Sequence[str], *, seed: int, warmup: int, capacity: int = CAPACITY) -> None:
        """`names`: the features to read, in any order. `warmup`: rows before the first fit. `capacity`: rows kept."""
        self.names = tuple(sorted(names))
        self.fits = 0
        self._seed = seed
        self._reservoir = Reservoir(len(self.names), seed, capacity)
        self._schedule = Schedule(warmup)

    @property
    def is_warming(self) -> bool:
        """Whether there is no model yet."""
        return self.fits == 0

    @property
    def model_name(self) -> str:
        """`geometric-3`: the third fit."""
        return f"{self.name}-{self.fits}"

    @property
    def sampled(self) -> int:
        """Rows in the sample, `capacity` at most."""
        return len(self._reservoir)

    def learn(self, batch: Batch) -> None:
        """Add to the sample; fit where a fit is due."""
        rows = batch.columns(self.names)
        done = 0
        while done < len(rows):
            until = done + min(len(rows) - done, self._schedule.due_at - self._reservoir.seen)
            self._reservoir.add(rows[done:until])
            done = until
            if self._reservoir.seen == self._schedule.due_at:
                self.fits += 1
                self._fit(self._reservoir.sample())
                self._schedule.passed(self._reservoir.seen)

    def learn_outcomes(self, batch: Batch, is_bad: Flags) -> None:
        """Outcomes change nothing, unless a subclass says otherwise."""

    def _fit(self, sample: Matrix) -> None:
        """Learn from the sample (rows × features, NaN for unknown), which belongs to the callee."""
        raise NotImplementedError
