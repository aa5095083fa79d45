"""AIOKafkaConsumer over the cluster in memory, with and without a group, as far as the installation uses it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    IllegalGenerationError,
    IllegalStateError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from tests.simulation.group import Group, Member
from tests.simulation.machine import PROCESS
from tests.simulation.wire import BACKOFF_S, Wire

if TYPE_CHECKING:
    from tests.simulation.cluster import Log


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
