"""Accounts that partitions share, through the folds: conserved, never overspent, each transfer once, replay alike."""

from collections.abc import Callable
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidechain.models.candidate import Candidate
from sidechain.models.dry.budget.book import Book
from sidechain.models.dry.budget.memory import Memory
from tests.sharing import World


@given(partitions=st.integers(1, 4), seed=st.integers(0, 2**32), operations=st.integers(1, 300))
def test_whatever_happens_shared_accounts_are_conserved(partitions: int, seed: int, operations: int) -> None:
    """Also while transfers are under way, which is where the first look is."""
    world = World(partitions, seed=seed)
    world.run(operations)
    world.conserved()
    world.settle()
    assert not world.check()["under way"]


def test_a_long_run_has_everything_in_it() -> None:
    """Or the test above has seen nothing of what it speaks of."""
    world = World(4, seed=1)
    world.run(5_000)
    world.settle()
    counts = world.check()
    assert world.crashes > 50
    few = [one for one in ("given", "added", "lapsed", "repeated", "reserved", "refused") if counts[one] < 10]
    assert not few, counts


def test_a_back_test_under_the_same_policy_decides_the_same() -> None:
    """Transfers are taken as they came: what was allowed by money from elsewhere is allowed again."""
    world = World(3, seed=4)
    world.run(2_500)
    world.settle()
    for at in world.partitions:
        candidate = Candidate(world.policy, at.number, lambda topic, offset, at=at: at.inputs[topic][offset])  # type: ignore[misc]
        pairs = [pair for line in at.chain if (pair := candidate.take(line)) is not None]
        candidate.finish()
        assert len(pairs) == len(at.inputs["events"])
        assert all(pair.before == pair.after for pair in pairs)
        assert any(b'"kind":"credit"' in line and b'"amount":0' not in line for line in at.chain)


def _sealed_twice() -> object:
    """A credit counts as often as it comes."""
    return patch.object(Memory, "has_sealed", lambda *_: False)


def _grant_lost() -> object:
    """What is given arrives nowhere, although the entry says that it went out."""
    commit = World.commit

    def losing(world: World, at: object) -> None:
        at.sent = [one for one in at.sent if b'"grant"' not in one.value]  # type: ignore[attr-defined]
        commit(world, at)  # type: ignore[arg-type]

    return patch.object(World, "commit", losing)


def _kept() -> object:
    """Whoever gives keeps it all the same."""
    return patch.object(Book, "send", lambda book, _amount: book)


@pytest.mark.parametrize("plant", [_sealed_twice, _grant_lost, _kept], ids=lambda one: one.__name__)
def test_what_is_planted_is_found(plant: Callable[[], object]) -> None:
    """A check that finds nothing proves nothing."""
    with plant():  # type: ignore[attr-defined]
        world = World(4, seed=2)
        try:
            world.run(4_000)
            world.settle()
            assert not world.check()["under way"]
        except AssertionError:
            return
    pytest.fail("nothing was found")
