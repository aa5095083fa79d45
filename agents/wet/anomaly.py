"""Taps in, scores out: how unusual each decision's features are, and why. Never in anybody's way.

Every tap gets a record on wet.scores. Until the first expert knows enough its state is `warming` and its score null:
not knowing is a state, not a zero. A panel of experts is asked (`models/wet/ensemble`), and one of them speaks. The
forest among them is learned in another process (`forests`); the others learn here, in steps whose size has a limit.
Each score names whose word it is. How decisions turned out comes later, from wet.cases (`joining`).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final

import numpy as np

from sidechain.agents.wet.forests import Fits, Forests
from sidechain.agents.wet.joining import Joining
from sidechain.agents.wet.legible import Legible
from sidechain.agents.wet.recorder import Recorder
from sidechain.models.policy import Wet
from sidechain.models.wet.ensemble import Ensemble, Judged
from sidechain.models.wet.experts.contract import Batch, Expert
from sidechain.models.wet.experts.makes import experts_of
from sidechain.models.wet.forest import matrix
from sidechain.models.wet.waiting import Waiting
from sidechain.topics.wet import Case, Score, Tap

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

    from sidechain.models.wet.forest import ForestModel

SEED: Final = 1
FIRST_S: Final = 15.0
CHAMPION: Final = "champion"
MAX_STEP_MS: Final = 86_400_000


def now_ms() -> float:
    """For the latency of experts."""
    return time.perf_counter() * 1_000.0


class Scorer:
    """A panel at work: it is asked, what it says is written down, and it learns of what passed."""

    def __init__(
        self,
        wet: Wet,
        fitter: Fits,
        *,
        seed: int = SEED,
        max_step_ms: int = MAX_STEP_MS,
        given: Mapping[str, Expert] | None = None,
        signals: Sequence[str] = (),
        clock: Callable[[], float] = now_ms,
        bounded: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`given`: experts made elsewhere, by name. `signals`: those learned from outcomes, for experts that read them.

        `max_step_ms`: how far one tap moves event time. `clock`: in ms. `bounded`: around each turn.
        """
        self._names = tuple(sorted(wet.vector))
        self._columns = (*self._names, *(signals if CHAMPION in wet.experts else ()))  # of batches
        self._forests = Forests(wet, fitter, seed)
        forest = self._forests.expert
        made = {**({forest.name: forest} if forest is not None else {}), **(given or {})}
        self.ensemble = Ensemble(wet, experts_of(wet, seed, made), clock, seed, bounded)
        self.waiting = Waiting(self._columns, len(self.ensemble.names), max_step_ms)
        self._joining = Joining(self.ensemble, self.waiting)
        self.record = Recorder(wet, self.ensemble)
        self._taps = Legible(Tap, "tap")
        self._cases = Legible(Case, "case")

    @property
    def model(self) -> "ForestModel | None":
        """The forest in use."""
        return self._forests.model

    @property
    def unreadable(self) -> int:
        """Records that were neither tap nor case."""
        return self._taps.unreadable + self._cases.unreadable

    def read(self, records: "Sequence[ConsumerRecord]") -> list[Tap]:
        """The taps in a batch."""
        return self._taps.read(records)

    def read_cases(self, records: "Sequence[ConsumerRecord]") -> list[Case]:
        """The same for cases."""
        return self._cases.read(records)

    def score(self, taps: Sequence[Tap]) -> list[Score]:
        """One score per tap; then the taps are learned from."""
        self._forests.swap()
        batch = self._batch(taps)
        judged = self.ensemble.judge(batch)
        scores = self.record.scores(taps, batch, judged, is_warming=self._forests.is_warming)
        self._passed(taps, batch, judged)
        return scores

    def settle(self, cases: Sequence[Case]) -> None:
        """How decisions turned out."""
        self._joining.told(cases)

    async def ready(self) -> None:
        """While the very first forest is being fitted, wait for it: late advice is worth more than none at all.

        Bounded, so that a fit that hangs leaves scores that say so.
        """
        await self._forests.ready(FIRST_S)

    def prime(self, taps: Sequence[Tap]) -> None:
        """Taps scored before this process began: they pass once more, so that a restart need not warm up again."""
        self._forests.swap()
        batch = self._batch(taps)
        self._passed(taps, batch, self.ensemble.judge(batch))

    def _batch(self, taps: Sequence[Tap]) -> Batch:
        width = len(self._names)
        rows = matrix(self._names, [one.features for one in taps])
        if len(self._columns) > width:
            rows = np.hstack([rows, matrix(self._columns[width:], [one.signals for one in taps])])
        return Batch(self._columns, rows, [one.key for one in taps], [one.id for one in taps])

    def _passed(self, taps: Sequence[Tap], batch: Batch, judged: Judged) -> None:
        """Learn from what was judged."""
        self.ensemble.learn(batch, judged)
        self._joining.passed(taps, batch, judged)
        self._forests.passed(batch)
