"""The forest in use, and when the next one is learned: from a reservoir of what passed, in whatever place fits it.

A finished forest is swapped in whole, between two batches. A fit under way is never overtaken; one that failed is asked
for again after more rows.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from sidechain.models.policy import Wet
from sidechain.models.wet.experts.contract import Batch
from sidechain.models.wet.experts.fitted import NAME, FittedForest
from sidechain.models.wet.reservoir import Reservoir
from sidechain.models.wet.schedule import Schedule

if TYPE_CHECKING:
    from sidechain.models.wet.forest import ForestModel

log = logging.getLogger(__name__)


class Fits(Protocol):
    """Where forests come from: `agents.wet.fitter`, or one that fits at once."""

    @property
    def is_busy(self) -> bool: ...
    @property
    def is_done(self) -> bool: ...
    def ask(self, sample: NDArray[np.float64], names: Sequence[str], seed: int, version: int) -> None: ...
    async def wait(self, bound_s: float) -> None: ...
    def take(self) -> "ForestModel | None": ...


class Forests:
    """The expert `forest` of one panel, kept up to date. A pack that asks for none has none."""

    def __init__(self, wet: Wet, fitter: Fits, seed: int) -> None:
        self._names = tuple(sorted(wet.vector))
        self.expert = FittedForest(self._names) if NAME in wet.experts else None
        self._fitter = fitter
        self._seed = seed
        self._reservoir = Reservoir(len(self._names), seed)
        self._asked_of = 0  # rows of the sample that was asked for last
        self._schedule = Schedule(wet.warmup)

    @property
    def model(self) -> "ForestModel | None":
        """The forest in use."""
        return self.expert.model if self.expert is not None else None

    @property
    def is_warming(self) -> bool:
        """Whether one is asked for and none is there yet."""
        return self.expert is not None and self.model is None

    async def ready(self, bound_s: float) -> None:
        """While the very first one is being fitted, wait for it, `bound_s` at most: a fit may hang."""
        if self.model is None:
            await self._fitter.wait(bound_s)

    def swap(self) -> None:
        """Take a finished forest into use."""
        if self.expert is None or not self._fitter.is_done:
            return
        model = self._fitter.take()
        if model is None:
            self._schedule.again(self._reservoir.seen)
            return
        self.expert.use(model, self._asked_of)
        log.info("scoring with %s, learned from %d taps seen", model.name, self._reservoir.seen)

    def passed(self, batch: Batch) -> None:
        """Add rows to the sample, and ask for the next forest when it is due."""
        if self.expert is None:
            return
        self._reservoir.add(batch.columns(self._names))
        if self._reservoir.seen < self._schedule.due_at or self._fitter.is_busy:
            return
        version = self.model.version + 1 if self.model else 1
        self._asked_of = len(self._reservoir)
        self._fitter.ask(self._reservoir.sample(), self._names, self._seed + version, version)
        self._schedule.passed(self._reservoir.seen)
