"""What workers show of themselves, held against a few rules: alerts without a Prometheus, under the same names.

Whoever runs Prometheus has deploy/prometheus/rules.yml; this is for where there is none, and it says the same sooner or
later. A rule that holds is said at every look, so that whoever listens knows it still holds, and once more when it has
ended.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from sidechain.models.wet.incidents import Heard, Severity
from sidechain.models.wet.readings import Samples, Scrape, rise, role_of, total

DOWN_DRY_MS: Final = 60_000  # without an answer
DOWN_MS: Final = 600_000
STALLED_S: Final = 60.0  # with input and without a commit
CRITICAL: Final = 2  # the level of overflow risk from which somebody is told
RECENT_MS: Final = 600_000  # how long something that was counted is an alert
INSTANCES: Final = 64  # workers that are watched; more are counted
UNREADABLE: Final = (
    "sidechain_tap_unreadable_total",
    "sidechain_wet_unreadable_total",
    "sidechain_aggregator_unreadable_total",
    "sidechain_learned_unreadable_total",
    "sidechain_drift_unreadable_total",
    "sidechain_sentinel_unreadable_total",
)


class Held(NamedTuple):
    """A rule that holds of one worker, with what it is said with."""

    summary: str
    labels: Mapping[str, str]
    evidence: Mapping[str, float | int]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule over what a worker shows now, or counted since the look before."""

    name: str
    severity: Severity
    test: Callable[[int, Samples, Samples], Iterator[Held]]  # at_ms, before, now
    keeps_ms: int = 0  # how long it goes on holding after the test held last
    after_ms: int = 0  # how long the test must have held


def _halted(_: int, before: Samples, now: Samples) -> Iterator[Held]:
    del before
    if count := total(now, "sidechain_lanes_halted"):
        yield Held(f"{count:.0f} lane(s) stand still", {}, {"lanes": count})


def _stalled(at_ms: int, before: Samples, now: Samples) -> Iterator[Held]:
    del before
    lag, last = total(now, "sidechain_lag_records"), total(now, "sidechain_last_commit_timestamp_seconds")
    if lag and last is not None and (silent := at_ms / 1_000 - last) > STALLED_S:
        yield Held(
            f"{lag:,.0f} records wait and nothing is committed", {}, {"silent_s": round(min(silent, 1e9)), "lag": lag}
        )


def _rose(name: str, text: str, **labels: str) -> Callable[[int, Samples, Samples], Iterator[Held]]:
    """A counter that should not have moved did."""

    def test(_: int, before: Samples, now: Samples) -> Iterator[Held]:
        if before and (rose := rise(before, now, name, **labels)):
            yield Held(f"{rose:,.0f} {text}", {}, {"count": rose})

    return test


def _dead_letters(_: int, before: Samples, now: Samples) -> Iterator[Held]:
    name = "sidechain_dead_letters_total"
    reasons = {dict(have).get("reason", "") for have in now.get(name, {})} if before else set()
    for reason in sorted(reasons):
        if rose := rise(before, now, name, reason=reason):
            yield Held(f"{rose:,.0f} events cannot be decided: {reason}", {"reason": reason}, {"count": rose})


def _unreadable(at_ms: int, before: Samples, now: Samples) -> Iterator[Held]:
    for name in UNREADABLE:
        yield from _rose(name, "records are none of ours")(at_ms, before, now)


def _overflow(_: int, before: Samples, now: Samples) -> Iterator[Held]:
    del before
    for have, level in sorted(now.get("sidechain_overflow_level", {}).items()):
        if level >= CRITICAL:
            queue = dict(have).get("queue", "")
            said = "imminent" if level > CRITICAL else "critical"
            yield Held(f"overflow of {queue} is {said}", {"queue": queue}, {"level": level})


def _bottleneck(_: int, before: Samples, now: Samples) -> Iterator[Held]:
    del before
    for have, value in sorted(now.get("sidechain_bottleneck", {}).items()):
        if value:
            labels = dict(have)
            yield Held(f"{labels.get('stage')} holds up the pipeline: {labels.get('cause')}", labels, {})


RULES: Final = (
    Rule("SidechainLaneHalted", "page", _halted),
    Rule("SidechainCommitStalled", "page", _stalled, after_ms=60_000),
    Rule(
        "SidechainTakeoverFailing",
        "page",
        _rose("sidechain_takeovers_total", "takeovers failed", result="failed"),
        keeps_ms=60_000,
        after_ms=60_000,
    ),
    Rule("SidechainDeadLetters", "ticket", _dead_letters, keeps_ms=RECENT_MS),
    Rule("SidechainUnreadable", "ticket", _unreadable, keeps_ms=RECENT_MS),
    Rule(
        "SidechainTapDropping",
        "ticket",
        _rose("sidechain_taps_total", "decisions were never shown to the wet side", result="dropped"),
        keeps_ms=RECENT_MS,
    ),
    Rule(
        "SidechainExpertLeftAlone",
        "ticket",
        _rose("sidechain_expert_trips_total", "times an expert failed until it was left alone"),
        keeps_ms=RECENT_MS,
    ),
    Rule("SidechainOverflow", "ticket", _overflow),
    Rule("SidechainBottleneck", "ticket", _bottleneck),
)


@dataclass(slots=True)
class _Standing:
    """What is known of one rule of one worker."""

    alert: Heard
    since_ms: int  # the test has held
    last_ms: int  # it held last
    is_said: bool = False


class Watch:
    """Every worker, and which rules hold of it."""

    def __init__(self) -> None:
        self.left_out = 0  # workers beyond INSTANCES
        self._before: dict[str, Samples] = {}
        self._answered: dict[str, int] = {}
        self._roles: dict[str, str] = {}
        self._standing: dict[tuple[str, str, tuple[tuple[str, str], ...]], _Standing] = {}

    def look(self, at_ms: int, scrapes: Mapping[str, Scrape]) -> list[Heard]:
        """What holds now, and what has ended since the last look. Keys: instances. `at_ms` never goes back."""
        kept = list(scrapes)[:INSTANCES]
        self.left_out = len(scrapes) - len(kept)
        for instance in kept:
            self._of(at_ms, instance, scrapes[instance].samples)
        return list(self._said(at_ms))

    def _of(self, at_ms: int, instance: str, samples: Samples | None) -> None:
        self._answered.setdefault(instance, at_ms)
        if samples is None:
            self._down(at_ms, instance)
            return
        self._answered[instance] = at_ms
        stage = role_of(samples) or self._roles.get(instance)
        if stage is not None:
            self._roles[instance] = stage
        before = self._before.get(instance, {})
        for rule in RULES:
            for held in rule.test(at_ms, before, samples):
                labels = {"instance": instance, **({"stage": stage} if stage else {}), **held.labels}
                self._holds(at_ms, rule.name, rule.severity, held._replace(labels=labels))
        self._before[instance] = samples

    def _down(self, at_ms: int, instance: str) -> None:
        self._before.pop(instance, None)
        stage = self._roles.get(instance)
        silent_ms = at_ms - self._answered[instance]
        if silent_ms < (DOWN_DRY_MS if stage == "dry" else DOWN_MS):
            return
        labels = {"instance": instance, **({"stage": stage} if stage else {})}
        held = Held(f"the worker at {instance} does not answer", labels, {"silent_s": silent_ms // 1_000})
        self._holds(at_ms, "SidechainTargetDown", "page" if stage == "dry" else "ticket", held)

    def _holds(self, at_ms: int, rule: str, severity: Severity, held: Held) -> None:
        name = (rule, held.labels["instance"], tuple(sorted(held.labels.items())))
        alert = Heard(
            rule=rule,
            at_ms=at_ms,
            severity=severity,
            summary=held.summary,
            labels=held.labels,
            evidence=held.evidence,
        )
        if (standing := self._standing.get(name)) is None:
            self._standing[name] = _Standing(alert, at_ms, at_ms)
        else:
            standing.alert, standing.last_ms = alert, at_ms

    def _said(self, at_ms: int) -> Iterator[Heard]:
        for name, one in list(self._standing.items()):
            rule = _BY_NAME.get(name[0])
            keeps_ms, after_ms = (rule.keeps_ms, rule.after_ms) if rule else (0, 0)
            if at_ms - one.last_ms > keeps_ms:
                del self._standing[name]
                if one.is_said:
                    yield _at(one.alert, at_ms, is_firing=False)
            elif one.is_said or one.last_ms - one.since_ms >= after_ms:
                one.is_said = True
                yield _at(one.alert, at_ms, is_firing=True)


def _at(alert: Heard, at_ms: int, *, is_firing: bool) -> Heard:
    """The same alert, said once more."""
    return Heard(
        rule=alert.rule,
        at_ms=at_ms,
        severity=alert.severity,
        is_firing=is_firing,
        summary=alert.summary,
        labels=alert.labels,
        evidence=alert.evidence,
    )


_BY_NAME: Final = {one.name: one for one in RULES}
