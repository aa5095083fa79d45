"""The dashboards are a program: `python deploy/grafana/make_dashboards.py` writes dashboards/sidechain.json and
watch.json; for packs with budgets dashboards/budgets.json, and for where a shadow runs dashboards/shadow.json.

Names of metrics come from the objects of agents/metrics.py, so a renamed metric renames its panels, and a metric that
is gone stops the generator. The JSON is committed, because who deploys it needs neither Python nor the builder; a test
generates it again and compares.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    AxisPlacement,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DynamicConfigValue,
    VariableOption,
    VariableRefresh,
)
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from sidechain.agents.metrics import (
    AggregatorMetrics,
    DryMetrics,
    ShadowMetrics,
    TapMetrics,
    TrainerMetrics,
    WetMetrics,
)
from sidechain.agents.watching_metrics import OptimizerMetrics, Processor, QueueMetrics, SentinelMetrics

FOLDER: Final = Path(__file__).parent / "dashboards"
SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
SELECTED: Final = '{job=~"$job",instance=~"$instance"}'
PER_SECOND: Final = "cps"
SECONDS: Final = "s"
COUNT: Final = "short"
COLOURS: Final = {
    "allow": "green",
    "monitor": "blue",
    "review": "orange",
    "block": "red",
    "normal": "green",
    "raised": "orange",
    "critical": "red",
    "failed": "red",
    "gap": "orange",
    "epoch": "orange",
    "dropped": "red",
    "halted": "red",
    "downgraded": "red",
    "breach": "orange",
    "unreadable": "red",
}

DRY: Final = DryMetrics(CollectorRegistry())
TAP: Final = TapMetrics(CollectorRegistry())
WET: Final = WetMetrics(CollectorRegistry())
AGGREGATOR: Final = AggregatorMetrics(CollectorRegistry())
SHADOW: Final = ShadowMetrics(CollectorRegistry())
TRAINER: Final = TrainerMetrics(CollectorRegistry())
QUEUES: Final = QueueMetrics(CollectorRegistry(), ("decisions", "taps", "scores"))
OPTIMIZER: Final = OptimizerMetrics(CollectorRegistry())
SENTINEL: Final = SentinelMetrics(CollectorRegistry())
PROCESSOR, PROCESSOR_WAIT = (
    f"{one.name}_total" for one in Processor(CollectorRegistry(), lambda: (0.0, 0.0)).collect()
)

Metric = MetricWrapperBase | Mapping[Any, MetricWrapperBase]


@dataclass(frozen=True, kw_only=True)
class Query:
    """One line, or one line per label value, of a panel."""

    expression: str
    legend: str
    names: tuple[str, ...]  # of the lines it draws
    right_axis: str | None = None  # the unit of an axis of its own; None: the panel's


@dataclass(frozen=True, kw_only=True)
class Graph:
    """One panel. Three of width 8 fill a line of the dashboard."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    width: int = 8
    stacked: bool = False


def stored_name(metric: Metric) -> str:
    """The name under which Prometheus stores the samples: a histogram is read through its buckets."""
    bound = next(iter(metric.values())) if isinstance(metric, Mapping) else metric
    family = bound.describe()[0]
    return str(family.name) + {"counter": "_total", "histogram": "_bucket"}.get(family.type, "")


def rate_by(label: str, metric: Mapping[str, MetricWrapperBase]) -> Query:
    """How often per second, a line per value of `label`."""
    rate = f"rate({stored_name(metric)}{SELECTED}[$__rate_interval])"
    return Query(expression=f"sum by ({label}) ({rate})", legend=f"{{{{{label}}}}}", names=tuple(metric))


def rate_of(metric: MetricWrapperBase, legend: str) -> Query:
    """How often per second, one line."""
    return Query(
        expression=f"sum(rate({stored_name(metric)}{SELECTED}[$__rate_interval]))", legend=legend, names=(legend,)
    )


def quantile(share: float, metric: Metric, legend: str) -> Query:
    """The `share` quantile over all selected workers, interpolated inside a bucket."""
    rate = f"rate({stored_name(metric)}{SELECTED}[$__rate_interval])"
    return Query(expression=f"histogram_quantile({share}, sum by (le) ({rate}))", legend=legend, names=(legend,))


def now(metric: Metric, legend: str, *, over: str = "sum", right_axis: str | None = None) -> Query:
    """A gauge over all selected workers: their sum, or their maximum."""
    return Query(
        expression=f"{over}({stored_name(metric)}{SELECTED})", legend=legend, names=(legend,), right_axis=right_axis
    )


DRY_ROW: Final = (
    Graph(
        title="Decisions by action",
        description="Decisions committed per second. A change of the mix without a change of policy is news.",
        unit=PER_SECOND,
        queries=(rate_by("action", DRY.decisions),),
        stacked=True,
    ),
    Graph(
        title="Entries by kind",
        description="Everything sealed per second: each input record has exactly one entry, of one of these kinds.",
        unit=PER_SECOND,
        queries=(rate_by("kind", DRY.entries),),
        stacked=True,
    ),
    Graph(
        title="Dead letters by reason",
        description="Inputs per second that could not be decided. Anything above zero is a sender's mistake or ours.",
        unit=PER_SECOND,
        queries=(rate_by("reason", DRY.dead_letters),),
    ),
    Graph(
        title="Time per transaction",
        description="From the first produce of a batch to its commit, beside the time to decide it without Kafka: "
        "the distance between the two is what the brokers cost.",
        unit=SECONDS,
        queries=(
            quantile(0.5, DRY.transaction_seconds, "transaction p50"),
            quantile(0.99, DRY.transaction_seconds, "transaction p99"),
            quantile(0.99, DRY.fold_seconds, "deciding p99"),
        ),
    ),
    Graph(
        title="Input lag",
        description="Input records not yet decided. Growing steadily: more comes in than is decided.",
        unit=COUNT,
        queries=(now(DRY.lag, "not yet decided"),),
    ),
    Graph(
        title="Lanes",
        description="Shards being decided, and lanes that stand still: refused by their log, or after failing twice at "
        "one offset. A halted lane waits for a person.",
        unit=COUNT,
        queries=(now(DRY.lanes, "deciding"), now(DRY.halted, "halted")),
    ),
    Graph(
        title="Takeovers by result",
        description="Shards taken over per second, by how. Restored: after another owner; continued: "
        "came back unchanged; genesis: a new chain; failed: tried again. Gap and epoch: right behind what a person "
        "sealed with `sidechain repair`.",
        unit=PER_SECOND,
        queries=(rate_by("result", DRY.takeovers), rate_by("kind", DRY.repairs)),
        width=12,
    ),
    Graph(
        title="Signals read by decisions",
        description="What decisions found where they asked the wet side: a value, or one of the ways of not knowing. "
        "Unknown is a value with a reason and stops nothing.",
        unit=PER_SECOND,
        queries=(rate_by("found", DRY.signals),),
        width=12,
        stacked=True,
    ),
)

WET_ROW: Final = (
    Graph(
        title="Taps by result",
        description="Decisions the tap has seen per second: sent to the wet side, left out by the sampling the pack "
        "asks for, or dropped because the tap was too far behind. Unreadable: a record that is no entry.",
        unit=PER_SECOND,
        queries=(rate_by("result", TAP.taps), rate_of(TAP.unreadable, "unreadable")),
        stacked=True,
    ),
    Graph(
        title="Scores by state",
        description="Taps scored per second. Warming: there is no fitted model yet, the score is absent, not zero. "
        "Unreadable: a record on a wet topic that is none of ours.",
        unit=PER_SECOND,
        queries=(rate_by("state", WET.scores), rate_of(WET.unreadable, "unreadable")),
        stacked=True,
    ),
    Graph(
        title="Model fits by result",
        description="Fits per second, and on the right the version in use. A failed fit leaves the old version in use.",
        unit=PER_SECOND,
        queries=(
            rate_by("result", WET.fits),
            now(WET.model_version, "version in use", over="max", right_axis=COUNT),
        ),
    ),
    Graph(
        title="Risks told by level",
        description="Metadata records per second written for the dry side to read with a later decision. Forgotten: "
        "keys given up because a partition's table was full; what was said of them stands until it is too old.",
        unit=PER_SECOND,
        queries=(rate_by("level", WET.metadata), rate_of(WET.forgotten, "keys forgotten")),
        width=12,
        stacked=True,
    ),
    Graph(
        title="Compensations by result",
        description="Compensations per second: sent, held back by the rate breaker, or not sent again because this "
        "decision had one already. A breaker trip begins a time of holding back.",
        unit=PER_SECOND,
        queries=(rate_by("result", WET.compensations), rate_of(WET.breaker_trips, "breaker trips")),
        width=12,
    ),
    Graph(
        title="Learned from outcomes",
        description="Cases the aggregator has read per second. Learned: a label that counts. Undecided: a label whose "
        "decision is not remembered. Late: older than the window. Repeated: seen before, and not counted again. Told: "
        "records about what many keys share. On the right what is remembered, and what waits to be read.",
        unit=PER_SECOND,
        queries=(
            rate_by("result", AGGREGATOR.cases),
            rate_of(TAP.cases, "passed by the tap"),
            rate_of(AGGREGATOR.told, "told"),
            rate_of(DRY.learned, "read by dry workers"),
            rate_of(AGGREGATOR.unreadable, "unreadable"),
            rate_of(DRY.learned_unreadable, "unreadable to dry workers"),
            rate_of(AGGREGATOR.forgotten, "subjects forgotten"),
            now(AGGREGATOR.subjects, "subjects", right_axis=COUNT),
            now(DRY.subjects, "subjects known to dry workers", right_axis=COUNT),
            now(AGGREGATOR.decisions, "decisions without an outcome", right_axis=COUNT),
            now(AGGREGATOR.lag, "aggregator lag", right_axis=COUNT),
        ),
        width=24,
    ),
)

ISOLATION_ROW: Final = (
    Graph(
        title="Decision latency beside wet lag",
        description="The promise in one picture: the lag of the wet side may climb, on the right, and the time from "
        "fetch to commit of a decision, on the left, must not follow it.",
        unit=SECONDS,
        queries=(
            quantile(0.5, DRY.batch_seconds, "decision p50"),
            quantile(0.99, DRY.batch_seconds, "decision p99"),
            now(WET.lag, "wet lag", right_axis=COUNT),
            now(TAP.lag, "tap lag", right_axis=COUNT),
        ),
        width=24,
    ),
)

BUDGETS_ROW: Final = (
    Graph(
        title="Reservations",
        description="What decisions reserved in accounts per second, how reservations ended, settled by a cost or "
        "expired without one, and what was refused, by reason: exhausted is what limits are for, any other reason is a "
        "policy or a sender to look at. On the right the reservations that wait for their cost.",
        unit=PER_SECOND,
        queries=(
            rate_by("what", DRY.reservations),
            rate_by("reason", DRY.refused_reservations),
            now(DRY.open_reservations, "open", right_axis=COUNT),
        ),
        width=24,
    ),
    Graph(
        title="Governance",
        description="Requests answered per second, by answer, and costs the tripwire has seen, by what they did to it: "
        "a breach is far beyond what was held, downgraded the one too many. On the right the partitions whose requests "
        "are held at a part of their cost until costs are near their estimates again or a person recovers them.",
        unit=PER_SECOND,
        queries=(
            rate_by("answer", DRY.governed),
            rate_by("event", DRY.tripwire),
            now(DRY.downgraded, "partitions downgraded", right_axis=COUNT),
        ),
        width=24,
    ),
)

SHADOW_ROW: Final = (
    Graph(
        title="Inputs by candidate",
        description="Inputs a candidate decides per second beside the chains. Right after a start these are old ones: "
        "a shadow walks every chain from its first entry.",
        unit=PER_SECOND,
        queries=(rate_by("candidate", SHADOW.inputs),),
    ),
    Graph(
        title="Flips by candidate",
        description="Inputs per second that a candidate decides otherwise than was sealed. "
        "`sidechain shadow show` says which, what is at stake, and how often it is right.",
        unit=PER_SECOND,
        queries=(rate_by("candidate", SHADOW.flips),),
    ),
    Graph(
        title="Shadow lag",
        description="Entries the shadow has not looked at yet, and on the right chains that are broken, of which "
        "nothing counts. No decision waits for a shadow.",
        unit=COUNT,
        queries=(now(SHADOW.lag, "not looked at"), now(SHADOW.broken, "broken chains", right_axis=COUNT)),
    ),
)

TRAINER_ROW: Final = (
    Graph(
        title="Outcomes",
        description="Outcomes joined to their decisions per second, and what went for want of room before it could be. "
        "On the right what waits to be read.",
        unit=PER_SECOND,
        queries=(
            rate_of(TRAINER.outcomes, "joined"),
            rate_of(TRAINER.forgotten, "decisions forgotten"),
            rate_of(TRAINER.unmatched, "outcomes without a decision"),
            now(TRAINER.lag, "lag", right_axis=COUNT),
        ),
    ),
    Graph(
        title="Trials by verdict",
        description="Trials that ended per second, by verdict, and on the right the outcomes of the one under way. A "
        "model that was better is proposed; `sidechain models list` shows it, nothing changes until it is promoted.",
        unit=PER_SECOND,
        queries=(
            rate_by("verdict", TRAINER.trials),
            rate_by("result", TRAINER.fits),
            rate_of(TRAINER.proposals, "proposed"),
            now(TRAINER.on_trial, "outcomes on trial", right_axis=COUNT),
        ),
    ),
    Graph(
        title="Decisions that wait",
        description="Decisions whose outcome is to come. At 400,000 the oldest go, and nothing is learned of them.",
        unit=COUNT,
        queries=(now(TRAINER.waiting, "waiting"), now(TRAINER.champion, "version of the champion", right_axis=COUNT)),
    ),
)


def most_by(labels: Sequence[str], metric: Metric, names: Sequence[str], *, right_axis: str | None = None) -> Query:
    """A gauge by some of its labels, the largest of all selected workers."""
    legend = ": ".join(f"{{{{{one}}}}}" for one in labels)
    expression = f"max by ({', '.join(labels)}) ({stored_name(metric)}{SELECTED})"
    return Query(expression=expression, legend=legend, names=tuple(names), right_axis=right_axis)


def share_by_job(name: str, what: str) -> Query:
    """Seconds a second, a line for each role."""
    rate = f"rate({name}{SELECTED}[$__rate_interval])"
    return Query(expression=f"sum by (job) ({rate})", legend=f"{{{{job}}}} {what}", names=())


PIPELINE_ROW: Final = (
    Graph(
        title="Work waiting by stage",
        description="Seconds of work before each stage at its present pace, and what is expected of it in a minute. "
        "A burst is worked off; what only grows is a bottleneck.",
        unit=SECONDS,
        queries=(
            most_by(["stage"], OPTIMIZER.lag, ()),
            Query(
                expression=f"max by (stage) ({stored_name(OPTIMIZER.ahead)}{SELECTED})",
                legend="{{stage}} in a minute",
                names=(),
            ),
        ),
        width=12,
    ),
    Graph(
        title="Bottleneck",
        description="1 while the optimizer names a stage that holds up the pipeline, and the cause. Below it what "
        "became of its proposals: written, held back because there was one a moment ago, or none that would help.",
        unit=COUNT,
        queries=(most_by(["stage", "cause"], OPTIMIZER.bottleneck, ()), rate_by("result", OPTIMIZER.proposals)),
        width=12,
    ),
    Graph(
        title="Records done by stage",
        description="Records a second. A stage does fewer than the one before it, where it is sampled or held up.",
        unit=PER_SECOND,
        queries=(most_by(["stage"], OPTIMIZER.rate, ()), rate_by("result", OPTIMIZER.looks)),
    ),
    Graph(
        title="Processor by role",
        description="Processors used, and how much of the time the first thread was ready to run and had none. A "
        "worker that waits for a third of the time is starved.",
        unit=COUNT,
        queries=(share_by_job(PROCESSOR, "used"), share_by_job(PROCESSOR_WAIT, "waits")),
    ),
    Graph(
        title="Overflow risk",
        description="How near a queue of the wet side is to running over: 0 safe, 1 warning, 2 critical, 3 imminent; "
        "and on the right how long its oldest record has waited.",
        unit=COUNT,
        queries=(
            most_by(["queue"], QUEUES.overflow, ()),
            Query(
                expression=f"max by (queue) ({stored_name(QUEUES.age)}{SELECTED})",
                legend="age of {{queue}}",
                names=(),
                right_axis=SECONDS,
            ),
        ),
    ),
    Graph(
        title="Left out",
        description="Records a second that were dropped or left out because a queue ran over, checkpoints forced for "
        "the same reason, and records that wait in the fullest partition, on the right.",
        unit=PER_SECOND,
        queries=(
            rate_by("queue", QUEUES.shed),
            Query(
                expression=f"sum by (queue) (rate({stored_name(QUEUES.forced)}{SELECTED}[$__rate_interval]))",
                legend="checkpoint of {{queue}}",
                names=(),
            ),
            now(QUEUES.fullest, "fullest partition", over="max", right_axis=COUNT),
        ),
        width=24,
    ),
)

TOLD: Final = Query(
    expression=f"sum(rate({stored_name(SENTINEL.told)}{SELECTED}[$__rate_interval]))",
    legend="words written",
    names=("words written",),
    right_axis=PER_SECOND,
)

INCIDENT_ROW: Final = (
    Graph(
        title="Alerts by result",
        description="Alerts the sentinel heard per second, by what became of them: began an incident, joined one, "
        "repeated, resolved, too many of one rule, or the end of one that was never heard.",
        unit=PER_SECOND,
        queries=(rate_by("result", SENTINEL.alerts), rate_of(SENTINEL.unreadable, "unreadable")),
    ),
    Graph(
        title="Incidents",
        description="Incidents that are not over, and on the right how many words about them were written per second.",
        unit=COUNT,
        queries=(now(SENTINEL.open, "open"), now(SENTINEL.prometheus, "Prometheus silent"), TOLD),
    ),
    Graph(
        title="Webhook by result",
        description="Messages per second: sent, refused by the receiver, or dropped after six tries or because a "
        "hundred wait. On the right what waits.",
        unit=PER_SECOND,
        queries=(rate_by("result", SENTINEL.webhook), now(SENTINEL.waiting, "waiting", right_axis=COUNT)),
    ),
)

ROWS: Final = {"Dry": DRY_ROW, "Wet": WET_ROW, "Isolation": ISOLATION_ROW}


def panel(graph: Graph, number: int) -> timeseries.Panel:
    """The builder of one graph."""
    made = (
        timeseries.Panel()
        .id(number)
        .title(graph.title)
        .description(graph.description)
        .datasource(SOURCE)
        .unit(graph.unit)
        .min(0)
        .line_width(1)
        .fill_opacity(30 if graph.stacked else 5)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL if graph.stacked else StackingMode.NONE))
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
        .height(10 if graph.width == 24 else 8)
        .span(graph.width)
    )
    for letter, query in zip(ascii_uppercase, graph.queries, strict=False):
        made.with_target(
            prometheus.Dataquery()
            .ref_id(letter)
            .datasource(SOURCE)
            .expr(query.expression)
            .legend_format(query.legend)
            .range()
        )
        if query.right_axis is not None:
            made.override_by_query(
                letter,
                [
                    DynamicConfigValue(id_val="unit", value=query.right_axis),
                    DynamicConfigValue(id_val="custom.axisPlacement", value=AxisPlacement.RIGHT),
                ],
            )
        for name in query.names:
            if name in COLOURS:
                colour = {"mode": "fixed", "fixedColor": COLOURS[name]}
                made.override_by_name(name, [DynamicConfigValue(id_val="color", value=colour)])
    return made


def selector(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """A drop-down over the values of a label; nothing chosen means all."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def sidechain() -> dashboard.Dashboard:
    """The builder of the first dashboard."""
    says = "Sealed decisions, what listens to them, and that the second never slows down the first."
    return board("sidechain", "Sidechain", says, ROWS)


def budgets() -> dashboard.Dashboard:
    """The builder of the dashboard of accounts."""
    says = "Where a pack has budgets: what is held, settled and refused, and what governance answers."
    return board("sidechain-budgets", "Sidechain: budgets", says, {"Budgets": BUDGETS_ROW})


def shadow() -> dashboard.Dashboard:
    """The builder of the dashboard of shadows."""
    says = "Candidate policies beside the live chains: how far they are, and how often they would decide otherwise."
    return board("sidechain-shadow", "Sidechain: shadow", says, {"Shadow": SHADOW_ROW})


def trainer() -> dashboard.Dashboard:
    """The builder of the dashboard of trainers."""
    says = "What is learned from outcomes: what waits for one, what is on trial, and what was proposed to people."
    return board("sidechain-trainer", "Sidechain: trainer", says, {"Trainer": TRAINER_ROW})


def watch() -> dashboard.Dashboard:
    """The builder of the dashboard of those that watch."""
    says = "Where the pipeline is held up, how near its queues are to running over, and what the sentinel made of it."
    return board("sidechain-watch", "Sidechain: watch", says, {"Pipeline": PIPELINE_ROW, "Incidents": INCIDENT_ROW})


def board(uid: str, title: str, says: str, rows: Mapping[str, Iterable[Graph]]) -> dashboard.Dashboard:
    """The builder of a whole dashboard."""
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(says)
        .tags(["sidechain"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(selector("job", "job", "label_values(sidechain_build_info, job)"))
        .with_variable(selector("instance", "instance", 'label_values(sidechain_build_info{job=~"$job"}, instance)'))
    )
    number = 0
    for title, graphs in rows.items():
        number += 1
        made.with_row(dashboard.Row(title).id(number))
        for graph in graphs:
            number += 1
            made.with_panel(panel(graph, number))
    return made


def rendered() -> dict[str, str]:
    """The text of each file, by its name."""
    encode = JSONEncoder(sort_keys=True, indent=2).encode
    return {
        f"{one.__name__}.json": encode(one().build()) + "\n" for one in (sidechain, watch, budgets, shadow, trainer)
    }


if __name__ == "__main__":
    for name, text in rendered().items():
        FOLDER.joinpath(name).write_text(text, encoding="utf-8")
