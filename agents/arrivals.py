"""The partition with most that waits: which one it is, how much that is, and how fast more of it comes there."""

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from prometheus_client import Gauge

OVER_S: Final = 30.0  # that a rate of arrival is taken over
STEP_S: Final = 1.0  # between two looks that are remembered


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
    """Ends of partitions, looked at now and then."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, Mapping[int, int]]] = deque()

    def fullest(self, at_s: float, places: Mapping[int, tuple[int, int]]) -> Fullest:
        """As of this look. `places`: partition -> offset of the next record to read, and behind the last one."""
        if not self._past or at_s - self._past[-1][0] >= STEP_S:
            self._past.append((at_s, {one: end for one, (_, end) in places.items()}))
        while at_s - self._past[0][0] > OVER_S and len(self._past) > 1:
            self._past.popleft()
        depth, partition = max(((max(0, end - at), one) for one, (at, end) in places.items()), default=(0, 0))
        began_s, ends = self._past[0]
        if partition not in places or partition not in ends or at_s <= began_s:
            return Fullest(depth, partition)
        return Fullest(depth, partition, max(0, places[partition][1] - ends[partition]) / (at_s - began_s))


def tell(metrics: Tells, found: Fullest) -> None:
    """Set the three gauges."""
    metrics.fullest.set(found.depth)
    metrics.fullest_partition.set(found.partition)
    metrics.fullest_arrivals.set(found.arrivals)
