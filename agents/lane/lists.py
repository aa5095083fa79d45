"""The rows of lists for the lanes of a worker: read from `control` when a list is put in force, and held once.

Whoever asks for the same rows shares one table, which is gone when no partition's fold holds it any more. A list is
read on a connection of its own and taken apart in a thread, record by record: decisions go on meanwhile.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from weakref import WeakValueDictionary

from aiokafka import TopicPartition

from sidechain.agents.lane.log_ends import FETCH_BYTES, Ends, Span, read_spans, reader
from sidechain.agents.lane.problems import Refused
from sidechain.models.dry.lists import (
    BYTES_MAX,
    Activation,
    Content,
    Standing,
    Table,
    read_activation,
    rows_from,
    standing_in,
)

log = logging.getLogger(__name__)

AT_ONCE: Final = 2  # lists read at the same time: each needs its records and its table
NEAR: Final = 64  # records that are rather read over than sought past

Named = tuple[Content, tuple[int, ...]]  # what rows are, and the records they were found in


class ListLoader:
    """One per worker."""

    def __init__(self, options: Mapping[str, Any], control: str) -> None:
        self._options = options
        self._tp = TopicPartition(control, 0)
        self._tables: WeakValueDictionary[Named, Table] = WeakValueDictionary()
        self._contents: WeakValueDictionary[Content, Table] = WeakValueDictionary()
        self._under_way: dict[Named, asyncio.Task[Table | None]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def stop(self) -> None:
        """Give up what is being read."""
        for task in list(self._under_way.values()):
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def rows(self, offset: int, activation: Activation) -> Table | None:
        """The rows that the control record at `offset` names; None: not there, or not as it says.

        The answer follows from the log alone. Raises what Kafka answers.
        """
        if not activation.is_behind_its_rows(offset):
            return None
        named = (activation.kind_of_rows, activation.chunks)
        if (found := self._tables.get(named)) is not None:
            return found
        task = self._under_way.get(named)
        if task is None:
            task = self._under_way[named] = asyncio.create_task(self._load(offset, activation, named))
            task.add_done_callback(lambda _task: self._under_way.pop(named, None))
        return await asyncio.shield(task)  # others may wait for it when one lane is told to stop

    async def standing(self, state: Mapping[bytes, bytes], ends: Ends) -> dict[Content, Table]:
        """The rows of the lists in force, as the records of a changelog name them. Raises Refused for lost ones."""
        found = {}
        for one in standing_in(state):
            table = self._contents.get(one.kind_of_rows) or await self._standing(one, ends)
            if table is None:
                raise Refused(
                    f"a list of {one.rows} rows (version {one.version}, SHA-256 {one.digest[:12]}…) is in force, and "
                    f"{self._tp.topic} holds its rows no more: it was truncated or replaced. Restore it, or activate "
                    "the same file there again (`sidechain lists activate`) and start the worker anew"
                )
            found[table.content] = table
        return found

    async def _standing(self, one: Standing, ends: Ends) -> Table | None:
        (value,) = (await self._read([one.offset])).values()
        activation = read_activation(value)
        if activation is not None and activation.kind_of_rows == one.kind_of_rows:
            return await self.rows(one.offset, activation)
        # The topic is not the one it was: these very rows may stand there at other offsets.
        for offset, activation in await self._search(one.kind_of_rows, ends):
            if (table := await self.rows(offset, activation)) is not None:
                return table
        return None

    async def _load(self, offset: int, activation: Activation, named: Named) -> Table | None:
        async with self._room:
            began = time.perf_counter()
            values = await self._read(activation.chunks)
            found = await asyncio.to_thread(rows_from, values.get, offset, activation)
        if found is None:
            log.warning("list %s: its rows are not on %s, or not as it says", activation.ref, self._tp.topic)
            return None
        # The collector need not look at a million rows again and again, 50 ms each time. What was garbage by now is
        # kept with them, some hundred small objects a load; to collect first would look at every key that is
        # remembered, and hold all decisions meanwhile.
        gc.freeze()
        # One table for the same rows, wherever they stand.
        found = self._contents.setdefault(found.content, found)
        self._tables[named] = found
        took = time.perf_counter() - began
        log.info("list %s: %d rows loaded in %.3f s", activation.ref, activation.rows, took)
        return found

    async def _read(self, offsets: Iterable[int]) -> dict[int, bytes | None]:
        """The values of the records at these offsets; None for what no reader sees."""
        found: dict[int, bytes | None] = dict.fromkeys(offsets)
        consumer, size = reader(self._options, max_partition_fetch_bytes=FETCH_BYTES), 0
        await consumer.start()
        try:
            start = (await consumer.beginning_offsets([self._tp]))[self._tp]
            end = (await consumer.end_offsets([self._tp]))[self._tp]
            for span in _spans(one for one in found if start <= one < end):
                async for _, records in read_spans(consumer, {self._tp: span}):
                    for record in records:
                        if record.offset in found:
                            found[record.offset] = record.value
                            size += len(record.value or b"")
                    if size > BYTES_MAX:  # whoever reads on finds no other answer
                        return found
        finally:
            await consumer.stop()
        return found

    async def _search(self, content: Content, ends: Ends) -> list[tuple[int, Activation]]:
        """Where these rows are put in force on `control`, the latest first."""
        found = []
        consumer = reader(self._options, max_partition_fetch_bytes=FETCH_BYTES)
        await consumer.start()
        try:
            async for _, records in read_spans(consumer, await ends.spans([self._tp])):
                for record in records:
                    activation = read_activation(record.value)
                    if activation is not None and activation.kind_of_rows == content:
                        found.append((record.offset, activation))
        finally:
            await consumer.stop()
        return found[::-1]


def _spans(offsets: Iterable[int]) -> Iterator[Span]:
    """Stretches of the log that hold these offsets, and little else."""
    first = last = -1
    for offset in sorted(offsets):
        if first >= 0 and offset > last + NEAR:
            yield Span(first, last + 1)
            first = -1
        first, last = (offset if first < 0 else first), offset
    if first >= 0:
        yield Span(first, last + 1)
