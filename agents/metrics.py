"""Every metric of every worker, bound to its labels and at zero before the first event.

A series that does not exist until something goes wrong cannot be alerted on, so each label combination is created at
start; labels come from closed sets, never from ids. Counting happens per batch, not per event.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, TypeVar, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, start_http_server
from prometheus_client.metrics import MetricWrapperBase

from sidechain.agents.watching_metrics import QueueMetrics
from sidechain.models.dry.budget import REASONS as BUDGET_REASONS
from sidechain.models.dry.governance import Answer
from sidechain.models.dry.governance import Event as TripwireEvent
from sidechain.models.dry.parse import REASONS
from sidechain.models.dry.settling import VERDICTS
from sidechain.models.policy import ACTIONS
from sidechain.models.wet.aggregate import Became
from sidechain.models.wet.remedies import EDGES_BP

SCRAPE_S: Final = 10.0
Metric = TypeVar("Metric", bound=MetricWrapperBase)

ENTRY_KINDS = (
    "decision",
    "duplicate",
    "rejected",
    "settlement",
    "refused-outcome",
    "policy",
    "list",
    "debit",
    "credit",
)
UNREADABLE = "unreadable"  # of an outcome: why, the dead letters say
REPAIRS = ("gap", "epoch")  # kinds of entries no worker writes, only `sidechain repair`
DRIFT_RULES = ("InputDrift", "PerformanceDrift", "LabelDrift")
DRIFT_MEASURES = ("score of what was bad", "score of what was not bad", "share of what was bad")
TAKEOVER_RESULTS = ("genesis", "restored", "continued", "failed")
RESERVATIONS = ("reserved", "settled", "expired")
GOVERNED_ANSWERS = (*get_args(Answer), "insight", "enough")
MULTIPLIERS = ("complexity", "trust", "entropy", "emergency")
SIGNAL_STATES = ("value", "absent", "stale", "future", "bounds")
# Edges around what is promised: 45 ms from intended send to a read_committed reader.
LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.045, 0.06, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


def registry() -> CollectorRegistry:
    """A fresh registry that says which version runs."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # when a counter began is a second series for each, and nobody asks
    new = CollectorRegistry()
    try:
        release = version("sidechain")
    except PackageNotFoundError:
        release = "unknown"
    Gauge("sidechain_build_info", "Which release runs, always 1.", ["version"], registry=new).labels(release).set(1)
    return new


def serve(registered: CollectorRegistry, host: str, port: int) -> int:
    """Serve /metrics from threads of its own; port 0 picks a free one. Returns the port. Raises OSError.

    A scraper that connects and says nothing is cut off after SCRAPE_S, so that hanging ones do not add up.
    """
    server, _ = start_http_server(port, addr=host, registry=registered)
    handler: Any = server.RequestHandlerClass
    server.RequestHandlerClass = type("BoundedHandler", (handler,), {"timeout": SCRAPE_S})
    return int(server.server_port)


def _bound(metric: Metric, *values: Sequence[str]) -> Mapping[str, Metric]:
    """Children for the closed set of values of a metric with one label."""
    return {value: metric.labels(value) for group in values for value in group}


def _seconds(registered: CollectorRegistry, role: str, text: str) -> Histogram:
    """How long a role takes over whatever it does at once."""
    return Histogram(f"sidechain_{role}_seconds", text, buckets=LATENCY_BUCKETS, registry=registered)


class DryMetrics:
    """What the dry worker tells; one object a process."""

    def __init__(self, registered: CollectorRegistry) -> None:
        def counter(name: str, text: str, labels: Sequence[str] = ()) -> Counter:
            return Counter(f"sidechain_{name}", text, labels, registry=registered)

        def gauge(name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
            return Gauge(f"sidechain_{name}", text, labels, registry=registered)

        def histogram(name: str, text: str) -> Histogram:
            return Histogram(f"sidechain_{name}", text, buckets=LATENCY_BUCKETS, registry=registered)

        self.entries = _bound(counter("entries_total", "Entries committed, by kind.", ["kind"]), ENTRY_KINDS)
        self.decisions = _bound(counter("decisions_total", "Decisions committed, by action.", ["action"]), ACTIONS)
        self.signals = _bound(
            counter("signals_total", "Signals read by committed decisions, by what was found.", ["found"]),
            SIGNAL_STATES,
        )
        self.dead_letters = _bound(
            counter("dead_letters_total", "Inputs that could not be decided, by reason.", ["reason"]), REASONS
        )
        self.refused_outcomes = _bound(
            counter("outcomes_refused_total", "Outcomes that settle nothing, by reason.", ["reason"]),
            (*VERDICTS, UNREADABLE),
        )
        self.forwarded = counter("outcomes_forwarded_total", "Outcomes sent on to the partition they name.")
        self.reservations = _bound(
            counter("reservations_total", "Reservations of committed decisions, and how those ended.", ["what"]),
            RESERVATIONS,
        )
        self.refused_reservations = _bound(
            counter(
                "reservations_refused_total", "What committed entries asked of accounts in vain, by reason.", ["reason"]
            ),
            tuple(BUDGET_REASONS),
        )
        self.open_reservations = gauge(
            "reservations_open", "Reservations that wait for a cost, over this worker's partitions."
        )
        self.governed = _bound(
            counter("governance_answers_total", "Requests answered by governance, by answer.", ["answer"]),
            GOVERNED_ANSWERS,
        )
        self.multipliers = _bound(
            counter(
                "governance_multipliers_total", "Requests whose cost a multiplier changed, by which.", ["multiplier"]
            ),
            MULTIPLIERS,
        )
        self.tripwire = _bound(
            counter("tripwire_costs_total", "Costs the tripwire has seen, by what they did to it.", ["event"]),
            get_args(TripwireEvent),
        )
        self.downgraded = gauge(
            "governance_downgraded", "Partitions of this worker whose tripwire holds requests at a part of their cost."
        )
        self.held_bp = gauge(
            "governance_held_bp", "Basis points of its cost that a request is held at, on the lowest partition."
        )
        self.batches = counter("batches_total", "Batches committed, one transaction each.")
        self.batch_seconds = histogram("decision_seconds", "Time from fetch to commit of a batch of decisions.")
        self.fold_seconds = histogram("fold_seconds", "Time to decide one batch, without Kafka.")
        self.transaction_seconds = histogram(
            "transaction_seconds", "Time from the first produce to the commit of a batch."
        )
        self.takeovers = _bound(
            counter("takeovers_total", "Shards taken over, by result.", ["result"]), TAKEOVER_RESULTS
        )
        self.repairs = _bound(
            counter("repairs_total", "Chains taken over right behind what a person sealed, by kind.", ["kind"]), REPAIRS
        )
        self.takeover_seconds = histogram("takeover_seconds", "Time to take over one shard.")
        self.fenced = counter("fenced_total", "Lanes ended because another worker took their shard.")
        self.retries = counter("transaction_retries_total", "Batches sent again after a retriable error.")
        self.halted = gauge("lanes_halted", "Lanes that stand still: refused by their log, or failing twice alone.")
        self.lanes = gauge("lanes", "Shards this worker decides at the moment.")
        self.lag = gauge("lag_records", "Input records not yet decided, over this worker's partitions.")
        self.fullest = gauge("fullest_records", "Records that wait in the partition with most.")
        self.fullest_partition = gauge("fullest_partition", "The number of the partition with most.")
        self.fullest_arrivals = gauge(
            "fullest_arrivals_per_second",
            "Records a second that come to the partition with most, over two minutes at most.",
        )
        self.partitions = gauge("partitions", "Partitions this worker reads.")
        self.last_commit = gauge("last_commit_timestamp_seconds", "When this worker last committed a batch.")
        self.keys = gauge("state_keys", "Keys remembered, over this worker's partitions.")
        self.accounted = counter(
            "accounted_total", "Input records found to have exactly one entry each, before that was written."
        )
        self.checkpoints = counter("checkpoints_total", "Checkpoints committed.")
        self.last_checkpoint = gauge(
            "checkpoint_last_timestamp_seconds", "When this worker last committed a checkpoint; 0 when it signs none."
        )
        self.evicted = counter("state_evicted_total", "Keys forgotten because a partition's table was full.")
        self.metadata = counter("metadata_records_total", "Records read from the wet side.")
        self.learned = counter("learned_records_total", "Records read of what was learned beyond one key.")
        self.learned_unreadable = counter(
            "learned_unreadable_total", "Records on wet.signals that are not what they must be."
        )
        self.forgotten = _bound(
            counter(
                "advice_forgotten_total", "Keys and subjects of advice forgotten because a table was full.", ["what"]
            ),
            ("metadata", "signals"),
        )
        self.subjects = gauge("learned_subjects", "Subjects of learned signals this worker knows something of.")


class TapMetrics(QueueMetrics):
    """What the tap tells."""

    def __init__(self, registered: CollectorRegistry) -> None:
        super().__init__(registered, ("decisions",))
        taps = Counter(
            "sidechain_taps_total",
            "Decisions seen by the tap, by what became of them.",
            ["result"],
            registry=registered,
        )
        self.taps = _bound(taps, ("sent", "sampled_out", "shed", "dropped"))
        self.cases = Counter(
            "sidechain_tap_cases_total", "Decisions and labels passed on to be learned of.", registry=registered
        )
        self.unreadable = Counter(
            "sidechain_tap_unreadable_total", "Records among the decisions that are no entries.", registry=registered
        )
        self.lag = Gauge("sidechain_tap_lag_records", "Decisions the tap has not read yet.", registry=registered)
        self.seconds = _seconds(registered, "tap", "Time to pass on one batch of decisions.")


class WetMetrics(QueueMetrics):
    """What the wet worker tells, but for its panel (`agents.wet.panel_metrics`)."""

    def __init__(self, registered: CollectorRegistry) -> None:
        super().__init__(registered, ("taps", "scores"))
        self.registered = registered
        self.panel: Any = None  # its series, once a worker has a panel

        def counter(name: str, text: str, label: str, values: Iterable[str]) -> Mapping[str, Counter]:
            return _bound(Counter(f"sidechain_{name}", text, [label], registry=registered), tuple(values))

        self.scores = counter("scores_total", "Taps scored, by state.", "state", ("scored", "warming", "silent"))
        self.fits = counter("model_fits_total", "Model fits, by result.", "result", ("swapped", "failed", "timeout"))
        self.metadata = counter(
            "metadata_total", "Risks told to the dry side, by level.", "level", ("normal", "raised", "critical")
        )
        self.compensations = counter(
            "compensations_total",
            "Compensations asked for, by what became of them.",
            "result",
            ("sent", "suppressed", "repeated"),
        )
        self.explain_seconds = Counter(
            "sidechain_explain_seconds_total", "Time that went into full vectors of scores.", registry=registered
        )
        self.scores_from = counter(
            "scores_from_total", "Scores of at least so many basis points, by edge.", "edge", map(str, EDGES_BP)
        )
        self.score_seconds = Histogram(
            "sidechain_score_seconds", "Time to score one micro-batch.", buckets=LATENCY_BUCKETS, registry=registered
        )
        self.model_version = Gauge(
            "sidechain_model_version", "Version of the model in use, 0 while warming up.", registry=registered
        )
        self.unreadable = Counter(
            "sidechain_wet_unreadable_total", "Records that are no taps, scores or advice.", registry=registered
        )
        self.forgotten = Counter(
            "sidechain_risk_forgotten_total",
            "Keys forgotten because a partition's table was full.",
            registry=registered,
        )
        self.breaker_trips = Counter(
            "sidechain_breaker_trips_total", "Times compensations came too fast and were cut.", registry=registered
        )
        self.entities = Gauge("sidechain_risk_entities", "Keys whose risk is remembered.", registry=registered)
        self.lag = Gauge("sidechain_wet_lag_records", "Records the wet agents have not read yet.", registry=registered)


class AggregatorMetrics:
    """What the aggregator tells."""

    def __init__(self, registered: CollectorRegistry) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(f"sidechain_aggregator_{name}", text, registry=registered)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"sidechain_aggregator_{name}", text, registry=registered)

        cases = Counter(
            "sidechain_aggregator_cases_total",
            "Cases read, by what became of them.",
            ["result"],
            registry=registered,
        )
        self.cases = _bound(cases, get_args(Became))
        self.told = counter("told_total", "Records written about subjects of learned signals.")
        self.forgotten = counter("forgotten_total", "Subjects forgotten because the table was full.")
        self.unreadable = counter("unreadable_total", "Records that are no cases and no learned signals.")
        self.subjects = gauge("subjects", "Subjects of learned signals that are remembered.")
        self.decisions = gauge("decisions", "Decisions remembered whose outcome is to come.")
        self.lag = gauge("lag_records", "Cases the aggregator has not read yet.")
        self.seconds = _seconds(registered, "aggregator", "Time to count one round of cases and tell of it.")


class DriftMetrics:
    """What the drift worker tells; `features` are those the pack's models read."""

    def __init__(self, registered: CollectorRegistry, features: Sequence[str] = ("feature",)) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(f"sidechain_drift_{name}", text, registry=registered)

        def gauge(name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
            return Gauge(f"sidechain_drift_{name}", text, labels, registry=registered)

        alarms = Counter(
            "sidechain_drift_alarms_total", "Alarms that began, by what was looked for.", ["rule"], registry=registered
        )
        self.alarms = _bound(alarms, DRIFT_RULES)
        self.psi = _bound(
            gauge("psi", "Population stability index of the last window, by feature; moved from 0.25 on.", ["feature"]),
            features,
        )
        self.means = _bound(
            gauge("outcome_mean", "Means over recent outcomes, from 0 to 1, by measure.", ["measure"]), DRIFT_MEASURES
        )
        self.standing = gauge("alarms_standing", "Alarms that stand.")
        self.records = counter("records_total", "Taps, scores and cases read.")
        self.seconds = _seconds(registered, "drift", "Time to look at one round of records.")
        self.proposals = counter("proposals_total", "Proposals that a champion learns anew.")
        self.judged = counter("judged_total", "Scores whose outcome became known.")
        self.forgotten = counter("forgotten_total", "Scores forgotten before their outcome became known.")
        self.unreadable = counter("unreadable_total", "Records that are no taps, scores or cases.")
        self.lag = gauge("lag_records", "Taps, scores and cases the drift worker has not read yet.")


class ShadowMetrics:
    """What the shadow tells; `candidates` are the references of the policies it runs."""

    def __init__(self, registered: CollectorRegistry, candidates: Sequence[str] = ("candidate",)) -> None:
        def counter(name: str, text: str) -> Mapping[str, Counter]:
            return _bound(Counter(f"sidechain_shadow_{name}", text, ["candidate"], registry=registered), candidates)

        self.inputs = counter("inputs_total", "Inputs a candidate decided beside the chain, by candidate.")
        self.flips = counter("flips_total", "Inputs a candidate decides otherwise than was sealed, by candidate.")
        self.reports = Counter("sidechain_shadow_reports_total", "Reports of figures written.", registry=registered)
        self.lag = Gauge(
            "sidechain_shadow_lag_records", "Entries the shadow has not looked at yet.", registry=registered
        )
        self.seconds = _seconds(registered, "shadow", "Time over one chain's turn, under every candidate.")
        self.broken = Gauge(
            "sidechain_shadow_broken_chains",
            "Chains of which nothing counts at the moment, because they are broken.",
            registry=registered,
        )
        self.last_report = Gauge(
            "sidechain_shadow_last_report_timestamp_seconds", "When figures were last written.", registry=registered
        )


class TrainerMetrics:
    """What the trainer tells."""

    def __init__(self, registered: CollectorRegistry) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(f"sidechain_trainer_{name}", text, registry=registered)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"sidechain_trainer_{name}", text, registry=registered)

        def by(name: str, text: str, label: str, values: Sequence[str]) -> Mapping[str, Counter]:
            return _bound(Counter(f"sidechain_trainer_{name}", text, [label], registry=registered), values)

        self.fits = by("fits_total", "Challengers fitted, by result.", "result", ("swapped", "failed", "timeout"))
        self.trials = by("trials_total", "Trials that ended, by verdict.", "verdict", ("PROMOTE", "REVIEW", "REJECT"))
        self.outcomes = counter("outcomes_total", "Outcomes joined to the decisions they are about.")
        self.forgotten = counter("forgotten_total", "Decisions that went before their outcome came: no room.")
        self.unmatched = counter("unmatched_total", "Outcomes that went before their decision came: no room.")
        self.missed = counter("missed_total", "Records that went from their topics before they were read.")
        self.unreadable = counter("unreadable_total", "Records that are no taps and no cases.")
        self.proposals = counter("proposals_total", "Models proposed to people.")
        self.waiting = gauge("waiting_decisions", "Decisions without an outcome that are remembered.")
        self.on_trial = gauge("trial_labels", "Labels of the trial under way, 0 when there is none.")
        self.champion = gauge("champion_version", "Version of the champion, 0 when there is none.")
        self.lag = gauge("lag_records", "Records the trainer has not read yet.")
        self.records = counter("records_total", "Taps and cases read.")
        self.seconds = _seconds(registered, "trainer", "Time to join one round of taps and cases, and to learn of it.")
        week = Gauge(
            "sidechain_trainer_week",
            "The newest week of decisions with outcomes of both kinds: average precision, AUROC, precision at 100.",
            ["scorer", "figure"],
            registry=registered,
        )
        self.week = {
            (scorer, figure): week.labels(scorer, figure)
            for scorer in ("rules", "champion", "challenger")
            for figure in ("average_precision", "auroc", "precision_at")
        }
