"""The champion as an expert: what learned from outcomes, once people have put one in its place.

    slot = ChampionSlot()
    slot.take(Champion(model, learned_from=40_000))     from the next batch on; None: nobody is champion
    slot.score(batch)                                   warming while there is none

Its score is the probability of a bad outcome, so it needs no calibration to be one, only to stay one. It never learns
by itself: `learn` and `learn_outcomes` change nothing, the trainer proposes a successor and a person promotes it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from sidechain.models.wet.boosted import Boosted
from sidechain.models.wet.experts.contract import (
    SCORED,
    WARMING,
    Batch,
    Flags,
    Opinion,
    clarity,
    opinion,
    silent,
)
from sidechain.models.wet.forest import Explained
from sidechain.models.wet.runtime import Runtime

NAME: Final = "champion"
SMALLEST: Final = 1e-12  # log-odds nearer to the base than this are the base


class Champion:
    """One model, ready to score. Immutable."""

    def __init__(self, model: Boosted, learned_from: int, *, only_own: bool = False) -> None:
        """`learned_from`: outcomes it was fitted to. `only_own`: without ONNX Runtime."""
        self.model = model
        self.learned_from = learned_from
        self.runtime = Runtime(model, only_own=only_own)

    def score(self, batch: Batch) -> Opinion:
        """The probability of a bad outcome of each row."""
        score = self.runtime.score(batch.columns(self.model.names))
        state = np.full(len(batch), SCORED, dtype=np.uint8)
        return opinion(score, clarity(score, float(self.learned_from)), state)

    def explain(self, batch: Batch) -> Explained:
        """Why each row has its score: base and parts, in the order of `model.names`, add up to it.

        Exact Shapley values of the log-odds, scaled by how much of the probability they moved. About a third of a
        millisecond a row: for rows that somebody will look at.
        """
        rows = batch.columns(self.model.names)
        score, why = self.runtime.score(rows), self.model.explain(rows)
        base = float(np.exp(-np.logaddexp(0.0, -why.base)))
        moved = why.parts.sum(axis=1)
        risen = score - base
        is_moved = np.abs(moved) > SMALLEST
        slope = np.divide(risen, moved, out=np.zeros_like(risen), where=is_moved)
        parts = why.parts * slope[:, None]
        # Where nothing moved the log-odds the score is the base, but for what the runtime rounds: nobody's doing.
        parts += np.where(is_moved, 0.0, risen)[:, None] / parts.shape[1]
        return Explained(base, score, parts)


class ChampionSlot:
    """The champion's place in the panel. Empty until somebody was promoted."""

    name = NAME

    def __init__(self) -> None:
        self.champion: Champion | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The features its champion reads; none while there is none."""
        return () if self.champion is None else self.champion.model.names

    @property
    def model_name(self) -> str | None:
        """What scores of it are signed with."""
        return None if self.champion is None else self.champion.model.name

    def take(self, champion: Champion | None) -> None:
        """Put another in its place, whole; a batch that is being scored is not touched."""
        self.champion = champion

    def score(self, batch: Batch) -> Opinion:
        """What the champion says."""
        champion = self.champion
        return silent(len(batch), WARMING) if champion is None else champion.score(batch)

    def explain(self, batch: Batch) -> Explained | None:
        """Why, in the order of `names`; None while there is no champion."""
        champion = self.champion
        return None if champion is None else champion.explain(batch)

    def learn(self, batch: Batch) -> None:
        """Nothing: a champion changes by promotion alone."""

    def learn_outcomes(self, batch: Batch, is_bad: Flags) -> None:
        """Nothing: a champion changes by promotion alone."""


def missing(model: Boosted, known: Sequence[str]) -> tuple[str, ...]:
    """What the model reads and nobody here can tell it."""
    return tuple(sorted(set(model.names) - set(known)))
