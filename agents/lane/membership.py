"""Which shards are ours: one consumer in the group `<prefix>dry` that never fetches a record.

It only joins, beats and leaves; lanes read with consumers of their own, from where their chain ends. The offsets it
commits are for lag dashboards and for one question only the broker can answer: is this worker still a member, in the
generation that gave it the shard? A worker that was stopped and woke up learns it that way, before it writes.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from sidechain.agents.lane.assignor import ShardAssignor, shards_of
from sidechain.agents.lane.problems import Revoked
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.settings import Config

log = logging.getLogger(__name__)

START_S: Final = 60.0
LEAVE_S: Final = 5.0
CONFIRM_S: Final = 5.0
WATCH_MS: Final = 500

OnAssigned = Callable[[Sequence[int]], Awaitable[None]]
OnRevoked = Callable[[], Awaitable[None]]


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """This worker in its group. `on_revoked` is awaited before the group moves on, so it must be bounded."""

    def __init__(
        self, options: Mapping[str, Any], config: Config, on_assigned: OnAssigned, on_revoked: OnRevoked
    ) -> None:
        self.fault: BaseException | None = None  # what a callback raised; aiokafka only logs it
        self._topic = config.topic("events")
        self._shard_size = config.shard_size
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        session_ms = int(config.session_timeout_s * 1000)
        self._consumer = AIOKafkaConsumer(
            **options,
            group_id=f"{config.topic_prefix}dry",
            enable_auto_commit=False,
            auto_offset_reset="latest",
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=min(3_000, session_ms // 3),
            rebalance_timeout_ms=int(config.shutdown_timeout_s * 1000) + session_ms,
            partition_assignment_strategy=(ShardAssignor(self._topic, self._shard_size),),
            max_partition_fetch_bytes=1,  # should a fetch slip out before the pause, it brings next to nothing
        )

    async def start(self) -> None:
        """Join the group; returns when the first assignment was taken over."""
        self._consumer.subscribe([self._topic], listener=self)
        async with asyncio.timeout(START_S):
            await self._consumer.start()

    async def watch(self) -> None:
        """Until cancelled. Raises what ended the membership: a refused group, or what a callback raised."""
        while True:
            # Everything is paused, so this returns no record; a member that never asks is expelled after a while.
            try:
                await self._consumer.getmany(timeout_ms=WATCH_MS)
            except KafkaError as fault:
                raise EnvironmentProblem(
                    f"the membership in the group of the workers has ended: {fault}; is the cluster well, and may we "
                    "join? (`sidechain doctor`)"
                ) from fault
            if self.fault is not None:
                raise self.fault

    async def stop(self) -> None:
        """Leave the group at once, so that the shards move without waiting for the session to end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._consumer.stop()

    async def confirm(self, offsets: Mapping[int, int]) -> None:
        """Ask the broker whether these partitions are ours, and leave the offsets for dashboards. Raises Revoked."""
        try:
            async with asyncio.timeout(CONFIRM_S):
                await self._consumer.commit({TopicPartition(self._topic, one): at for one, at in offsets.items()})
        except (CommitFailedError, IllegalStateError) as fault:
            raise Revoked(f"the group has moved on: {fault}") from fault

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Called by aiokafka once per generation."""
        self._consumer.pause(*assigned)
        await self._guarded(self._on_assigned(shards_of((one.partition for one in assigned), self._shard_size)))

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Called by aiokafka before every rejoin, with everything this worker held."""
        if revoked:
            log.info("the group rebalances; %d partitions are handed back", len(revoked))
        await self._guarded(self._on_revoked())

    async def _guarded(self, callback: Awaitable[None]) -> None:
        try:
            await callback
        except Exception as fault:  # aiokafka logs and forgets it; `watch` must not
            self.fault = fault
            raise
