"""Outcomes on their way: held until their events are decided, sent on once, and routed by whoever sends them."""

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition

from sidechain.agents.lane import lane, outcomes
from sidechain.agents.lane.outcomes import FROM, Forward, Outcomes, forwards
from sidechain.agents.outcomes import Router, look_up, sought
from sidechain.agents.produce import Keyed
from sidechain.models.dry.records import Misplaced


def record(offset: int, value: bytes = b"{}", headers: Sequence[tuple[str, bytes]] = ()) -> Any:
    return SimpleNamespace(offset=offset, key=b"k", value=value, headers=tuple(headers))


class Log:
    """Two topics in memory: a consumer of outcomes, and where events end."""

    def __init__(self, **found: Sequence[int]) -> None:
        self.found = {int(name[1:]): [record(one) for one in offsets] for name, offsets in found.items()}
        self.events_end = dict.fromkeys(self.found, 0)
        self.asked = 0

    async def getmany(self, *tps: TopicPartition, timeout_ms: int, max_records: int) -> Mapping[TopicPartition, Any]:
        assert timeout_ms == 0
        got = {tp: self.found[tp.partition][:max_records] for tp in tps if self.found[tp.partition]}
        for tp, records in got.items():
            del self.found[tp.partition][: len(records)]
        return got

    async def stable(self, tps: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.asked += 1
        return {tp: self.events_end[tp.partition] for tp in tps}

    def assign(self, _tps: Any) -> None: ...
    def seek(self, _tp: TopicPartition, _offset: int) -> None: ...


def outcomes_of(log: Log, monkeypatch: pytest.MonkeyPatch, **more: int) -> Outcomes:
    monkeypatch.setattr(outcomes, "reader", lambda *_, **__: log)
    config: Any = SimpleNamespace(topic=str)
    made = Outcomes({}, config, sorted(log.found), log)  # type: ignore[arg-type]
    made.seek(dict.fromkeys(log.found, 0))
    return made


def offsets(due: Mapping[int, Sequence[Any]]) -> dict[int, list[int]]:
    return {one: [each.offset for each in records] for one, records in due.items()}


def test_an_outcome_waits_for_the_events_that_were_there_before_it_and_for_no_others(monkeypatch) -> None:
    """Events 0 to 6 were in the log; that more come meanwhile changes nothing."""
    log = Log(p0=[0, 1])
    log.events_end[0] = 7
    reached = {0: 5}

    async def at(partition: int) -> int:
        return reached[partition]

    async def story() -> None:
        made = outcomes_of(log, monkeypatch)
        await made.read()
        assert await made.due(at) == {}
        log.events_end[0] = 1_000
        await made.read()
        reached[0] = 7
        assert offsets(await made.due(at)) == {0: [0, 1]}
        assert await made.due(at) == {}

    asyncio.run(story())
    assert log.asked == 1


def test_a_partition_that_waits_keeps_no_other_waiting_and_is_read_no_further(monkeypatch) -> None:
    log = Log(p0=range(outcomes.A_ROUND + 5), p1=[0])
    log.events_end[0] = 9

    async def at(_partition: int) -> int:
        return 0

    async def story() -> None:
        made = outcomes_of(log, monkeypatch)
        await made.read()
        assert offsets(await made.due(at)) == {1: [0]}
        log.found[1] = [record(1)]
        await made.read()
        assert offsets(await made.due(at)) == {1: [1]}
        assert len(log.found[0]) == 5

    asyncio.run(story())


def test_a_stream_without_outcomes_asks_the_cluster_nothing(monkeypatch) -> None:
    log = Log(p0=[])

    async def story() -> None:
        made = outcomes_of(log, monkeypatch)
        for _ in range(3):
            await made.read()
            assert await made.due(lambda _: pytest.fail("nothing waits")) == {}  # type: ignore[arg-type,return-value]

    asyncio.run(story())
    assert log.asked == 0


@pytest.mark.parametrize(
    ("handed", "reached", "asked"),
    [
        ({}, {}, "both"),  # found, or never handed over: all goes on
        ({("events", 0): 3}, {"events": 2}, "events 0"),
        ({("events", 0): 3, ("outcomes", 0): 2}, {"events": 2, "outcomes": 0}, "events 0"),  # they stand before them
        ({("events", 0): 3, ("outcomes", 0): 2}, {"events": 3, "outcomes": 0}, "outcomes 0"),
        ({("outcomes", 0): 2, ("transfers", 0): 2}, {"outcomes": 2, "transfers": 1}, "transfers 0"),
        ({("transfers", 0): 2}, {}, "transfers 0"),  # the policy that shares was not committed, and is not back yet
        ({("events", 0): 3, ("outcomes", 0): 2}, {"events": 3, "outcomes": 2}, "both"),
    ],
)
def test_a_record_at_fault_is_looked_for_among_one_input_after_the_other(handed, reached, asked) -> None:
    """One input of what was handed over before at a time, so that small batches find the one."""
    said: list[str] = []

    async def poll(limit: int | None = None, only: Sequence[int] | None = None) -> dict[int, Any]:
        said.append("both" if limit is None else f"events {only[0]}")  # type: ignore[index]
        return {}

    async def again(partitions: Sequence[int], limit: int) -> dict[int, Any]:
        assert limit == 1
        said.append(f"outcomes {partitions[0]}")
        return {}

    async def transfers(partitions: Sequence[int] | None = None, limit: int = 0) -> dict[int, Any]:
        assert limit == (partitions is not None)
        said.extend(f"transfers {one}" for one in partitions or ())
        return {}

    async def nothing(*_: Any) -> dict[int, Any]:
        return {}

    held: Any = SimpleNamespace(
        folds={0: SimpleNamespace(next={"events": 0, "outcomes": 0, **reached})},
        events=SimpleNamespace(poll=poll, reached=None),
        outcomes=SimpleNamespace(read=nothing, due=nothing, again=again),
        transfers=SimpleNamespace(read=transfers),
    )
    grounds: Any = SimpleNamespace(config=None)
    one = lane.Lane(grounds, 0, [0], None, None, lambda _: None)  # type: ignore[arg-type]
    one._limit, one._handed_to = 1, handed
    asyncio.run(one._inputs(held))
    assert said == [asked]


@pytest.mark.parametrize(
    ("named", "headers", "sent"),
    [
        (2, [], True),
        (2, [("trace", b"1")], True),
        (4, [], False),  # there are four, counted from 0
        (2**31 - 1, [], False),
        (2, [(FROM, b"3@9")], False),  # it was sent on before
    ],
)
def test_a_misplaced_outcome_is_sent_on_once_where_there_is_such_a_partition(named, headers, sent) -> None:
    told = record(57, b'{"partition":2}', headers)
    found = forwards([Misplaced(named, told)], own=1, partitions=4)
    assert found == ([Forward(named, b"k", told.value, ((FROM, b"1@57"),))] if sent else [])


LINES = {
    b'{"id":"a","at":5,"partition":1}': Keyed(None, b"", 5, 1),
    b'{"id":"a","at":5,"partition":1,"key":"k"}': Keyed(b"k", b"", 5, 1),
    b'{"id":"a","at":5,"key":"k"}': Keyed(b"k", b"", 5, None),  # where the key leads
    b'{"id":"looked-up","at":5}': Keyed(None, b"", 5, 3),
    b'{"id":"looked-up","at":5,"key":"k"}': Keyed(b"k", b"", 5, None),
}
ASTRAY = {
    b'{"id":"nobody","at":5}': Keyed(None, b"", 5, None),
    b'{"id":"a","at":5,"partition":4}': Keyed(None, b"", 5, None),  # there is none
    b'{"id":"a","at":5,"partition":-1}': Keyed(None, b"", 5, None),
    b"not json": Keyed(None, b"", None, None),
    b"\xff": Keyed(None, b"", None, None),
    b'{"id":7}': Keyed(None, b"", None, None),
}


def test_a_line_is_sent_as_it_stands_to_where_its_decision_is() -> None:
    """What cannot be placed is sent too, and counted: the decider says what is wrong with it."""
    router = Router(4, {"looked-up": 3})
    given = {**LINES, **ASTRAY}
    assert list(router.keyed(given)) == [to._replace(value=line) for line, to in given.items()]
    assert router.unplaced == len(ASTRAY)


def test_only_ids_of_lines_that_do_not_say_where_they_belong_are_looked_up() -> None:
    assert sought([*LINES, *ASTRAY]) == {"looked-up", "nobody"}


def test_an_id_is_looked_up_among_decisions() -> None:
    """The last decision of an id counts; repetitions, refusals and foreign records say nothing."""

    def entry(kind: str, identifier: str | None) -> Any:
        return record(0, msgspec.json.encode({"kind": kind, "id": identifier}))

    chains = {
        0: [entry("decision", "a"), entry("settlement", "b"), record(1, b"junk"), record(2, None)],  # type: ignore[arg-type]
        1: [entry("duplicate", "c"), entry("decision", "a"), entry("decision", "other")],
    }

    class Chains:
        async def reader(self, _topic: str) -> Any:
            return self

        async def partitions(self) -> list[int]:
            return [0, 1]

        async def to_end(self, partitions: Sequence[int]) -> Any:
            yield chains[partitions[0]]

    seen: list[int] = []
    found = asyncio.run(look_up(Chains(), {"a", "b", "c"}, seen.append))  # type: ignore[arg-type]
    assert (found, seen) == ({"a": 1}, [4, 3])
    assert asyncio.run(look_up(None, set(), seen.append)) == {}  # type: ignore[arg-type]
