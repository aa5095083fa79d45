"""The isolation forest as an expert whose models are fitted elsewhere: the panel's baseline in the worker."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from sidechain.models.wet.experts.contract import (
    SCORED,
    WARMING,
    Batch,
    Explained,
    Flags,
    Opinion,
    clarity,
    opinion,
    silent,
)

if TYPE_CHECKING:
    from sidechain.models.wet.forest import ForestModel

NAME: Final = "forest"


class FittedForest:
    """How easily a row is told apart from the others. `use` swaps a model in whole, between two batches."""

    name = NAME
    is_rank = True  # its scores are ranks already

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(sorted(names))
        self.model: ForestModel | None = None
        self._learned_from = 0

    @property
    def model_name(self) -> str:
        """`forest-3:ab12cd34`."""
        return self.model.name if self.model is not None else self.name

    def use(self, model: "ForestModel", learned_from: int) -> None:
        """From the next batch on. `learned_from`: rows of its sample."""
        self.model, self._learned_from = model, learned_from

    def score(self, batch: Batch) -> Opinion:
        """As `scored`."""
        return scored(self.model, batch, self._learned_from)

    def explain(self, batch: Batch) -> Explained:
        """As `explained`."""
        assert self.model is not None
        return explained(self.model, batch)

    def learn(self, batch: Batch) -> None:
        """It learns elsewhere."""

    def learn_outcomes(self, batch: Batch, is_bad: Flags) -> None:
        """A forest knows nothing of outcomes."""


def scored(model: "ForestModel | None", batch: Batch, learned_from: int) -> Opinion:
    """The rank of each row's isolation among the sample's."""
    if model is None:
        return silent(len(batch), WARMING)
    score = model.score(batch.columns(model.names))
    return opinion(score, clarity(score, float(learned_from)), np.full(len(batch), SCORED, dtype=np.uint8))


def explained(model: "ForestModel", batch: Batch) -> Explained:
    """By the splits on each row's paths."""
    why = model.explain(batch.columns(model.names))
    return Explained(why.base, why.parts, model.usual[None], [""] * len(batch))
