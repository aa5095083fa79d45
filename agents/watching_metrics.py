"""Metrics of the workers that watch others, and what every worker says of the processor it had."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from sidechain.models.wet.bottleneck import CAUSES
from sidechain.models.wet.own_metrics import OWN
from sidechain.models.wet.readings import ROLES

SCHEDSTAT: Final = Path("/proc/self/schedstat")
STAGES: Final = tuple(one.name for one in ROLES)
BECAME: Final = ("joined", "began", "repeated", "resolved", "too_many", "unknown")
DELIVERED: Final = ("sent", "refused", "dropped")
VALUES: Final = ("scored", "warming", "late", "too_many", "skipped")


def processor_times() -> tuple[float, float | None]:
    """Seconds of processor time this process has used, and for how long its first thread was kept waiting for one.

    The first thread runs the loop, so that is what everything else waits for. None where the system does not say:
    Linux does, in nanoseconds (Documentation/scheduler/sched-stats.rst). A cgroup's limit counts as being kept waiting.
    """
    try:
        waited = int(SCHEDSTAT.read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        waited = None
    return time.process_time(), waited


class Processor(Collector):
    """What the process had of the processor, read when somebody asks."""

    def __init__(
        self, registered: CollectorRegistry, read: Callable[[], tuple[float, float | None]] = processor_times
    ) -> None:
        self._read = read
        registered.register(self)

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Two counters of seconds, one where the system tells no more."""
        used, waited = self._read()
        yield CounterMetricFamily(
            "sidechain_processor_seconds", "Processor time this worker has used, all its threads.", value=used
        )
        if waited is not None:
            yield CounterMetricFamily(
                "sidechain_processor_wait_seconds",
                "Time the worker's first thread was ready to run and had no processor.",
                value=waited,
            )


class QueueMetrics:
    """What a worker that reads queues tells of them; `queues` names them."""

    def __init__(self, registered: CollectorRegistry, queues: Sequence[str]) -> None:
        def gauge(name: str, text: str) -> Mapping[str, Gauge]:
            made = Gauge(f"sidechain_{name}", text, ["queue"], registry=registered)
            return {one: made.labels(one) for one in queues}

        def counter(name: str, text: str) -> Mapping[str, Counter]:
            made = Counter(f"sidechain_{name}", text, ["queue"], registry=registered)
            return {one: made.labels(one) for one in queues}

        self.overflow = gauge(
            "overflow_level", "How near a queue is to running over: 0 safe, 1 warning, 2 critical, 3 imminent."
        )
        self.age = gauge("queue_age_seconds", "How long the oldest record of a queue has waited, since we look at it.")
        self.shed = counter("shed_total", "Records dropped or left out because a queue was running over.")
        self.forced = counter(
            "checkpoints_forced_total", "Times the place of reading was committed before its time, for the same reason."
        )
        self.fullest = Gauge(
            "sidechain_fullest_records", "Records that wait in the partition with most.", registry=registered
        )
        self.share = Gauge(
            "sidechain_processor_share_ratio",
            "The share of one processor this worker allows itself.",
            registry=registered,
        )
        self.fullest_partition = Gauge(
            "sidechain_fullest_partition", "The number of the partition with most.", registry=registered
        )
        self.fullest_arrivals = Gauge(
            "sidechain_fullest_arrivals_per_second",
            "Records a second that come to the partition with most, over two minutes at most.",
            registry=registered,
        )
        self.partitions = Gauge("sidechain_partitions", "Partitions this worker reads.", registry=registered)


class StreamMetrics:
    """What is told of metrics that are scored: the pipeline's own one by one, users' as a whole."""

    def __init__(self, registered: CollectorRegistry) -> None:
        def counter(name: str, text: str, values: Iterable[str]) -> Mapping[str, Counter]:
            made = Counter(f"sidechain_metric_{name}", text, ["result"], registry=registered)
            return {value: made.labels(value) for value in values}

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"sidechain_metric_{name}", text, registry=registered)

        self.values = counter("values_total", "Values of metrics heard, by what became of them.", VALUES)
        self.anomalies = counter(
            "anomalies_total", "Anomalies by what became of them; too many are held back.", ("told", "held_back")
        )
        self.looks = counter(
            "looks_total", "Workers looked at for their figures, by what came.", ("answered", "silent")
        )
        scores = Gauge(
            "sidechain_metric_score",
            "How unlike all before the last minute of a stage was, from 0 to 1, by figure.",
            ["stage", "figure"],
            registry=registered,
        )
        self.scores = {name: scores.labels(own.stage, own.figure) for name, own in OWN.items()}
        self.strangest = gauge("score_of_users", "The largest score of a last value among users' metrics.")
        known = Gauge(
            "sidechain_metric_series", "Metrics remembered, by whose they are.", ["source"], registry=registered
        )
        self.known = {one: known.labels(one) for one in ("own", "users")}
        self.standing = gauge("anomalies_standing", "Metrics whose anomaly has begun and has not ended.")
        self.forgotten = Counter(
            "sidechain_metric_forgotten_total",
            "Metrics forgotten because nobody had spoken of them for a day and others needed the room.",
            registry=registered,
        )
        self.unreadable = Counter(
            "sidechain_metric_unreadable_total", "Records that are no values of metrics.", registry=registered
        )
        self.lag = gauge("lag_records", "Values of metrics that have not been read yet.")


class OptimizerMetrics:
    """What the optimizer tells."""

    def __init__(self, registered: CollectorRegistry) -> None:
        def by_stage(name: str, text: str) -> Mapping[str, Gauge]:
            gauge = Gauge(f"sidechain_{name}", text, ["stage"], registry=registered)
            return {stage: gauge.labels(stage) for stage in STAGES}

        def counter(name: str, text: str, values: Iterable[str]) -> Mapping[str, Counter]:
            made = Counter(f"sidechain_{name}", text, ["result"], registry=registered)
            return {value: made.labels(value) for value in values}

        self.looks = counter("optimizer_looks_total", "Workers looked at, by what came.", ("answered", "silent"))
        self.proposals = counter(
            "optimizer_proposals_total", "Proposals, by what became of them.", ("written", "held_back", "none")
        )
        bottleneck = Gauge(
            "sidechain_bottleneck",
            "1 for the stage that holds up the pipeline, and why; else 0.",
            ["stage", "cause"],
            registry=registered,
        )
        self.bottleneck: Mapping[tuple[str, str], Gauge] = {
            (stage, cause): bottleneck.labels(stage, cause) for stage in STAGES for cause in CAUSES
        }
        self.rate = by_stage("stage_records_per_second", "Records a stage did a second, within ten seconds.")
        self.lag = by_stage("stage_lag_seconds", "Seconds of work before a stage, at its present pace.")
        self.ahead = by_stage("stage_lag_forecast_seconds", "The same as it is expected a minute from now.")
        self.last_look = Gauge(
            "sidechain_optimizer_last_look_timestamp_seconds", "When workers were last looked at.", registry=registered
        )


class SentinelMetrics:
    """What the sentinel tells."""

    def __init__(self, registered: CollectorRegistry) -> None:
        def counter(name: str, text: str, values: Iterable[str]) -> Mapping[str, Counter]:
            made = Counter(f"sidechain_sentinel_{name}", text, ["result"], registry=registered)
            return {value: made.labels(value) for value in values}

        self.alerts = counter("alerts_total", "Alerts heard, by what became of them.", BECAME)
        self.webhook = counter("webhook_total", "Messages for the webhook, by what became of them.", DELIVERED)
        self.told = Counter("sidechain_sentinel_told_total", "Words about incidents written.", registry=registered)
        self.unreadable = Counter(
            "sidechain_sentinel_unreadable_total", "Records that are no alerts and no incidents.", registry=registered
        )
        self.open = Gauge("sidechain_incidents_open", "Incidents that are not over.", registry=registered)
        self.waiting = Gauge(
            "sidechain_sentinel_webhook_waiting", "Messages that wait for the webhook.", registry=registered
        )
        self.prometheus = Gauge(
            "sidechain_sentinel_prometheus_silent",
            "1 while the Prometheus that is asked for alerts does not answer; else 0.",
            registry=registered,
        )
