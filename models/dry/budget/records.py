"""What an entry records of its budget, and what one partition writes to another. Integers and names only.

From these records alone, in the order of the chain, every balance can be computed again. They hold one another and
never themselves, so the garbage collector need not look at them: a partition has a million, and makes some at every
entry.
"""

from typing import Any, Final, Literal

import msgspec

from sidechain.models.dry.budget.book import AMOUNT_MAX, book_name, is_amount

Reason = Literal[
    "bad-amount",
    "unknown-account",
    "exhausted",
    "owing",
    "too-many-open",
    "too-many-accounts",
    "unknown-reservation",
    "already-settled",
    "already-released",
    "expired",
    "period-over",
    "repeated-transfer",
    "foreign-transfer",
    "unknown-unit",
    "balance-too-large",
]

REASONS: Final[dict[Reason, str]] = {
    "bad-amount": "the amount is not a whole number from 0 to 2**53 - 1; state it in minor units",
    "unknown-account": "the policy has no such account, or the event does not say which",
    "exhausted": "less remains in this account than was asked for",
    "owing": "this account's costs exceeded what it had; it is closed until the debt is paid or its period ends",
    "too-many-open": "as many reservations wait for their outcome as the policy allows",
    "too-many-accounts": "as many accounts are in use on this partition as the policy allows",
    "unknown-reservation": "that decision reserved nothing, or so long ago that it is not remembered",
    "already-settled": "the reservation was settled before; what was recorded first stands",
    "already-released": "the reservation was released before",
    "expired": "the outcome came after the reservation's timeout, which the policy decides",
    "period-over": "the period is over on this partition",
    "repeated-transfer": "this transfer was sealed before",
    "foreign-transfer": "this transfer is meant for another partition, or is no question where one is due",
    "unknown-unit": "the cost must name the one unit it is in, and something must be reserved in that unit",
    "balance-too-large": "a balance would exceed 2**53 - 1",
}


class Moment(msgspec.Struct, frozen=True, gc=False):
    """Where an operation stands: the seq of the entry it is sealed in, and the partition's clock.

    `now_ms` is the watermark: event time that never goes back, so a late event spends the money of the period in which
    it is decided, and a period that has ended is never spent again.
    """

    seq: int
    now_ms: int


class Want(msgspec.Struct, frozen=True, gc=False):
    """What a decision asks an account, and with it all above it, to hold."""

    account: str
    amount: int


class Part(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One account's part in a reservation."""

    account: str
    key: str
    unit: str
    from_ms: int  # the period it was made in, to which it belongs whatever happens later
    until_ms: int
    amount: int

    @property
    def book(self) -> str:
        """What its book is called."""
        return book_name(self.account, self.unit, self.from_ms, self.until_ms, self.key)


class Held(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """An open reservation; its id is the seq of the decision that made it."""

    expires_ms: int
    parts: tuple[Part, ...]


class Transfer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One partition asks another for a part of an account's limit, or answers.

        {"kind":"grant","source":2,"epoch":0,"seq":41,"to":0,"account":"team_day","key":"","unit":"EUR",
         "from_ms":0,"until_ms":86400000,"amount":120}

    An entry makes one at most, so source, epoch and seq name it. A `grant` may be of 0.
    """

    kind: Literal["ask", "grant"]
    source: int
    epoch: int
    seq: int
    to: int
    account: str
    key: str
    unit: str
    from_ms: int
    until_ms: int
    amount: int

    def __post_init__(self) -> None:
        """Raises ValueError for one that nobody can have meant."""
        if min(self.source, self.epoch, self.seq, self.to) < 0 or self.source == self.to:
            raise ValueError(f"a transfer from partition {self.source} to {self.to}, by entry {self.seq}")
        if max(self.source, self.epoch, self.seq, self.to, abs(self.from_ms), abs(self.until_ms)) > AMOUNT_MAX:
            raise ValueError("a transfer with a number beyond 2**53 - 1")
        if not is_amount(self.amount) or self.from_ms >= self.until_ms:
            raise ValueError(f"a transfer of {self.amount} from {self.from_ms} until {self.until_ms}")


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Nothing was reserved, settled or released, and why."""

    reason: Reason
    account: str | None = None
    key: str | None = None
    wanted: int | None = None
    remaining: int | None = None
    ask: Transfer | None = None  # to be produced with the entry

    def __str__(self) -> str:
        """A sentence for whoever asks."""
        name = "" if self.account is None else f" ({self.account}{f' {self.key}' if self.key else ''})"
        amounts = "" if self.remaining is None else f": {self.wanted} asked, {self.remaining} left"
        return f"{REASONS[self.reason]}{name}{amounts}"


class Reserved(msgspec.Struct, frozen=True, gc=False):
    """A decision's budget was held in all its accounts."""

    parts: tuple[Part, ...]
    remaining: tuple[int, ...]  # of each account afterwards
    initial: tuple[int, ...]  # what each may spend in the period on this partition: its remaining, reserved, committed
    expires_ms: int
    ask: Transfer | None = None  # to be produced with the entry


class Closing(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One account's part in the end of a reservation."""

    account: str
    key: str
    from_ms: int
    reserved: int
    cost: int
    overrun: int  # how much of the cost nothing was left for
    remaining: int  # afterwards


class Closed(msgspec.Struct, frozen=True, gc=False):
    """A reservation has ended: `settled` by an outcome's cost, `released`, or `expired` without an outcome."""

    reservation: int
    how: Literal["settled", "released", "expired"]
    parts: tuple[Closing, ...]


class Spending(msgspec.Struct, frozen=True, gc=False):
    """What an entry says of budgets: the field `budget` of a decision or settlement in which anything happened."""

    partitions: int  # that the accounts are shared among
    closed: tuple[Closed, ...]  # expired before this decision, or settled by this outcome; oldest first
    reserved: Reserved | None
    refused: tuple[Refused, ...]  # in the order they were asked; what was refused is not reserved
    governed: Any = msgspec.UNSET  # what governance says, under a policy that has it and where it was asked

    @property
    def ask(self) -> Transfer | None:
        """What goes to another partition with the entry; an entry asks once."""
        if self.reserved is not None and self.reserved.ask is not None:
            return self.reserved.ask
        for one in self.refused:
            if one.ask is not None:
                return one.ask
        return None


class Debit(msgspec.Struct, frozen=True):
    """Another partition asked; what it was given, which may be nothing, and why not more."""

    amount: int
    reason: Reason | None
    grant: Transfer | None  # to be produced with the entry; None: the question was none to answer


class Credit(msgspec.Struct, frozen=True):
    """Another partition gave: what was added here, and what came too late to be spent in its period."""

    amount: int
    lapsed: int
    reason: Reason | None


_decode_transfer = msgspec.json.Decoder(Transfer).decode
encode_transfer = msgspec.json.Encoder().encode


def read_transfer(value: bytes) -> Transfer:
    """A record of `dry.transfers`. Raises ValueError with what is wrong."""
    return _decode_transfer(value)
