"""Forests fitted where they are asked for: no process, nothing to wait for, the same models.

For `sidechain score` and whoever else has nobody to keep waiting; the worker has a `fitter`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sidechain.models.wet.fit import fit
from sidechain.models.wet.forest import ForestModel


class AtOnce:
    """What was asked for is done with the next call."""

    is_busy = False

    def __init__(self) -> None:
        self._made: ForestModel | None = None

    @property
    def is_done(self) -> bool:
        """Whether `take` has an answer."""
        return self._made is not None

    def ask(self, sample: NDArray[np.float64], names: Sequence[str], seed: int, version: int) -> None:
        """Fit it."""
        self._made = fit(sample, names, seed, version)

    async def wait(self, bound_s: float) -> None:
        """There is nothing to wait for."""

    def take(self) -> ForestModel | None:
        """The model."""
        made, self._made = self._made, None
        return made
