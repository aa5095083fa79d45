"""The sentinel without a cluster: what it writes of what it sees, hears of the topic, and tells."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from sidechain.agents.watching_metrics import BECAME, SentinelMetrics
from sidechain.agents.wet import sentinel as sentinel_module
from sidechain.agents.wet.http import NoAnswer, address
from sidechain.agents.wet.sentinel import AGAIN_MS, SentinelWorker, Sources, heard, incident, record
from sidechain.models.wet.incidents import GATHER_MS, SETTLED_MS, Became, Heard
from sidechain.models.wet.readings import Scrape
from sidechain.topics.alerts import Alert, IncidentRecord
from sidechain.topics.codec import encode
from tests.shown import samples
from tests.silence import run

T0 = 1_700_000_000_000
LOOK_MS = 10_000
PROMETHEUS = address("http://127.0.0.1:9090/api/v1/alerts", "prometheus_url")
LAG = b'{"data":{"alerts":[{"labels":{"alertname":"SidechainWetLag","severity":"ticket"},"state":"firing"}]}}'
NONE = b'{"data":{"alerts":[]}}'


def looked(halted, again=1, answers=None):
    """What is written at each look: (rule, firing), ten seconds apart."""
    turn = -1

    async def scrape():
        at_ms = T0 + turn * LOOK_MS
        return {"dry:1": Scrape("dry:1", at_ms, samples(entries_total=turn, lanes_halted=halted[turn]))}

    async def asks(_where):
        if answers[turn] is None:
            raise NoAnswer("nobody is there")
        return 200, answers[turn]

    silent = SentinelMetrics(CollectorRegistry()).prometheus
    sources = Sources(scrape, PROMETHEUS if answers else None, silent, asks=asks)

    async def story():
        nonlocal turn
        written = []
        for turn in range(len(halted)):
            news = await sources.look(T0 + turn * LOOK_MS)
            written.append([(one.rule.removeprefix("Sidechain"), one.is_firing) for one in news])
        return written

    return run(story), silent._value.get()


def test_what_begins_and_ends_is_written_once():
    written, _ = looked([0, 1, 1, 1, 0, 0])
    assert written == [[], [("LaneHalted", True)], [], [], [("LaneHalted", False)], []]


def test_what_goes_on_is_written_now_and_then():
    """So that whoever begins to listen knows of it."""
    looks = AGAIN_MS // LOOK_MS
    written, _ = looked([1] * (2 * looks + 1))
    assert [bool(one) for one in written] == [turn % looks == 0 for turn in range(2 * looks + 1)]


def test_prometheus_is_heard_and_its_silence_is_no_end():
    written, silent = looked([0] * 5, answers=[LAG, LAG, None, LAG, NONE])
    assert written == [[("WetLag", True)], [], [], [], [("WetLag", False)]]
    assert silent == 0
    assert looked([0, 0], answers=[LAG, None])[1] == 1
    assert looked([0, 0], answers=[LAG, b"<html>"])[1] == 1


class Topic:
    """`alerts` in memory: what is published is what is heard."""

    def __init__(self):
        self.records = []
        self.now = T0

    async def publish(self, _partition, outs):
        for one in outs:
            self.records.append(
                SimpleNamespace(value=one.value, key=one.key, timestamp=self.now, topic="alerts", offset=0)
            )

    def incidents(self):
        found = [one for one in self.records if b'"kind":"incident"' in one.value]
        return [msgspec.json.decode(one.value, type=IncidentRecord) for one in found]


def sentinel(topic):
    worker = SentinelWorker(None, None, {"bootstrap_servers": "x"}, str, "g.", SentinelMetrics(CollectorRegistry()))
    worker._publisher = topic
    return worker


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch):
    monkeypatch.setattr(sentinel_module, "Publisher", lambda _: None)


def alert(rule, **more):
    return encode(Alert(rule=rule, at=0, severity="ticket", summary=f"{rule}.", labels=more, evidence={}))


def test_what_was_heard_is_told_as_an_incident_on_the_topic():
    """Other kinds are not for it, its own incidents among them; what is no record counts."""
    topic = Topic()
    worker = sentinel(topic)
    values = [alert("InputDrift", feature="gap"), alert("InputDrift", feature="bytes"), b"no JSON", b'{"kind":"else"}']
    values.append(b'{"kind":"alert","rule":1}')
    for value in values:
        worker._hear(SimpleNamespace(value=value, timestamp=T0, topic="alerts", offset=0), counts=True)
    run(lambda: worker._tell(worker._correlator.tick(T0 + GATHER_MS)))
    [told] = topic.incidents()
    assert (told.rules, told.alerts, told.state, told.cause, told.at) == (("InputDrift",), 2, "open", "drift", T0)
    assert topic.records[0].key == told.id.encode()
    worker._hear(topic.records[0], counts=True)
    metrics = worker._metrics
    assert {name: one._value.get() for name, one in metrics.alerts.items() if one._value.get()} == {
        "began": 1,
        "joined": 1,
    }
    assert (metrics.unreadable._value.get(), metrics.told._value.get()) == (2, 1)


def test_a_sentinel_begun_anew_comes_to_the_same_incident_and_tells_nothing_again():
    """From the tail of the topic alone."""
    topic = Topic()
    first = sentinel(topic)
    run(lambda: topic.publish(0, [SimpleNamespace(key=b"", value=alert("InputDrift", feature="gap"))]))
    first._hear(topic.records[0], counts=True)
    run(lambda: first._tell(first._correlator.tick(T0 + GATHER_MS)))
    second = sentinel(topic)
    run(lambda: second._restore(Tail(topic.records)))
    assert second._correlator.open == 1
    assert second._correlator.tick(T0 + 2 * GATHER_MS) == []
    third = sentinel(topic)  # the one before it died between hearing and telling
    run(lambda: third._restore(Tail(topic.records[:1])))
    assert [one.id for one in third._correlator.tick(T0 + 2 * GATHER_MS)] == [topic.incidents()[0].id]
    later = T0 + 3 * GATHER_MS
    for one in (record(Heard(rule="InputDrift", at_ms=later, is_firing=False, labels={"feature": "gap"})),):
        second._hear(SimpleNamespace(value=encode(one), timestamp=later, topic="alerts", offset=9), counts=True)
    over = second._correlator.tick(later + SETTLED_MS)
    assert [(one.id, one.is_open) for one in over] == [(topic.incidents()[0].id, False)]
    assert len(topic.incidents()) == 1


class Tail:
    """A consumer whose group has read all of these."""

    def __init__(self, records):
        self._records = records
        self._at = 0

    def assign(self, _tps): ...

    def seek(self, _tp, offset):
        self._at = offset

    async def committed(self, _tp):
        return len(self._records)

    async def end_offsets(self, tps):
        return dict.fromkeys(tps, len(self._records))

    async def beginning_offsets(self, tps):
        return dict.fromkeys(tps, 0)

    async def position(self, _tp):
        return self._at

    async def getmany(self, tp, **_):
        found, self._at = self._records[self._at :], len(self._records)
        return {tp: found}


class Mute(Tail):
    async def getmany(self, *_, **__):
        await asyncio.Event().wait()


def test_a_tail_that_does_not_come_is_not_waited_for(monkeypatch, caplog):
    monkeypatch.setattr(sentinel_module, "PAST_S", 0.02)
    worker = sentinel(Topic())
    run(lambda: worker._restore(Mute([None])))
    assert "not all of the tail of alerts was read within 0 s, going on" in caplog.text


def test_an_alert_comes_back_as_it_was():
    one = Heard(rule="A", at_ms=T0, severity="page", is_firing=False, summary="S", labels={"a": "b"}, evidence={"c": 1})
    assert heard(record(one), T0) == one


def test_every_fate_of_an_alert_is_counted():
    assert set(BECAME) == set(Became.__args__)


def test_an_incident_has_the_fields_of_its_record():
    """In the same order, but for the clock's names."""
    from sidechain.models.wet.incidents import Correlator

    correlator = Correlator()
    correlator.hear(Heard(rule="A", at_ms=T0))
    made = incident(correlator.tick(T0 + GATHER_MS)[0])
    assert msgspec.json.decode(encode(made), type=IncidentRecord) == made
