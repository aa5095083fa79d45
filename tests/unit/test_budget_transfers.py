"""Budgets between two partitions, by hand: who asks for how much, who gives it, and that it counts once."""

import msgspec
import pytest

from sidechain.models.dry.budget import (
    AccountPlan,
    BudgetPlan,
    Budgets,
    Reserved,
    Transfer,
    encode_transfer,
    read_transfer,
)
from tests.budgeting import DAY, HOUR, at, balances, take, two


def test_a_partition_that_runs_low_asks_another_and_is_given_what_that_can_spare():
    """100 each. At 19 left, less than a fifth, 31 are asked for: half of the allotment."""
    here, there = two()
    assert take(here, 0, 80).ask is None  # 20 left: a fifth
    ask = take(here, 1, 1).ask
    assert (ask.kind, ask.source, ask.to, ask.amount, ask.seq) == ("ask", 0, 1, 31, 1)
    assert take(here, 2, 1).ask is None  # one question at a time
    debit = there.debit(at(0), ask)
    assert (debit.amount, debit.reason, debit.grant.to) == (31, None, 0)
    assert balances(there, "day") == (69, 0, 0, 0)
    assert here.credit(at(3), debit.grant).amount == 31
    assert balances(here, "day") == (49, 82, 0, 0)


def test_an_entry_asks_once_also_when_two_accounts_run_low():
    """The lower one first, the upper one with the next entry."""
    month = AccountPlan(name="month", unit="EUR", period_ms=30 * DAY, limit=200, is_shared=True)
    day = AccountPlan(name="day", unit="EUR", period_ms=DAY, limit=200, parent="month", is_shared=True)
    here = Budgets(BudgetPlan([month, day], timeout_ms=HOUR), 0, 2)
    assert [take(here, 0, 90).ask.account, take(here, 1, 1).ask.account, take(here, 2, 1).ask] == ["day", "month", None]


def test_a_refused_reservation_asks_for_what_it_needs_unless_nobody_could_have_it():
    """150 of 200 may be found elsewhere, 201 may not."""
    here, there = two()
    assert take(here, 0, 201).ask is None
    refused = take(here, 1, 150)
    assert (refused.reason, refused.ask.amount) == ("exhausted", 50)
    assert here.credit(at(2), there.debit(at(0), refused.ask).grant).amount == 50
    assert isinstance(take(here, 3, 150), Reserved)


def test_nobody_gives_what_lies_below_a_fifth_of_its_own():
    """100 there: 80 can go, 20 stay; who has been told "nothing" asks again a 64th of the day later."""
    here, there = two()
    debit = there.debit(at(0), take(here, 0, 200).ask)
    assert (debit.amount, debit.reason) == (80, "exhausted")
    here.credit(at(1), debit.grant)
    debit = there.debit(at(1), take(here, 2, 190).ask)
    assert (debit.amount, debit.grant.amount) == (0, 0)
    here.credit(at(3), debit.grant)
    assert take(here, 4, 190).ask is None
    assert take(here, 5, 190, DAY // 64 - 1).ask is None
    assert take(here, 6, 190, DAY // 64).ask is not None


def test_a_partition_that_does_not_answer_is_not_waited_for_for_ever():
    """After a 64th of the day the next one is asked; the first one's answer still counts when it comes."""
    day = BudgetPlan([AccountPlan(name="day", unit="EUR", period_ms=DAY, limit=300, is_shared=True)], timeout_ms=HOUR)
    here, silent, other = (Budgets(day, one, 3) for one in range(3))
    first = take(here, 0, 200).ask
    assert (first.to, first.amount) == (1, 100)
    assert take(here, 1, 200, DAY // 64 - 1).ask is None
    second = take(here, 2, 200, DAY // 64).ask
    assert (second.to, second.amount) == (2, 100)
    here.credit(at(3), other.debit(at(0), second).grant)
    here.credit(at(4), silent.debit(at(0), first).grant)
    assert balances(here, "day") == (260, 0, 0, 0)


def test_a_transfer_counts_once_however_often_it_comes():
    """Both ways: asked for again, given again."""
    here, there = two()
    ask = take(here, 0, 150).ask
    grant = there.debit(at(0), ask).grant
    again = there.debit(at(1), ask)
    assert (again.amount, again.reason, again.grant) == (0, "repeated-transfer", None)
    assert here.credit(at(1), grant).amount == 50
    twice = here.credit(at(2), grant)
    assert (twice.amount, twice.lapsed, twice.reason) == (0, 0, "repeated-transfer")
    assert balances(here, "day") == (150, 0, 0, 0)


def test_what_comes_after_its_period_lapses():
    """It was the old day's; the new one has its own."""
    here, there = two()
    grant = there.debit(at(0), take(here, 0, 150).ask).grant
    credit = here.credit(at(1, DAY), grant)
    assert (credit.amount, credit.lapsed, credit.reason) == (0, 50, "period-over")
    assert balances(here, "day", "", DAY) == (100, 0, 0, 0)


def test_a_partition_whose_clock_is_behind_gives_of_a_day_it_has_not_reached():
    """It is idle, so nobody else will use it; one that is ahead keeps what has lapsed."""
    here, there = two()
    ask = take(here, 0, 150, DAY).ask
    assert there.debit(at(0, 5), ask).amount == 50
    assert balances(there, "day") == (100, 0, 0, 0)
    assert balances(there, "day", "", DAY) == (50, 0, 0, 0)
    late = two()[1].debit(at(0, 2 * DAY), ask)
    assert (late.amount, late.reason) == (0, "period-over")


def test_a_debt_is_paid_by_what_another_partition_gives():
    """Costs of 130 on an allotment of 100: 30 are owed, and nothing is reserved until they are paid."""
    here, there = two()
    ask = take(here, 0, 100).ask
    here.settle(at(1), 0, 130)
    assert balances(here, "day") == (0, 0, 100, 30)
    here.credit(at(2), there.debit(at(0), ask).grant)
    assert balances(here, "day") == (20, 0, 130, 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"to": 0, "source": 1}, "foreign-transfer"),
        ({"source": 9}, "foreign-transfer"),
        ({"kind": "grant"}, "foreign-transfer"),
        ({"account": "nobody"}, "unknown-account"),
        ({"unit": "USD"}, "unknown-account"),
        ({"from_ms": 1, "until_ms": DAY + 1}, "unknown-account"),
        ({"until_ms": 2 * DAY}, "unknown-account"),
    ],
)
def test_a_transfer_that_fits_nothing_gives_nothing(change, reason):
    """Another policy's account, another's question."""
    _, there = two()
    asked = Transfer(
        kind="ask", source=0, epoch=0, seq=0, to=1, account="day", key="", unit="EUR", from_ms=0, until_ms=DAY, amount=5
    )
    debit = there.debit(at(0), msgspec.structs.replace(asked, **change))
    assert (debit.amount, debit.reason) == (0, reason)
    assert not there.books


@pytest.mark.parametrize(
    "change",
    [{"amount": -1}, {"amount": 2**53}, {"amount": 1.5}, {"seq": -1}, {"to": 0}, {"kind": "gift"}, {"more": 1}],
)
def test_a_transfer_nobody_can_have_meant_is_not_read(change):
    """Negative, overflowing, to itself."""
    good = {"kind": "ask", "source": 0, "epoch": 0, "seq": 0, "to": 1, "account": "day", "key": "", "unit": "EUR"}
    good |= {"from_ms": 0, "until_ms": DAY, "amount": 5}
    assert encode_transfer(read_transfer(msgspec.json.encode(good))) == msgspec.json.encode(good)
    with pytest.raises(ValueError, match=r"."):
        read_transfer(msgspec.json.encode(good | change))
