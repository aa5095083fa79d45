"""`verify --against-events` and `account`: the chain and its inputs, read side by side."""

from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from sidechain.agents.chain_sources import ChainSource
from sidechain.models.dry.chain import Verifier
from sidechain.models.dry.completeness import Booked, Completeness
from sidechain.models.dry.entry import is_epoch
from sidechain.models.dry.lists import is_rows
from sidechain.models.dry.records import InputRecord

Told = Callable[[int], None]


async def books_of(source: ChainSource, partition: int, told: Told) -> Completeness:
    """The books of one partition, as of now.

    What `verify` would not call right counts for nothing: it is passed over up to the next epoch, and counted.
    """
    books = Completeness({one.offset: one async for one in source.control() if not is_rows(one.value)})
    events = source.events(partition, 0)
    verifier = Verifier()
    is_begun = False  # retention may have taken a chain's beginning: its links are then known from there on
    async for lines in source.entries(partition):
        for line in lines:
            entry = _booked(line)
            if not is_begun and entry is not None and not is_epoch(line):
                verifier = _behind(line, entry)
            is_begun = True
            fault = _fault(verifier, line, entry, partition, is_broken=bool(books.broken))
            if fault is not None or entry is None:
                books.pass_over(fault or "no entry", None if entry is None else entry.kind)
                continue
            if books.turns(entry):
                events = source.events(partition, books.due)
            while books.lacks(entry):
                await _feed(books, events)
            books.take(entry)
        told(len(lines))
    while batch := await anext(events, None):
        books.rest(batch)
    books.rest()
    return books


async def all_books(source: ChainSource, told: Told) -> dict[int, Completeness]:
    """The books of every partition."""
    return {one: await books_of(source, one, told) for one in await source.partitions()}


async def _feed(books: Completeness, events: AsyncIterator[Sequence[InputRecord]]) -> None:
    batch = await anext(events, None)
    if batch is None:
        books.end()
    else:
        books.feed(batch)


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
        and entry.source[:2]
        not in (
            ("events", partition),
            ("control", 0),
            ("outcomes", partition),
        )
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
