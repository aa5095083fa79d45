"""`verify --against-events` and `account`: the chain and its inputs, read side by side."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

import msgspec

from sidechain.agents.chain_sources import ChainSource
from sidechain.models.dry.chain import Verifier
from sidechain.models.dry.completeness import Booked, Completeness
from sidechain.models.dry.entry import CO_PARTITIONED, TRANSFERS, is_epoch
from sidechain.models.dry.lists import is_rows
from sidechain.models.dry.records import InputRecord

Told = Callable[[int], None]


class BooksOf(NamedTuple):
    """The books of one partition, input by input."""

    events: Completeness  # and of control; the kinds of all entries are counted here
    outcomes: Completeness
    transfers: Completeness  # empty where no account is shared between partitions

    @property
    def is_complete(self) -> bool:
        """Whether nothing is wrong."""
        return all(one.is_complete for one in self)

    @property
    def letters_due(self) -> int:
        """How many dead letters the entries speak of."""
        return self.events.kinds["rejected"] + self.outcomes.unread


async def books_of(source: ChainSource, partition: int, told: Told) -> BooksOf:
    """The books of one partition, as of now.

    What `verify` would not call right counts for nothing: it is passed over up to the next epoch, and counted.
    """
    control = {one.offset: one async for one in source.control() if not is_rows(one.value)}
    books = BooksOf(Completeness(control), Completeness(topic="outcomes"), Completeness(topic=TRANSFERS))
    events = _Beside(books.events, lambda start: source.events(partition, start))
    outcomes = _Beside(books.outcomes, lambda start: source.outcomes(partition, start))
    transfers = _Beside(books.transfers, lambda start: source.transfers(partition, start))
    counts_transfers = False  # until a policy shares an account between partitions they mean nothing to the chain
    verifier = Verifier()
    is_begun = False  # retention may have taken a chain's beginning: its links are then known from there on
    async for lines in source.entries(partition):
        for line in lines:
            entry = _booked(line)
            if not is_begun and entry is not None and not is_epoch(line):
                verifier = _behind(line, entry)
            is_begun = True
            fault = _fault(verifier, line, entry, partition, is_broken=bool(books.events.broken))
            if fault is not None or entry is None:
                for one in books if counts_transfers else books[:2]:  # nothing would mend books that are not kept
                    one.pass_over(fault or "no entry", None if entry is None else entry.kind)
                continue
            await events.take(entry)
            if entry.source is None or entry.source[0] == "outcomes":
                await outcomes.take(entry)
            counts_transfers |= TRANSFERS in entry.next
            if counts_transfers and (entry.source is None or entry.source[0] == TRANSFERS):
                await transfers.take(entry)
        told(len(lines))
    await events.rest()
    await outcomes.rest()
    if counts_transfers:
        await transfers.rest()
    return books


async def all_books(source: ChainSource, told: Told) -> dict[int, BooksOf]:
    """The books of every partition."""
    return {one: await books_of(source, one, told) for one in await source.partitions()}


class _Beside:
    """One input, read along with the entries."""

    def __init__(self, books: Completeness, read_from: Callable[[int], AsyncIterator[Sequence[InputRecord]]]) -> None:
        self._books = books
        self._read_from = read_from
        self._records = read_from(0)

    async def take(self, entry: Booked) -> None:
        books = self._books
        if books.turns(entry):
            self._records = self._read_from(books.due)
        while books.lacks(entry):
            if (batch := await anext(self._records, None)) is None:
                books.end()
            else:
                books.feed(batch)
        books.take(entry)

    async def rest(self) -> None:
        while batch := await anext(self._records, None):
            self._books.rest(batch)
        self._books.rest()


def _fault(verifier: Verifier, line: bytes, entry: Booked | None, partition: int, *, is_broken: bool) -> str | None:
    """Why a record counts for nothing; None for a right entry."""
    epoch, count = verifier.epoch, verifier.count
    fault = verifier.take(line)
    if fault is not None:
        return str(fault)
    if is_broken and (verifier.epoch == epoch or not is_epoch(line)):
        return "behind a broken entry"
    if verifier.count == count:
        return "behind a broken entry"
    if (
        entry is not None
        and entry.source is not None
        and entry.source[:2] not in (("control", 0), *((one, partition) for one in CO_PARTITIONED))
    ):
        return f"entry {count} is of {entry.source[0]}, partition {entry.source[1]}"
    return None


def _behind(line: bytes, entry: Booked) -> Verifier:
    """A verifier for a chain that is kept from this entry on."""
    try:
        prev = msgspec.json.decode(line, type=_Linked).prev
    except (ValueError, RecursionError):
        return Verifier()
    return Verifier(seq=entry.seq, prev=prev)


class _Linked(msgspec.Struct):
    prev: str


def _booked(line: bytes) -> Booked | None:
    try:
        return msgspec.json.decode(line, type=Booked)
    except (ValueError, RecursionError):
        return None
