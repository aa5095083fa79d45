"""Budgets against a ledger that knows the records alone: drawn at random, and small worlds in every order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidechain.models.dry.budget import Book
from tests.bench.budget_operations import play
from tests.budget_small import every_sequence
from tests.budget_world import World, crowded

NAMES = ("reserve", "reserve", "reserve", "end", "end", "deliver", "commit", "commit", "crash", "rebalance", "wrong")
operations = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 3), st.integers(0, 2**20)), max_size=70)


@settings(max_examples=300, deadline=None)
@given(operations, st.integers(1, 4), st.booleans(), st.booleans())
def test_whatever_happens_every_account_is_conserved(operations, partitions, is_tight, is_spent):
    """Concurrent reservers, transfers under way, crashes, new owners: after each operation, and when all has ended."""
    bounds = {"max_open": 4, "max_accounts": 6} if is_tight else {}
    world = World(partitions, crowded(on_timeout="commit" if is_spent else "release", **bounds))
    for name, partition, number in operations:
        getattr(world, name)(world.places[partition % partitions], number)
    world.check()
    world.drain()


def test_a_long_run_conserves_every_account():
    """The short form of `python -m tests.bench.budget_operations`."""
    world = play(6_000, 4, seed=5)
    assert min(world.done[one] for one in ("credit", "crash", "rebalance", "expired", "settled", "released")) > 5
    assert world.refused["exhausted"] > 5


@settings(max_examples=150, deadline=None)
@given(operations, st.integers(0, 70))
def test_a_state_written_down_at_any_moment_has_the_same_future(operations, cut):
    """One partition twice, the second time by another owner from `cut` on: the same answers, the same records."""
    world = World(2)
    here = world.places[0]
    for at, (name, partition, number) in enumerate(operations):
        if at == cut:
            world.commit(here)
            twin = here.restored(world.random)
            assert twin.total == here.budgets.total
            assert twin.books == here.budgets.books
        getattr(world, name)(world.places[partition % 2], number)
        if at >= cut:
            for called, arguments, answer in here.pending:
                assert getattr(twin, called)(*arguments) == answer
            theirs = list(twin.changes())
            ours = list(here.budgets.changes())
            here.pending.clear()
            assert theirs == ours
            for record, value in ours:
                here.log.pop(record, None) if value is None else here.log.update({record: value})


@settings(max_examples=100, deadline=None)
@given(operations)
def test_how_operations_are_batched_changes_nothing(operations):
    """Written down as the world commits, and only once at the end: the same answers, the same records, the same sum."""
    world = World(2)
    here, calls, do = world.places[0], [], world.places[0].do

    def heard(name, *arguments):
        calls.append((name, arguments, do(name, *arguments)))
        return calls[-1][2]

    here.do = heard
    for name, partition, number in operations:
        getattr(world, name)(world.places[partition % 2], number)
    here.commit()
    once = here.make()
    for name, arguments, answer in calls:
        assert getattr(once, name)(*arguments) == answer
    assert {name: value for name, value in once.changes() if value is not None} == here.log
    assert once.total == here.budgets.total


def test_every_sequence_of_four_operations_in_a_small_world():
    """Two accounts, one above the other, amounts 0 to 3, clock steps within and across timeout and period."""
    assert every_sequence(4) == 12**4


def _keeps_one(patched: pytest.MonkeyPatch) -> None:
    settle = Book.settle
    patched.setattr(Book, "settle", lambda self, amount, cost: settle(self, amount, max(cost - (cost % 7 == 3), 0)))


def _never_refuses(patched: pytest.MonkeyPatch) -> None:
    patched.setattr("sidechain.models.dry.budget.memory.Memory.has_sealed", lambda *_: False)


def _gives_without_taking(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Book, "send", lambda self, _amount: self)


def _forgets_what_was_spent(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Book, "is_fresh", property(lambda self: not self.open))


def _forgets_its_order(patched: pytest.MonkeyPatch) -> None:
    patched.setattr("sidechain.models.dry.budget.memory.Memory.seal", lambda *_: None)


PLANTED = {
    "a unit of the cost is dropped": _keeps_one,
    "a repeated transfer counts": _never_refuses,
    "what is given is kept as well": _gives_without_taking,
    "a book is forgotten after something was spent": _forgets_what_was_spent,
    "nobody remembers a transfer": _forgets_its_order,
}


@pytest.mark.parametrize("broken", PLANTED.values(), ids=PLANTED.keys())
def test_the_ledger_finds_what_is_planted(broken, monkeypatch):
    """A unit that is lost, a transfer that counts twice, a book forgotten too early: each is seen."""
    broken(monkeypatch)
    with pytest.raises((AssertionError, ValueError)):
        play(4_000, 4, seed=3)


def test_the_small_world_finds_what_is_planted(monkeypatch):
    """A cost that is forgotten when it is 3."""
    settle = Book.settle
    monkeypatch.setattr(Book, "settle", lambda self, amount, cost: settle(self, amount, cost % 3))
    with pytest.raises(AssertionError):
        every_sequence(2)
