"""A world small enough to be walked through whole: two accounts and twelve operations, against a ledger on paper."""

from itertools import product

from sidechain.models.dry.budget import AccountPlan, BudgetPlan, Budgets, Closed, Moment, Reserved, Want

SMALL = BudgetPlan(
    [
        AccountPlan(name="top", unit="n", period_ms=10, limit=3),
        AccountPlan(name="low", unit="n", period_ms=10, limit=2, parent="top"),
    ],
    timeout_ms=3,
)
STEPS = [
    *[("reserve", account, amount) for account in ("top", "low") for amount in (0, 1, 2)],
    *[("settle", cost) for cost in (0, 1, 3)],
    ("release",),
    ("clock", 2),
    ("clock", 10),
]


class Dumb:
    """Two accounts, as one would keep them on paper: lists of what was held and what was spent, by period."""

    def __init__(self) -> None:
        self.now = 0
        self.open: list[tuple[int, int, str, int, int]] = []  # seq, expires, leaf, amount, period
        self.spent: list[tuple[str, int, int]] = []  # account, period, cost

    def left(self, account: str, period: int) -> tuple[int, int, int]:
        """What remains, is held, is spent in all (also what nothing was left for)."""
        limit = {"top": 3, "low": 2}[account]
        held = sum(amount for _, _, leaf, amount, when in self.open if when == period and account in ("top", leaf))
        spent = sum(cost for name, when, cost in self.spent if (name, when) == (account, period))
        return max(limit - held - spent, 0), held, spent

    def reserve(self, seq: int, leaf: str, amount: int) -> bool:
        period = self.now // 10
        for account in {"top": ["top"], "low": ["low", "top"]}[leaf]:
            remaining, held, spent = self.left(account, period)
            owes = held + spent > {"top": 3, "low": 2}[account]
            if owes or amount > remaining:
                return False
        self.open.append((seq, self.now + 3, leaf, amount, period))
        return True

    def end(self, cost: int | None) -> bool:
        if not self.open:
            return False
        _, _, leaf, _, period = self.open.pop(0)
        for account in {"top": ["top"], "low": ["low", "top"]}[leaf]:
            self.spent.append((account, period, 0 if cost is None else cost))
        return True

    def clock(self, by: int) -> list[int]:
        self.now += by
        gone = [one[0] for one in self.open if one[1] <= self.now]
        self.open = [one for one in self.open if one[1] > self.now]
        return gone


def every_sequence(depth: int) -> int:
    """Play every sequence of so many operations; how many there are. Raises AssertionError where the two disagree."""
    count = 0
    for steps in product(STEPS, repeat=depth):
        budgets, dumb = Budgets(SMALL, 0, 1), Dumb()
        for seq, step in enumerate(steps):
            told(budgets, dumb, seq, step)
        count += 1
    return count


def told(budgets: Budgets, dumb: Dumb, seq: int, step: tuple[object, ...]) -> None:
    """One operation for both, and both say the same."""
    at = Moment(seq, dumb.now)
    if step[0] == "reserve":
        answer = budgets.reserve(at, [Want(step[1], step[2])], {})
        assert isinstance(answer, Reserved) is dumb.reserve(seq, step[1], step[2])
    elif step[0] == "clock":
        expired = dumb.clock(step[1])
        assert [one.reservation for one in budgets.advance(Moment(seq, dumb.now))] == expired
    else:
        first = dumb.open[0][0] if dumb.open else 0
        cost = step[1] if step[0] == "settle" else None
        answer = budgets.settle(at, first, cost) if step[0] == "settle" else budgets.release(at, first)
        assert isinstance(answer, Closed) is dumb.end(cost)
    for account in ("top", "low"):
        book = budgets.book(Moment(seq, dumb.now), account)
        remaining, held, spent = dumb.left(account, dumb.now // 10)
        assert (book.remaining, book.reserved, book.committed + book.overrun) == (remaining, held, spent)
        assert book.remaining + book.reserved + book.committed == book.initial <= 3
