"""A simulated pipeline that is looked at every ten seconds: queues between stages, faults put in at a stated time.

    pipeline = Pipeline(seed=1)
    pipeline.inject("wet", "slow", from_s=600)
    snapshots = list(pipeline.run(1_800))

Arrivals are Poisson around a rate that wanders and now and then bursts. A stage does what its pace allows, partition by
partition, each second. What it says of processor, waiting and batches is made up to match, with noise.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import sqrt

from sidechain.models.wet.bottleneck import Snapshot, Stage

PARTITIONS = 4
LOOK_S = 10
RATE = 500.0  # events a second, on average
T0 = 1_700_000_000_000


@dataclass
class Worker:
    """One stage: how much it could do a second, and what ails it."""

    name: str
    pace: float
    lags: list[int] = field(default_factory=lambda: [0] * PARTITIONS)
    done: int = 0  # since the last look
    fault: str | None = None
    from_s: int = 0
    until_s: int = 0
    share: float = 1.0  # of the pace that a fault leaves

    def ails(self, second: int) -> str | None:
        """Its fault, where it has one now."""
        return self.fault if self.from_s <= second < self.until_s else None


class Pipeline:
    """dry, tap, wet, one behind the other."""

    def __init__(self, seed: int, *, rate: float = RATE, bursts: bool = True) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self._drift = 0.0
        self._burst_s = 0
        self._bursts = bursts
        self._hot: tuple[int, int] | None = None  # from when on, which partition
        self.stages = [Worker("dry", 8 * rate), Worker("tap", 5 * rate), Worker("wet", 2.5 * rate)]

    def inject(self, stage: str, fault: str, *, from_s: int, until_s: int = 10**9, share: float = 0.6) -> None:
        """Between these seconds `stage` is slow, starved, saturated, stopped, or nearly all comes to one partition.

        `share`: of the rate of arrival, what it can still do; of one partition's, where that is hot.
        """
        worker = next(one for one in self.stages if one.name == stage)
        worker.fault, worker.from_s, worker.until_s = fault, from_s, until_s
        worker.share = 0.0 if fault == "stopped" else share

    def run(self, seconds: int) -> Iterator[Snapshot]:
        """The snapshots of so many seconds."""
        for second in range(1, seconds + 1):
            self._second(second)
            if second % LOOK_S == 0:
                yield Snapshot(T0 + second * 1_000, tuple(self._looked_at(one, second) for one in self.stages))

    def _second(self, second: int) -> None:
        coming = self._arrivals()
        for worker in self.stages:
            ill = worker.ails(second)
            if ill == "hot-partition":  # the keys have moved together
                total = sum(coming)
                coming = [round(total * 0.04)] * PARTITIONS
                coming[1] = total - 3 * coming[0]
            worker.lags = [lag + new for lag, new in zip(worker.lags, coming, strict=True)]
            coming = self._worked(worker, ill)
            worker.done += sum(coming)

    def _arrivals(self) -> list[int]:
        self._drift = max(-0.4, min(0.4, self._drift + self._random.gauss(0, 0.01)))
        if self._bursts and self._burst_s == 0 and self._random.random() < 1 / 300:
            self._burst_s = self._random.randint(5, 25)
        self._burst_s = max(0, self._burst_s - 1)
        mean = self._rate * (1 + self._drift) * (4.0 if self._burst_s else 1.0) / PARTITIONS
        return [max(0, round(self._random.gauss(mean, sqrt(mean)))) for _ in range(PARTITIONS)]

    def _worked(self, worker: Worker, ill: str | None) -> list[int]:
        """What leaves the stage within this second, by partition."""
        pace = worker.pace * self._random.uniform(0.9, 1.05)
        if ill == "hot-partition":  # one reader a partition: what others could do is of no use to it
            each = self._rate * worker.share
            done = [min(lag, round(each)) for lag in worker.lags]
        else:
            pace = pace if ill is None else self._rate * worker.share * self._random.uniform(0.9, 1.05)
            left = round(pace)
            total = sum(worker.lags) or 1
            done = [min(lag, round(left * lag / total)) for lag in worker.lags]
        worker.lags = [lag - one for lag, one in zip(worker.lags, done, strict=True)]
        return done

    def _looked_at(self, worker: Worker, second: int) -> Stage:
        ill = worker.ails(second)
        rate, worker.done = worker.done / LOOK_S, 0
        noise = self._random.uniform
        busy = min(1.0, rate / worker.pace)
        cpu, waiting, p99 = busy * noise(0.8, 1.1), busy * noise(0.0, 0.15), 0.02 * noise(0.8, 1.5)
        if ill == "slow":
            cpu, waiting, p99 = noise(0.05, 0.2), noise(0.0, 0.1), noise(1.0, 1.3)
        elif ill == "starved":
            cpu, waiting, p99 = noise(0.1, 0.3), noise(0.6, 0.85), noise(0.3, 0.6)
        elif ill == "saturated":
            cpu, waiting, p99 = noise(0.92, 1.05), noise(0.0, 0.1), noise(0.3, 0.6)
        return Stage(
            name=worker.name,
            workers=1,
            rate=rate,
            lag=sum(worker.lags),
            hottest=max(worker.lags),
            partitions=PARTITIONS,
            p50_s=p99 / 3,
            p99_s=p99,
            cpu=cpu,
            waiting=waiting,
        )


def lags(seed: int) -> list[float]:
    """What waited before the last stage in half an hour: well, too slow for five minutes, and well again."""
    pipeline = Pipeline(seed)
    pipeline.inject("wet", "slow", from_s=600, until_s=900)
    return [float(one.stages[-1].lag) for one in pipeline.run(1_800)]
