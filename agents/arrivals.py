"""The partition with most that waits: which one it is, how much that is, and how fast more of it comes there."""

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from prometheus_client import Gauge

OVER_S: Final = 120.0  # that a rate of arrival is taken over, where so long is known
STEP_S: Final = 1.0  # between two ends that are remembered


class Fullest(NamedTuple):
    """The partition with most that waits; of two of these the larger one counts."""

    depth: int = 0  # records that wait there
    partition: int = 0
    arrivals: float = 0.0  # records a second that come there


class Tells(Protocol):
    """Metrics that say which partition that is."""

    fullest: Gauge
    fullest_partition: Gauge
    fullest_arrivals: Gauge


class Arrivals:
    """Ends of partitions, looked at now and then.

    A reader hears where a partition ends only with records of it, so what it says is old while it works off what it
    holds: half a minute where much waits. An end counts from the look at which it had moved.
    """

    def __init__(self) -> None:
        self._moved: dict[int, deque[tuple[float, int]]] = {}

    def fullest(self, at_s: float, places: Mapping[int, tuple[int, int]]) -> Fullest:
        """As of this look. `places`: partition -> offset of the next record to read, and behind the last one."""
        self._moved = {one: self._moved.get(one, deque()) for one in places}
        for one, (_, end) in places.items():
            moved = self._moved[one]
            if not moved or (end != moved[-1][1] and at_s - moved[-1][0] >= STEP_S):
                moved.append((at_s, end))
            while len(moved) > 2 and at_s - moved[0][0] > OVER_S:
                moved.popleft()
        depth, partition = max(((max(0, end - at), one) for one, (at, end) in places.items()), default=(0, 0))
        return Fullest(depth, partition, self._arrivals(partition, at_s, is_behind=depth > 0))

    def _arrivals(self, partition: int, at_s: float, *, is_behind: bool) -> float:
        moved = self._moved.get(partition)
        if moved is None or len(moved) < 2:
            return 0.0
        (began_s, first), (moved_s, last) = moved[0], moved[-1]
        return max(0, last - first) / ((moved_s if is_behind else at_s) - began_s)


def tell(metrics: Tells, found: Fullest) -> None:
    """Set the three gauges."""
    metrics.fullest.set(found.depth)
    metrics.fullest_partition.set(found.partition)
    metrics.fullest_arrivals.set(found.arrivals)
