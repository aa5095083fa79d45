"""Incidents to a webhook: in Alertmanager's form, tried again within bounds, and never a flood."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from sidechain.agents.problems import EnvironmentProblem, UsageProblem
from sidechain.agents.wet import webhook as webhook_module
from sidechain.agents.wet.http import NoAnswer, address
from sidechain.agents.wet.webhook import QUEUE, TRIES, Webhook
from sidechain.models.wet.alertmanager import message, of_prometheus
from sidechain.models.wet.incidents import Correlator, Heard
from tests.silence import run

T0 = 1_700_000_000_000
WHERE = address("http://127.0.0.1:9093/hook", "webhook_url")


def incident(number=0, severity="page", *, firing=True):
    correlator = Correlator()
    labels = {"stage": "dry", "instance": f"dry-{number}"}
    correlator.hear(Heard(rule="SidechainLaneHalted", at_ms=T0, severity=severity, summary="It halts.", labels=labels))
    if not firing:
        correlator.hear(Heard(rule="SidechainLaneHalted", at_ms=T0 + 1, is_firing=False, labels=labels))
    [told] = correlator.tick(T0 + (60_000 if firing else 600_000))
    return told


class Counts(dict):
    """Counters by result."""

    def __init__(self):
        super().__init__((name, Count()) for name in ("sent", "refused", "dropped"))

    def told(self):
        return {name: one.count for name, one in self.items() if one.count}


class Count:
    count = 0

    def inc(self, amount=1):
        self.count += amount


class Receiver:
    """Answers one after the other; the last one for ever."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.heard = []

    async def __call__(self, where, body, headers, **_):
        self.heard.append((where, json.loads(body), headers))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is None:
            raise NoAnswer("nobody is there")
        return answer, b""


def delivered(receiver, *incidents, secret=None, last_s=1.0):
    """What was counted when all of this was offered and the end came."""
    counts = Counts()

    async def story():
        told = Webhook(WHERE, secret, counts, pause_s=0, pace_s=0, asks=receiver)
        stop = asyncio.Event()
        running = asyncio.create_task(told.run(stop))
        for one in incidents:
            told.offer(one)
        stop.set()
        await running
        assert told.waiting == 0 or counts.told()["dropped"] >= told.waiting

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(webhook_module, "LAST_S", last_s)
        run(story)
    return counts.told()


@pytest.mark.parametrize(
    ("answers", "counted", "asked"),
    [
        ((200,), {"sent": 1}, 1),
        ((204,), {"sent": 1}, 1),
        ((503, 503, 200), {"sent": 1}, 3),
        ((None, 200), {"sent": 1}, 2),
        ((429, 200), {"sent": 1}, 2),
        ((400,), {"refused": 1}, 1),  # the same again would be refused again
        ((404,), {"refused": 1}, 1),
        ((302,), {"dropped": 1}, TRIES),  # nobody is sent elsewhere
        ((None,), {"dropped": 1}, TRIES),
    ],
)
def test_a_message_is_tried_within_its_bound(answers, counted, asked):
    receiver = Receiver(*answers)
    assert delivered(receiver, incident()) == counted
    assert len(receiver.heard) == asked


def test_what_waits_longer_than_there_is_time_is_counted():
    """The receiver hangs; we are told to stop."""

    async def hangs(*_, **__):
        await asyncio.Event().wait()

    assert delivered(hangs, incident(1), incident(2), last_s=0.05) == {"dropped": 2}


def test_a_full_queue_drops_the_oldest_ticket_and_never_a_page_before_it():
    counts = Counts()
    told = Webhook(WHERE, None, counts)
    pages = [incident(number, "page") for number in range(10)]
    tickets = [incident(100 + number, "ticket") for number in range(QUEUE)]
    for one in (*pages, *tickets):
        told.offer(one)
    assert told.waiting == QUEUE
    assert counts.told() == {"dropped": 10}
    left = set(told._waiting)
    assert {one.id for one in pages} <= left
    assert not {one.id for one in tickets[:10]} & left
    for number in range(QUEUE):
        told.offer(incident(1_000 + number, "page"))
    assert told.waiting == QUEUE
    assert {one.severity for one in told._waiting.values()} == {"page"}


def test_a_newer_word_takes_the_place_of_one_that_waits():
    receiver = Receiver(200)
    assert delivered(receiver, incident(), incident(firing=False)) == {"sent": 1}
    assert [body["status"] for _, body, _ in receiver.heard] == ["resolved"]


def test_a_secret_is_a_bearer_token_read_anew_each_time(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("first\n", encoding="ascii")
    receiver = Receiver(200)
    delivered(receiver, incident(), secret=secret)
    secret.write_text("second\n", encoding="ascii")
    delivered(receiver, incident(), secret=secret)
    assert [headers["Authorization"] for _, _, headers in receiver.heard] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("content", ["", "\n", "two\nlines", "a\tb"])
def test_what_is_no_secret_is_refused_at_the_start(tmp_path: Path, content):
    secret = tmp_path / "secret"
    secret.write_text(content, encoding="ascii")
    with pytest.raises(EnvironmentProblem, match="webhook_secret_file"):
        Webhook(WHERE, secret, Counts())
    with pytest.raises(EnvironmentProblem, match="webhook_secret_file"):
        Webhook(WHERE, tmp_path / "none", Counts())


def test_a_secret_does_not_leave_in_the_clear(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("hush", encoding="ascii")
    with pytest.raises(UsageProblem, match="https"):
        Webhook(address("http://pager.example/", "webhook_url"), secret, Counts())
    Webhook(address("https://pager.example/", "webhook_url"), secret, Counts())


def test_a_message_is_one_of_alertmanagers():
    """Its fields, all of them (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config)."""
    told, over = incident(), incident(firing=False)
    first, last = message(told), message(over)
    assert list(first) == [
        "version",
        "groupKey",
        "truncatedAlerts",
        "status",
        "receiver",
        "groupLabels",
        "commonLabels",
        "commonAnnotations",
        "externalURL",
        "alerts",
    ]
    [alert] = first["alerts"]
    assert list(alert) == ["status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"]
    assert (first["version"], first["status"], alert["status"]) == ("4", "firing", "firing")
    assert (alert["startsAt"], alert["endsAt"]) == ("2023-11-14T22:13:20.000Z", "0001-01-01T00:00:00Z")
    assert last["alerts"][0]["endsAt"] == "2023-11-14T22:13:20.001Z"
    assert first["groupKey"] == last["groupKey"]
    assert alert["labels"] == {
        "alertname": "SidechainLaneHalted",
        "severity": "page",
        "incident": told.id,
        "stage": "dry",
        "cause": "log",
        "instance": "dry-0",
    }
    assert alert["annotations"]["runbook_url"] == "deploy/runbook.md#sidechainlanehalted"
    assert all(isinstance(text, str) for text in (*alert["labels"].values(), *alert["annotations"].values()))


def prometheus(*alerts):
    return json.dumps({"status": "success", "data": {"alerts": list(alerts)}}).encode()


def test_prometheus_alerts_are_heard_as_ours():
    firing = {
        "labels": {"alertname": "SidechainWetLag", "severity": "ticket", "job": "sidechain-wet"},
        "annotations": {"summary": "It is late."},
        "state": "firing",
        "activeAt": "2023-11-14T22:13:20Z",
        "value": "1e+00",
    }
    others = [
        {**firing, "state": "pending"},
        {**firing, "labels": {"alertname": "SidechainWatchdog", "severity": "none"}},
        {**firing, "labels": {"alertname": "Theirs", "severity": "critical"}},
    ]
    first, second = of_prometheus(prometheus(firing, *others), T0)
    assert (first.rule, first.severity, first.stage, first.summary) == (
        "SidechainWetLag",
        "ticket",
        "wet",
        "It is late.",
    )
    assert (second.rule, second.severity, second.stage) == ("Theirs", "page", None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"data":{"alerts":[{"labels":1}]}}', b"\xff"])
def test_what_is_no_answer_of_prometheus_is_told_so(body):
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        of_prometheus(body, T0)


def test_results_are_those_the_metrics_know():
    assert set(Counter(Counts())) == {"sent", "refused", "dropped"}
