"""What the panel tells: who speaks and why, how fast and how sound each expert is, and how well outcomes bear it out.

Every pair of expert and reason there can be exists from the start (`models.wet.selector.labels`); experts come from the
pack's closed list, never from data.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from sidechain.agents.wet.anomaly import Scorer
from sidechain.models.wet.selector import labels

OUTCOMES: Final = ("learned", "unknown", "dropped")


class PanelSeries:
    """The series of one panel; one object a process."""

    def __init__(self, registered: CollectorRegistry, names: Sequence[str]) -> None:
        """`names`: of its experts, the baseline first."""

        def counters(name: str, text: str) -> Mapping[str, Counter]:
            made = Counter(f"sidechain_expert_{name}", text, ["expert"], registry=registered)
            return {one: made.labels(one) for one in names}

        def gauges(name: str, text: str) -> Mapping[str, Gauge]:
            made = Gauge(f"sidechain_expert_{name}", text, ["expert"], registry=registered)
            return {one: made.labels(one) for one in names}

        self.names = tuple(names)
        chosen = Counter(
            "sidechain_expert_chosen_total", "Scores, by whose word it is and why.", ["expert", "reason"],
            registry=registered,
        )  # fmt: skip
        self.chosen = {pair: chosen.labels(*pair) for pair in labels(names)}
        self.faults = counters("faults_total", "Batches an expert failed to score, by expert.")
        self.raised = counters("raised_total", "Turns in which an expert raised an error, by expert.")
        self.hung = counters("hung_total", "Turns that were ended because they took too long, by expert.")
        self.trips = counters("trips_total", "Times an expert was left alone because it went on failing, by expert.")
        self.latency = gauges("latency_seconds", "Time an expert takes over a batch, moving average, by expert.")
        self.errors = gauges("errors_ratio", "Share of batches an expert fails, moving average, by expert.")
        self.share = gauges("share_ratio", "Share of rows an expert speaks for, moving average, by expert.")
        self.skill = gauges("skill_ratio", "What the word of an expert counts for beside the others, by expert.")
        self.labels = gauges("calibration_labels", "Outcomes an expert's calibration was learned of, by expert.")
        self.brier = gauges("calibration_brier", "Brier score of an expert's probabilities; not a number without any.")
        self.error = gauges(
            "calibration_error_ratio", "Mean distance of an expert's reliability curve from the diagonal."
        )
        outcomes = Counter(
            "sidechain_panel_outcomes_total", "Outcomes heard, by what became of them.", ["result"], registry=registered
        )
        self.outcomes = {one: outcomes.labels(one) for one in OUTCOMES}
        self.forgotten = Counter(
            "sidechain_panel_forgotten_total", "Decisions forgotten before their outcome came.", registry=registered
        )
        self.waiting = Gauge(
            "sidechain_panel_waiting", "Decisions remembered whose outcome is to come.", registry=registered
        )
        for one in names:
            self.brier[one].set(float("nan"))
            self.error[one].set(float("nan"))
            self.skill[one].set(1.0)


class PanelMetrics:
    """Keeps one panel's series up with its scorer."""

    def __init__(self, series: PanelSeries, scorer: Scorer) -> None:
        self._series = series
        self._scorer = scorer
        self._told: dict[int, float] = {}  # counter -> what it was told

    def tell(self) -> None:
        """Once a round is enough: what is counted is counted elsewhere."""
        series, ensemble, waiting = self._series, self._scorer.ensemble, self._scorer.waiting
        panel, selector = ensemble.panel, ensemble.panel.selector
        for pair, rows in panel.chosen.items():
            self._up(series.chosen[pair], rows)
        for at, one in enumerate(series.names):
            for counters, counted in (
                (series.faults, panel.faults),
                (series.raised, panel.raised),
                (series.hung, panel.hung),
                (series.trips, panel.trips),
            ):
                self._up(counters[one], counted[one])
            series.latency[one].set(selector.latency_ms[at] / 1_000.0)
            series.errors[one].set(selector.errors[at])
            series.share[one].set(selector.share[at])
            series.skill[one].set(selector.skill[at])
            calibration = ensemble.labelled[at].calibration
            series.labels[one].set(calibration.labels)
            if calibration.reliability is not None:
                series.brier[one].set(calibration.reliability.brier)
                series.error[one].set(calibration.reliability.error)
        for result, heard in zip(OUTCOMES, (waiting.settled, waiting.unknown, waiting.dropped), strict=True):
            self._up(series.outcomes[result], heard)
        self._up(series.forgotten, waiting.forgotten)
        series.waiting.set(len(waiting))

    def _up(self, counter: Counter, total: float) -> None:
        before = self._told.get(id(counter), 0.0)
        if total != before:  # every round tells of all, and few have moved
            counter.inc(total - before)
            self._told[id(counter)] = total
