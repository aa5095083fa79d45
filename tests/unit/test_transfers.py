"""Transfers on their way: what a record of `dry.transfers` leads to, and how a lane reads and writes them."""

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition

from sidechain.agents.lane import pipeline, transfers
from sidechain.agents.lane.batch import Batch
from sidechain.agents.lane.log_ends import Span
from sidechain.agents.lane.pipeline import Names, Output
from sidechain.agents.lane.problems import Refused
from sidechain.agents.lane.transfers import Transfers
from sidechain.models.dry import Line
from sidechain.models.dry.budget import Budgets, Transfer, encode_transfer
from sidechain.models.dry.entry import Credited, Debited, Rejected
from sidechain.models.dry.place import Place
from sidechain.models.dry.transferring import Answered, Sent, answer, as_sent
from tests.budgeting import DAY, balances, take, two

ASK = Transfer(
    kind="ask",
    source=0,
    epoch=0,
    seq=1,
    to=1,
    account="day",
    key="",
    unit="EUR",
    from_ms=0,
    until_ms=DAY,
    amount=31,
)


def answered(budgets: Budgets, value: bytes | None, seq: int = 0, key: bytes | None = b"day") -> Answered:
    place = Place(seq, "0" * 64, budgets.partition, {"transfers": seq + 1}, "p@1:0")
    return answer(Line(seq, key, value), place, lambda: budgets, 0)


def test_a_question_is_answered_and_the_answer_counts_once() -> None:
    """100 each; partition 0 asks at 19, is given 31, and is given nothing by the same record once more."""
    here, there = two()
    take(here, 0, 80)
    ask = take(here, 1, 1).ask
    assert ask == msgspec.structs.replace(ASK, key=ask.key, from_ms=ask.from_ms, until_ms=ask.until_ms)
    debit = answered(there, encode_transfer(ask))
    assert isinstance(debit.entry, Debited)
    assert (debit.entry.kind, debit.entry.transfer, debit.entry.amount, debit.entry.reason) == ("debit", ask, 31, None)
    assert debit.grant is not None
    again = answered(there, encode_transfer(ask), 1)
    assert (again.entry.amount, again.entry.reason, again.grant) == (0, "repeated-transfer", None)  # type: ignore[union-attr]

    grant = encode_transfer(debit.grant)
    credit = answered(here, grant, 2)
    assert isinstance(credit.entry, Credited)
    assert (credit.entry.kind, credit.entry.amount, credit.entry.lapsed, credit.entry.reason) == ("credit", 31, 0, None)
    assert balances(here, "day") == (50, 81, 0, 0)
    again = answered(here, grant, 3)
    assert (again.entry.amount, again.entry.reason) == (0, "repeated-transfer")  # type: ignore[union-attr]
    assert balances(here, "day") == (50, 81, 0, 0)
    assert balances(there, "day") == (69, 0, 0, 0)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"not json",
        b"{}",
        encode_transfer(ASK)[:-1] + b',"more":1}',
        encode_transfer(ASK)[:-1] + b',"amount":31}',  # a field twice
        encode_transfer(ASK).replace(b'"amount":31', b'"amount":31.0'),
        encode_transfer(ASK).replace(b'"amount":31', b'"amount":-1'),
        encode_transfer(ASK).replace(b'"seq":1', b'"seq":9007199254740992'),
        encode_transfer(ASK).replace(b'"kind":"ask"', b'"kind":"gift"'),
        encode_transfer(msgspec.structs.replace(ASK, to=2)),  # somebody else's
    ],
)
def test_what_cannot_be_read_or_is_not_for_here_is_rejected_and_kept(value: bytes | None) -> None:
    _, there = two()
    before = dict(there.books)
    found = answered(there, value, 7)
    assert isinstance(found.entry, Rejected)
    assert (found.entry.source, found.entry.reason, found.entry.length) == (
        ("transfers", 1, 7),
        "bad-transfer",
        len(value or b""),
    )
    assert found.dead_letter is not None
    assert found.dead_letter.value == value
    assert dict(found.dead_letter.headers)["dlq.topic"] == b"dry.transfers"
    assert found.grant is None
    assert there.books == before


def test_what_nobody_there_is_asks_or_gives_moves_nothing() -> None:
    """There are two partitions; nobody is given an answer."""
    _, there = two()
    for kind in ("ask", "grant"):
        found = answered(there, encode_transfer(msgspec.structs.replace(ASK, kind=kind, source=9)))
        assert (found.entry.amount, found.entry.reason, found.grant) == (0, "foreign-transfer", None)  # type: ignore[union-attr]
    assert not there.books


def test_a_transfer_stands_under_its_account_on_the_partition_it_is_for() -> None:
    assert as_sent(ASK) == Sent(1, b"day", encode_transfer(ASK))


class Log:
    """One topic in memory."""

    def __init__(self, **found: Sequence[int]) -> None:
        self.found = {int(name[1:]): list(offsets) for name, offsets in found.items()}
        self.positions: dict[TopicPartition, int] = {}
        self.started = 0

    async def start(self) -> None:
        self.started += 1

    async def stop(self) -> None:
        self.started -= 1

    def assign(self, tps: Sequence[TopicPartition]) -> None:
        self.positions = dict.fromkeys(tps, -1)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.positions[tp] = offset

    async def position(self, tp: TopicPartition) -> int:
        return self.positions[tp]

    def last_stable_offset(self, tp: TopicPartition) -> int:
        return 1 + max(self.found[tp.partition], default=-1)

    async def getmany(self, *tps: TopicPartition, timeout_ms: int, max_records: int) -> Mapping[TopicPartition, Any]:
        assert timeout_ms == 0
        got = {}
        for tp in tps or list(self.positions):
            new = [one for one in self.found[tp.partition] if one >= self.positions[tp]][:max_records]
            if new:
                got[tp] = [SimpleNamespace(offset=one) for one in new]
                self.positions[tp] = new[-1] + 1
        return got

    async def spans(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, Span]:
        return {tp: Span(min(self.found[tp.partition], default=0), self.last_stable_offset(tp)) for tp in tps}


def reading(log: Log, monkeypatch: pytest.MonkeyPatch, *, has_topic: bool = True) -> Transfers:
    monkeypatch.setattr(transfers, "reader", lambda *_, **__: log)
    config: Any = SimpleNamespace(topic=str)
    return Transfers({}, config, log, has_topic=has_topic)  # type: ignore[arg-type]


def folds(**counted: bool) -> Any:
    return {int(name[1:]): SimpleNamespace(next={"transfers": 0} if it else {}) for name, it in counted.items()}


def offsets(got: Mapping[int, Sequence[Any]]) -> dict[int, list[int]]:
    return {one: [each.offset for each in records] for one, records in got.items()}


def test_a_lane_whose_policy_shares_nothing_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(p0=[0], p1=[0])

    async def story() -> None:
        made = reading(log, monkeypatch, has_topic=False)  # nor does it need the topic
        await made.begin({})
        await made.follow(folds(p0=False, p1=False))
        assert await made.read() == {}
        assert await made.lag() == 0
        assert log.started == 0

    asyncio.run(story())


def test_a_partition_whose_policy_comes_to_share_is_read_from_the_beginning_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The log of partition 1 begins at 4: what is older is gone, and was never this chain's."""
    log = Log(p0=[0, 1, 2, 5], p1=[4, 6])

    async def story() -> None:
        made = reading(log, monkeypatch)
        await made.begin({0: 1})
        assert offsets(await made.read(max_records=2)) == {0: [1, 2]}
        assert await made.lag() == 3
        await made.follow(folds(p0=True, p1=False))
        await made.follow(folds(p0=True, p1=True))
        assert offsets(await made.read()) == {0: [5], 1: [4, 6]}
        assert await made.lag() == 0
        assert log.started == 1
        await made.stop()
        assert log.started == 0

    asyncio.run(story())


@pytest.mark.parametrize("starts", [True, False], ids=["at a takeover", "at a change of policy"])
def test_a_policy_that_shares_needs_the_topic(starts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        made = reading(Log(p0=[]), monkeypatch, has_topic=False)
        await (made.begin({0: 0}) if starts else made.follow(folds(p0=True)))

    with pytest.raises(Refused, match=r"dry.transfers does not exist.*topics apply"):
        asyncio.run(story())


def test_a_round_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(p0=range(transfers.A_ROUND + 3))

    async def story() -> None:
        made = reading(log, monkeypatch)
        await made.begin({0: 0})
        assert len((await made.read())[0]) == transfers.A_ROUND
        assert len((await made.read())[0]) == 3

    asyncio.run(story())


class Held:
    """A producer's batch, with room for two records."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def append(self, *, timestamp: int, key: Any, value: Any, headers: Any) -> Any:
        if len(self.records) == 2:
            return None
        self.records.append((key, value, headers))
        return True


def test_transfers_are_written_in_the_order_of_their_entries_on_each_partition() -> None:
    """Whoever receives them goes by that: one with a smaller number than the last is taken for a repetition."""
    told = [Sent(partition, b"day", b"%d" % number) for number, partition in enumerate((2, 0, 2, 2, 0))]
    producer: Any = SimpleNamespace(create_batch=Held)
    names = Names("decisions", "state", "letters", "checkpoints", "outcomes", "transfers")
    batches = list(pipeline._encode(producer, names, [Output(1, (), (), (), (), told)]))
    assert [(topic, partition, [one[1] for one in batch.records]) for topic, partition, batch in batches] == [
        ("transfers", 0, [b"1", b"4"]),
        ("transfers", 2, [b"0", b"2"]),
        ("transfers", 2, [b"3"]),
    ]


def test_entries_of_transfers_count_apart() -> None:
    """One for each, and no event's in its place."""
    line = b'{"v":1,"seq":0,"prev":"x","kind":"debit","source":["transfers",0,0],"hash":"x"}'
    none: Any = None
    batch = Batch({0: none}, {}, [], {}, none, none, transfers={0: [none]})
    assert batch.unaccounted([Output(0, [(b"k", line)], (), ())]) == ""
    assert "1 transfers, and has 0 entries" in batch.unaccounted([])
    assert batch.size == 1
    with_event = Batch({0: none}, {0: [none]}, [], {}, none, none, transfers={0: [none]})
    assert "1 events" in with_event.unaccounted([Output(0, [(b"k", line), (b"k", line)], (), ())])
