"""The accounts of several chains from their entries: as the second program finds them, and nothing altered passes."""

import copy
from typing import Any

import msgspec
import pytest

from sidechain.models.report.balances import Balances, together
from tests.dumb_ledger import ledger, spent, under_way
from tests.sharing import World

Entries = list[tuple[int, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def chains() -> Entries:
    """Three partitions that lend one another parts of accounts."""
    world = World(3, seed=3)
    world.run(700)
    return [(one.number, [msgspec.json.decode(line) for line in one.chain]) for one in world.partitions]


def balances(chains: Entries) -> list[Balances]:
    found = []
    for partition, entries in chains:
        found.append(Balances(partition))
        for entry in entries:
            found[-1].take(entry)
    return found


def test_they_are_what_the_second_program_comes_to(chains):
    """Each account, over all partitions, with what is under way."""
    sums, faults = together(balances(chains))
    other = ledger(iter(chains))
    assert faults == []
    assert sum(one.checked for one in balances(chains)) > 300
    totals = spent(other)
    for account, one in sums.items():
        mine = [value for place, value in totals.items() if place[0] == account]
        assert (one.given, one.held, one.spent, one.owed) == tuple(map(sum, zip(*mine, strict=True)))
        assert one.remaining + one.held + one.spent == one.given
        flying = [amount for place, amount in under_way(other).items() if place[0] == account]
        assert one.under_way <= sum(flying)
    assert min(sum(one.spent for one in sums.values()), sum(one.held for one in sums.values())) > 0


@pytest.mark.parametrize("field", ["remaining", "initial"])
def test_one_unit_too_many_is_found(chains, field):
    """In every reservation of a chain, one after another."""
    partition, entries = chains[0]
    tried = 0
    for at, entry in enumerate(entries):
        if entry.get("budget") and entry["budget"]["reserved"]:
            forged = copy.deepcopy(entry)
            forged["budget"]["reserved"][field][0] += 1
            tried += 1
            assert balances([(partition, [*entries[:at], forged, *entries[at + 1 :]])])[0].faults
    assert tried > 20


def test_a_part_that_nobody_gave_is_found(chains):
    """A grant sealed twice, and one of which the giver's chain says nothing."""
    partition, entries = next((at, one) for at, one in chains if any(entry["kind"] == "credit" for entry in one))
    credit = next(one for one in entries if one["kind"] == "credit" and one["amount"])
    others = [one for one in chains if one[0] != partition]
    found = together(balances([*others, (partition, [*entries, credit])]))[1]
    assert any("that nobody gave it" in one for one in found)
    assert any("that nobody gave it" in one for one in together(balances([(partition, entries)]))[1])


def test_what_ends_and_was_not_held_is_found(chains):
    partition, entries = chains[0]
    at = next(at for at, one in enumerate(entries) if one.get("budget") and one["budget"]["closed"])
    assert "holds nothing" in balances([(partition, [*entries[: at + 1], entries[at]])])[0].faults[0]


def test_behind_an_epoch_accounts_are_counted_anew(chains):
    """Nobody knows what was held; what was given before it is under way still."""
    partition, entries = chains[0]
    chain = balances([(partition, [*entries, {"kind": "epoch", "epoch": 1}])])[0]
    assert (chain.books, chain.faults) == ({}, [])
    assert chain.gave
