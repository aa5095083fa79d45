"""aiokafka's three clients over the cluster in memory, as far as the installation uses them.

Each speaks through its process's wire: requests and answers take time, get lost, come late, come twice. What a client
repeats by itself and what it raises follows aiokafka 0.14.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any, Final

import aiokafka
import aiokafka.admin
from aiokafka import TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    IllegalGenerationError,
    IllegalOperation,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from tests.simulation.cluster import Cluster, Log, is_worth_repeating
from tests.simulation.group import Group, Member
from tests.simulation.machine import PROCESS, Machine, Process

BACKOFF_S: Final = 0.05
REQUEST_S: Final = 5.0
RTT_S: Final = 0.003
EPOCH_S: Final = 1_700_000_000.0  # what the wall clock says when a schedule begins


class Wire:
    """A process's way to the cluster. The world sets how bad it is."""

    def __init__(self, machine: Machine, process: Process, cluster: Cluster) -> None:
        self.machine, self.process, self.cluster = machine, process, cluster
        self.heal()

    def heal(self) -> None:
        """As good as it gets."""
        self.is_cut = False
        self.unheard = ""  # requests of this kind get lost
        self.loss = self.repetition = 0.0
        self.rtt_s = RTT_S

    async def ask(self, what: str, do: Callable[[], Any], bound_s: float = REQUEST_S) -> Any:
        """One request. Raises what the cluster answers, KafkaConnectionError or KafkaTimeoutError."""
        machine, random = self.machine, self.machine.random
        answer, world = machine.create_future(), machine.in_world()
        later = machine.call_later

        def settle(result: Any, fault: BaseException | None) -> None:
            if not answer.done():
                answer.set_exception(fault) if fault is not None else answer.set_result(result)

        def arrive(is_answered: bool) -> None:
            try:
                result = do()
            except KafkaError as fault:
                if is_answered:
                    later(random.random() * self.rtt_s, settle, None, fault, context=world)
                return
            if not is_answered:
                return
            if asyncio.isfuture(result):
                result.add_done_callback(lambda one: settle(one.result(), None), context=world)
            else:
                later(random.random() * self.rtt_s, settle, result, None, context=world)

        fate = random.random() if self.loss and not self.unheard else 1.0
        if what == self.unheard:
            fate = random.random() * self.loss
        is_lost = self.is_cut or fate < self.loss / 2
        is_answered = not is_lost and fate >= self.loss
        delay_s = random.random() * self.rtt_s
        if not is_lost:
            later(delay_s, arrive, is_answered, context=world)
            if self.repetition and what == "produce" and random.random() < self.repetition:
                later(delay_s + random.random(), arrive, False, context=world)
        if not is_answered:
            machine.log("lost", what, "request" if is_lost else "answer")
        if not is_answered or self.rtt_s > bound_s or what == "join":
            is_timeout = is_answered or random.random() < 0.3
            fault = KafkaTimeoutError() if is_timeout else KafkaConnectionError("connection reset")
            at_s = bound_s if is_timeout else min(bound_s, delay_s + random.random())
            timer = later(at_s, settle, None, fault, context=world)
            try:
                return await answer
            finally:
                timer.cancel()
        return await answer

    async def insist(self, what: str, do: Callable[[], Any], bound_s: float = REQUEST_S) -> Any:
        """Repeat what is worth repeating, as aiokafka does behind most calls."""
        deadline = self.machine.time() + bound_s
        while True:
            try:
                return await self.ask(what, do, max(0.01, min(REQUEST_S, deadline - self.machine.time())))
            except KafkaError as fault:
                if not is_worth_repeating(fault) and not isinstance(fault, KafkaTimeoutError):
                    raise
                if self.machine.time() + BACKOFF_S > deadline:
                    raise KafkaTimeoutError(f"{what}: {fault!r}") from fault
            await asyncio.sleep(BACKOFF_S)


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


class Consumer:
    """AIOKafkaConsumer, with and without a group."""

    def __init__(
        self, *, group_id: str | None = None, isolation_level: str = "read_uncommitted", **options: Any
    ) -> None:
        self._wire: Wire = PROCESS.get().wire
        self._machine = self._wire.machine
        self._cluster = self._wire.cluster
        self._is_stable = isolation_level == "read_committed"
        self._most = options.get("max_poll_records") or 500
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._turn = 0  # counts seeks: what was asked for before is not what is wanted now
        self._session_s = options.get("session_timeout_ms", 10_000) / 1000
        self._beat_s = options.get("heartbeat_interval_ms", 3_000) / 1000
        self._patience_s = options.get("rebalance_timeout_ms", 10_000) / 1000
        self._assignor = options.get("partition_assignment_strategy", (RoundRobinPartitionAssignor,))[0]
        self._group: Group | None = None
        if group_id is not None:
            self._group = self._cluster.groups.setdefault(group_id, Group(self._cluster, group_id))
        self._member: Any = None
        self._name = ""
        self._generation = -1
        self._joined = asyncio.Event()
        self._client = self
        self._subscription = SimpleNamespace(
            subscription=SimpleNamespace(assignment=SimpleNamespace(state_value=self._state_value))
        )

    async def start(self) -> None:
        await self._wire.insist("meet", lambda: None)
        if self._member is not None:
            await self._joined.wait()

    async def stop(self) -> None:
        self._positions.clear()
        member, self._member = self._member, None
        if member is not None and self._group is not None:
            member.cancel()
            await asyncio.wait([member])
            with suppress(KafkaError):
                group, name = self._group, self._name
                await self._wire.ask("leave", lambda: group.leave(name), 1.0)

    # Reading.

    def assign(self, tps: Iterable[TopicPartition]) -> None:
        self._positions = dict.fromkeys(sorted(tps), 0)
        self._paused.clear()
        self._turn += 1

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._positions[tp] = offset
        self._turn += 1

    def assignment(self) -> Any:
        return _Assignment(self._positions)

    def _state_value(self, tp: TopicPartition) -> Any:
        return SimpleNamespace(has_valid_position=True, position=self._positions[tp])

    async def position(self, tp: TopicPartition) -> int:
        if tp not in self._positions:
            raise IllegalStateError(f"{tp} is not assigned")
        return self._positions[tp]

    def last_stable_offset(self, tp: TopicPartition) -> int:
        return self._cluster.logs[tp].stable

    def pause(self, *tps: TopicPartition) -> None:
        self._paused.update(tps)

    def resume(self, *tps: TopicPartition) -> None:
        self._paused.difference_update(tps)

    def paused(self) -> Any:
        return self._paused

    async def getmany(
        self, *tps: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[Any, Any]:
        """What has come; no fault of the wire is seen here, only that nothing comes."""
        wanted = [tp for tp in (sorted(tps) or self._positions) if tp not in self._paused]
        most = max_records or self._most
        if not timeout_ms:
            return {} if self._wire.is_cut or self._machine.random.random() < 0.2 else self._read(wanted, most)
        deadline = self._machine.time() + timeout_ms / 1000
        while True:
            if any(tp in self._positions and self._end(tp) > self._positions[tp] for tp in wanted):
                turn = self._turn
                got: dict[Any, Any] = {}
                with suppress(KafkaError):
                    await self._wire.ask("fetch", lambda: None, max(0.001, deadline - self._machine.time()))
                    if turn == self._turn:
                        got = self._read([tp for tp in wanted if tp not in self._paused], most)
                if got or self._machine.time() >= deadline:
                    return got
                continue
            if not await self._news(wanted, deadline - self._machine.time()):
                return {}

    async def end_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        wanted = list(tps)
        return await self._wire.insist("ends", lambda: {tp: self._end(tp) for tp in wanted})  # type: ignore[no-any-return]

    async def beginning_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        wanted = list(tps)
        return await self._wire.insist("begins", lambda: dict.fromkeys(wanted, 0))  # type: ignore[no-any-return]

    async def topics(self) -> Any:
        return await self._wire.insist("topics", lambda: set(self._cluster.counts))

    async def force_metadata_update(self) -> None:
        """Nothing moves here."""

    def partitions_for_topic(self, topic: str) -> Any:
        return set(range(self._cluster.counts.get(topic, 0))) or None

    def _end(self, tp: TopicPartition) -> int:
        log: Log = self._cluster.logs[tp]
        return log.stable if self._is_stable else log.end

    def _read(self, tps: Iterable[TopicPartition], most: int) -> dict[Any, Any]:
        """Some of what is there: fetches end where they like."""
        random, got = self._machine.random, {}
        for tp in tps:
            if tp not in self._positions:
                continue
            begin, end = self._positions[tp], self._end(tp)
            if end > begin:
                end = min(end, begin + most, begin + 1 + int(random.random() * 40))
                self._positions[tp] = end
                log = self._cluster.logs[tp]
                if records := log.visible(begin, end):
                    got[tp] = records
        return got

    async def _news(self, tps: Iterable[TopicPartition], timeout_s: float) -> bool:
        if timeout_s <= 0:
            return False
        news = self._machine.create_future()
        for tp in tps:
            self._cluster.logs[tp].waiting.append(news)
        timer = self._machine.call_later(timeout_s, _ring, news)
        try:
            await news
        finally:
            timer.cancel()
            news.cancel()
        return self._machine.time() < timer.when()

    # The group.

    def subscribe(self, topics: Iterable[str], listener: Any = None) -> None:
        self._member = asyncio.create_task(self._belong(list(topics), listener))

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        assert self._group is not None
        if any(tp not in self._positions for tp in offsets):
            raise IllegalStateError("a partition is not assigned")
        group, name, generation = self._group, self._name, self._generation
        await self._wire.insist("offsets", lambda: group.commit(name, generation, offsets), 60.0)

    async def _belong(self, topics: list[str], listener: Any) -> None:
        group = self._group
        assert group is not None
        while True:
            if self._generation >= 0:
                await self._hand_back(listener)
            if not self._name:
                self._name = f"{self._wire.process.name}-{next(self._machine.numbers)}"
            # Each time another object: what a late repetition of an old request brings is not this request's.
            said = Member(self._assignor, self._assignor.metadata(topics), self._session_s, self._patience_s)
            name = self._name
            try:
                bound_s = self._patience_s + self._session_s
                generation, given = await self._wire.ask("join", lambda: group.join(name, said), bound_s)  # noqa: B023
            except KafkaError:
                await asyncio.sleep(BACKOFF_S)
                continue
            self._assignor.on_assignment(given)
            self._generation, self._turn = generation, self._turn + 1
            self._paused.clear()
            self._positions = {tp: group.offsets.get(tp, 0) for tp in sorted(given.partitions())}
            if listener is not None:
                await _called(listener.on_partitions_assigned, set(self._positions))
            self._joined.set()
            await self._beat()

    async def _beat(self) -> None:
        """Until the coordinator wants us to join again."""
        group = self._group
        assert group is not None
        while True:
            await asyncio.sleep(self._beat_s)
            try:
                await self._wire.ask("beat", lambda: group.beat(self._name, self._generation), self._session_s / 2)
            except RebalanceInProgressError:
                return
            except (UnknownMemberIdError, IllegalGenerationError):
                self._name = ""
                return
            except KafkaError:
                continue

    async def _hand_back(self, listener: Any) -> None:
        """The listener may take its time; the session goes on meanwhile."""
        if listener is None:
            return
        group, name = self._group, self._name
        assert group is not None
        handing = asyncio.create_task(_called(listener.on_partitions_revoked, set(self._positions)))
        try:
            while not (await asyncio.wait([handing], timeout=self._beat_s))[0]:
                with suppress(KafkaError):
                    await self._wire.ask("beat", lambda: group.beat(name, self._generation), self._session_s / 2)
        finally:
            handing.cancel()


class Admin:
    """AIOKafkaAdminClient, for one question."""

    def __init__(self, **_options: Any) -> None:
        self._wire: Wire = PROCESS.get().wire

    async def start(self) -> None:
        await self._wire.insist("meet", lambda: None)

    async def close(self) -> None:
        """Nothing is held."""

    async def describe_topics(self) -> Any:
        counts = self._wire.cluster.counts
        found = [{"topic": topic, "partitions": list(range(n))} for topic, n in counts.items()]
        return await self._wire.insist("describe", lambda: found)


class Clock:
    """The module `time`, as a process sees it."""

    def perf_counter(self) -> float:
        return asyncio.get_running_loop().time()

    monotonic = perf_counter

    def time(self) -> float:
        return EPOCH_S + asyncio.get_running_loop().time() + PROCESS.get().skew_s

    def time_ns(self) -> int:
        return int(self.time() * 1e9)


class App:
    """Faust, as far as our workers use it: channels, and agents that read them."""

    def __init__(self) -> None:
        self._agents: list[tuple[Any, Any, Any]] = []
        self._tasks: list[Any] = []

    def channel(self, maxsize: int) -> Any:
        return _Channel(maxsize)

    def agent(self, channel: Any, *, name: str, on_error: Any) -> Callable[[Any], Any]:
        def declare(function: Any) -> Any:
            self._agents.append((function, channel, on_error))
            return function

        return declare

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._work(*one)) for one in self._agents]

    async def stop(self) -> None:
        for one in self._tasks:
            one.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _work(self, function: Any, channel: Any, on_error: Any) -> None:
        while True:
            try:
                await function(channel)
            except Exception as fault:  # noqa: BLE001 - as Faust: the handler is told, the agent begins again
                await on_error(function, fault)


class _Channel:
    def __init__(self, maxsize: int) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue(maxsize)

    async def put(self, item: Any) -> None:
        await self._queue.put(item)

    def __aiter__(self) -> "_Channel":
        return self

    async def __anext__(self) -> Any:
        return await self._queue.get()


class _Assignment(set[TopicPartition]):
    """A set that is walked in order."""

    def __iter__(self) -> Iterator[TopicPartition]:
        return iter(sorted(super().__iter__()))


def _ring(news: Any) -> None:
    if not news.done():
        news.set_result(None)


async def _called(callback: Callable[[Any], Awaitable[None] | None], tps: set[TopicPartition]) -> None:
    with suppress(Exception):  # aiokafka logs what a listener raises, and goes on
        if (waiting := callback(tps)) is not None:
            await waiting


FAKES: Final = {
    aiokafka.AIOKafkaProducer: Producer,
    aiokafka.AIOKafkaConsumer: Consumer,
    aiokafka.admin.AIOKafkaAdminClient: Admin,
}


@contextmanager
def in_place() -> Iterator[None]:
    """Within it, every module of `agents` has these clients for aiokafka's, and a clock that shows the loop's time."""
    clock, replaced = Clock(), []
    for name, module in sorted(sys.modules.items()):
        if not name.startswith("sidechain.agents."):
            continue
        for attribute, value in list(vars(module).items()):
            fake = clock if value is time else FAKES.get(value) if isinstance(value, type) else None
            if fake is not None:
                replaced.append((module, attribute, value))
                setattr(module, attribute, fake)
    try:
        yield
    finally:
        for module, attribute, value in replaced:
            setattr(module, attribute, value)
