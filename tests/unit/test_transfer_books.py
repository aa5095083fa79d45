"""The books of transfers: each has its entry wherever a policy shares accounts, and nothing is asked of the others."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from sidechain.agents.against_events import BooksOf, books_of
from sidechain.agents.cli.proofs import answer_complete
from sidechain.agents.problems import AnswerIsNo
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.budget import Transfer, encode_transfer
from tests.sharing import SHARING, Partition, World
from tests.support import control, event, fold, loader, policy, records


class Source:
    """One partition, as something chains are read from."""

    def __init__(self, at: Partition, control_records: Sequence[Line] = ()) -> None:
        self._at = at
        self._control = control_records

    async def entries(self, _partition: int) -> AsyncIterator[Sequence[bytes]]:
        for one in self._at.chain:
            yield [one]

    async def _inputs(self, topic: str, start: int) -> AsyncIterator[Sequence[Line]]:
        for one in self._at.inputs[topic]:
            if one.offset >= start:
                yield [one]

    def events(self, _partition: int, start: int) -> AsyncIterator[Sequence[Line]]:
        return self._inputs("events", start)

    def outcomes(self, _partition: int, start: int) -> AsyncIterator[Sequence[Line]]:
        return self._inputs("outcomes", start)

    def transfers(self, _partition: int, start: int) -> AsyncIterator[Sequence[Line]]:
        return self._inputs("transfers", start)

    async def control(self) -> AsyncIterator[Line]:
        for one in self._control:
            yield one


def books(at: Partition, control_records: Sequence[Line] = ()) -> BooksOf:
    source: Any = Source(at, control_records)
    return asyncio.run(books_of(source, at.number, lambda _count: None))


def a_world() -> World:
    world = World(2, seed=3)
    world.run(1_500)
    world.settle()
    return world


def test_every_transfer_has_exactly_one_entry() -> None:
    for at in a_world().partitions:
        found = books(at)
        assert found.is_complete
        assert found.transfers.events == len(at.inputs["transfers"]) > 10
        assert found.transfers.kinds["debit"] + found.transfers.kinds["credit"] == found.transfers.events
        assert not found.transfers.waiting


def _drop(at: Partition) -> None:
    del at.inputs["transfers"][5]


def _alter(at: Partition) -> None:
    at.inputs["transfers"][5] = Line(5, b"day", b"another")


def _slip_in(at: Partition) -> None:
    del at.chain[next(n for n, one in enumerate(at.chain) if b'["transfers",1,5]' in one) :]


@pytest.mark.parametrize(
    ("harm", "wrong"), [(_drop, "extra"), (_alter, "altered")], ids=["one is not there", "one is another"]
)
def test_a_transfer_that_does_not_fit_its_entry_is_named(
    harm: Callable[[Partition], None], wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    at = a_world().partitions[1]
    harm(at)
    found = books(at)
    assert not found.is_complete
    assert getattr(found.transfers, wrong) == [5]
    with pytest.raises(AnswerIsNo):
        answer_complete({1: found}, json=False)
    assert "transfers" in capsys.readouterr().out.splitlines()[-1]


def test_what_was_not_decided_yet_waits() -> None:
    at = a_world().partitions[1]
    _slip_in(at)
    found = books(at)
    assert found.is_complete
    assert found.transfers.first_waiting == 5
    assert found.transfers.waiting == len(at.inputs["transfers"]) - 5


ASK = Transfer(
    kind="ask", source=0, epoch=0, seq=1, to=1, account="day", key="", unit="EUR", from_ms=0, until_ms=1, amount=1
)


def test_a_chain_that_shares_nothing_has_nothing_to_do_with_the_topic() -> None:
    """Until a policy comes that does: then what stands there already is answered from the first record on."""
    plain = policy()
    at = Partition(1, Fold(plain, 1, partitions=2))
    at.write("transfers", b"day", encode_transfer(ASK))
    for one in records([event(0)]):
        at.write("events", one.key, one.value or b"")
    at.chain = [value for _, value in at.fold.events(at.inputs["events"]).entries]
    assert b'"transfers"' not in at.chain[0]
    found = books(at)
    assert found.is_complete
    assert (found.transfers.events, found.transfers.waiting) == (0, 0)

    change = control(SHARING, name="test")
    at.chain += [value for _, value in at.fold.control(change, loader(SHARING)).entries]
    assert b'"next":{"events":1,"outcomes":0,"control":1,"transfers":0}' in at.chain[1]
    assert books(at, [change]).transfers.waiting == 1
    at.chain += [value for _, value in at.fold.transfers(at.inputs["transfers"]).entries]
    assert b'"kind":"debit"' in at.chain[2]
    assert b'"transfers":1}' in at.chain[2]
    assert books(at, [change]).transfers.waiting == 0


def test_a_policy_that_shares_no_more_goes_on_answering() -> None:
    """With nothing; and what was given to it lapses, so that no unit is lost unseen."""
    here = Fold(SHARING, 1, partitions=2)
    fold(here, [event(0, n=1, s="a")])
    here.control(control(policy(version=2)), loader(policy(version=2)))
    late = [encode_transfer(ASK), encode_transfer(Transfer(**{**_fields(ASK), "kind": "grant", "seq": 2, "amount": 7}))]
    made = here.transfers([Line(at, b"day", value) for at, value in enumerate(late)])
    assert [b'"amount":0' in value for _, value in made.entries] == [True, True]
    assert b'"lapsed":7' in made.entries[1][1]
    assert len(made.sent) == 1
    assert here.next["transfers"] == 2


def _fields(one: Transfer) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__struct_fields__}
