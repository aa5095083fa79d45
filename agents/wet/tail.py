"""What stands on topics already, up to their ends as of now: whoever begins learns from it before it says anything."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.reader import STALL_S, Reader

POLL_MS: Final = 200

Got = Mapping[TopicPartition, Sequence[ConsumerRecord]]


async def look_back(
    consumer: AIOKafkaConsumer,
    options: Mapping[str, Any],
    topics: Iterable[str],
    take: Callable[[Got], object],
    stop: asyncio.Event,
    *,
    back: int,
    a_round: int,
) -> None:
    """`take` the newest `back` records of each partition; from there on `consumer` goes on. Ends early with `stop`.

    Raises EnvironmentProblem when STALL_S pass without a record before the ends are reached.
    """
    names = list(topics)
    tps: list[TopicPartition] = []
    for topic in names:
        async with Reader(options, topic) as reader:
            tps += [TopicPartition(topic, one) for one in await reader.partitions()]
    consumer.assign(tps)
    ends, begins = await consumer.end_offsets(tps), await consumer.beginning_offsets(tps)
    for tp in tps:
        consumer.seek(tp, max(begins[tp], ends[tp] - back))
    progress = asyncio.get_running_loop().time()
    while not stop.is_set() and [tp for tp in tps if await consumer.position(tp) < ends[tp]]:
        got = await consumer.getmany(timeout_ms=POLL_MS, max_records=a_round)
        take(got)
        now = asyncio.get_running_loop().time()
        progress = now if got else progress
        if now - progress > STALL_S:
            raise EnvironmentProblem(f"no record of {', '.join(names)} came for {STALL_S:.0f} s")
