"""Small budgets that tests work out on paper: a month over a day over a person, and a day that two partitions share."""

from sidechain.models.dry.budget import AccountPlan, BudgetPlan, Budgets, Moment, Refused, Reserved, Want

DAY = 86_400_000
HOUR = 3_600_000


def plan(**options: object) -> BudgetPlan:
    """A month over a day over a person; and a count of its own."""
    accounts = (
        AccountPlan(name="month", unit="EUR", period_ms=30 * DAY, limit=1_000, is_shared=True),
        AccountPlan(name="day", unit="EUR", period_ms=DAY, limit=500, parent="month", is_shared=True),
        AccountPlan(name="person", unit="EUR", period_ms=DAY, limit=100, parent="day", is_per_key=True),
        AccountPlan(name="reviews", unit="count", period_ms=DAY, limit=2, is_shared=True),
    )
    return BudgetPlan(accounts, **{"timeout_ms": HOUR, **options})


def alone(**options: object) -> Budgets:
    return Budgets(plan(**options), 0, 1)


def two() -> tuple[Budgets, Budgets]:
    day = AccountPlan(name="day", unit="EUR", period_ms=DAY, limit=200, is_shared=True)
    made = BudgetPlan([day], timeout_ms=HOUR)
    return Budgets(made, 0, 2), Budgets(made, 1, 2)


def at(seq: int, now_ms: int = 0) -> Moment:
    return Moment(seq, now_ms)


def spend(budgets: Budgets, seq: int, amount: int, who: str = "anna", now_ms: int = 0) -> Reserved | Refused:
    return budgets.reserve(at(seq, now_ms), [Want("person", amount)], {"person": who})


def take(budgets: Budgets, seq: int, amount: int, now_ms: int = 0) -> Reserved | Refused:
    return budgets.reserve(at(seq, now_ms), [Want("day", amount)], {})


def balances(budgets: Budgets, account: str, key: str = "", now_ms: int = 0) -> tuple[int, int, int, int]:
    """remaining, reserved, committed, overrun."""
    book = budgets.book(at(0, now_ms), account, key)
    return book.remaining, book.reserved, book.committed, book.overrun
