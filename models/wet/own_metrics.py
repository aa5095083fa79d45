"""What of the pipeline itself is told as metrics: of every stage some figures, a minute at a time.

A minute is one value: ten seconds of a pipeline are mostly noise, and each value is one more chance of a false alarm.
The names are a closed set.
"""

from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Final, NamedTuple

from sidechain.models.wet.bottleneck import EVERY_S, Snapshot, Stage
from sidechain.models.wet.readings import ROLES

PREFIX: Final = "sidechain."
LOOKS: Final = 60 // EVERY_S  # of one value
EDGE: Final = 0.8  # scores from here on begin an alarm: four times as strange as what is worth a look
FIGURES: Final[Mapping[str, Callable[[Stage], float | None]]] = {
    "rate": lambda one: one.rate,  # records a second
    "lag_s": lambda one: one.lag_s,  # seconds of work that wait
    "p99_s": lambda one: one.p99_s,  # seconds over a batch
    "cpu": lambda one: one.cpu,  # processors
}


class Own(NamedTuple):
    """A metric of the pipeline's own."""

    stage: str
    figure: str

    @property
    def name(self) -> str:
        """As it stands on the topic, `sidechain.wet.lag_s`."""
        return f"{PREFIX}{self.stage}.{self.figure}"


OWN: Final = {one.name: one for role in ROLES for figure in FIGURES if (one := Own(role.name, figure))}
EDGES: Final = dict.fromkeys(OWN, EDGE)


class Value(NamedTuple):
    """One value of one metric."""

    metric: str
    at_ms: int
    value: float


class Minutes:
    """Looks in, a mean of every figure out when there are LOOKS of them."""

    def __init__(self) -> None:
        self._looks = 0
        self._known: dict[str, list[float]] = {}

    def add(self, snapshot: Snapshot) -> list[Value]:
        """One more look. What no look of the minute knew is not told."""
        self._looks += 1
        for stage in snapshot.stages:
            for figure, of in FIGURES.items():
                if (value := of(stage)) is not None:
                    self._known.setdefault(Own(stage.name, figure).name, []).append(value)
        if self._looks < LOOKS:
            return []
        told = [Value(name, snapshot.at_ms, fmean(values)) for name, values in self._known.items()]
        self._looks, self._known = 0, {}
        return told
