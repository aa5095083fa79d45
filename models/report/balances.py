"""What the accounts of several chains come to, from their entries alone, and whether anything of it was lost.

    chain = Balances(0)
    for entry in entries:          # decoded, in the order of the chain
        chain.take(entry)
    together([chain, …])           # {"team_day": Sums(…)}, and every sentence about what does not add up

Rule 1: an entry is believed of what it moves, and held against what that comes to: what remains in each account it
names. What is given must be what remains, is held and is spent, after every entry.
Rule 2: what one partition gave is under way until the other has sealed it, whole and once.
Rule 3: behind an epoch nothing is known of what was held; accounts are counted from there on.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

FAULTS_SHOWN: Final = 8

Place = tuple[str, str, int]  # account, key, beginning of the period


class Sums(NamedTuple):
    """One account over all keys, periods and partitions, in its unit."""

    unit: str
    books: int
    given: int  # a partition's part when it was first used, and what came from or went to others since
    held: int
    spent: int
    owed: int  # costs that nothing was left for
    under_way: int  # given by one partition and not sealed by another yet

    @property
    def remaining(self) -> int:
        """What was given and is neither held nor spent."""
        return self.given - self.held - self.spent


class _Book:
    """An account in one period on one partition."""

    __slots__ = ("costs", "given", "held", "unit")

    def __init__(self, unit: str, given: int) -> None:
        self.unit, self.given, self.held, self.costs = unit, given, 0, 0

    @property
    def spent(self) -> int:
        return min(self.costs, self.given - self.held)

    @property
    def remaining(self) -> int:
        return self.given - self.held - self.spent


class Balances:
    """The accounts of one chain."""

    def __init__(self, partition: int) -> None:
        """Nothing was used yet."""
        self.partition = partition
        self.faults: list[str] = []  # the first few
        self.checked = 0  # balances that were stated and compared
        self.gave: dict[tuple[int, int, int], tuple[int, Place, int]] = {}  # partition, epoch, seq -> to whom, of what
        self.got: list[tuple[tuple[int, int, int], Place, int]] = []
        self.books: dict[Place, _Book] = {}
        self._open: set[int] = set()
        self._epoch = 0

    def take(self, entry: Mapping[str, Any]) -> None:
        """The next entry of the chain."""
        if entry["kind"] == "epoch":
            self._epoch = entry["epoch"]
            self.books.clear()
            self._open.clear()
        elif entry["kind"] in ("debit", "credit"):
            self._move(entry)
        elif (budget := entry.get("budget")) is not None:
            for closed in budget["closed"]:
                self._close(entry["seq"], closed)
            if budget["reserved"] is not None:
                self._reserve(entry["seq"], budget["reserved"])

    def _reserve(self, seq: int, reserved: Mapping[str, Any]) -> None:
        stated = zip(reserved["parts"], reserved["remaining"], reserved["initial"], strict=True)
        for (account, key, unit, from_ms, _until, amount), remaining, initial in stated:
            place = account, key, from_ms
            book = self.books.get(place)
            if book is None or not (book.held or book.costs):  # it may have been forgotten, and opened anew
                book = self.books[place] = _Book(unit, initial)
            book.held += amount
            self._check(seq, place, book, remaining, initial)
        self._open.add(seq)

    def _close(self, seq: int, closed: Mapping[str, Any]) -> None:
        if closed["reservation"] not in self._open:
            self._fault(seq, f"ends what entry {closed['reservation']} holds, and it holds nothing")
            return
        self._open.discard(closed["reservation"])
        for account, key, from_ms, amount, cost, _overrun, remaining in closed["parts"]:
            place = account, key, from_ms
            book = self.books.get(place)
            if book is None:
                self._fault(seq, f"ends what was held in {account}, and nothing was")
                continue
            book.held -= amount
            book.costs += cost
            self._check(seq, place, book, remaining, book.given)

    def _move(self, entry: Mapping[str, Any]) -> None:
        if entry["reason"] in ("repeated-transfer", "foreign-transfer"):
            return
        told, amount = entry["transfer"], entry["amount"]
        place = told["account"], told["key"], told["from_ms"]
        if entry["kind"] == "debit":
            self.gave[self.partition, self._epoch, entry["seq"]] = told["source"], place, amount
            amount = -amount
        else:
            self.got.append(((told["source"], told["epoch"], told["seq"]), place, told["amount"]))
        book = self.books.get(place)
        if book is not None:
            book.given += amount
            self._check(entry["seq"], place, book, book.remaining, book.given)

    def _check(self, seq: int, place: Place, book: _Book, remaining: int, given: int) -> None:
        self.checked += 1
        if book.given != given or book.remaining != remaining or min(book.remaining, book.held, book.spent) < 0:
            name = f"{place[0]} {place[1]}".rstrip()
            self._fault(
                seq,
                f"states {remaining} of {given} in {name}; what stands before it comes to {book.remaining} of "
                f"{book.given}, {book.held} held and {book.spent} spent",
            )

    def _fault(self, seq: int, says: str) -> None:
        if len(self.faults) < FAULTS_SHOWN:
            self.faults.append(f"partition {self.partition}, entry {seq} {says}")


def together(chains: Sequence[Balances]) -> tuple[dict[str, Sums], list[str]]:
    """The accounts of all partitions, and every sentence about what does not add up."""
    faults = [fault for one in chains for fault in one.faults]
    flying = {name: given for one in chains for name, given in one.gave.items()}
    for one in chains:
        for name, place, amount in one.got:
            given = flying.pop(name, None)
            if given != (one.partition, place, amount):
                faults.append(f"partition {one.partition} seals {amount} of {place[0]} that nobody gave it")
    sums: dict[str, Sums] = {}
    for (account, _key, _from), book in _books(chains):
        before = sums.get(account, Sums(book.unit, 0, 0, 0, 0, 0, 0))
        sums[account] = Sums(
            before.unit,
            before.books + 1,
            before.given + book.given,
            before.held + book.held,
            before.spent + book.spent,
            before.owed + book.costs - book.spent,
            0,
        )
    for _to, (account, _key, _from), amount in flying.values():
        if account in sums:
            sums[account] = sums[account]._replace(under_way=sums[account].under_way + amount)
    return dict(sorted(sums.items())), faults


def _books(chains: Iterable[Balances]) -> Iterable[tuple[Place, _Book]]:
    for one in chains:
        yield from one.books.items()
