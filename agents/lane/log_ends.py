"""What the broker says about the ends of logs, and reading the part that matters.

`Ends` never fetches, so its questions are answered at once: on a connection that waits for records they would queue
behind the wait.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from sidechain.agents.problems import EnvironmentProblem

POLL_S: Final = 0.02
STALL_S: Final = 20.0  # a read that makes no progress for this long will not
FETCH_BYTES: Final = 4 * 1024 * 1024


class Span(NamedTuple):
    """Offsets `start` up to, not including, `end`."""

    start: int
    end: int


def reader(options: Mapping[str, Any], **more: Any) -> AIOKafkaConsumer:
    """A consumer without a group that sees committed records and never invents a position."""
    return AIOKafkaConsumer(
        **options,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="none",
        **more,
    )


class Ends:
    """Where logs begin and end. One per worker, shared by its lanes."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._stable = reader(options)
        self._all = AIOKafkaConsumer(**options, group_id=None, enable_auto_commit=False)

    async def start(self) -> None:
        """Connect."""
        await asyncio.gather(self._stable.start(), self._all.start())

    async def stop(self) -> None:
        """Disconnect."""
        await asyncio.gather(self._stable.stop(), self._all.stop(), return_exceptions=True)

    async def meet(self, topics: Mapping[str, int]) -> None:
        """Learn who leads these topics' partitions (name -> count), so that no takeover waits for it."""
        tps = [TopicPartition(topic, one) for topic, count in topics.items() for one in range(count)]
        await asyncio.gather(self._all.end_offsets(tps), self._stable.end_offsets(tps))

    async def spans(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, Span]:
        """From the first record kept to the last stable one."""
        starts, ends = await asyncio.gather(self._all.beginning_offsets(tps), self._stable.end_offsets(tps))
        return {tp: Span(starts[tp], ends[tp]) for tp in tps}

    async def stable(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset behind the last stable record of each."""
        return await self._stable.end_offsets(tps)  # type: ignore[no-any-return]

    async def settled(self, tps: Collection[TopicPartition], timeout_s: float) -> None:
        """Wait until no transaction is open on any of them. Raises EnvironmentProblem, naming the partition."""
        waiting = list(tps)
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            stable, last = await asyncio.gather(self._stable.end_offsets(waiting), self._all.end_offsets(waiting))
            waiting = [tp for tp in waiting if stable[tp] < last[tp]]
            if not waiting:
                return
            if asyncio.get_running_loop().time() > deadline:
                tp = waiting[0]
                raise EnvironmentProblem(
                    f"a transaction on {tp.topic}/{tp.partition} stays open (stable up to {stable[tp]}, log up to "
                    f"{last[tp]}); somebody else writes there, or the broker is still ending it"
                )
            await asyncio.sleep(POLL_S)


async def read_spans(
    consumer: AIOKafkaConsumer, spans: Mapping[TopicPartition, Span]
) -> AsyncIterator[tuple[TopicPartition, Sequence[ConsumerRecord]]]:
    """The visible records of all spans, in order within each. Raises EnvironmentProblem when none come any more."""
    waiting = {tp for tp, span in spans.items() if span.start < span.end}
    if not waiting:
        return
    consumer.assign(list(waiting))
    for tp in waiting:
        consumer.seek(tp, spans[tp].start)
    loop = asyncio.get_running_loop()
    progress = loop.time()
    while waiting:
        got = await consumer.getmany(*waiting, timeout_ms=100)
        for tp, records in got.items():
            if kept := [one for one in records if one.offset < spans[tp].end]:
                yield tp, kept
        # Behind the last record there may be markers only; the position passes them, records do not.
        reached = {tp for tp in waiting if await consumer.position(tp) >= spans[tp].end}
        waiting -= reached
        consumer.pause(*reached)
        if got or reached:
            progress = loop.time()
        elif loop.time() - progress > STALL_S:
            tp = min(waiting)
            raise EnvironmentProblem(
                f"no record of {tp.topic}/{tp.partition} came for {STALL_S:.0f} s although offset {spans[tp].end} is "
                "not reached; is the broker up?"
            )
