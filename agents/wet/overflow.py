"""A feed's queue, looked at after every round: its level in the metrics, and which partitions run over.

What a level asks for stands in `models.wet.overflow`. Here it is done: the feed drops, the tap samples, and both count.
"""

from collections.abc import Callable, Mapping

from sidechain.agents.watching_metrics import QueueMetrics
from sidechain.models.wet.overflow import LEVELS, PASSED_BP, Edges, Growth, Level, Reading, Waiting, Watermark


class QueueGuard:
    """One queue: all partitions a feed reads of its topic."""

    def __init__(
        self,
        metrics: QueueMetrics,
        queue: str,
        most: int,
        *,
        table: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        """`queue`: its name in the metrics. `most`: records of a partition that may wait. `table`: asked for the size
        and the limit of what is held about records that were read."""
        self.level: Level = "safe"
        self.is_over = False  # since the last look: this is when a checkpoint is forced
        self._metrics = metrics
        self._queue = queue
        self._edges = Edges.within(most)
        self._watermark = Watermark(self._edges)
        self._waiting: dict[int, Waiting] = {}
        self._growth = Growth()
        self._table = table

    @property
    def passed_bp(self) -> int:
        """What may still pass, of what would."""
        return PASSED_BP[self.level]

    def look(self, at_s: float, places: Mapping[int, tuple[int, int]]) -> list[int]:
        """Partitions over the last edge, whose older half is to go. `places`: position and end of each partition."""
        at_ms = int(at_s * 1_000)
        self._waiting = {one: self._waiting.get(one) or Waiting() for one in places}
        readings = {
            one: Reading(self._waiting[one].age_ms(at_ms, *place), max(0, place[1] - place[0]))
            for one, place in places.items()
        }
        full_bp = self._growth.full_bp(at_ms, *self._table()) if self._table is not None else 0
        age_ms = max((one.age_ms for one in readings.values()), default=0)
        deepest = max((one.depth for one in readings.values()), default=0)
        before = self._watermark.number
        self.level = self._watermark.look(at_ms, Reading(age_ms, deepest, full_bp))
        last = len(LEVELS) - 1
        self.is_over = before < last <= self._watermark.number
        self._metrics.overflow[self._queue].set(self._watermark.number)
        self._metrics.age[self._queue].set(age_ms / 1_000)
        return [one for one, reading in readings.items() if self._edges.level(reading) == last]

    def dropped(self, count: int) -> None:
        """So many records were dropped or left out."""
        self._metrics.shed[self._queue].inc(count)

    def forced(self) -> None:
        """A checkpoint was written before its time."""
        self._metrics.forced[self._queue].inc()
