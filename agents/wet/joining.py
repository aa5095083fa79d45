"""Decisions and what became of them, brought together: an outcome comes later, and is learned of when it is due.

What is joined with an outcome are the features as they were and what each expert said then (`models/wet/waiting`).
"""

from collections.abc import Sequence
from itertools import groupby

from sidechain.models.wet.ensemble import Ensemble, Judged
from sidechain.models.wet.experts.contract import Batch
from sidechain.models.wet.waiting import Waiting
from sidechain.topics.wet import Case, Tap

BAD = "bad"


class Joining:
    """Teaches one ensemble the outcomes of what passed."""

    def __init__(self, ensemble: Ensemble, waiting: Waiting) -> None:
        self._ensemble = ensemble
        self._waiting = waiting

    def passed(self, taps: Sequence[Tap], batch: Batch, judged: Judged) -> None:
        """Remember what was judged until its outcome comes; in the order of each partition's chain."""
        first = 0
        for partition, some in groupby(taps, lambda one: one.partition):
            own = list(some)
            part = slice(first, first + len(own))
            whole = batch if len(own) == len(taps) else _part(batch, part)
            self._waiting.tapped(partition, [x.seq for x in own], [x.at for x in own], whole, judged.said[:, part])
            first += len(own)
        self._hear()

    def told(self, cases: Sequence[Case]) -> None:
        """How decisions turned out; learned of as soon as the taps have come to that time."""
        for one in cases:
            if one.label is not None:
                self._waiting.told(one.partition, one.seq, one.at, is_bad=one.label == BAD)
        self._hear()

    def _hear(self) -> None:
        settled = self._waiting.due()
        if settled is not None:
            self._ensemble.learn_outcomes(settled.batch, settled.said, settled.is_bad)


def _part(batch: Batch, some: slice) -> Batch:
    return Batch(batch.names, batch.rows[some], batch.keys[some], batch.ids[some])
