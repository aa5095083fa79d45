"""AIOKafkaProducer over the cluster in memory: what it repeats by itself and what it raises follows aiokafka 0.14."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import (
    IllegalOperation,
    KafkaError,
    KafkaTimeoutError,
)

from tests.simulation.cluster import is_worth_repeating
from tests.simulation.machine import PROCESS
from tests.simulation.wire import BACKOFF_S, Wire


class _Batch:
    """A batch under construction. It holds few records, so that large outputs need several."""

    def __init__(self, most: int) -> None:
        self.records: list[Any] = []
        self._most = most

    def append(self, *, timestamp: Any, key: Any, value: Any, headers: Any = ()) -> Any:
        if len(self.records) >= self._most:
            return None
        self.records.append((key, value, tuple(headers), timestamp))
        return True

    def record_count(self) -> int:
        return len(self.records)


class Producer:
    """AIOKafkaProducer, idempotent or transactional."""

    def __init__(self, *, transactional_id: str = "", transaction_timeout_ms: int = 60_000, **options: Any) -> None:
        self._wire: Wire = PROCESS.get().wire
        self._cluster = self._wire.cluster
        self._name = transactional_id
        self._transaction_s = transaction_timeout_ms / 1000
        self._bound_s = options.get("request_timeout_ms", 40_000) / 1000
        self._who = (0, 0)
        self._sent: dict[TopicPartition, int] = {}
        self._lines: dict[TopicPartition, Any] = {}  # the last batch under way to each partition
        self._added: set[TopicPartition] = set()
        self._state = "ready"
        self._fault: BaseException | None = None
        self._ending: Any = None
        self.client = self  # `producer.client.close()`
        self._txn_manager = SimpleNamespace(wait_for_transaction_end=lambda: None)
        self._message_accumulator = SimpleNamespace(_batches={}, _pending_batches=set())

    async def start(self) -> None:
        if self._name:
            await self._again("init", self._initialise)
        else:
            self._who = (await self._wire.insist("init", self._cluster.new_pid), 0)

    async def stop(self) -> None:
        under_way = [one for one in self._lines.values() if not one.done()]
        if under_way and self._fault is None:
            await asyncio.wait(under_way)
        await self.close()

    async def close(self) -> None:
        for one in (*self._lines.values(), self._ending):
            if one is not None:
                one.cancel()

    def create_batch(self) -> _Batch:
        return _Batch(self._cluster.batch_most)

    async def begin_transaction(self) -> None:
        if self._fault is not None:
            raise self._fault
        if self._state != "ready":
            raise IllegalOperation(f"a transaction is {self._state}")
        self._state = "open"
        self._added.clear()

    async def send_batch(self, batch: _Batch, topic: str, *, partition: int) -> Any:
        if self._name and self._state != "open":
            raise IllegalOperation("no transaction is open")
        tp = TopicPartition(topic, partition)
        before = self._lines.get(tp)
        task = self._lines[tp] = asyncio.create_task(self._send(tp, batch.records, before))
        return task

    async def commit_transaction(self) -> None:
        if self._fault is not None:
            raise self._fault
        self._state = "committing"
        self._ending = asyncio.create_task(self._commit())
        await asyncio.shield(self._ending)

    def _initialise(self) -> None:
        self._who = self._cluster.initialise(self._name, self._transaction_s)
        self._sent.clear()

    async def _send(self, tp: TopicPartition, records: Any, before: Any) -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        if self._fault is not None:
            raise self._fault
        epoch, number = self._who[1], self._sent.get(tp, 0)
        try:
            if self._name and tp not in self._added:
                await self._wire.insist("add", lambda: self._cluster.join(self._name, epoch, tp), self._bound_s)
                self._added.add(tp)
            await self._wire.insist(
                "produce", lambda: self._cluster.produce(tp, self._who, number, records, self._name), self._bound_s
            )
        except KafkaError as fault:
            if self._name:
                self._fault = fault
            raise
        self._sent[tp] = number + 1

    async def _commit(self) -> None:
        if self._lines:
            await asyncio.gather(*self._lines.values())
        if self._added:
            epoch = self._who[1]
            try:
                await self._again("commit", lambda: self._cluster.finish(self._name, epoch, "commit"))
            except KafkaError as fault:
                self._fault = fault
                raise
        self._state = "ready"

    async def _again(self, what: str, do: Callable[[], Any]) -> None:
        """aiokafka's sender repeats these until somebody stops it."""
        while True:
            try:
                await self._wire.ask(what, do)
            except KafkaError as fault:
                if not is_worth_repeating(fault) and not isinstance(fault, KafkaTimeoutError):
                    raise
                await asyncio.sleep(BACKOFF_S)
            else:
                return
