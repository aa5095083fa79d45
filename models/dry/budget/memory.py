"""What a partition remembers of its budgets, and how it stands on the changelog.

    account:team_day:EUR:864000000:950400000:   [4,864000000,950400000,500,500,380,100,20,0,1,0,0,-1,0,0]
    reservation:41    [950400000,[["team_day","","EUR",864000000,950400000,100]]]
    closed:0          [[40,"settled"]]   how the reservations of entries 0..255 ended
    transfers:2       [0,17]   epoch and seq of the last transfer sealed from partition 2

Rule 1: a book is forgotten when nothing would be lost, so never while somebody holds a part of it or, in its period,
after anything was spent. Books of ended periods go a few at an operation, in an order that depends on entries alone.
Rule 2: what was dumped and restored has the same future, to the byte; records may come back in any order.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal

import msgspec

from sidechain.models.dry.budget.book import AMOUNT_MAX, Book
from sidechain.models.dry.budget.records import Held, Moment
from sidechain.models.dry.state import BLOCK, Change, share

ACCOUNT_PREFIX: Final = b"account:"
RESERVATION_PREFIX: Final = b"reservation:"
CLOSED_PREFIX: Final = b"closed:"
TRANSFERS_PREFIX: Final = b"transfers:"
PREFIXES: Final = (ACCOUNT_PREFIX, RESERVATION_PREFIX, CLOSED_PREFIX, TRANSFERS_PREFIX)
SWEPT_AT_ONCE: Final = 16  # books of ended periods that one operation forgets

How = Literal["settled", "released", "expired"]
_Record = str | int | bytes  # what a record is of: a book's name, a reservation's seq; of the few others its own name

_encode = msgspec.json.Encoder().encode
_decode_book = msgspec.json.Decoder(Book).decode
_decode_held = msgspec.json.Decoder(Held).decode
_decode_closed = msgspec.json.Decoder(list[tuple[int, How]]).decode
_decode_transfers = msgspec.json.Decoder(tuple[int, int]).decode


class CorruptBudget(ValueError):  # noqa: N818 - named for what it is
    """A state record that no version of this code has written; nothing is decided on it."""


class Memory:
    """Books, open and closed reservations, and transfers seen, of one partition."""

    def __init__(self, remembered: int) -> None:
        """`remembered`: entries over which it is known how a reservation ended, rounded up to blocks of 256."""
        self.total = 0  # of the shares of all records, as of the last `changes`
        self.books: dict[str, Book] = {}
        self.open: OrderedDict[int, Held] = OrderedDict()  # by seq, and so by when they expire
        self.due_ms = AMOUNT_MAX  # nothing expires before
        self.latest_ms = 0  # nothing expires after
        self._ending: dict[int, dict[str, None]] = {}  # end of a period -> books that nobody has looked at since
        self._next_end_ms = AMOUNT_MAX
        self._closed: dict[int, dict[int, How]] = {}
        self._pruned_at = -1
        self._transfers: dict[int, tuple[int, int]] = {}
        self._dirty: dict[_Record, None] = {}
        self._shares: dict[_Record, int] = {}
        self.remember(remembered)

    def remember(self, entries: int) -> None:
        """A policy took effect that remembers over so many entries."""
        self._ring = -(-entries // BLOCK)
        self._pruned_at = -1

    def put(self, name: str, book: Book, now_ms: int) -> None:
        """The book under `name` is now this one; it goes when nothing would be lost."""
        if not book.open and (book.until_ms <= now_ms or book.is_fresh):
            self._drop(name, book.until_ms)
            return
        self._dirty[name] = None
        if name not in self.books:
            self._await_end(name, book)
        self.books[name] = book

    def tidy(self, at: Moment) -> None:
        """Forget what is over as of this entry, where anything is: nearly never, and every decision asks."""
        if self._next_end_ms <= at.now_ms:
            self._sweep(at.now_ms)
        if at.seq // BLOCK != self._pruned_at:
            self._prune(at.seq // BLOCK)

    def hold(self, seq: int, held: Held) -> None:
        """The decision `seq` reserved something."""
        self.open[seq] = held
        self._dirty[seq] = None
        if held.expires_ms < self.due_ms:
            self.due_ms = held.expires_ms
        if held.expires_ms > self.latest_ms:
            self.latest_ms = held.expires_ms

    def close(self, reservation: int, how: How, seq: int) -> None:
        """Entry `seq` ends a reservation."""
        del self.open[reservation]
        self._dirty[reservation] = None
        block = reservation // BLOCK
        if seq // BLOCK - block <= self._ring:
            closed = self._closed.get(block)
            if closed is None:
                closed = self._closed[block] = {}
            closed[reservation] = how
            self._dirty[_block(block)] = None

    def how_closed(self, reservation: int, seq: int) -> How | None:
        """How a reservation ended; None: there was none, or it is out of memory as of entry `seq`."""
        block = reservation // BLOCK
        return None if seq // BLOCK - block > self._ring else self._closed.get(block, {}).get(reservation)

    def has_sealed(self, source: int, epoch: int, seq: int) -> bool:
        """Whether this transfer was sealed here; a source's transfers come in the order of its entries."""
        return (epoch, seq) <= self._transfers.get(source, (-1, -1))

    def seal(self, source: int, epoch: int, seq: int) -> None:
        """This transfer is sealed here now."""
        self._transfers[source] = (epoch, seq)
        self._dirty[_transfers(source)] = None

    def changes(self) -> Iterator[Change]:
        """What changed since the last call, one record a name."""
        shares = self._shares
        for one in self._dirty:
            name, found = self._record(one)
            self.total -= shares.pop(one, 0)
            if found is None:
                yield name, None
                continue
            value = _encode(found)
            shares[one] = now = share(name, value)
            self.total += now
            yield name, value
        self._dirty.clear()

    def forget_changes(self) -> None:
        """As if `changes` had been asked and its answer thrown away."""
        self._dirty.clear()

    def restore(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Take over the records of the changelog. Raises CorruptBudget for one that cannot have been written."""
        for name, value in records:
            try:
                one = self._learn(name, value)
            except (ValueError, TypeError, RecursionError) as fault:  # any bytes may stand there
                raise CorruptBudget(f"{name!r} cannot be read: {fault}") from fault
            self._shares[one] = now = share(name, value)
            self.total += now
        self.open = OrderedDict(sorted(self.open.items()))
        times = [one.expires_ms for one in self.open.values()]
        self.due_ms, self.latest_ms = min(times, default=AMOUNT_MAX), max(times, default=0)
        for opened, book in sorted(self.books.items(), key=lambda one: (one[1].opened, one[0])):
            self._await_end(opened, book)
        self._check_holds()

    def _sweep(self, now_ms: int) -> None:
        """Forget some books whose period has ended; one that is held goes with its last reservation."""
        left = SWEPT_AT_ONCE
        while self._next_end_ms <= now_ms:
            names = self._ending[self._next_end_ms]
            while names:
                if not left:
                    return
                name, _ = names.popitem()
                if not self.books[name].open:
                    self._drop(name, self._next_end_ms)
                    left -= 1
            del self._ending[self._next_end_ms]
            self._next_end_ms = min(self._ending, default=AMOUNT_MAX)

    def _prune(self, block: int) -> None:
        """Forget how reservations ended that are out of memory as of this block of entries."""
        self._pruned_at = block
        for one in [one for one in self._closed if block - one > self._ring]:
            del self._closed[one]
            self._dirty[_block(one)] = None

    def _learn(self, name: bytes, value: bytes) -> _Record:
        kind, _, rest = name.decode().partition(":")
        if kind == "account":
            book = _decode_book(value)
            if rest.split(":", 4)[2:4] != [str(book.from_ms), str(book.until_ms)]:
                raise ValueError(f"it is of the period from {book.from_ms} until {book.until_ms}")
            self.books[rest] = book
            return rest
        if kind == "reservation":
            seq = _number(rest)
            self.open[seq] = _decode_held(value)
            return seq
        if kind == "closed":
            block = _number(rest)
            self._closed[block] = closed = dict(_decode_closed(value))
            if any(one // BLOCK != block for one in closed):
                raise ValueError("it names an entry of another block")
        elif kind == "transfers":
            self._transfers[_number(rest)] = _decode_transfers(value)
        else:
            raise ValueError("no record of a budget")
        return name

    def _check_holds(self) -> None:
        """What the reservations hold is what the books say is held."""
        held: dict[str, list[int]] = {}
        for reservation in self.open.values():
            for one in reservation.parts:
                total = held.setdefault(one.book, [0, 0])
                total[0] += 1
                total[1] += one.amount
        for name, book in self.books.items():
            if held.pop(name, [0, 0]) != [book.open, book.reserved]:
                raise CorruptBudget(
                    f"account {name} says that {book.reserved} is held by {book.open} reservations; those that are "
                    "there hold another amount"
                )
        if held:
            raise CorruptBudget(f"something is reserved in account {min(held)}, which is not there")

    def _await_end(self, name: str, book: Book) -> None:
        self._ending.setdefault(book.until_ms, {})[name] = None
        self._next_end_ms = min(self._next_end_ms, book.until_ms)

    def _drop(self, name: str, until_ms: int) -> None:
        if self.books.pop(name, None) is not None:
            self._ending.get(until_ms, {}).pop(name, None)
            self._dirty[name] = None

    def _record(self, one: _Record) -> tuple[bytes, Any]:
        """Its name, and what is to be written; None: nothing any more."""
        if isinstance(one, int):
            return RESERVATION_PREFIX + b"%d" % one, self.open.get(one)
        if isinstance(one, str):
            return ACCOUNT_PREFIX + one.encode(), self.books.get(one)
        kind, _, number = one.partition(b":")
        if kind == b"closed":
            block = self._closed.get(int(number))
            return one, None if block is None else list(block.items())
        return one, self._transfers[int(number)]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or text != str(int(text)):
        raise ValueError(f"{text[:40]!r} is no number")
    return int(text)


def _block(block: int) -> bytes:
    return CLOSED_PREFIX + b"%d" % block


def _transfers(source: int) -> bytes:
    return TRANSFERS_PREFIX + b"%d" % source
