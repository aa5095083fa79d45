"""What wants somebody's attention, and what of it belongs together: one topic, two kinds of record."""

from typing import Any, Literal

import msgspec

from sidechain.topics.wet import Reason

Severity = Literal["page", "ticket"]  # wakes somebody, or waits for the morning


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """`alerts`: something wants somebody's attention, or wants it no more. Key: `rule`.

    {"kind":"alert","rule":"InputDrift","at":807256861000,"severity":"ticket","state":"firing","summary":"…",
     "labels":{"stage":"wet","feature":"refused_10m"},"evidence":{"psi":0.31,"edge":0.25},"score":0.31,"base":0.0,
     "reasons":[["above 0",0.29],["up to 0",0.02]],"rationale":"above 0 +0.29, up to 0 +0.02"}
    """

    kind: str = "alert"
    rule: str  # what was looked for: one name, whoever finds it
    at: int  # by the clock of whoever says so, ms
    severity: Severity
    state: Literal["firing", "resolved"] = "firing"
    summary: str  # a sentence for whoever is called
    labels: dict[
        str, str
    ]  # what tells this alert from others of its rule: stage, instance, feature, entity (a pseudonym)
    evidence: dict[str, Any]  # the figures behind it
    # What its rule goes by: base and the sum of the reasons is the score, within 1e-6. None in older records.
    score: float | None = None
    base: float | None = None
    reasons: tuple[Reason, ...] = ()  # what the score is made of, the weightiest first
    rationale: str = ""


class IncidentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`alerts`: alerts that belong together, and where to begin. Key: `id`; the newest record of one counts.

    {"kind":"incident","id":"inc-<16 hex>","at":807256861000,"began":807256861000,"severity":"ticket","state":"open",
     "cause":"drift","stage":"wet","summary":"…","rules":["InputDrift"],"alerts":1,"suppressed":0,"labels":{…},
     "because":[],"triage":["…"],"links":["…"]}
    """

    kind: str = "incident"
    id: str
    at: int  # of its newest alert, ms, as the broker stamped it
    began: int  # of its first
    severity: Severity  # of its worst alert
    state: Literal["open", "over"]
    cause: str | None
    stage: str | None
    summary: str
    rules: tuple[str, ...]  # in the order they came
    alerts: int  # different ones
    suppressed: int  # left out because there were too many
    labels: dict[str, str]  # what all its alerts share
    because: tuple[str, ...]  # why the others were put to the first
    triage: tuple[str, ...]  # where to begin, in sentences
    links: tuple[str, ...]  # where to read on, paths in this repository
