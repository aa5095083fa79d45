"""What the others agree on.

The score is the mean of all scores, each weighed by its confidence. The confidence is the mean confidence, less what
the scores differ: two that contradict each other outright leave none. One voice is no consensus.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from sidechain.models.wet.experts.contract import SCORED, TOO_FEW, Batch, Expert, Flags, Opinion, opinion

FEWEST: Final = 2


class Consensus:
    """The weighted mean of its members."""

    name = "consensus"

    def __init__(self, members: Sequence[Expert]) -> None:
        self.members = tuple(members)
        self.names = tuple(sorted({name for one in members for name in one.names}))

    def score(self, batch: Batch) -> Opinion:
        """Ask every member, then `agree`."""
        return agree([one.score(batch) for one in self.members])

    def learn(self, batch: Batch) -> None:
        """The members learn."""
        for one in self.members:
            one.learn(batch)

    def learn_outcomes(self, batch: Batch, is_bad: Flags) -> None:
        """The members learn."""
        for one in self.members:
            one.learn_outcomes(batch, is_bad)


def agree(opinions: Sequence[Opinion]) -> Opinion:
    """The consensus of some opinions on the same rows."""
    score = np.stack([one.score for one in opinions])
    weight = np.stack([one.confidence for one in opinions])
    voices = (np.stack([one.state for one in opinions]) == SCORED).sum(axis=0)
    # A voice without any confidence still counts a little: two shrugs are a shrug, not a division by nothing.
    weight = np.where(np.isnan(score), 0.0, weight + 1e-6)
    known = np.nan_to_num(score, nan=0.0)
    total = np.maximum(weight.sum(axis=0), 1e-12)
    mean = (weight * known).sum(axis=0) / total
    spread = np.sqrt((weight * (known - mean) ** 2).sum(axis=0) / total)
    sure = total / np.maximum(voices, 1) * (1.0 - 2.0 * spread)
    state = np.where(voices >= FEWEST, SCORED, TOO_FEW).astype(np.uint8)
    evidence = np.max([one.evidence for one in opinions], axis=0)
    return opinion(np.clip(mean, 0.0, 1.0), np.clip(sure, 0.0, 1.0), state, evidence)
