"""Incidents in the words of Prometheus' Alertmanager, and Prometheus' own alerts in ours.

An incident goes out as its webhook, version 4, with one alert in it: whatever takes Alertmanager's messages (a pager, a
chat, another Alertmanager) takes these. https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import Any, Final

import msgspec

from sidechain.models import utc
from sidechain.models.wet.incidents import Heard, Incident

VERSION: Final = "4"
NEVER: Final = "0001-01-01T00:00:00Z"  # Go's zero time: it has not ended
JOB: Final = "sidechain-"
TEXT_MOST: Final = 500  # characters of a label or a summary; alerts are told, not archived


def message(incident: Incident) -> dict[str, Any]:
    """The body of one webhook request."""
    labels = {
        "alertname": incident.rules[0],
        "severity": incident.severity,
        "incident": incident.id,
        **({"stage": incident.stage} if incident.stage else {}),
        **({"cause": incident.cause} if incident.cause else {}),
    }
    labels = {**incident.labels, **labels}
    annotations = {
        "summary": incident.summary[:TEXT_MOST],
        "description": " ".join(incident.triage),
        "runbook_url": incident.links[0],
        "rules": ", ".join(incident.rules),
        "alerts": str(incident.alerts),
    }
    status = "firing" if incident.is_open else "resolved"
    alert = {
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": _time(incident.began_ms),
        "endsAt": NEVER if incident.is_open else _time(incident.at_ms),
        "generatorURL": "",
        "fingerprint": incident.id.removeprefix("inc-"),
    }
    return {
        "version": VERSION,
        "groupKey": f'{{}}:{{incident="{incident.id}"}}',
        "truncatedAlerts": incident.suppressed,
        "status": status,
        "receiver": "sidechain",
        "groupLabels": {"incident": incident.id},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [alert],
    }


def _time(at_ms: int) -> str:
    return utc.text(at_ms, "milliseconds")


class _Alert(msgspec.Struct):
    labels: dict[str, str]
    state: str
    value: str = ""  # a number as text
    annotations: dict[str, str] = {}


class _Data(msgspec.Struct):
    alerts: list[_Alert]


class _Answer(msgspec.Struct):
    data: _Data


_decode: Final = msgspec.json.Decoder(_Answer).decode


def of_prometheus(body: bytes, at_ms: int) -> list[Heard]:
    """What its `/api/v1/alerts` says is firing. Raises ValueError for what is no such answer.

    Severity `none` is a watchdog's, and no alert; `page` and `critical` wake somebody.
    """
    return list(_heard(_decode(body).data.alerts, at_ms))


def _heard(alerts: Iterable[_Alert], at_ms: int) -> Iterator[Heard]:
    for one in alerts:
        severity = one.labels.get("severity", "")
        if one.state != "firing" or severity == "none":
            continue
        labels = {name: text[:TEXT_MOST] for name, text in one.labels.items() if name not in ("alertname", "severity")}
        yield Heard(
            rule=one.labels.get("alertname", "")[:TEXT_MOST] or "unnamed",
            at_ms=at_ms,
            severity="page" if severity in ("page", "critical") else "ticket",
            summary=one.annotations.get("summary", "")[:TEXT_MOST],
            labels={**labels, **_stage(labels)},
            evidence=_value(one.value),
        )


def _value(text: str) -> dict[str, float]:
    """What the rule's expression came to; nothing where that is no number."""
    try:
        value = float(text)
    except ValueError:
        return {}
    return {"value": value} if isfinite(value) else {}


def _stage(labels: Mapping[str, str]) -> dict[str, str]:
    """Our jobs are named for their roles."""
    job = labels.get("job", "")
    return {"stage": job.removeprefix(JOB)} if job.startswith(JOB) and "stage" not in labels else {}
