"""Panels of the wet side: what is heard, thought, learned and advised, and whether it still means what it did."""

from typing import Final

from deciding import DRY
from graphs import COUNT, PER_SECOND, SECONDS, graph, most_by, now, quantile, rate_by, rate_of, stored_name, summed_by
from prometheus_client import CollectorRegistry

from sidechain.agents.metrics import (
    AggregatorMetrics,
    DriftMetrics,
    ShadowMetrics,
    TapMetrics,
    TrainerMetrics,
    WetMetrics,
)
from sidechain.agents.wet.panel_metrics import PanelSeries
from sidechain.models.policy import EXPERTS
from sidechain.models.wet.experts.panel import CONSENSUS

TAP: Final = TapMetrics(CollectorRegistry())
WET: Final = WetMetrics(CollectorRegistry())
PANEL: Final = PanelSeries(CollectorRegistry(), (*EXPERTS, CONSENSUS))
AGGREGATOR: Final = AggregatorMetrics(CollectorRegistry())
SHADOW: Final = ShadowMetrics(CollectorRegistry())
TRAINER: Final = TrainerMetrics(CollectorRegistry())
DRIFT: Final = DriftMetrics(CollectorRegistry())


WET_ROW: Final = (
    graph(
        "Taps by result",
        "Decisions the tap has seen per second: sent to the wet side, left out by the sampling the pack asks for, or "
        "dropped because the tap was too far behind. Unreadable: a record that is no entry.",
        PER_SECOND,
        rate_by("result", TAP.taps),
        rate_of(TAP.unreadable, "unreadable"),
        stacked=True,
    ),
    graph(
        "Scores by state",
        "Taps scored per second. Warming: there is no fitted model yet, the score is absent, not zero. Unreadable: a "
        "record on a wet topic that is none of ours.",
        PER_SECOND,
        rate_by("state", WET.scores),
        rate_of(WET.unreadable, "unreadable"),
        stacked=True,
    ),
    graph(
        "Model fits by result",
        "Fits per second, and on the right the version in use. A failed fit leaves the old version in use.",
        PER_SECOND,
        rate_by("result", WET.fits),
        now(WET.model_version, "version in use", over="max", right_axis=COUNT),
    ),
    graph(
        "Risks told by level",
        "Metadata records per second written for the dry side to read with a later decision. Forgotten: keys given up "
        "because a partition's table was full; what was said of them stands until it is too old.",
        PER_SECOND,
        rate_by("level", WET.metadata),
        rate_of(WET.forgotten, "keys forgotten"),
        width=12,
        stacked=True,
    ),
    graph(
        "Compensations by result",
        "Compensations per second: sent, held back by the rate breaker, or not sent again because this decision had "
        "one already. A breaker trip begins a time of holding back.",
        PER_SECOND,
        rate_by("result", WET.compensations),
        rate_of(WET.breaker_trips, "breaker trips"),
        width=12,
    ),
    graph(
        "Learned from outcomes",
        "Cases the aggregator has read per second. Learned: a label that counts. Undecided: a label whose decision is "
        "not remembered. Late: older than the window. Repeated: seen before, and not counted again. Told: records "
        "about what many keys share. On the right what is remembered, and what waits to be read.",
        PER_SECOND,
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
        width=24,
    ),
)


ISOLATION_ROW: Final = (
    graph(
        "Decision latency beside wet lag",
        "The promise in one picture: the lag of the wet side may climb, on the right, and the time from fetch to "
        "commit of a decision, on the left, must not follow it.",
        SECONDS,
        quantile(0.5, DRY.batch_seconds, "decision p50"),
        quantile(0.99, DRY.batch_seconds, "decision p99"),
        now(WET.lag, "wet lag", right_axis=COUNT),
        now(TAP.lag, "tap lag", right_axis=COUNT),
        width=24,
    ),
)


SPEAKERS_ROW: Final = (
    graph(
        "Whose word counts",
        "Scores per second by the expert whose word they are, and on the right by why that one was asked. A baseline "
        "that is kept is the usual case; another speaks where it is better by the margin.",
        PER_SECOND,
        summed_by("expert", stored_name(PANEL.chosen), "{{expert}}"),
        summed_by("reason", stored_name(PANEL.chosen), "because: {{reason}}", right_axis=PER_SECOND),
        width=12,
    ),
    graph(
        "Share and skill",
        "The share of rows an expert speaks for, and on the right what its word counts for beside the others: 1 while "
        "nobody knows, less where outcomes contradicted it.",
        COUNT,
        most_by(["expert"], PANEL.share),
        most_by(["expert"], PANEL.skill, "skill of {{expert}}", right_axis=COUNT),
        width=12,
    ),
    graph(
        "Time per batch by expert",
        "What each expert takes over a batch, a moving average. The panel takes as long as all of them together.",
        SECONDS,
        most_by(["expert"], PANEL.latency),
    ),
    graph(
        "Experts that fail",
        "Batches per second that an expert did not score: it raised an error, or was ended because it took too long. "
        "After several in a row it is left alone for a while, which is a trip; the others speak meanwhile.",
        PER_SECOND,
        rate_by("expert", PANEL.faults, "{{expert}} failed"),
        rate_by("expert", PANEL.raised, "{{expert}} raised"),
        rate_by("expert", PANEL.hung, "{{expert}} hung"),
        rate_by("expert", PANEL.trips, "{{expert}} left alone"),
        most_by(["expert"], PANEL.errors, "share failed by {{expert}}", right_axis=COUNT),
    ),
    graph(
        "Full vectors",
        "Seconds per second that go into the part each feature has in a score, and on the right how many scores a "
        "second there are from which edge on, in basis points: what another `explain_above` would save.",
        SECONDS,
        rate_of(WET.explain_seconds, "explaining"),
        rate_by("edge", WET.scores_from, "from {{edge}}", right_axis=PER_SECOND),
    ),
)

OUTCOMES_ROW: Final = (
    graph(
        "Outcomes heard by result",
        "Outcomes per second by what became of them: learned of, of a decision nobody remembers, or dropped for want "
        "of room. On the right the decisions that wait for theirs.",
        PER_SECOND,
        rate_by("result", PANEL.outcomes),
        rate_of(PANEL.forgotten, "decisions forgotten"),
        now(PANEL.waiting, "waiting", right_axis=COUNT),
    ),
    graph(
        "Calibration",
        "Brier score of each expert's probabilities, lower is better, and how far its reliability curve lies from the "
        "diagonal. No line: too few outcomes yet, and what it says is marked as uncalibrated.",
        COUNT,
        most_by(["expert"], PANEL.brier, "Brier of {{expert}}"),
        most_by(["expert"], PANEL.error, "error of {{expert}}"),
    ),
    graph(
        "Outcomes behind a calibration",
        "Outcomes each expert's calibration was learned of. Below fifty there is none.",
        COUNT,
        most_by(["expert"], PANEL.labels),
    ),
)


DRIFT_ROW: Final = (
    graph(
        "Inputs by feature",
        "Population stability index of the last window of each feature a model reads: 0.1 is nothing, from 0.25 on it "
        "has moved.",
        COUNT,
        most_by(["feature"], DRIFT.psi),
        width=12,
    ),
    graph(
        "What outcomes say",
        "Means over recent outcomes: the score of what turned out bad, which should be high, of the others, and the "
        "share that was bad. On the right how many scores were judged a second.",
        COUNT,
        most_by(["measure"], DRIFT.means),
        rate_of(DRIFT.judged, "judged", right_axis=PER_SECOND),
        rate_of(DRIFT.forgotten, "forgotten before their outcome", right_axis=PER_SECOND),
        width=12,
    ),
    graph(
        "Alarms of drift",
        "Alarms that stand, and on the right how often one began, by what was looked for.",
        COUNT,
        now(DRIFT.standing, "standing", over="max"),
        rate_by("rule", DRIFT.alarms, right_axis=PER_SECOND),
        width=12,
    ),
    graph(
        "Looked at for drift",
        "Taps, scores and cases looked at per second, and on the right what waits.",
        PER_SECOND,
        rate_of(DRIFT.records, "looked at"),
        rate_of(DRIFT.unreadable, "unreadable"),
        now(DRIFT.lag, "waiting", right_axis=COUNT),
        width=12,
    ),
)


SHADOW_ROW: Final = (
    graph(
        "Inputs by candidate",
        "Inputs a candidate decides per second beside the chains. Right after a start these are old ones: a shadow "
        "walks every chain from its first entry.",
        PER_SECOND,
        rate_by("candidate", SHADOW.inputs),
    ),
    graph(
        "Flips by candidate",
        "Inputs per second that a candidate decides otherwise than was sealed. `sidechain shadow show` says which, "
        "what is at stake, and how often it is right.",
        PER_SECOND,
        rate_by("candidate", SHADOW.flips),
    ),
    graph(
        "Shadow lag",
        "Entries the shadow has not looked at yet, and on the right chains that are broken, of which nothing counts. "
        "No decision waits for a shadow.",
        COUNT,
        now(SHADOW.lag, "not looked at"),
        now(SHADOW.broken, "broken chains", right_axis=COUNT),
    ),
)


TRAINER_ROW: Final = (
    graph(
        "Outcomes",
        "Outcomes joined to their decisions per second, and what went for want of room before it could be. On the "
        "right what waits to be read.",
        PER_SECOND,
        rate_of(TRAINER.outcomes, "joined"),
        rate_of(TRAINER.forgotten, "decisions forgotten"),
        rate_of(TRAINER.unmatched, "outcomes without a decision"),
        now(TRAINER.lag, "lag", right_axis=COUNT),
    ),
    graph(
        "Trials by verdict",
        "Trials that ended per second, by verdict, and on the right the outcomes of the one under way. A model that "
        "was better is proposed; `sidechain models list` shows it, nothing changes until it is promoted.",
        PER_SECOND,
        rate_by("verdict", TRAINER.trials),
        rate_by("result", TRAINER.fits),
        rate_of(TRAINER.proposals, "proposed"),
        now(TRAINER.on_trial, "outcomes on trial", right_axis=COUNT),
    ),
    graph(
        "Decisions that wait",
        "Decisions whose outcome is to come. At 400,000 the oldest go, and nothing is learned of them.",
        COUNT,
        now(TRAINER.waiting, "waiting"),
        now(TRAINER.champion, "version of the champion", right_axis=COUNT),
    ),
    graph(
        "The newest week",
        "How well rules, champion and challenger order the newest week of decisions whose outcomes are known: average "
        "precision, AUROC, and precision among the hundred highest. No line: no challenger, or no outcomes of both "
        "kinds.",
        COUNT,
        most_by(["scorer", "figure"], TRAINER.week),
        width=12,
    ),
    graph(
        "What a trainer missed",
        "Records per second that went from their topics before they were read, or that are no taps and no cases; on "
        "the right records per second that were read.",
        PER_SECOND,
        rate_of(TRAINER.missed, "gone before they were read"),
        rate_of(TRAINER.unreadable, "unreadable"),
        rate_of(TRAINER.records, "read", right_axis=PER_SECOND),
        width=12,
    ),
)
