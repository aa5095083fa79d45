"""Where the pipeline is held up, named with its evidence. It looks at snapshots and changes nothing.

A stage holds up the pipeline when, for two and a half minutes of looks, more than a few seconds of work wait before it
and are not being worked off: a burst passes in less, and a backlog left by a standstill has an end in sight. Kafka
stands between any two stages, so a stage that is too slow delays itself and nobody before it: the one with most work
waiting is the one to help. Why it is slow is told by what else it shows, the surest sign first:

    stopped         nothing was done, most of the time, and it does not wait for a processor
    hot-partition   nearly all that waits is in one partition of several: more workers would not help
    starved         it wants a processor and does not get one
    saturated       it uses all of the processor that one process can, or that it allows itself
    slow            none of these: it waits for something, or takes long over each record
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from types import MappingProxyType
from typing import Final, Literal

Cause = Literal["stopped", "hot-partition", "starved", "saturated", "slow"]
CAUSES: Final[tuple[Cause, ...]] = ("stopped", "hot-partition", "starved", "saturated", "slow")

EVERY_S: Final = 10  # between two snapshots
LOOKS: Final = 15  # snapshots that must agree: two and a half minutes
BEHIND_S: Final = 5.0  # seconds of work waiting, below which nobody is behind
FALLS: Final = 3  # looks in a row, each with less waiting than the one before
DRAINED_S: Final = 1_800.0  # a backlog that will be gone by then, at the pace it shrinks, is being worked off
HOT: Final = 0.75  # of what waits, in one partition
_SPAN_S: Final = EVERY_S * (LOOKS - 1)
WAITING: Final = 0.3  # of a second, each second, ready to run and not running
SATURATED: Final = 0.85  # of a processor, or of what it allows itself, each worker


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stage within the last ten seconds, all its workers together."""

    name: str  # the role: dry, tap, wet, aggregator, drift, trainer, shadow
    workers: int  # processes that answered
    rate: float  # records done a second
    lag: int  # records that wait
    hottest: int = 0  # of them, in the partition with most
    partition: int = 0  # which one that is
    arrivals: float | None = None  # records a second that come there
    partitions: int = 1  # that it reads
    p50_s: float | None = None  # seconds over one batch; None: it does not say, or did none
    p99_s: float | None = None
    cpu: float | None = None  # processor seconds used a second; None: it does not say
    allowed: float | None = None  # processors it allows itself; None: one for each worker
    waiting: float | None = None  # seconds a second it was ready to run and did not
    a_batch: float | None = None  # records of one batch, on average
    explaining: float | None = None  # seconds a second that go into full vectors of scores
    explained: Mapping[int, float] = field(default_factory=dict)  # basis points -> scores a second from there on
    age_s: float | None = None  # how long the oldest record has waited; None: it does not say

    @property
    def lag_s(self) -> float:
        """What waits, in seconds of work at the present pace; the pace counts as one a second at least."""
        return self.lag / max(self.rate, 1.0)

    @property
    def hot(self) -> float:
        """The share of what waits that is in one partition; 0 where there is only one to be in."""
        return self.hottest / self.lag if self.lag and self.partitions > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole pipeline at one moment, in the order of the way a record takes."""

    at_ms: int
    stages: tuple[Stage, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bottleneck:
    """What holds up the pipeline, and why that is said."""

    stage: str
    cause: Cause
    since_ms: int  # of the first snapshot in a row in which the stage was behind
    evidence: tuple[str, ...]
    figures: Mapping[str, float | int | None]


class Detector:
    """The last LOOKS snapshots, and what follows from them."""

    def __init__(self) -> None:
        self._past: dict[str, deque[tuple[int, Stage]]] = {}
        self._since: dict[str, int] = {}

    def look(self, snapshot: Snapshot) -> Bottleneck | None:
        """The bottleneck as of this snapshot; None where nothing holds anything up, or it is too early to say."""
        named = {one.name for one in snapshot.stages}
        for gone in self._past.keys() - named:
            del self._past[gone]
        for one in snapshot.stages:
            past = self._past.setdefault(one.name, deque(maxlen=LOOKS))
            past.append((snapshot.at_ms, one))
            if one.lag_s < BEHIND_S:
                self._since.pop(one.name, None)
            else:
                self._since.setdefault(one.name, snapshot.at_ms)
        behind = [one for one in snapshot.stages if _is_behind([stage for _, stage in self._past[one.name]])]
        if not behind:
            return None
        worst = max(behind, key=lambda one: one.lag_s)
        return _told([stage for _, stage in self._past[worst.name]], self._since[worst.name], snapshot.at_ms)


def _is_behind(past: Sequence[Stage]) -> bool:
    return len(past) == LOOKS and all(one.lag_s >= BEHIND_S for one in past) and not _is_drained(past)


def _is_drained(past: Sequence[Stage]) -> bool:
    """Whether it has shrunk from look to look for half a minute, and will be gone in time at that pace."""
    newest = [one.lag for one in past[-FALLS - 1 :]]
    shrunk = newest[0] - newest[-1]
    return all(a > b for a, b in pairwise(newest)) and newest[-1] * FALLS * EVERY_S <= shrunk * DRAINED_S


def _told(past: Sequence[Stage], since_ms: int, at_ms: int) -> Bottleneck:
    now, cause = past[-1], _cause(past)
    waits = f"{now.lag:,} records wait before {now.name}, {now.lag_s:.0f} s of work at {now.rate:,.0f} a second"
    evidence = (f"{waits}; {past[0].lag:,} waited {_SPAN_S} s ago", *_why(cause, past))
    figures = {
        "lag": now.lag,
        "lag_s": round(now.lag_s, 1),
        "grown_per_s": round((now.lag - past[0].lag) / _SPAN_S, 1),
        "rate": round(_middle(past, lambda one: one.rate) or 0.0, 1),
        "hot": round(_middle(past, lambda one: one.hot) or 0.0, 3),
        "partition": now.partition,
        "arrivals": _rounded(_middle(past, lambda one: one.arrivals)),
        "hot_grown_per_s": round((now.hottest - past[0].hottest) / _SPAN_S, 1),
        "a_batch": _rounded(_middle(past, lambda one: one.a_batch)),
        "explaining": _middle(past, lambda one: one.explaining),
        "cpu": _middle(past, lambda one: one.cpu),
        "allowed": _allowed(now),
        "waiting": _middle(past, lambda one: one.waiting),
        "p50_s": now.p50_s,
        "p99_s": now.p99_s,
        "workers": now.workers,
        "partitions": now.partitions,
        "held_up_s": (at_ms - since_ms) // 1_000,
        **{f"explained_from_{edge}": round(rate, 3) for edge, rate in now.explained.items()},
    }
    return Bottleneck(
        stage=now.name, cause=cause, since_ms=since_ms, evidence=evidence, figures=MappingProxyType(figures)
    )


def _cause(past: Sequence[Stage]) -> Cause:
    cpu, waiting = _middle(past, lambda one: one.cpu), _middle(past, lambda one: one.waiting)
    workers = max(past[-1].workers, 1)
    allowed = _allowed(past[-1])
    is_kept_waiting = waiting is not None and waiting >= WAITING * workers
    if _middle(past, lambda one: one.rate) == 0:
        return "starved" if is_kept_waiting else "stopped"  # what hangs does not ask for a processor
    if (_middle(past, lambda one: one.hot) or 0.0) >= HOT:
        return "hot-partition"
    if is_kept_waiting:
        return "starved"
    if cpu is not None and cpu >= SATURATED * allowed:
        return "saturated"
    return "slow"


def _allowed(now: Stage) -> float:
    return now.allowed or max(now.workers, 1)


def _why(cause: Cause, past: Sequence[Stage]) -> Sequence[str]:
    now = past[-1]
    cpu, waiting = _middle(past, lambda one: one.cpu), _middle(past, lambda one: one.waiting)
    used = "" if cpu is None else f"it uses {cpu:.2f} of a processor"
    if used and _allowed(now) < now.workers:
        used += f", of {_allowed(now):.3g} it allows itself,"
    wanted = "" if waiting is None else f"is kept waiting for one {waiting:.0%} of the time"
    processor = " and ".join(filter(None, (used, wanted)))
    took = "" if now.p99_s is None else f"a batch takes {now.p50_s or 0.0:.3g} s, one in a hundred {now.p99_s:.3g} s"
    match cause:
        case "stopped":
            first = f"next to nothing was done for {_SPAN_S} s"
        case "hot-partition":
            first = f"{now.hottest:,} of them, {now.hot:.0%}, wait in partition {now.partition} of {now.partitions}"
            if now.arrivals is not None:
                first += f"; {now.arrivals:,.0f} a second come there"
        case "starved" | "saturated":
            return [one for one in (processor, took) if one]
        case "slow":
            first = took
    return [one for one in (first, processor) if one]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _middle(past: Sequence[Stage], of: Callable[[Stage], float | None]) -> float | None:
    """The median of what is known of it; one odd snapshot decides nothing."""
    known = [value for one in past if (value := of(one)) is not None]
    return median(known) if known else None
