"""Many metrics at once, each scored by a stream of its own, and what of it is worth somebody's attention.

An anomaly begins an alarm; it ends when CALM_MS have passed without another. Between two alarms of one metric lie
COOL_MS at least, and within an hour AN_HOUR begin at most, whatever goes on: what is beyond is counted. So is a value
that is not newer than the one before it, because the views behind a score go by order.

The first WARM values of a metric are learned from and say nothing. SERIES metrics are remembered, each in a megabyte at
most; when there is no room, one that nobody has spoken of for FORGET_MS makes it, else the new one is counted and left
out. `heard_ms` is when a value was heard, and never goes back: alarms go by it, so that a source with a wrong clock
neither hurries nor holds up anybody.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from sidechain.models.wet.metric_stream import ALARM, MetricStream

SERIES: Final = 200  # metrics
WARM: Final = 300  # values: of one each five minutes, more than a day
CALM_MS: Final = 600_000
COOL_MS: Final = 3_600_000
AN_HOUR: Final = 20  # alarms
HOUR_MS: Final = 3_600_000
FORGET_MS: Final = 86_400_000


class Told(NamedTuple):
    """An alarm that begins or ends."""

    metric: str
    is_firing: bool
    summary: str  # a sentence for whoever is called
    evidence: Mapping[str, float | int]


class _Watched:
    """One metric."""

    def __init__(self, heard_ms: int) -> None:
        self.stream = MetricStream()
        self.seen = 0
        self.at_ms: int | None = None  # of the last value
        self.heard_ms = heard_ms
        self.score = 0.0
        self.alarm: Told | None = None  # that stands
        self.strange_ms = 0  # when the last strange value was heard
        self.began_ms: int | None = None  # the last alarm


class MetricWatch:
    """Every metric, and the alarms that stand."""

    def __init__(self, edges: Mapping[str, float] = MappingProxyType({}), *, series: int = SERIES) -> None:
        """`edges`: metrics whose alarms begin at another score than ALARM."""
        self.became: Counter[str] = Counter()  # scored, warming, late, too_many
        self.begun = 0  # alarms
        self.held_back = 0  # anomalies of which nothing was said, because there had been too many
        self.forgotten = 0  # metrics that made room
        self._edges = edges
        self._most = series
        self._of: OrderedDict[str, _Watched] = OrderedDict()  # the one heard of longest ago first
        self._began: deque[int] = deque()  # when the alarms of the last hour did

    def __len__(self) -> int:
        return len(self._of)

    @property
    def standing(self) -> list[Told]:
        """Alarms that have begun and have not ended."""
        return [one.alarm for one in self._of.values() if one.alarm is not None]

    def scores(self) -> Mapping[str, float]:
        """What was said of the last value of every metric."""
        return {name: one.score for name, one in self._of.items()}

    def add(self, metric: str, at_ms: int, value: float, heard_ms: int) -> list[Told]:
        """Score one finite value, and say what begins or ends with it."""
        one = self._known(metric, heard_ms)
        if one is None:
            self.became["too_many"] += 1
            return []
        if one.at_ms is not None and at_ms <= one.at_ms:
            self.became["late"] += 1
            return []
        one.at_ms, one.heard_ms = at_ms, heard_ms
        said = one.stream.add(value)
        one.seen += 1
        if one.seen <= WARM:
            self.became["warming"] += 1
            return []
        self.became["scored"] += 1
        one.score = said.score
        ended = self._ended(metric, one, heard_ms)
        if said.score >= self._edges.get(metric, ALARM):
            return [*ended, *self._strange(metric, one, at_ms, value, said.why)]
        return ended

    def tick(self, heard_ms: int) -> list[Told]:
        """What has ended by then, also of metrics nobody speaks of any more."""
        return [told for name, one in self._of.items() for told in self._ended(name, one, heard_ms)]

    def _known(self, metric: str, heard_ms: int) -> _Watched | None:
        if (one := self._of.get(metric)) is not None:
            self._of.move_to_end(metric)
            return one
        if len(self._of) >= self._most:
            oldest, silent = next(iter(self._of.items()))
            if heard_ms - silent.heard_ms < FORGET_MS:
                return None
            del self._of[oldest]
            self.forgotten += 1
        one = self._of[metric] = _Watched(heard_ms)
        return one

    def _strange(self, metric: str, one: _Watched, at_ms: int, value: float, why: str) -> list[Told]:
        one.strange_ms = heard_ms = one.heard_ms
        if one.alarm is not None:
            return []
        while self._began and heard_ms - self._began[0] >= HOUR_MS:
            self._began.popleft()
        is_cool = one.began_ms is None or heard_ms - one.began_ms >= COOL_MS
        if not is_cool or len(self._began) >= AN_HOUR:
            self.held_back += 1
            return []
        self._began.append(heard_ms)
        one.began_ms = heard_ms
        self.begun += 1
        evidence = {"value": value, "score": round(one.score, 6), "value_at": at_ms, "values": one.seen}
        one.alarm = Told(metric, is_firing=True, summary=f"{metric} is not as it ever was: {why}", evidence=evidence)
        return [one.alarm]

    def _ended(self, metric: str, one: _Watched, heard_ms: int) -> list[Told]:
        if one.alarm is None or heard_ms - one.strange_ms < CALM_MS:
            return []
        evidence, one.alarm = one.alarm.evidence, None
        text = f"of {metric} nothing strange was heard for {CALM_MS // 60_000} minutes"
        return [Told(metric, is_firing=False, summary=text, evidence=evidence)]
