"""Panels of those that watch: what holds up the pipeline, what of its metrics is strange, what became of alerts."""

from typing import Final

from deciding import DRY
from graphs import COUNT, PER_SECOND, SECONDS, graph, most_by, now, quantile, rate_by, rate_of, summed_by
from listening import AGGREGATOR, DRIFT, SHADOW, TAP, TRAINER, WET
from prometheus_client import CollectorRegistry

from sidechain.agents.watching_metrics import OptimizerMetrics, Processor, QueueMetrics, SentinelMetrics, StreamMetrics

QUEUES: Final = QueueMetrics(CollectorRegistry(), ("decisions", "taps", "scores"))
OPTIMIZER: Final = OptimizerMetrics(CollectorRegistry())
SENTINEL: Final = SentinelMetrics(CollectorRegistry())
STREAMS: Final = StreamMetrics(CollectorRegistry())
PROCESSOR, PROCESSOR_WAIT = (
    f"{one.name}_total" for one in Processor(CollectorRegistry(), lambda: (0.0, 0.0)).collect()
)


PIPELINE_ROW: Final = (
    graph(
        "Work waiting by stage",
        "Seconds of work before each stage at its present pace, and what is expected of it in a minute. A burst is "
        "worked off; what only grows is a bottleneck.",
        SECONDS,
        most_by(["stage"], OPTIMIZER.lag),
        most_by(["stage"], OPTIMIZER.ahead, "{{stage}} in a minute"),
        width=12,
    ),
    graph(
        "Bottleneck",
        "1 while the optimizer names a stage that holds up the pipeline, and the cause. Below it what became of its "
        "proposals: written, held back because there was one a moment ago, or none that would help.",
        COUNT,
        most_by(["stage", "cause"], OPTIMIZER.bottleneck),
        rate_by("result", OPTIMIZER.proposals),
        width=12,
    ),
    graph(
        "Records done by stage",
        "Records a second. A stage does fewer than the one before it, where it is sampled or held up.",
        PER_SECOND,
        most_by(["stage"], OPTIMIZER.rate),
        rate_by("result", OPTIMIZER.looks),
    ),
    graph(
        "Time per batch by stage",
        "What one in a hundred batches of each stage takes at least. A stage that is slow and has a processor waits "
        "for something, or takes long over each record.",
        SECONDS,
        quantile(0.99, DRY.batch_seconds, "dry"),
        quantile(0.99, TAP.seconds, "tap"),
        quantile(0.99, WET.score_seconds, "wet"),
        quantile(0.99, AGGREGATOR.seconds, "aggregator"),
        quantile(0.99, DRIFT.seconds, "drift"),
        quantile(0.99, TRAINER.seconds, "trainer"),
        quantile(0.99, SHADOW.seconds, "shadow"),
    ),
    graph(
        "Processor by role",
        "Processors used, and how much of the time the first thread was ready to run and had none. A worker that "
        "waits for a third of the time is starved.",
        COUNT,
        summed_by("job", PROCESSOR, "{{job}} used"),
        summed_by("job", PROCESSOR_WAIT, "{{job}} waits"),
    ),
    graph(
        "Overflow risk",
        "How near a queue of the wet side is to running over: 0 safe, 1 warning, 2 critical, 3 imminent; and on the "
        "right how long its oldest record has waited.",
        COUNT,
        most_by(["queue"], QUEUES.overflow),
        most_by(["queue"], QUEUES.age, "age of {{queue}}", right_axis=SECONDS),
        width=12,
    ),
    graph(
        "Left out",
        "Records a second that were dropped or left out because a queue ran over, checkpoints forced for the same "
        "reason, and what comes to the fullest partition; on the right what waits there.",
        PER_SECOND,
        rate_by("queue", QUEUES.shed),
        rate_by("queue", QUEUES.forced, "checkpoint of {{queue}}"),
        now(QUEUES.fullest_arrivals, "comes to the fullest partition", over="max"),
        now(QUEUES.fullest, "fullest partition", over="max", right_axis=COUNT),
        width=12,
    ),
)


METRICS_ROW: Final = (
    graph(
        "How strange a stage is",
        "How unlike all before it the last minute of each stage was, from 0 to 1, by figure; from 0.8 on it is an "
        "alert. On the right the largest of users' metrics, where one begins at 0.5.",
        COUNT,
        most_by(["stage", "figure"], STREAMS.scores),
        now(STREAMS.strangest, "users' largest", over="max", right_axis=COUNT),
        width=12,
    ),
    graph(
        "Anomalies of metrics",
        "Metrics whose anomaly stands, and on the right anomalies per second: told, or held back because there had "
        "been enough within the hour.",
        COUNT,
        now(STREAMS.standing, "standing", over="max"),
        rate_by("result", STREAMS.anomalies, right_axis=PER_SECOND),
        width=12,
    ),
    graph(
        "Values of metrics by result",
        "Values heard per second: scored, learned from while a metric is new, not newer than the one before, of one "
        "metric too many, or skipped because too many waited. On the right what waits.",
        PER_SECOND,
        rate_by("result", STREAMS.values),
        rate_of(STREAMS.unreadable, "unreadable"),
        now(STREAMS.lag, "waiting", right_axis=COUNT),
        width=12,
    ),
    graph(
        "Metrics remembered",
        "Metrics that are known, by whose they are; 200 is the most. On the right workers looked at per second, and "
        "metrics forgotten.",
        COUNT,
        most_by(["source"], STREAMS.known),
        rate_by("result", STREAMS.looks, "looked at: {{result}}", right_axis=PER_SECOND),
        rate_of(STREAMS.forgotten, "forgotten", right_axis=PER_SECOND),
        width=12,
    ),
)


INCIDENT_ROW: Final = (
    graph(
        "Alerts by result",
        "Alerts the sentinel heard per second, by what became of them: began an incident, joined one, repeated, "
        "resolved, too many of one rule, or the end of one that was never heard.",
        PER_SECOND,
        rate_by("result", SENTINEL.alerts),
        rate_of(SENTINEL.unreadable, "unreadable"),
    ),
    graph(
        "Incidents",
        "Incidents that are not over, and on the right how many words about them were written per second.",
        COUNT,
        now(SENTINEL.open, "open"),
        now(SENTINEL.prometheus, "Prometheus silent"),
        rate_of(SENTINEL.told, "words written", right_axis=PER_SECOND),
    ),
    graph(
        "Webhook by result",
        "Messages per second: sent, refused by the receiver, or dropped after six tries or because a hundred wait. On "
        "the right what waits.",
        PER_SECOND,
        rate_by("result", SENTINEL.webhook),
        now(SENTINEL.waiting, "waiting", right_axis=COUNT),
    ),
)
