"""Learning from a bounded sample, at places that depend on the rows alone.

A model is fitted to a uniform sample of all rows seen, first after `warmup` rows, then at every doubling, then every
50,000 (`schedule`). A batch that crosses such a place is cut there, so the models are the same however the rows came.
"""

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from sidechain.models.wet.experts.contract import WARMING, Batch, Flags, Matrix, Opinion, silent
from sidechain.models.wet.reservoir import CAPACITY, Reservoir
from sidechain.models.wet.schedule import Schedule

WARMUP: Final = 512

Learned = TypeVar("Learned")


class Sampled(Generic[Learned]):
    """What experts share that learn from passing rows. Subclasses fit, score by what they fitted, and have a name."""

    name: str

    def __init__(self, names: Sequence[str], *, seed: int, warmup: int = WARMUP, capacity: int = CAPACITY) -> None:
        """`names`: the features to read, in any order. `warmup`: rows before the first fit. `capacity`: rows kept."""
        self.names = tuple(sorted(names))
        self.fits = 0
        self.learned_from = 0  # rows of the sample the latest fit saw
        self._learned: Learned | None = None
        self._seed = seed
        self._reservoir = Reservoir(len(self.names), seed, capacity)
        self._schedule = Schedule(warmup)

    @property
    def is_warming(self) -> bool:
        """Whether there is no model yet."""
        return self._learned is None

    @property
    def learned(self) -> Learned:
        """What the latest fit learned. Only when there was one."""
        assert self._learned is not None
        return self._learned

    @property
    def model_name(self) -> str:
        """`geometric-3`: the third fit."""
        return f"{self.name}-{self.fits}"

    @property
    def sampled(self) -> int:
        """Rows in the sample, `capacity` at most."""
        return len(self._reservoir)

    def score(self, batch: Batch) -> Opinion:
        """An opinion on each row; none before the first fit."""
        return silent(len(batch), WARMING) if self.is_warming else self._scored(batch)

    def learn(self, batch: Batch) -> None:
        """Add to the sample; fit where a fit is due."""
        rows = batch.columns(self.names)
        done = 0
        while done < len(rows):
            until = done + min(len(rows) - done, self._schedule.due_at - self._reservoir.seen)
            self._reservoir.add(rows[done:until])
            done = until
            if self._reservoir.seen == self._schedule.due_at:
                sample = self._reservoir.sample()
                self.fits, self.learned_from = self.fits + 1, len(sample)
                self._learned = self._fit(sample)
                self._schedule.passed(self._reservoir.seen)

    def learn_outcomes(self, batch: Batch, is_bad: Flags) -> None:
        """Outcomes change nothing, unless a subclass says otherwise."""

    def _scored(self, batch: Batch) -> Opinion:
        """`score`, once there is a fit."""
        raise NotImplementedError

    def _fit(self, sample: Matrix) -> Learned:
        """Learn from the sample (rows × features, NaN for unknown), which belongs to the callee."""
        raise NotImplementedError
