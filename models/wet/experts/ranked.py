"""What any expert's score means among its own: about the share of all its scores that were lower.

Experts score on scales of their own: a rank, a distance over itself and three deviations, a share of cases. A rank
among what an expert said is the same thing for all of them. Before FEWEST scores there is none. The sample is drawn
from all scores there were, not from the newest, so that a flood of one kind does not soon look usual.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from sidechain.models.wet import ranks
from sidechain.models.wet.experts.contract import Counts, Matrix
from sidechain.models.wet.reservoir import CAPACITY, Reservoir
from sidechain.models.wet.schedule import Schedule

if TYPE_CHECKING:
    from sidechain.models.wet.ranks import Ranks

FEWEST: Final = 64
EDGE: Final = 1e-6  # scores of exactly 0 and 1 stay apart from the curve's own ends


class Ranked:
    """The curve of one expert: learned anew at every doubling, then every 50,000 scores. Bounded."""

    def __init__(self, seed: int, capacity: int = CAPACITY) -> None:
        self._sample = Reservoir(1, seed, capacity)
        self._schedule = Schedule(FEWEST)
        self._curve: Ranks | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is a curve."""
        return self._curve is not None

    def of(self, score: Matrix) -> Matrix:
        """The rank of each score, rising with it; NaN stays. Only when ready."""
        assert self._curve is not None
        return self._curve.of(_inside(score))

    def learn(self, score: Matrix) -> None:
        """What was said, in order. Where it is cut into batches does not matter."""
        done = 0
        while done < len(score):
            until = done + min(len(score) - done, self._schedule.due_at - self._sample.seen)
            self._sample.add(score[done:until, None])
            done = until
            if self._sample.seen == self._schedule.due_at:
                self._curve = ranks.learn(_inside(self._sample.sample()[:, 0]))
                self._schedule.passed(self._sample.seen)


class Spoken:
    """What the scores of whoever spoke come to beside each other: a rank among all of them, calibrated or not.

    Whoever is surest speaks, and sure are those who see something: among what was said out loud the highest tenth of
    each expert is more than a tenth. Values of calibrated experts are odds and have a curve of their own, of rows that
    turned out well. What is kept is who said what, so that the curves follow when an expert's own scale changes.
    """

    def __init__(self, seed: int, capacity: int = CAPACITY) -> None:
        self._sample = Reservoir(2, seed, capacity)
        self._schedule = Schedule(FEWEST)
        self._curves: dict[bool, Ranks] = {}

    def of(self, value: Matrix, *, is_calibrated: bool) -> Matrix:
        """The rank of values on one of the two scales; as they are while too little was said on it."""
        curve = self._curves.get(is_calibrated)
        return value if curve is None else curve.of(_inside(value))

    def learn(self, expert: Counts, said: Matrix) -> bool:
        """Who spoke, and what on its own scale. Whether the curves are due to be `drawn` again."""
        self._sample.add(np.stack([expert, said], axis=1))
        is_due = self._sample.seen >= self._schedule.due_at
        self._schedule.passed(self._sample.seen)
        return is_due

    def draw(self, value: Callable[[int, Matrix], Matrix], is_calibrated: Sequence[bool], well: Matrix) -> None:
        """Learn the curves anew. `value`: what an expert's scores are worth beside others on the scale it is on.

        `well`: what rows that turned out well are worth on the scale of those that are calibrated; where there are too
        few of them, all that was said takes their place.
        """
        sample = self._sample.sample()
        who = sample[:, 0].astype(np.int64)
        on: dict[bool, list[Matrix]] = {False: [], True: []}
        for expert in np.unique(who).tolist():
            on[is_calibrated[expert]].append(value(expert, sample[who == expert, 1]))
        values = {scale: np.concatenate(found) for scale, found in on.items() if found}
        if len(well) >= FEWEST:
            values[True] = well
        self._curves = {scale: ranks.learn(_inside(one)) for scale, one in values.items() if len(one) >= FEWEST}


def _inside(score: Matrix) -> Matrix:
    return EDGE + (1.0 - 2.0 * EDGE) * score
