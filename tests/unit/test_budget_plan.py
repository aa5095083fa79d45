"""The plan of the accounts: what it may say, and what another one changes for books that are open."""

import pytest

from sidechain.models.dry.budget import AccountPlan, BudgetPlan, Budgets, Reserved, Want, allotment
from tests.budgeting import DAY, HOUR, alone, at, balances, plan, spend


def test_a_shorter_timeout_overtakes_no_reservation_that_is_open():
    """They expire in the order they were made in, so the oldest is always the next."""
    budgets = alone()
    assert spend(budgets, 0, 1).expires_ms == HOUR
    budgets.change(plan(timeout_ms=5))
    assert spend(budgets, 1, 1).expires_ms == HOUR
    budgets.release(at(2), 0)
    budgets.release(at(3), 1)
    assert spend(budgets, 4, 1).expires_ms == 5


def test_a_new_policy_holds_for_books_that_are_opened_from_then_on():
    """Open books keep their limit until their period ends; an account that is gone can still be settled."""
    budgets = alone()
    spend(budgets, 0, 60)
    budgets.change(
        BudgetPlan([AccountPlan(name="person", unit="EUR", period_ms=DAY, limit=7, is_per_key=True)], timeout_ms=1)
    )
    assert isinstance(spend(budgets, 1, 40), Reserved)
    assert spend(budgets, 2, 8, "ben").remaining == 7
    assert spend(budgets, 3, 8, now_ms=DAY).remaining == 7
    assert [one.remaining for one in budgets.settle(at(4), 0, 50).parts] == [10, 450, 950]


@pytest.mark.parametrize("change", [{"period_ms": HOUR}, {"period_ms": 2 * DAY}, {"unit": "USD"}])
def test_an_account_with_another_period_or_unit_is_another_account(change):
    """Its books are not mixed up with those that are open, also where they begin together."""
    was = {"name": "a", "unit": "EUR", "period_ms": DAY, "limit": 10}
    budgets = Budgets(BudgetPlan([AccountPlan(**was)], timeout_ms=DAY), 0, 1)
    budgets.reserve(at(0), [Want("a", 6)], {})
    budgets.change(BudgetPlan([AccountPlan(**{**was, **change})], timeout_ms=DAY))
    assert balances(budgets, "a") == (10, 0, 0, 0)
    budgets.reserve(at(1), [Want("a", 9)], {})
    budgets.settle(at(2), 0, 7)
    assert balances(budgets, "a") == (1, 9, 0, 0)
    assert sorted(one.remaining for one in budgets.books.values()) == [1, 3]


def test_a_day_is_not_spent_twice_where_hours_become_days():
    """The book of the first hour is still held when the day, which began with it, is opened."""
    was = {"name": "a", "unit": "EUR", "period_ms": HOUR, "limit": 10}
    budgets = Budgets(BudgetPlan([AccountPlan(**was)], timeout_ms=DAY), 0, 1)
    budgets.reserve(at(0), [Want("a", 6)], {})
    budgets.change(BudgetPlan([AccountPlan(**{**was, "period_ms": DAY})], timeout_ms=DAY))
    for seq in (1, 3):
        budgets.reserve(at(seq, 5 * HOUR), [Want("a", 5)], {})
        budgets.settle(at(seq + 1, 5 * HOUR), seq)
    budgets.release(at(5, 5 * HOUR), 0)
    assert budgets.reserve(at(6, 5 * HOUR), [Want("a", 1)], {}).reason == "exhausted"


def test_after_a_repair_the_periods_nobody_remembers_have_nothing_left():
    """What was spent before is not known, so none of it is spent again; the next day is a new one."""
    budgets = Budgets(plan(), 0, 1, epoch=1, nothing_before_ms=HOUR)
    assert spend(budgets, 0, 1, now_ms=HOUR).reason == "exhausted"
    day = BudgetPlan([AccountPlan(name="d", unit="EUR", period_ms=DAY, limit=5)], timeout_ms=1)
    assert isinstance(
        Budgets(day, 0, 1, epoch=1, nothing_before_ms=HOUR).reserve(at(0, DAY), [Want("d", 5)], {}), Reserved
    )


@pytest.mark.parametrize(
    ("limit", "partitions", "parts"), [(500, 4, [125] * 4), (7, 3, [3, 2, 2]), (2, 4, [1, 1, 0, 0]), (0, 2, [0, 0])]
)
def test_allotments_are_equal_parts_and_together_the_limit(limit, partitions, parts):
    """What cannot be divided goes to the first ones."""
    assert [allotment(limit, one, partitions) for one in range(partitions)] == parts


@pytest.mark.parametrize(
    ("accounts", "sentence"),
    [
        ([{"name": "a", "limit": None}], "account a has no limit"),
        ([{"name": "a", "limit": -1}], "whole number from 0"),
        ([{"name": "a", "limit": 2**53}], "whole number from 0"),
        ([{"name": "a", "period_ms": 0}], "at least 1 ms"),
        ([{"name": "a:b"}], "lower-case letters"),
        ([{"name": "a", "unit": "E:R"}], "1 to 16 letters"),
        ([{"name": "a"}, {"name": "a"}], "planned twice"),
        ([{"name": "a", "parent": "b"}], "there is no such account"),
        ([{"name": "a", "parent": "a"}], "above itself"),
        ([{"name": "a", "parent": "b"}, {"name": "b", "parent": "a"}], "above itself"),
        ([{"name": "a", "parent": "b"}, {"name": "b", "unit": "count"}], "counts EUR and its parent b count"),
        ([{"name": "a", "parent": "b", "is_shared": True}, {"name": "b"}], "so its parent b is too"),
        ([{"name": "a", "limits": {"x": 1}}], "not one account for each key"),
        ([{"name": f"a{n}", "parent": f"a{n + 1}"} for n in range(17)] + [{"name": "a17"}], "more than 16"),
    ],
)
def test_a_plan_that_cannot_hold_is_refused_with_a_sentence(accounts, sentence):
    """Before anything is decided by it."""
    given = [AccountPlan(**{"unit": "EUR", "period_ms": DAY, "limit": 1, **one}) for one in accounts]
    with pytest.raises(ValueError, match=sentence):
        BudgetPlan(given, timeout_ms=1)
