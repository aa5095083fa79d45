"""The budgets of one partition: reserve at the decision, settle or release at its outcome, or let it expire.

    budgets.advance(at)                                    once for every decision, before it reserves
    budgets.reserve(at, [Want("team_day", 120)], keys)     all accounts of the chain, or none
    budgets.settle(at, reservation=41, cost=95)            what it really cost: less, or more

Rule 1: the answer of an operation is what its entry must record; nothing else has changed, and from the answers alone
every balance can be computed again.
Rule 2: what is not known to be allowed is refused: an unknown account, an amount that is none, a full table, a debt.
Rule 3: a reservation belongs to the period it was made in. What comes back after its end stays there and lapses.
Rule 4: an answer depends on the operations before it, in their order, and on nothing else.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Final, Literal

import msgspec

from sidechain.models.dry.budget.book import AMOUNT_MAX, Book, book_name, is_amount
from sidechain.models.dry.budget.memory import How, Memory
from sidechain.models.dry.budget.plan import AccountPlan, BudgetPlan, allotment
from sidechain.models.dry.budget.records import (
    Closed,
    Closing,
    Credit,
    Debit,
    Held,
    Moment,
    Part,
    Reason,
    Refused,
    Reserved,
    Transfer,
    Want,
)
from sidechain.models.dry.budget.transfers import answered, asked, asked_amount, given
from sidechain.models.dry.state import Change

EXPIRED_AT_ONCE: Final = 16  # reservations that one entry lets expire; the others wait for the next

_name_of: Final = itemgetter(0)
_REPEATED: Final[dict[How, Reason]] = {
    "settled": "already-settled",
    "released": "already-released",
    "expired": "expired",
}


class _Period(msgspec.Struct, frozen=True, gc=False):
    """An account's period, and how the names of its books begin."""

    from_ms: int
    until_ms: int
    prefix: str


class Budgets:
    """Every account of one partition, and what is held in them."""

    def __init__(
        self, plan: BudgetPlan, partition: int, partitions: int, *, epoch: int = 0, nothing_before_ms: int = 0
    ) -> None:
        """No account has been used yet.

        `nothing_before_ms`: after a repair nobody knows what was spent, so books of periods that began before this
        time open with nothing in them.
        """
        if not 0 <= partition < partitions:
            raise ValueError(f"partition {partition} of {partitions}")
        self.plan = plan
        self.partition = partition
        self.partitions = partitions
        self.epoch = epoch
        self.nothing_before_ms = nothing_before_ms
        self._memory = Memory(plan.remembered)
        self._periods: dict[str, _Period] = {}  # the one each account was asked for last

    def change(self, plan: BudgetPlan) -> None:
        """A policy took effect: its limits hold for every book that is opened from here on, its accounts at once.

        Open books keep the limit they were opened with until their period ends; reservations keep their timeout.
        """
        self.plan = plan
        self._periods.clear()
        self._memory.remember(plan.remembered)

    def advance(self, at: Moment) -> tuple[Closed, ...]:
        """The clock stands at `at.now_ms`: the reservations that expire by this entry, oldest first."""
        memory = self._memory
        expired: tuple[Closed, ...] = ()
        if memory.due_ms <= at.now_ms:
            expired = self._expire(at)
        memory.tidy(at)
        return expired

    def reserve(
        self, at: Moment, wants: Sequence[Want], keys: Mapping[str, str | None], *, may_ask: bool = True
    ) -> Reserved | Refused:
        """Hold every wanted amount in its account and in all above it, or hold nothing.

        `keys`: for each account that is one per key, the event's key; absent or None is unknown. No two wants of one
        decision may lead to the same account. `may_ask`: not where this entry has asked another partition already.
        """
        parts, problem = self._parts(at, wants, keys)
        if problem is not None:
            return problem
        memory, most = self._memory, self.plan.max_accounts
        if len(memory.open) >= self.plan.max_open:
            return Refused("too-many-open")
        known = memory.books
        books: list[tuple[str, Book]] = []
        opening = 0
        for name, one in parts:
            book = known.get(name)
            if book is None:
                opening += 1
                book = self._opening(at, self.plan.accounts[one.account], one.key, one.from_ms)
            if book is None or len(known) + opening > most:
                return Refused("too-many-accounts", one.account, one.key)
            if book.overrun:
                return Refused("owing", one.account, one.key, one.amount, 0)
            if one.amount > book.remaining:
                ask = self._ask(at, one, name, book, needed=one.amount) if may_ask else None
                return Refused("exhausted", one.account, one.key, one.amount, book.remaining, ask)
            books.append((name, book.reserve(one.amount)))
        return self._hold(at, tuple([one for _, one in parts]), books, may_ask=may_ask)

    def settle(
        self, at: Moment, reservation: int, cost: int | None = None, unit: str | None = None
    ) -> Closed | Refused:
        """The outcome of decision `reservation`: it cost `cost`, or what was reserved where that is None.

        `unit`: of the cost; it may be left out where everything was reserved in one. Parts in other units are spent as
        reserved. More than was reserved takes what remains, and is owed beyond that: the account is then closed.
        """
        held = self._memory.open.get(reservation)
        if held is None:
            return self._not_open(at, reservation)
        units = {one.unit for one in held.parts}
        if cost is not None:
            if not is_amount(cost):
                return Refused("bad-amount")
            if (unit is None and len(units) > 1) or (unit is not None and unit not in units):
                return Refused("unknown-unit")
            for one in held.parts:
                if self._memory.books[one.book].overrun + cost > AMOUNT_MAX:
                    return Refused("balance-too-large", one.account, one.key)

        def real_cost(one: Part) -> int:
            return one.amount if cost is None or unit not in (None, one.unit) else cost

        return self._close(at, reservation, "settled", real_cost)

    def release(self, at: Moment, reservation: int) -> Closed | Refused:
        """What decision `reservation` held was not needed."""
        if reservation not in self._memory.open:
            return self._not_open(at, reservation)
        return self._close(at, reservation, "released", _nothing)

    def debit(self, at: Moment, ask: Transfer) -> Debit:
        """Another partition asks for a part of an account's allotment here."""
        if ask.kind != "ask" or ask.to != self.partition or ask.source >= self.partitions:
            return Debit(0, "foreign-transfer", None)
        if self._memory.has_sealed(ask.source, ask.epoch, ask.seq):
            return Debit(0, "repeated-transfer", None)
        self._memory.seal(ask.source, ask.epoch, ask.seq)
        name, book, reason = self._lender(at, ask)
        amount = 0
        if book is not None:
            amount = given(book, ask.amount)
            reason = None if amount == ask.amount else "exhausted"
            if amount:
                self._memory.put(name, book.send(amount), at.now_ms)
        return Debit(amount, reason, self._transfer(at, "grant", ask.source, ask, amount))

    def credit(self, at: Moment, grant: Transfer) -> Credit:
        """Another partition has given some of its allotment; what comes after its period lapses."""
        if grant.kind != "grant" or grant.to != self.partition or grant.source >= self.partitions:
            return Credit(0, 0, "foreign-transfer")
        if self._memory.has_sealed(grant.source, grant.epoch, grant.seq):
            return Credit(0, 0, "repeated-transfer")
        self._memory.seal(grant.source, grant.epoch, grant.seq)
        name, book, reason = self._lender(at, grant)
        if book is None:
            return Credit(0, grant.amount, reason)
        if max(book.initial, book.received) + grant.amount > AMOUNT_MAX:
            return Credit(0, grant.amount, "balance-too-large")
        book = book.receive(grant.amount)
        if book.asking == grant.source:
            book = answered(book, grant.amount, self.partitions, at.now_ms)
        self._memory.put(name, book, at.now_ms)
        return Credit(grant.amount, 0, None)

    def book(self, at: Moment, account: str, key: str = "") -> Book | None:
        """The book of the period that the clock is in; None: the policy has no such account."""
        return self._book(at, account, key)[1]

    @property
    def books(self) -> Mapping[str, Book]:
        """Every book something happened in, by `<account>:<unit>:<start>:<end of its period>:<key>`."""
        return self._memory.books

    @property
    def open(self) -> int:
        """How many reservations wait for their outcome."""
        return len(self._memory.open)

    @property
    def total(self) -> int:
        """Of the shares of all records, as of the last `changes`: this part of the state's digest."""
        return self._memory.total

    def changes(self) -> Iterator[Change]:
        """The state records that changed since the last call."""
        return self._memory.changes()

    def forget_changes(self) -> None:
        """Nobody writes this state down."""
        self._memory.forget_changes()

    def restore(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Take over the records of the changelog, in any order. Raises CorruptBudget, which says what is wrong."""
        self._memory.restore(records)

    def _expire(self, at: Moment) -> tuple[Closed, ...]:
        memory = self._memory
        expired: list[Closed] = []
        cost_of = _all if self.plan.on_timeout == "commit" else _nothing
        while memory.open and len(expired) < EXPIRED_AT_ONCE:
            seq, held = next(iter(memory.open.items()))
            if held.expires_ms > at.now_ms:
                break
            expired.append(self._close(at, seq, "expired", cost_of))
        memory.due_ms = next(iter(memory.open.values())).expires_ms if memory.open else AMOUNT_MAX
        return tuple(expired)

    def _parts(
        self, at: Moment, wants: Sequence[Want], keys: Mapping[str, str | None]
    ) -> tuple[list[tuple[str, Part]], Refused | None]:
        """What is to be held, under the names of the books that are to hold it."""
        parts: list[tuple[str, Part]] = []
        chains, now_ms, periods = self.plan.chains, at.now_ms, self._periods
        seen: set[str] = set()
        for want in wants:
            amount = want.amount
            if not is_amount(amount):
                return parts, Refused("bad-amount", want.account)
            chain = chains.get(want.account)
            if chain is None:
                return parts, Refused("unknown-account", want.account)
            for account in chain:
                name = account.name
                if name in seen:
                    raise ValueError(f"a decision reserves twice in account {name}")
                seen.add(name)
                key = keys.get(name) if account.is_per_key else ""
                if key is None or (account.limit is None and account.limit_of(key) is None):
                    return parts, Refused("unknown-account", name, key)
                period = periods.get(name)
                if period is None or not period.from_ms <= now_ms < period.until_ms:
                    periods[name] = period = _period_of(account, now_ms)
                part = Part(name, key, account.unit, period.from_ms, period.until_ms, amount)
                parts.append((period.prefix + key, part))
        return parts, None

    def _hold(self, at: Moment, parts: tuple[Part, ...], books: list[tuple[str, Book]], *, may_ask: bool) -> Reserved:
        memory = self._memory
        if not parts or at.seq in memory.open:
            raise ValueError(f"decision {at.seq} reserves nothing, or twice")
        expires_ms = at.now_ms + self.plan.timeout_ms
        if (
            expires_ms < memory.latest_ms and memory.open
        ):  # a shorter timeout of a new policy overtakes none that is open
            expires_ms = max(expires_ms, next(reversed(memory.open.values())).expires_ms)
        for name, book in sorted(books, key=_name_of) if len(books) > 1 else books:
            memory.put(name, book, at.now_ms)
        memory.hold(at.seq, Held(expires_ms, parts))
        ask = None
        if may_ask and self.partitions > 1:
            for part, (name, book) in zip(parts, books, strict=True):
                if (ask := self._ask(at, part, name, book, needed=0)) is not None:
                    break  # an entry asks once
        remaining, initial = [book.remaining for _, book in books], [book.initial for _, book in books]
        return Reserved(parts, tuple(remaining), tuple(initial), expires_ms, ask)

    def _close(self, at: Moment, reservation: int, how: How, cost_of: Callable[[Part], int]) -> Closed:
        memory = self._memory
        closings: list[Closing] = []
        for one in memory.open[reservation].parts:
            name, amount, cost = one.book, one.amount, cost_of(one)
            before = memory.books[name]
            after = before.settle(amount, cost)
            overrun = after.overrun - before.overrun if after.overrun > before.overrun else 0
            closings.append(Closing(one.account, one.key, one.from_ms, amount, cost, overrun, after.remaining))
            memory.put(name, after, at.now_ms)
        memory.close(reservation, how, at.seq)
        return Closed(reservation, how, tuple(closings))

    def _not_open(self, at: Moment, reservation: int) -> Refused:
        how = self._memory.how_closed(reservation, at.seq)
        return Refused("unknown-reservation" if how is None else _REPEATED[how])

    def _book(self, at: Moment, account: str, key: str) -> tuple[str, Book | None]:
        """Name and book of the current period, which may have to be opened."""
        plan = self.plan.accounts.get(account)
        if plan is None:
            return "", None
        return self._of_period(at, plan, key, plan.period_of(at.now_ms))

    def _of_period(self, at: Moment, plan: AccountPlan, key: str, from_ms: int) -> tuple[str, Book | None]:
        name = book_name(plan.name, plan.unit, from_ms, from_ms + plan.period_ms, key)
        book = self._memory.books.get(name)
        return name, self._opening(at, plan, key, from_ms) if book is None else book

    def _opening(self, at: Moment, plan: AccountPlan, key: str, from_ms: int) -> Book | None:
        """A book nothing has happened in; None: there is no such account."""
        if (limit := plan.limit_of(key)) is None:
            return None
        part = allotment(limit, self.partition, self.partitions) if plan.is_shared else limit
        if from_ms < self.nothing_before_ms:
            part = 0
        return Book.new(at.seq, from_ms, from_ms + plan.period_ms, part)

    def _lender(self, at: Moment, transfer: Transfer) -> tuple[str, Book | None, Reason | None]:
        """The book a transfer is about, if it can be given from or added to."""
        plan = self.plan.accounts.get(transfer.account)
        if transfer.until_ms <= at.now_ms:
            return "", None, "period-over"
        if (
            plan is None
            or not plan.is_shared
            or plan.unit != transfer.unit
            or plan.period_of(transfer.from_ms) != transfer.from_ms
            or transfer.until_ms - transfer.from_ms != plan.period_ms
        ):
            return "", None, "unknown-account"
        name, book = self._of_period(at, plan, transfer.key, transfer.from_ms)
        if book is None:
            return name, None, "unknown-account"
        if self._has_no_place(name):
            return name, None, "too-many-accounts"
        return name, book, None

    def _has_no_place(self, name: str) -> bool:
        return name not in self._memory.books and len(self._memory.books) >= self.plan.max_accounts

    def _ask(self, at: Moment, part: Part, name: str, book: Book, *, needed: int) -> Transfer | None:
        """A question to the next partition, where this account runs low and nobody is being asked."""
        plan = self.plan.accounts[part.account]
        if not plan.is_shared or self.partitions == 1 or at.now_ms < book.ask_after_ms:
            return None
        amount = asked_amount(book, needed, plan.limit_of(part.key) or 0)
        if not amount or self._has_no_place(name):
            return None
        book = asked(book, self.partition, self.partitions, at.now_ms)
        self._memory.put(name, book, at.now_ms)
        return self._transfer(at, "ask", book.asking, part, amount)

    def _transfer(
        self, at: Moment, kind: Literal["ask", "grant"], to: int, about: Transfer | Part, amount: int
    ) -> Transfer:
        return Transfer(
            kind=kind,
            source=self.partition,
            epoch=self.epoch,
            seq=at.seq,
            to=to,
            account=about.account,
            key=about.key,
            unit=about.unit,
            from_ms=about.from_ms,
            until_ms=about.until_ms,
            amount=amount,
        )


def _period_of(account: AccountPlan, now_ms: int) -> _Period:
    from_ms = account.period_of(now_ms)
    until_ms = from_ms + account.period_ms
    return _Period(from_ms, until_ms, book_name(account.name, account.unit, from_ms, until_ms, ""))


def _all(part: Part) -> int:
    return part.amount


def _nothing(_part: Part) -> int:
    return 0
