"""Batches on their way into the log: one transaction each, one after the other.

    encode n+1    any time
    send n+1      only after every produce of n is acknowledged: two connections would race, and the log would stand
                  out of order
    commit n+1    only after n is committed

Three producers take turns, so that the next batch is produced while the last one commits. The first failure ends the
pipeline: later batches build on entries that are not in the log. What was not committed is decided anew from the log.
Checkpoints ride along: each transaction carries those that are due over what was committed before it was sent.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any, Final, Literal, NamedTuple

from aiokafka import AIOKafkaProducer

from sidechain.agents.lane.outcomes import Forward
from sidechain.agents.lane.producers import close_producers
from sidechain.agents.lane.signed import Books, Signed, Twins
from sidechain.models.dry.transferring import Sent

UNDER_WAY: Final = 2  # batches handed over and not committed, before `submit` waits


class Output(NamedTuple):
    """What one batch adds to one partition. Records are (key, value), dead letters (key, value, headers)."""

    partition: int
    entries: Sequence[tuple[bytes | None, bytes]]
    changes: Sequence[tuple[bytes, bytes | None]]
    dead_letters: Sequence[tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]]
    forwards: Sequence[Forward] = ()  # outcomes that go to other partitions
    transfers: Sequence[Sent] = ()  # what budgets ask of other partitions, or give to them, in the order of the entries


class Committed(NamedTuple):
    """One committed transaction: a batch, checkpoints, or both."""

    outputs: Sequence[Output]
    transaction_s: float  # from the first produce to the commit
    total_s: float  # from the fetch to the commit
    checkpoints: int = 0


class Names(NamedTuple):
    """The topics a lane writes."""

    decisions: str
    state: str
    dead_letters: str
    checkpoints: str = ""  # empty: none are written
    outcomes: str = ""  # empty: none are forwarded
    transfers: str = ""  # empty: nothing is asked or given


class _Work(NamedTuple):
    outputs: Sequence[Output]
    fetched_at: float
    twins: Twins  # the books with this batch in them
    reason: Literal["batch", "due", "last"] = "batch"  # checkpoints alone: those due, or all for now


class _Link:
    """What the next batch waits for."""

    def __init__(self) -> None:
        self.acknowledged = asyncio.Event()
        self.committed = asyncio.Event()

    def release(self) -> None:
        self.acknowledged.set()
        self.committed.set()


class Pipeline:
    """The only writer of a shard's partitions."""

    def __init__(
        self,
        producers: Sequence[AIOKafkaProducer],
        names: Names,
        commit_s: float,
        on_commit: Callable[[Committed], None],
        books: Books | None = None,
    ) -> None:
        self.failure: BaseException | None = None
        self._producers = tuple(producers)
        self._turns = cycle(self._producers)
        self._names = names
        self._commit_s = commit_s
        self._on_commit = on_commit
        self._books = books
        self._room = asyncio.Semaphore(UNDER_WAY)
        self._last = _Link()
        self._last.release()
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, outputs: Sequence[Output], fetched_at: float) -> None:
        """Hand a batch over; returns when it is under way. After a failure nothing is sent any more.

        `fetched_at`: when its input was read, by `time.perf_counter`.
        """
        if self.failure is None:
            producer = next(self._turns)
            batches = list(_encode(producer, self._names, outputs))
            await self._room.acquire()
            twins = {} if self._books is None else self._books.grow(outputs)
            self._start(producer, batches, _Work(outputs, fetched_at, twins))

    async def sign(self, *, last: bool = False) -> None:
        """A transaction of its own for checkpoints, where some are due and no batch is there to carry them."""
        if self.failure is None and self._books is not None and self._books.is_due(last=last):
            await self._room.acquire()
            self._start(next(self._turns), [], _Work([], time.perf_counter(), {}, "last" if last else "due"))

    async def drained(self) -> None:
        """Returns when nothing is under way; raises what went wrong."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self.failure is not None:
            raise self.failure

    async def close(self) -> None:
        """Give up what is under way and disconnect."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await close_producers(self._producers)

    def _start(self, producer: AIOKafkaProducer, batches: Sequence[tuple[str, int, Any]], work: _Work) -> None:
        previous, self._last = self._last, _Link()
        task = asyncio.create_task(self._write(producer, batches, work, previous, self._last))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(
        self,
        producer: AIOKafkaProducer,
        batches: Sequence[tuple[str, int, Any]],
        work: _Work,
        before: _Link,
        link: _Link,
    ) -> None:
        try:
            await before.acknowledged.wait()
            if self.failure is not None:
                return
            async with asyncio.timeout(self._commit_s):
                began = time.perf_counter()
                signed = [] if self._books is None else self._books.due(last=work.reason == "last")
                if (
                    not signed and work.reason != "batch"
                ):  # became needless meanwhile; the next one still has to wait its turn
                    await before.committed.wait()
                    return
                await producer.begin_transaction()
                await _send(producer, [*batches, *_checkpoints(producer, self._names.checkpoints, signed)])
                link.acknowledged.set()
                await before.committed.wait()
                if self.failure is not None:
                    return
                await producer.commit_transaction()
            if self._books is not None:
                self._books.commit(work.twins)
            now = time.perf_counter()
            self._on_commit(Committed(work.outputs, now - began, now - work.fetched_at, len(signed)))
        except BaseException as fault:
            # A cancelled commit may still arrive; whoever comes next asks the log.
            self.failure = self.failure or fault
            if isinstance(fault, asyncio.CancelledError):
                raise
        finally:
            self._room.release()
            link.release()


async def _send(producer: AIOKafkaProducer, batches: Sequence[tuple[str, int, Any]]) -> None:
    """Every batch is acknowledged when this returns; batches of one partition keep their order."""
    lines: dict[tuple[str, int], list[Any]] = {}
    for topic, partition, batch in batches:
        lines.setdefault((topic, partition), []).append(batch)

    async def send(topic: str, partition: int, line: Sequence[Any]) -> None:
        for batch in line:
            await (await producer.send_batch(batch, topic, partition=partition))

    if len(lines) == 1:
        [((topic, partition), line)] = lines.items()
        await send(topic, partition, line)
        return
    outcomes = await asyncio.gather(
        *(send(topic, partition, line) for (topic, partition), line in lines.items()), return_exceptions=True
    )
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


def _encode(producer: AIOKafkaProducer, names: Names, outputs: Iterable[Output]) -> Iterable[tuple[str, int, Any]]:
    now_ms = int(time.time() * 1000)  # when the record was written; nothing sealed depends on it
    for output in outputs:
        by_topic: Mapping[str, Sequence[Any]] = {
            names.decisions: output.entries,
            names.state: output.changes,
            names.dead_letters: output.dead_letters,
        }
        for topic, records in by_topic.items():
            for batch in _filled(producer, records, now_ms):
                yield topic, output.partition, batch
        for one in output.forwards:
            for batch in _filled(producer, [one[1:]], now_ms):
                yield names.outcomes, one.partition, batch
        for partition in sorted({one.partition for one in output.transfers}):
            for batch in _filled(producer, [one[1:] for one in output.transfers if one.partition == partition], now_ms):
                yield names.transfers, partition, batch


def _checkpoints(producer: AIOKafkaProducer, topic: str, signed: Iterable[Signed]) -> Iterable[tuple[str, int, Any]]:
    now_ms = int(time.time() * 1000)
    for one in signed:
        for batch in _filled(producer, [(one.key, one.value)], now_ms):
            yield topic, one.partition, batch


def _filled(producer: AIOKafkaProducer, records: Sequence[Any], now_ms: int) -> Iterable[Any]:
    if not records:
        return
    batch = producer.create_batch()
    for key, value, *headers in records:
        told = list(headers[0]) if headers else []
        if batch.append(timestamp=now_ms, key=key, value=value, headers=told) is None:
            yield batch
            batch = producer.create_batch()  # an empty batch takes one record of any size
            batch.append(timestamp=now_ms, key=key, value=value, headers=told)
    yield batch
