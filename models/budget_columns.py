"""What entries say of budgets, as columns: what was held, what ended, what was refused, and what partitions lent.

    reserved   one row an account: account, key, unit, from, until, amount, remaining, initial
    closed     one row an account: reservation, how, account, key, from, reserved, cost, overrun, remaining
    refused    one row a refusal: reason, account, key, wanted, remaining

`transfer_*`, `amount` and `lapsed` are of entries of kind `debit` and `credit`; `governed_*` of decisions, and
`tripwire_event` of settlements, under a policy with governance. Amounts in the account's unit.
"""

from typing import Annotated, Any, Final, Literal

import msgspec

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Held = tuple[str, str, str, Int64, Int64, Int64]  # account, key, unit, from and until, amount
Closing = tuple[str, str, Int64, Int64, Int64, Int64, Int64]  # account, key, from, reserved, cost, overrun, remaining

# The fields of a row of each column that has several: what they are called, and of what type.
FIELDS: Final[dict[str, tuple[tuple[str, Literal["int64", "text", "name", "time"]], ...]]] = {
    "reserved": (
        ("account", "name"),
        ("key", "text"),
        ("unit", "name"),
        ("from", "time"),
        ("until", "time"),
        ("amount", "int64"),
        ("remaining", "int64"),
        ("initial", "int64"),
    ),
    "closed": (
        ("reservation", "int64"),
        ("how", "name"),
        ("account", "name"),
        ("key", "text"),
        ("from", "time"),
        ("reserved", "int64"),
        ("cost", "int64"),
        ("overrun", "int64"),
        ("remaining", "int64"),
    ),
    "refused": (
        ("reason", "name"),
        ("account", "name"),
        ("key", "text"),
        ("wanted", "int64"),
        ("remaining", "int64"),
    ),
}


class Reserved(msgspec.Struct):
    """What a decision holds."""

    parts: list[Held]
    remaining: list[Int64]
    initial: list[Int64]
    expires_ms: Int64

    def __post_init__(self) -> None:
        """Raises ValueError where not every account has its balances."""
        if not len(self.parts) == len(self.remaining) == len(self.initial):
            raise ValueError("a reservation without all balances of its accounts")


class Closed(msgspec.Struct):
    """A reservation that has ended."""

    reservation: Int64
    how: str
    parts: list[Closing]


class Refused(msgspec.Struct):
    """What was not to be had."""

    reason: str
    account: str | None = None
    key: str | None = None
    wanted: Int64 | None = None
    remaining: Int64 | None = None


class Governed(msgspec.Struct):
    """Of a decision, or of a settlement: what it has no field for is null."""

    answer: str | None = None
    why: str | None = None
    level: str | None = None
    cost: Int64 | None = None
    event: str | None = None


class Spending(msgspec.Struct):
    """The field `budget`."""

    closed: list[Closed] = []
    reserved: Reserved | None = None
    refused: list[Refused] = []
    governed: Governed | None = None


class Transfer(msgspec.Struct):
    """The field `transfer` of a debit or credit."""

    source: Int64
    epoch: Int64
    seq: Int64
    account: str
    key: str
    unit: str
    from_ms: Int64
    until_ms: Int64
    amount: Int64


def rows_of(name: str, budget: Spending | None) -> list[dict[str, Any]] | None:
    """The rows of one of the columns in FIELDS; None where the entry says nothing of budgets."""
    if budget is None:
        return None
    names = [field for field, _ in FIELDS[name]]
    return [dict(zip(names, row, strict=True)) for row in _ROWS[name](budget)]


def _reserved(budget: Spending) -> list[tuple[Any, ...]]:
    held = budget.reserved
    if held is None:
        return []
    return [
        (*part, *left) for part, left in zip(held.parts, zip(held.remaining, held.initial, strict=True), strict=True)
    ]


def _closed(budget: Spending) -> list[tuple[Any, ...]]:
    return [(one.reservation, one.how, *part) for one in budget.closed for part in one.parts]


def _refused(budget: Spending) -> list[tuple[Any, ...]]:
    return [(one.reason, one.account, one.key, one.wanted, one.remaining) for one in budget.refused]


_ROWS: Final = {"reserved": _reserved, "closed": _closed, "refused": _refused}
