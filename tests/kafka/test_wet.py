"""Decisions in, advice out, on a real broker: tap, scores, metadata, compensations, restarts, bad records, failures."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sidechain.agents.app import make_app
from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.metrics import WetMetrics, registry
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.pseudonym import pseudonym
from sidechain.agents.wet.feed import Feed, Publisher
from sidechain.agents.wet.worker import WetWorker
from sidechain.models.dry import Fold
from sidechain.models.policy import Policy, Wet
from sidechain.topics.catalog import catalog
from sidechain.topics.wet import Compensation, Metadata, Score, Tap
from tests.bus import PARTITIONS, SECRET, WAIT_S, Bus, advising, eventually, tapping, values, working
from tests.support import FIELDS, T0, event, feature, policy, records

BAD = "canary-bad-host.example"
BURST = 40  # a forest of this little may rank what it never saw no higher than a few of what it did

WET = Wet(
    vector=("n_now", "seen", "gap"),
    warmup=200,
    raise_at_bp=8_000,
    clear_at_bp=6_000,
    critical_at_bp=9_500,
    ttl_ms=600_000,
    compensations_per_minute=1_000,
    words={"n_now": "unusual amount", "seen": "unusual temporal cluster"},
)
FEATURES = (feature("n_now", "value", of="event.n"), feature("seen", "count", "1m"), feature("gap", "gap"))


def pack(**wet: Any) -> Policy:
    """The key is personal, and everything is let through."""
    fields = tuple(replace(one, personal=one.name == "host") for one in FIELDS)
    return replace(policy(fields=fields, features=FEATURES), wet=replace(WET, **wet) if wet else WET)


def chain(one: Policy, partition: int, events: Sequence[dict[str, Any]]) -> list[tuple[bytes | None, bytes]]:
    """The sealed entries of a partition, as the decider writes them."""
    return Fold(one, partition).events(records(events)).entries


def traffic(partition: int, count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Ordinary events of thirty hosts; none of them is the bad one."""
    source = random.Random(seed * 10 + partition)
    hosts = [f"canary-{partition}-{one}.example" for one in range(30)]
    return [event(at, host=source.choice(hosts), n=source.randint(1, 100)) for at in range(count)]


def traffic_after(partition: int, first: int, count: int) -> list[dict[str, Any]]:
    """More of it, from event `first` on."""
    more = enumerate(traffic(partition, count, 2))
    return [{**one, "id": f"later-{at}", "at": T0 + (first + at) * 1_000} for at, one in more]


def burst(first: int, count: int) -> list[dict[str, Any]]:
    """Twenty huge events a second from the bad host, right behind ordinary event `first`."""
    return [
        event(first, id=f"bad-{first}-{at}", host=BAD, at=T0 + first * 1_000 + at * 50, n=90_000) for at in range(count)
    ]


@pytest.fixture
def bus(broker: LocalKafka, prefix: str) -> Bus:
    made = Bus(broker.bootstrap, prefix)
    asyncio.run(made.create())
    return made


def test_from_decisions_to_advice(bus: Bus) -> None:
    """Everything is tapped and scored once, warming first; a burst is raised, then critical, and asked about."""
    one = pack()
    quiet = {partition: traffic(partition, 300) for partition in range(PARTITIONS)}
    name = pseudonym(SECRET, "host", BAD)

    async def story() -> dict[str, list[Any]]:
        async with tapping(bus, one), advising(bus, one) as (worker, _):
            for first, last in ((0, 50), (50, 300)):  # the first hundred are too few to learn from
                for partition, events in quiet.items():
                    await bus.write("dry.decisions", partition, chain(one, partition, events)[first:last])
                await bus.count("wet.scores", 2 * last)
            await learned(worker)
            later = [*quiet[1], *traffic_after(1, 300, 100), *burst(400, BURST)]
            await bus.write("dry.decisions", 1, chain(one, 1, later)[300:])
            await bus.count("wet.scores", 600 + 100 + BURST)
            await bus.until("wet.compensations", lambda found: any(x.key == name.encode() for x in found))
        return {logical: await bus.read(logical) for logical in catalog() if logical.startswith("wet.")}

    found = asyncio.run(story())
    taps, scores = values(found["wet.taps"], Tap), values(found["wet.scores"], Score)
    place = [(one.partition, one.seq) for one in taps]
    assert place == [(0, seq) for seq in range(300)] + [(1, seq) for seq in range(400 + BURST)], "each once, in order"
    assert [(one.partition, one.seq) for one in scores] == place
    for logical, records_ in found.items():
        assert all(msgspec.json.decode(x.value).get("partition", x.partition) == x.partition for x in records_), logical
    states = [one.state for one in scores if one.partition == 1]
    spoke = next(at for at, one in enumerate(scores) if one.partition == 1 and one.expert == "forest")
    assert {one.state for one in scores[spoke:]} == {"scored"}, "once the baseline is there, somebody always speaks"
    assert set(states[:50]) == {"warming"}
    assert set(states[300:]) == {"scored"}
    for score in scores:
        if score.state == "scored":
            assert 0.0 <= score.score <= 1.0
            assert bool(score.reasons) == (score.score >= 0.8)
        if score.reasons:
            assert score.base + sum(part for _, part in score.reasons) == pytest.approx(score.score, abs=1e-6)
    told = [one for one in values(found["wet.metadata"], Metadata) if one.key == name]
    levels = [one.level for one in told]
    assert levels == sorted(levels, key=["raised", "critical"].index), "up, and not down again"
    assert levels[-1] == "critical"
    assert {x.partition for x in found["wet.metadata"] if x.key == name.encode()} == {1}
    assert "unusual amount: n_now 90000 (usually " in told[0].rationale
    asked = [one for one in values(found["wet.compensations"], Compensation) if one.key == name]
    assert asked
    assert len({one.id for one in asked}) == len(asked)
    assert {(one.decision.partition, one.decision.action, one.request) for one in asked} == {(1, "allow", "recheck")}
    assert asked[0].as_of == next(one.as_of for one in told if one.level == "critical")
    by_event = {(one.key, one.id): one for one in scores}  # two partitions may number their events alike
    for one in (*values(found["wet.metadata"], Metadata), *values(found["wet.compensations"], Compensation)):
        why = by_event[one.key, one.explained]
        assert (one.score, one.base, one.reasons, one.rationale) == (why.score, why.base, why.reasons, why.rationale)
        assert why.reasons
    for logical, records_ in found.items():
        for record in records_:
            assert b"canary" not in (record.key or b"") + record.value, f"a host name reached {logical}"


async def learned(worker: WetWorker) -> None:
    """The first model is in use: a fit is taken at the next batch, so taps must keep coming until then."""
    await eventually(lambda: worker._fitter.is_done or worker.scorer.model is not None)


def test_a_restart_goes_on_where_the_topics_stand(bus: Bus) -> None:
    """The model is learned from the taps on the topic, risk comes back from metadata, nothing is asked twice."""
    one = pack()
    name = pseudonym(SECRET, "host", BAD)
    events = [*traffic(0, 300), *burst(300, 8), *burst(301, 1)]
    sealed = chain(one, 0, events)

    async def story() -> tuple[list[Any], list[Any], float]:
        async with tapping(bus, one):
            async with advising(bus, one) as (worker, _):
                await bus.write("dry.decisions", 0, sealed[:300])
                await bus.count("wet.scores", 300)
                await learned(worker)
                await bus.write("dry.decisions", 0, sealed[300:308])
                await bus.count("wet.scores", 308)
                before = await bus.until("wet.compensations", bool)
                standing = worker.risk._risks[0].standing(name)
            async with advising(bus, one) as (worker, metrics):
                await learned(worker)
                await bus.write("dry.decisions", 0, sealed[308:])
                scores = await bus.count("wet.scores", 309)
                after = await bus.count("wet.compensations", len(before) + 1)
                assert msgspec.json.decode(scores[-1].value)["state"] == "scored", "no second warm-up"
                restored = worker.risk._risks[0].standing(name)
                assert restored.level == standing.level == "critical", "one event alone could not have done that"
                return before, after, metrics.compensations["repeated"]._value.get()

    before, after, repeated = asyncio.run(story())
    ids = [msgspec.json.decode(one.value)["id"] for one in after]
    assert len(set(ids)) == len(ids)
    assert ids[: len(before)] == [msgspec.json.decode(one.value)["id"] for one in before]
    assert repeated == 0


def test_what_is_no_record_is_passed_over(bus: Bus) -> None:
    """A tap, a score and an entry that are none stop nobody; what stands behind them is done."""
    one = pack()
    sealed = chain(one, 0, traffic(0, 5))
    nonsense = [
        (None, b"\xff\xfe"),
        (b"k", b'{"id":"\xff"}'),
        (b"k", b"{}"),
        (b"k", b"[1,2]"),
        (b"k", b'{"kind":"decision"}'),
    ]

    async def story() -> tuple[list[Any], WetWorker]:
        for logical in ("dry.decisions", "wet.taps", "wet.scores"):
            await bus.write(logical, 0, nonsense)
        async with tapping(bus, one), advising(bus, one) as (worker, _):
            await bus.write("dry.decisions", 0, sealed)
            scores = await bus.count("wet.scores", len(nonsense) + 5)
            await bus.write("wet.scores", 0, nonsense)
            await eventually(lambda: worker.risk.unreadable == 2 * len(nonsense))
        return scores, worker

    scores, worker = asyncio.run(story())
    assert [msgspec.json.decode(one.value)["seq"] for one in scores[len(nonsense) :]] == [0, 1, 2, 3, 4]
    assert worker.scorer.unreadable >= len(nonsense)


def test_the_same_scores_again_ask_for_nothing_new(bus: Bus) -> None:
    """Delivered twice, or by a risk agent that forgot its offsets: the ids are on the topic."""
    one = pack()
    scored = [
        Score(
            id=f"e-{seq}", key="p:a", at=T0 + seq, partition=0, seq=seq, action="allow", model="forest-1:00000000",
            state="scored", score=0.9999, base=0.4, reasons=(("n_now", 0.5999),), rationale="unusual amount",
        )
        for seq in range(10)
    ]  # fmt: skip
    pairs = [(b"p:a", msgspec.json.encode(one)) for one in scored]

    async def story() -> tuple[list[Any], list[Any], float]:
        async with advising(bus, one):
            await bus.write("wet.scores", 0, pairs)
            first = await bus.count("wet.compensations", 7)
        async with advising(bus, one) as (_, metrics):
            await bus.write("wet.scores", 0, pairs)
            await eventually(lambda: metrics.compensations["repeated"]._value.get() >= 7)
            again = metrics.compensations["repeated"]._value.get()
        return first, await bus.read("wet.compensations"), again

    first, after, again = asyncio.run(story())
    assert again >= 7
    assert after[:7] == first
    ids = [one.id for one in values(after, Compensation)]
    assert len(set(ids)) == len(ids) <= 10, "at most one for each decision"


def test_a_tap_that_falls_behind_skips_and_counts(bus: Bus) -> None:
    """Sent, dropped and left out because it runs over are everything there was."""
    one = pack()
    sealed = chain(one, 0, traffic(0, 1_500))

    async def story() -> tuple[list[Any], dict[str, float]]:
        await bus.write("dry.decisions", 0, sealed)
        async with tapping(bus, one, max_lag=200, max_records=100) as metrics:
            await eventually(lambda: sum(each._value.get() for each in metrics.taps.values()) == 1_500)
            assert metrics.overflow["decisions"]._value.get() == 3
            assert metrics.forced["decisions"]._value.get() >= 1
        return await bus.read("wet.taps"), {name: each._value.get() for name, each in metrics.taps.items()}

    taps, became = asyncio.run(story())
    assert became["sent"] == len(taps) > 0
    assert became["shed"] > 0
    assert became["dropped"] >= 1_000


def test_an_error_of_an_agent_ends_its_worker_and_loses_nothing(bus: Bus) -> None:
    """The offsets of the batch are not committed: the next worker gets it again."""
    one = pack()

    def explode(_: object) -> None:
        raise ZeroDivisionError("planted")

    async def broken() -> None:
        app = make_app("wet")
        worker = WetWorker(app, one, bus.options, bus.name, bus.prefix, WetMetrics(registry()))
        worker.scorer.score = explode  # type: ignore[method-assign]
        async with working(worker, app) as task, tapping(bus, one):
            await bus.write("dry.decisions", 0, chain(one, 0, traffic(0, 3)))
            await asyncio.wait({task}, timeout=WAIT_S)
            assert task.done()

    with pytest.raises(ZeroDivisionError, match="planted"):
        asyncio.run(broken())

    async def whole() -> list[Any]:
        async with advising(bus, one):
            return await bus.count("wet.scores", 3)

    assert [one.seq for one in values(asyncio.run(whole()), Score)] == [0, 1, 2]


def test_two_workers_share_the_partitions_and_one_takes_over(bus: Bus) -> None:
    """With both, each partition has one scorer; when one leaves, the other goes on with what the topics hold."""
    one = pack()
    name = pseudonym(SECRET, "host", BAD)
    sealed = {partition: chain(one, partition, [*traffic(partition, 300), *burst(300, 9)]) for partition in (0, 1)}

    async def story() -> list[Any]:
        async with tapping(bus, one), advising(bus, one) as (first, _):
            for partition in sealed:
                await bus.write("dry.decisions", partition, sealed[partition][:300])
            await bus.count("wet.scores", 600)
            await learned(first)
            async with advising(bus, one) as (second, _):
                await eventually(lambda: len(first.risk._risks) == len(second.risk._risks) == 1)
                assert set(first.risk._risks) | set(second.risk._risks) == {0, 1}
                await learned(second)
                for partition in sealed:
                    await bus.write("dry.decisions", partition, sealed[partition][300:308])
                await bus.count("wet.scores", 616)
                await bus.until("wet.compensations", lambda found: {x.partition for x in found} == {0, 1})
            await eventually(lambda: len(first.risk._risks) == 2)
            assert [first.risk._risks[one].standing(name).level for one in (0, 1)] == ["critical", "critical"]
            for partition in sealed:
                await bus.write("dry.decisions", partition, sealed[partition][308:])
            return await bus.count("wet.scores", 618)

    scores = values(asyncio.run(story()), Score)
    assert {(one.partition, one.seq) for one in scores} == {(p, seq) for p in (0, 1) for seq in range(309)}


def test_a_missing_topic_is_said_at_once(broker: LocalKafka, prefix: str) -> None:
    """Not waited for."""

    async def story() -> None:
        options = {"bootstrap_servers": broker.bootstrap}
        publisher = Publisher(options)
        feed = Feed(make_app("x"), publisher, options, topic=f"{prefix}nowhere", group=f"{prefix}g")
        try:
            await asyncio.wait_for(feed.run(asyncio.Event()), 30)
        finally:
            await publisher.stop()

    with pytest.raises(EnvironmentProblem, match=r"nowhere does not exist; `sidechain topics apply`"):
        asyncio.run(story())
