"""Metrics scored as they come: what begins and ends an alarm, what is held back, what is left out, what is written."""

from types import SimpleNamespace

import msgspec
import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from sidechain.agents.watching_metrics import VALUES, StreamMetrics
from sidechain.agents.wet.metric_watch import BACK, MetricWorker, alert
from sidechain.agents.wet.sentinel import heard
from sidechain.models.wet.bottleneck import Snapshot, Stage
from sidechain.models.wet.incidents import Correlator
from sidechain.models.wet.metric_watch import AN_HOUR, CALM_MS, COOL_MS, FORGET_MS, HOUR_MS, WARM, MetricWatch, Told
from sidechain.models.wet.own_metrics import EDGE, EDGES, LOOKS, OWN, Minutes, Own
from sidechain.models.wet.readings import Scrape
from sidechain.topics.alerts import Alert
from sidechain.topics.codec import encode
from sidechain.topics.metrics import METRIC_MAX, MetricValue, MetricValueError, metric_value
from tests.shown import samples
from tests.silence import run

T0 = 1_700_000_000_000
MINUTE = 60_000


def usual(watch: MetricWatch, metric: str = "m", *, values: int = 2 * WARM, from_ms: int = T0) -> int:
    """So many values that come and go as ever, a minute apart; says when the last one was."""
    for at in range(values):
        assert watch.add(metric, from_ms + at * MINUTE, 10 + at % 7, from_ms + at * MINUTE) == []
    return from_ms + (values - 1) * MINUTE


def strange(watch: MetricWatch, at_ms: int, metric: str = "m", value: float = 1_000.0) -> list[Told]:
    return watch.add(metric, at_ms, value, at_ms)


def test_an_anomaly_begins_an_alarm_that_ends_when_it_has_been_calm() -> None:
    """Told once each; while it stands more of the same says nothing, and it ends also where nothing more is heard."""
    watch = MetricWatch()
    at = usual(watch) + MINUTE
    [began] = strange(watch, at)
    assert (began.metric, began.is_firing, watch.standing) == ("m", True, [began])
    assert began.summary == "m is not as it ever was: no value like 1000 was seen, the nearest is 16"
    assert began.evidence == {
        "value": 1_000.0,
        "score": began.evidence["score"],
        "value_at": at,
        "values": 2 * WARM + 1,
    }
    assert strange(watch, at + MINUTE, value=1e6) == []
    last = at + MINUTE
    assert watch.tick(last + CALM_MS - 1) == []
    [ended] = watch.tick(last + CALM_MS)
    assert (ended.metric, ended.is_firing, watch.standing) == ("m", False, [])
    assert (watch.begun, watch.held_back) == (1, 0)


def test_nothing_is_said_of_a_metric_that_is_new() -> None:
    watch = MetricWatch()
    at = usual(watch, values=WARM - 1)
    assert strange(watch, at + MINUTE) == []
    assert watch.became == {"warming": WARM}


@pytest.mark.parametrize(("edge", "is_told"), [(0.0, True), (0.5, True), (1.0, False)])
def test_a_metric_may_have_an_edge_of_its_own(edge: float, is_told: bool) -> None:
    watch = MetricWatch({"m": edge})
    at = T0
    for at in range(T0, T0 + 2 * WARM * MINUTE, MINUTE):
        if watch.add("m", at, 10 + at // MINUTE % 7, at):
            break  # at an edge of 0 the first value that is scored
    assert bool(watch.standing or strange(watch, at + MINUTE)) == is_told


@pytest.mark.parametrize(("after_ms", "is_told"), [(COOL_MS - 1, False), (COOL_MS, True)])
def test_between_two_alarms_of_a_metric_lies_an_hour(after_ms: int, is_told: bool) -> None:
    watch = MetricWatch()
    at = usual(watch) + MINUTE
    assert strange(watch, at)
    watch.tick(at + CALM_MS)
    assert bool(strange(watch, at + after_ms, value=1e7)) == is_told
    assert watch.held_back == int(not is_told)


def test_a_flood_of_anomalies_is_a_few_alarms_an_hour() -> None:
    """Of all metrics together; the others are counted, and told when there is room again."""
    watch = MetricWatch()
    names = [f"m{one}" for one in range(AN_HOUR + 5)]
    at = max(usual(watch, one) for one in names) + MINUTE
    told = [one for name in names for one in strange(watch, at, name)]
    assert (len(told), watch.held_back) == (AN_HOUR, 5)
    assert strange(watch, at + HOUR_MS - 1, names[-1], 1e7) == []
    assert strange(watch, at + HOUR_MS, names[-2], 1e9)[-1].is_firing


@pytest.mark.parametrize("step_ms", [0, -MINUTE])
def test_a_value_that_is_not_newer_counts_for_nothing(step_ms: int) -> None:
    """As when a sender sends twice: it would make an ordinary value of a strange one, or the other way."""
    watch = MetricWatch()
    at = usual(watch)
    assert strange(watch, at + step_ms) == []
    assert watch.became["late"] == 1
    assert strange(watch, at + 1)


def test_a_table_that_is_full_takes_new_metrics_for_those_nobody_speaks_of() -> None:
    watch = MetricWatch(series=2)
    for name in ("a", "b"):
        watch.add(name, T0, 1.0, T0)
    assert watch.add("c", T0, 1.0, T0 + FORGET_MS - 1) == []
    assert (len(watch), watch.forgotten, watch.became["too_many"]) == (2, 0, 1)
    watch.add("a", T0 + 1, 1.0, T0 + 1)  # now b is the one heard of longest ago
    watch.add("c", T0, 1.0, T0 + FORGET_MS)
    assert (set(watch.scores()), watch.forgotten) == ({"a", "c"}, 1)


def stage(name: str = "wet", **more: float) -> Stage:
    return Stage(name=name, workers=1, **{"rate": 100.0, "lag": 500, **more})  # type: ignore[arg-type]


def test_a_minute_of_a_stage_is_one_value_of_each_figure() -> None:
    """The mean of what the looks of the minute knew; a figure nobody knew is not told."""
    minutes = Minutes()
    looks = [Snapshot(T0 + at * 10_000, (stage(rate=100.0 + at, cpu=0.5),) if at else ()) for at in range(LOOKS)]
    assert [minutes.add(one) for one in looks[:-1]] == [[]] * (LOOKS - 1)
    told = {one.metric: (one.at_ms, one.value) for one in minutes.add(looks[-1])}
    assert set(told) == {"sidechain.wet.rate", "sidechain.wet.lag_s", "sidechain.wet.cpu"}
    assert told["sidechain.wet.rate"] == (looks[-1].at_ms, 103.0)
    assert minutes.add(looks[0]) == [], "the next minute begins"


def test_the_pipelines_own_metrics_are_a_closed_set() -> None:
    assert len(OWN) <= 40
    assert OWN["sidechain.wet.lag_s"] == Own("wet", "lag_s")
    assert set(EDGES.values()) == {EDGE}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, '{"metric":"a b","at":1404165600000,"value":12.5}'),
        (b"else", '{"metric":"a b","timestamp":"2014-06-30 22:00:00","value":12.5}'),
        (b"a b", '{"timestamp":"2014-07-01T00:00:00+02:00","value":12.5}'),
        (b"a b", "2014-06-30 22:00:00,12.5"),
        (b"a b", " 2014-06-30 22:00:00.000000, 12.5\r\n"),
        (b"a b", '{"at":1404165600000,"value":12.5,"host":"passed over"}'),
    ],
)
def test_three_ways_to_say_one_value(key: bytes | None, value: str) -> None:
    one = metric_value(key, value.encode())
    assert one == MetricValue(metric="a b", at=1_404_165_600_000, value=12.5)
    assert metric_value(None, encode(one)) == one


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        (b"m", b"", "neither a JSON object nor"),
        (b"m", None, "neither a JSON object nor"),
        (b"m", b"12.5", "neither a JSON object nor"),
        (b"m", b"yesterday,1", "'yesterday' is no time like"),
        (b"m", b"2014-06-30 22:00:00,x", "could not convert string to float"),
        (b"m", b"2014-06-30 22:00:00,nan", "is no number that could be held"),
        (b"m", b"2014-06-30 22:00:00,1e999", "is no number that could be held"),
        (None, b"2014-06-30 22:00:00,1", "is a name of 1 to 200 printable"),
        (b"\xff", b"2014-06-30 22:00:00,1", "utf-8"),
        (b"m", b"\xff", "utf-8"),
        (b"a\nb", b"2014-06-30 22:00:00,1", "printable"),
        (None, b'{"metric":"%b","at":1,"value":1}' % (b"x" * (METRIC_MAX + 1)), "printable"),
        (b"m", b'{"metric":"","at":1,"value":1}', "printable"),
        (b"m", b'{"value":1}', "it says no time"),
        (b"m", b'{"at":-1,"value":1}', "it says no time"),
        (b"m", b'{"at":9007199254740992,"value":1}', "it says no time"),
        (b"m", b'{"at":1,"value":"1"}', "value"),
        (b"m", b'{"at":1}', "value"),
        (b"m", b"{", "truncated"),
        (b"m", b'{"x":' * 5_000, "recursion|nested"),
    ],
)
def test_what_is_no_value_is_refused_with_a_sentence(key: bytes | None, value: bytes | None, why: str) -> None:
    with pytest.raises(MetricValueError, match=why):
        metric_value(key, value)


def test_an_alarm_of_the_pipeline_names_its_stage() -> None:
    """A user's does not; both have the sentinel say where to begin, and two of one minute are one incident."""
    told = [Told(one, is_firing=True, summary="x", evidence={}) for one in ("sidechain.wet.lag_s", "orders")]
    own, users = (msgspec.json.decode(encode(alert(one, 7)), type=Alert) for one in told)
    assert own.labels == {"stage": "wet", "metric": "sidechain.wet.lag_s"}
    assert users.labels == {"metric": "orders"}
    assert {(one.rule, one.at, one.severity, one.state) for one in (own, users)} == {
        ("MetricAnomaly", 7, "ticket", "firing")
    }
    correlator = Correlator()
    assert [correlator.hear(heard(one, T0)) for one in (own, users)] == ["began", "joined"]
    [incident] = correlator.tick(T0 + MINUTE)
    assert incident.cause == "metric"
    assert incident.triage[0].startswith("See what else changed at that time")


class Written:
    """What the worker wrote, instead of a broker."""

    def __init__(self) -> None:
        self.values: list[MetricValue] = []

    async def publish(self, _partition: int, records: list) -> None:
        self.values += [metric_value(one.key, one.value) for one in records]


def test_what_workers_show_is_written_to_the_topic_a_minute_at_a_time() -> None:
    """And read from there like anybody's. A worker that is silent for a look is measured over the gap."""
    metrics, written = StreamMetrics(CollectorRegistry()), Written()
    worker = MetricWorker(MetricWatch(EDGES), None, {}, str, metrics)

    async def story() -> None:
        for turn in range(LOOKS):
            shown = samples(scores_total=1_000 * turn + 500 * (turn > 3), wet_lag_records=50) if turn != 3 else None
            at = T0 + turn * 10_000
            await worker.look(written, {"wet:1": Scrape("wet:1", at, shown), "gone:1": Scrape("gone:1", at, None)}, at)

    run(story)
    assert {one.metric: one.value for one in written.values} == {
        "sidechain.wet.rate": 106.25,  # 125 a second over the gap, else 100
        "sidechain.wet.lag_s": 0.475,
    }
    assert metrics.looks["silent"]._value.get() == LOOKS + 1
    assert metrics.looks["answered"]._value.get() == LOOKS - 1


def test_every_way_a_value_can_end_has_its_series() -> None:
    assert set(StreamMetrics(CollectorRegistry()).values) == {*VALUES}
    assert {"scored", "warming", "late", "too_many"} <= set(VALUES)


class Behind:
    """A consumer that so many values wait for."""

    def __init__(self, position: int, end: int) -> None:
        self.position, self.end = position, end
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=self))

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition("metrics", 0)}

    def last_stable_offset(self, _tp: TopicPartition) -> int:
        return self.end

    def state_value(self, _tp: TopicPartition) -> SimpleNamespace:
        return SimpleNamespace(position=self.position, has_valid_position=True)

    def seek(self, _tp: TopicPartition, offset: int) -> None:
        self.position = offset


@pytest.mark.parametrize(
    ("waiting", "skipped"),
    [(BACK - 1, 0), (BACK, 0), (BACK + 1, BACK + 1 - BACK // 2), (9 * BACK, 9 * BACK - BACK // 2)],
)
def test_what_waits_too_long_is_left_out_and_counted(waiting: int, skipped: int) -> None:
    """All but the newest half of what may wait, so that the next time is not one value away."""
    metrics, consumer = StreamMetrics(CollectorRegistry()), Behind(7, 7 + waiting)
    MetricWorker(MetricWatch(), None, {}, str, metrics)._keep_up(consumer)  # type: ignore[arg-type]
    assert metrics.values["skipped"]._value.get() == skipped
    assert metrics.lag._value.get() == consumer.end - consumer.position == waiting - skipped
