"""`verify --against-events` and `account`: the chain and its inputs, read side by side."""

from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from sidechain.agents.chain_sources import ChainSource
from sidechain.agents.problems import AnswerIsNo
from sidechain.models.dry.completeness import Booked, Completeness
from sidechain.models.dry.fold import InputRecord

Told = Callable[[int], None]


async def books_of(source: ChainSource, partition: int, told: Told) -> Completeness:
    """The books of one partition, as of now. Raises `AnswerIsNo` for a record that is no entry."""
    books = Completeness({one.offset: one async for one in source.control()})
    events = source.events(partition, 0)
    async for lines in source.entries(partition):
        for line in lines:
            entry = _booked(line, partition)
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


def _booked(line: bytes, partition: int) -> Booked:
    try:
        return msgspec.json.decode(line, type=Booked)
    except (ValueError, RecursionError):
        raise AnswerIsNo(
            f"partition {partition} holds a record that is no entry; `sidechain verify` says where"
        ) from None
