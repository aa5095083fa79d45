"""One account in one period: what it was given, what is left, what is held, what was spent.

    remaining + reserved + committed == initial == allotment + received - sent

Rule 1: a book that does not balance cannot be made: neither computed, nor read back from the changelog.
Rule 2: an operation returns another book; the old one stays as it was, so whoever changes several at once can stop
half-way and has changed none.
Rule 3: an account owes (`overrun`) only when nothing of it is left, and whatever comes back pays the debt first.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

AMOUNT_MAX: Final = 2**53 - 1  # the largest integer that every JSON reader keeps
NOBODY: Final = -1


def is_amount(value: object) -> bool:
    """Whether this is an amount: a whole number of minor units or counts, from 0 to 2**53 - 1."""
    return type(value) is int and 0 <= value <= AMOUNT_MAX


def book_name(account: str, unit: str, from_ms: int, until_ms: int, key: str) -> str:
    """What a book is called: all that two books must share to be one. Only a key may have a colon.

    A policy that changes an account's unit or period has another account, and what is open of the old one stays its.
    """
    return f"{account}:{unit}:{from_ms}:{until_ms}:{key}"


class Book(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """An account's balances in one period. Amounts in the account's unit, times in ms of event time.

    [4,864000000,950400000,500,500,380,100,20,0,1,0,0,-1,0,0]

    Raises ValueError when it would not balance.
    """

    opened: int  # the entry that opened it
    from_ms: int  # the period, its end not included
    until_ms: int
    allotment: int  # this partition's part of the limit when the book was opened
    initial: int  # allotment + received - sent
    remaining: int
    reserved: int
    committed: int
    overrun: int  # costs nothing was left for
    open: int  # reservations that hold a part, be it 0
    received: int  # from other partitions
    sent: int
    asking: int  # the partition that was asked and has not answered, or NOBODY
    turn: int  # how many have answered that they have nothing, or not at all
    ask_after_ms: int  # nobody is asked before; whoever was asked has until then to answer

    def __post_init__(self) -> None:
        """Every book that exists balances."""
        remaining, reserved, committed, overrun = self.remaining, self.reserved, self.committed, self.overrun
        allotment, initial, received, sent = self.allotment, self.initial, self.received, self.sent
        # Integers joined bit by bit are negative if one of them is, and above 2**53 - 1 only if one of them is.
        amounts = remaining | reserved | committed | overrun | allotment | received | sent
        if not (
            remaining + reserved + committed == initial == allotment + received - sent
            and 0 <= amounts <= AMOUNT_MAX
            and initial <= AMOUNT_MAX
            and (not overrun or not remaining)
            and (not reserved or self.open)
            and (self.open | self.turn | self.opened) >= 0
            and self.from_ms < self.until_ms
        ):
            raise ValueError(f"an account that does not balance: {msgspec.structs.asdict(self)}")

    @classmethod
    def new(cls, opened: int, from_ms: int, until_ms: int, allotment: int) -> "Book":
        """A book nothing has happened in, opened by the entry with seq `opened`."""
        return cls(opened, from_ms, until_ms, allotment, allotment, allotment, 0, 0, 0, 0, 0, 0, NOBODY, 0, 0)

    @property
    def is_fresh(self) -> bool:
        """Whether nothing would be lost if it were forgotten and opened anew."""
        return (
            self.remaining == self.allotment
            and not (self.open or self.overrun or self.received or self.sent or self.turn)
            and self.asking == NOBODY
        )

    @property
    def used(self) -> int:
        """What is held or spent, with what nothing was left for."""
        return self.reserved + self.committed + self.overrun

    def reserve(self, amount: int) -> "Book":
        """Hold `amount`, which must remain."""
        return replace(self, remaining=self.remaining - amount, reserved=self.reserved + amount, open=self.open + 1)

    def settle(self, amount: int, cost: int) -> "Book":
        """A reservation of `amount` has cost `cost`: less gives back, more takes what remains, and then owes."""
        if cost <= amount:
            back = amount - cost
            paid = min(back, self.overrun)
            return replace(
                self,
                remaining=self.remaining + back - paid,
                reserved=self.reserved - amount,
                committed=self.committed + cost + paid,
                overrun=self.overrun - paid,
                open=self.open - 1,
            )
        covered = min(cost - amount, self.remaining)
        return replace(
            self,
            remaining=self.remaining - covered,
            reserved=self.reserved - amount,
            committed=self.committed + amount + covered,
            overrun=self.overrun + cost - amount - covered,
            open=self.open - 1,
        )

    def send(self, amount: int) -> "Book":
        """Give `amount`, which must remain, to another partition."""
        return replace(self, initial=self.initial - amount, remaining=self.remaining - amount, sent=self.sent + amount)

    def receive(self, amount: int) -> "Book":
        """Another partition gave `amount`; a debt is paid first."""
        paid = min(amount, self.overrun)
        return replace(
            self,
            initial=self.initial + amount,
            remaining=self.remaining + amount - paid,
            committed=self.committed + paid,
            overrun=self.overrun - paid,
            received=self.received + amount,
        )

    def asked(self, partition: int, *, turn: int, until_ms: int) -> "Book":
        """`partition` was asked for some of its part, and has until `until_ms` to answer."""
        return replace(self, asking=partition, turn=turn, ask_after_ms=until_ms)

    def answered(self, *, turn: int, ask_after_ms: int) -> "Book":
        """The partition that was asked has answered."""
        return replace(self, asking=NOBODY, turn=turn, ask_after_ms=ask_after_ms)
