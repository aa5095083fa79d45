"""Which accounts there are, who is above whom, and when a period ends.

    AccountPlan(name="team_day", unit="EUR", period_ms=86_400_000, limit=50_000, parent="tenant_month", is_shared=True)

Rule 1: a reservation holds its amount in the account and in every account above it, all in one unit.
Rule 2: a period is a stretch of event time aligned to 1970-01-01T00:00Z: day n is from n * 86400000 ms on.
Rule 3: an account that is used from several partitions has an allotment on each; together they are the limit.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from sidechain.models.dry.budget.book import is_amount

OnTimeout = Literal["release", "commit"]

LEVELS_MAX: Final = 16  # accounts above one another
UNIT: Final = re.compile(r"[A-Za-z0-9_]{1,16}")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


class AccountPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of account. Amounts in minor units of `unit`, or counts."""

    name: str
    unit: str
    period_ms: int
    limit: int | None = None  # of each account; None: only those in `limits` exist
    limits: Mapping[str, int] = msgspec.field(default_factory=dict)  # of some keys, instead
    parent: str | None = None
    is_per_key: bool = False  # one account for each key it is asked for; otherwise one, with key ""
    is_shared: bool = False  # used from several partitions: an allotment each

    def limit_of(self, key: str) -> int | None:
        """The limit of one period; None: there is no such account."""
        return self.limits.get(key, self.limit)

    def period_of(self, at_ms: int) -> int:
        """When the period began that `at_ms` lies in."""
        return at_ms - at_ms % self.period_ms


class BudgetPlan:
    """The accounts of one policy, checked. Raises ValueError with a sentence for whoever wrote them."""

    def __init__(
        self,
        accounts: Iterable[AccountPlan],
        *,
        timeout_ms: int,
        on_timeout: OnTimeout = "release",
        max_open: int = 100_000,
        max_accounts: int = 1_000_000,
        remembered: int = 65_536,
    ) -> None:
        """`timeout_ms`: how long a reservation waits for its outcome, in event time, and what happens to it then.

        `max_open` and `max_accounts` bound a partition's memory: beyond them a reservation is refused. `remembered`:
        over how many entries it is known how a reservation ended, in blocks of 256.
        """
        self.accounts: dict[str, AccountPlan] = {}
        for one in accounts:
            if one.name in self.accounts:
                raise ValueError(f"account {one.name} is planned twice")
            self.accounts[one.name] = one
        if min(timeout_ms, max_open, max_accounts, remembered) < 1:
            raise ValueError("timeout, max_open, max_accounts and remembered must be at least 1")
        self.timeout_ms = timeout_ms
        self.on_timeout = on_timeout
        self.max_open = max_open
        self.max_accounts = max_accounts
        self.remembered = remembered
        self.chains = {name: self._chain(one) for name, one in self.accounts.items()}

    def _chain(self, leaf: AccountPlan) -> tuple[AccountPlan, ...]:
        """The account and all above it."""
        _check(leaf)
        chain = [leaf]
        while (name := chain[-1].parent) is not None:
            child, parent = chain[-1], self.accounts.get(name)
            if parent is None:
                raise ValueError(f"account {child.name} names {name} as its parent, and there is no such account")
            if parent.unit != child.unit:
                raise ValueError(f"account {child.name} counts {child.unit} and its parent {name} {parent.unit}")
            if child.is_shared and not parent.is_shared:
                raise ValueError(f"account {child.name} is used from several partitions, so its parent {name} is too")
            if parent in chain:
                raise ValueError(f"account {name} is above itself")
            if len(chain) == LEVELS_MAX:
                raise ValueError(f"more than {LEVELS_MAX} accounts above one another, from {leaf.name} on")
            chain.append(parent)
        return tuple(chain)


def allotment(limit: int, partition: int, partitions: int) -> int:
    """A partition's part of a limit: equal parts, and what is left over goes to the first ones."""
    return limit // partitions + (partition < limit % partitions)


def _check(one: AccountPlan) -> None:
    if not _NAME.fullmatch(one.name):
        raise ValueError(f"account {one.name[:64]!r} must be named with lower-case letters, digits and _")
    if not UNIT.fullmatch(one.unit):
        raise ValueError(f"the unit of account {one.name} must be 1 to 16 letters, digits or _, not {one.unit[:64]!r}")
    if one.period_ms < 1:
        raise ValueError(f"the period of account {one.name} must be at least 1 ms")
    if one.limit is None and not one.limits:
        raise ValueError(f"account {one.name} has no limit")
    for limit in (*([] if one.limit is None else [one.limit]), *one.limits.values()):
        if not is_amount(limit):
            raise ValueError(f"the limit of account {one.name} must be a whole number from 0 to 2**53 - 1, not {limit}")
    if one.limits and not one.is_per_key:
        raise ValueError(f"account {one.name} has limits for single keys, and it is not one account for each key")
