"""Alerts that belong together become one incident, told once, with where to begin.

An alert joins the open incident that speaks most for it, by points:

    2   the same cause (models/wet/triage.py)            1   the same stage
    2   the same entity, feature, expert or policy       1   the same instance of a worker
   -2   another entity                                   1   within a minute of the incident's newest alert
                                                         1   both come with more bad outcomes than usual

Three points join it, fewer begin an incident of their own. Nothing joins an incident that was silent for QUIET_MS; it
is over SETTLED_MS after the last of its alerts was resolved, or when nobody has said a word of it for SILENT_MS.

It is told half a minute after it began, so that what comes with it is in it, and at once where somebody is to be
woken; then again when a rule is new in it, when it gets worse, and when it is over. Nothing here reads a clock.

Against floods: a rule has PER_MINUTE alerts a minute, OPEN incidents are open at a time, and of an incident MEMBERS
alerts are remembered one by one. What is beyond is counted, never lost without a number.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal

from sidechain.models.wet.triage import first_look, known, link

Severity = Literal["page", "ticket"]
Became = Literal["joined", "began", "repeated", "resolved", "too_many", "unknown"]

JOIN: Final = 3  # points
SOON_MS: Final = 60_000
QUIET_MS: Final = 600_000
SETTLED_MS: Final = 120_000  # what comes and goes within it stays one incident
SILENT_MS: Final = 3_600_000
GATHER_MS: Final = 30_000  # before an incident is told for the first time
PER_MINUTE: Final = 60  # alerts of one rule
OPEN: Final = 100  # incidents at a time
MEMBERS: Final = 100  # alerts of one incident that are told apart
NAMED: Final = 256  # rules that are counted by name; all others share one count
OTHERS: Final = "(others)"
SAME: Final = ("entity", "feature", "expert", "policy")  # labels that name what an alert is about
WORSE: Final = {"ticket": 0, "page": 1}


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """An alert, from wherever it came. `labels` and `rule` tell it from others."""

    rule: str
    at_ms: int
    severity: Severity = "ticket"
    is_firing: bool = True
    summary: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What it is the same alert by."""
        return self.rule, tuple(sorted(self.labels.items()))

    @property
    def stage(self) -> str | None:
        """The stage it is about: as its labels say, else as its rule is known for."""
        of_rule = known(self.rule)
        return self.labels.get("stage") or (of_rule.stage if of_rule else None)

    @property
    def cause(self) -> str | None:
        """As its rule is known for."""
        of_rule = known(self.rule)
        return of_rule.cause if of_rule else None

    @property
    def bad_bp(self) -> tuple[int, int] | None:
        """The share of bad outcomes and the usual one, where it comes with more than usual."""
        now, usual = self.evidence.get("bad_bp"), self.evidence.get("usual_bp")
        return (now, usual) if isinstance(now, int) and isinstance(usual, int) and now > usual else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Incident:
    """An incident as it is told."""

    id: str
    at_ms: int  # of its newest alert
    began_ms: int
    severity: Severity
    is_open: bool
    cause: str | None
    stage: str | None
    summary: str
    rules: tuple[str, ...]  # in the order they came
    alerts: int  # different ones
    suppressed: int  # left out because there were too many
    labels: Mapping[str, str]  # what all its alerts share
    because: tuple[str, ...]  # why the others were put to the first
    triage: tuple[str, ...]
    links: tuple[str, ...]


class _Group:
    """An open incident."""

    def __init__(self, first: Heard) -> None:
        text = repr((first.name, first.at_ms)).encode()
        self.id = f"inc-{sha256(text).hexdigest()[:16]}"
        self.first = first
        self.newest_ms = first.at_ms  # the last word about any of its alerts
        self.onset_ms = first.at_ms  # the last time an alert was new in it
        self.members: dict[tuple[str, tuple[tuple[str, str], ...]], Heard] = {}
        self.because: list[str] = []
        self.suppressed = 0
        self.rules: set[str] = set()
        self.severity: Severity = first.severity
        self.told: tuple[Severity, int] | None = None  # what mattered when it was told last
        self._causes: set[str] = set()
        self._stages: set[str] = set()
        self._same: set[tuple[str, str]] = set()
        self._instances: set[str] = set()
        self._outcomes: tuple[int, int] | None = None
        self.add(first, ())

    def add(self, alert: Heard, why: Iterable[str]) -> None:
        """One more, or once more."""
        self.newest_ms = max(self.newest_ms, alert.at_ms)
        is_new = alert.name not in self.members
        if is_new:
            self.onset_ms = max(self.onset_ms, alert.at_ms)
        if is_new and len(self.members) >= MEMBERS:
            self.suppressed += 1
        else:
            self.members[alert.name] = alert
        self.rules.add(alert.rule)
        self.because += [one for one in why if one not in self.because]
        self.severity = max(self.severity, alert.severity, key=WORSE.__getitem__)
        self._causes |= {alert.cause} - {None}  # type: ignore[arg-type]
        self._stages |= {alert.stage} - {None}  # type: ignore[arg-type]
        self._same |= {(name, alert.labels[name]) for name in SAME if name in alert.labels}
        self._instances |= {alert.labels["instance"]} if "instance" in alert.labels else set()
        self._outcomes = alert.bad_bp or self._outcomes

    def points(self, alert: Heard) -> tuple[int, list[str]]:
        """What speaks for putting the alert to this incident."""
        about = {(name, alert.labels[name]) for name in SAME if name in alert.labels}
        entities = {value for name, value in self._same if name == "entity"}
        found: list[tuple[int, str]] = []
        if alert.cause in self._causes:
            found.append((2, "the same cause"))
        if shared := sorted(about & self._same):
            found.append((2, f"the same {shared[0][0]}"))
        elif entities and "entity" in alert.labels:
            found.append((-2, "another entity"))
        if alert.stage in self._stages:
            found.append((1, "the same stage"))
        if alert.labels.get("instance") in self._instances:
            found.append((1, "the same instance"))
        if abs(alert.at_ms - self.onset_ms) <= SOON_MS:
            found.append((1, "the same time"))
        if alert.bad_bp and self._outcomes:
            found.append((1, "more bad outcomes than usual"))
        return sum(points for points, _ in found), [why for points, why in found if points > 0]

    @property
    def matters(self) -> tuple[Severity, int]:
        """What makes it worth another word when it changes."""
        return self.severity, len(self.rules)

    def is_over(self, at_ms: int) -> bool:
        """Whether all of it has been resolved for a while, or nobody has said a word for long."""
        is_firing = any(one.is_firing for one in self.members.values())
        return at_ms - self.newest_ms >= (SILENT_MS if is_firing else SETTLED_MS)

    def incident(self, *, is_open: bool) -> Incident:
        """As it is now."""
        rules = tuple(dict.fromkeys(one.rule for one in self.members.values()))
        every = [dict(one.labels) for one in self.members.values()]
        shared = {name: value for name, value in every[0].items() if all(one.get(name) == value for one in every)}
        cause = self.first.cause or next(iter(sorted(self._causes)), None)
        stage = self.first.stage or next(iter(sorted(self._stages)), None)
        return Incident(
            id=self.id,
            at_ms=self.newest_ms,
            began_ms=self.first.at_ms,
            severity=self.severity,
            is_open=is_open,
            cause=cause,
            stage=stage,
            summary=self._summary(rules, stage),
            rules=rules,
            alerts=len(self.members),
            suppressed=self.suppressed,
            labels=shared,
            because=tuple(self.because),
            triage=tuple(self._triage(cause, stage)),
            links=tuple(dict.fromkeys(map(link, rules))),
        )

    def _summary(self, rules: tuple[str, ...], stage: str | None) -> str:
        first = self.first.summary or self.first.rule
        if len(self.members) == 1:
            return first
        where = f" at {stage}" if stage else ""
        return f"{first}; and {len(self.members) - 1} more of {len(rules)} rule(s){where}"

    def _triage(self, cause: str | None, stage: str | None) -> Iterable[str]:
        yield first_look(cause)
        if self._outcomes:
            now, usual = self._outcomes
            shares = f"{now / 100:.1f} % are bad, usually {usual / 100:.1f} %"
            yield f"Of the outcomes {shares}: this reaches what is decided about."
        if "dry" not in self._stages and stage is not None:
            yield "No alert of the dry side is among them: decisions go on, and find signals stale at worst."
        if self.suppressed:
            yield f"{self.suppressed:,} alerts more were counted and left out."


class Correlator:
    """Every open incident, and how often each rule has spoken within the minute."""

    def __init__(self) -> None:
        self._open: list[_Group] = []
        self._minute = 0
        self._spoken: Counter[str] = Counter()  # alerts of each rule within the minute

    @property
    def open(self) -> int:
        """Incidents that are not over."""
        return len(self._open)

    def hear(self, alert: Heard) -> Became:
        """Take one alert, and say what became of it."""
        for group in self._open:
            if (before := group.members.get(alert.name)) is None:
                continue
            if not alert.is_firing:
                group.members[alert.name] = alert
                group.newest_ms = max(group.newest_ms, alert.at_ms)
                return "resolved"
            group.add(alert, ())
            return "repeated" if before.is_firing else "joined"
        if not alert.is_firing:
            return "unknown"
        if not self._may_speak(alert):  # before anything that costs time
            if (first := next((one for one in self._open if alert.rule in one.rules), None)) is not None:
                first.suppressed += 1
            return "too_many"
        best, why = self._best(alert)
        if best is not None:
            best.add(alert, why)
            return "joined"
        if len(self._open) >= OPEN:
            return "too_many"
        self._open.append(_Group(alert))
        return "began"

    def tick(self, at_ms: int) -> list[Incident]:
        """What is to be told now: incidents that are new, worse, wider or over."""
        told = []
        for group in list(self._open):
            if group.is_over(at_ms):
                self._open.remove(group)
                told.append(group.incident(is_open=False))
                continue
            matters = group.matters
            is_due = group.severity == "page" or at_ms - group.first.at_ms >= GATHER_MS
            if is_due and group.told != matters:
                group.told = matters
                told.append(group.incident(is_open=True))
        return told

    def was_told(self, name: str) -> None:
        """Somebody before us told of the incident with this id, as far as we have heard of it."""
        for group in self._open:
            if group.id == name:
                group.told = group.matters

    def forget_over(self, at_ms: int) -> None:
        """Incidents that are over by then are told by nobody: whoever was there has done it."""
        self._open = [group for group in self._open if not group.is_over(at_ms)]

    def _best(self, alert: Heard) -> tuple[_Group | None, list[str]]:
        """The incident with most points, the newest of several; None where none has enough."""
        found: tuple[int, int, _Group, list[str]] | None = None
        for group in self._open:
            if alert.at_ms - group.newest_ms >= QUIET_MS:
                continue
            points, why = group.points(alert)
            if points >= JOIN and (found is None or (points, group.newest_ms) >= found[:2]):
                found = points, group.newest_ms, group, why
        return (None, []) if found is None else found[2:]

    def _may_speak(self, alert: Heard) -> bool:
        """Whether the minute has room for it. A rule beyond NAMED in one minute shares its room with all such."""
        minute = alert.at_ms // 60_000
        if minute != self._minute:
            self._minute, self._spoken = minute, Counter()
        rule = alert.rule if alert.rule in self._spoken or len(self._spoken) < NAMED else OTHERS
        self._spoken[rule] += 1
        return self._spoken[rule] <= PER_MINUTE
