"""What can never change about an installation: how many partitions there are, and how many make a shard.

    layout      {"partitions":4,"shard_size":4}

It is the first record of every changelog, written in the transaction of the chain's first entry. Whoever changed either
number later would send keys to other chains, so such a worker does not start.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from sidechain.agents.admin import administrator
from sidechain.agents.lane.log_ends import Ends, Span, read_spans
from sidechain.agents.lane.problems import Refused

LAYOUT_KEY: Final = b"layout"
FIRSTS: Final = 64  # offsets in which a changelog's first record is looked for


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What can never change about an installation.

    {"partitions":4,"shard_size":4}
    """

    partitions: int
    shard_size: int


async def partition_counts(options: Mapping[str, Any]) -> dict[str, int]:
    """How many partitions each topic of the cluster has."""
    async with administrator(options) as client:
        # All topics are asked for: naming one that is missing would create it where the broker is set to.
        return {one["topic"]: len(one["partitions"]) for one in await client.describe_topics()}


def count_alike(counts: Mapping[str, int], required: Mapping[str, str], optional: Mapping[str, str]) -> int:
    """The partition count all topics share. `required`, `optional`: logical name -> topic. Raises Refused."""
    for topic in required.values():
        if topic not in counts:
            raise Refused(f"topic {topic} does not exist; `sidechain topics apply` creates what is missing")
    found = {logical: counts[topic] for logical, topic in ({**required, **optional}).items() if topic in counts}
    if len(set(found.values())) > 1:
        told = ", ".join(f"{logical} {count}" for logical, count in found.items())
        raise Refused(
            f"these topics must have the same number of partitions and do not: {told}; an event, its entry and its "
            "state stand at the same partition number"
        )
    return next(iter(found.values()))


async def read_layouts(consumer: AIOKafkaConsumer, ends: Ends, topic: str, partitions: int) -> dict[int, Layout]:
    """The layout sealed in each partition that has begun.

    It is the first record of the changelog; only what an aborted beginning left can stand before it.
    """
    spans = await ends.spans([TopicPartition(topic, one) for one in range(partitions)])
    firsts = {tp: Span(span.start, min(span.end, span.start + FIRSTS)) for tp, span in spans.items()}
    layouts: dict[int, Layout] = {}
    async for tp, records in read_spans(consumer, firsts):
        for record in records:
            if record.key == LAYOUT_KEY and record.value is not None:
                layouts[tp.partition] = _read(record.value, tp.partition)
    return layouts


def check_layout(sealed: Iterable[tuple[int, Layout]], ours: Layout) -> None:
    """Raises Refused when a partition was begun under another layout."""
    for partition, layout in sealed:
        if layout != ours:
            raise Refused(
                f"partition {partition} was begun with {layout.partitions} partitions in shards of "
                f"{layout.shard_size}, and this worker sees {ours.partitions} in shards of {ours.shard_size}; keys "
                "would move to other chains. Go back to the sealed numbers, or begin a new installation (prefix)"
            )


def take_layout(state: dict[bytes, bytes], partition: int, ours: Layout) -> None:
    """Check the layout in a changelog and take it out: what remains is the kernel's."""
    found = state.pop(LAYOUT_KEY, None)
    if found is None and not state:
        raise Refused(
            f"partition {partition} has entries but no state: dry.state was deleted or replaced. Restore it; if it is "
            "lost, `sidechain repair --epoch` begins anew with an empty one",
            "epoch",
        )
    if found is None:
        raise Refused(
            f"the state of partition {partition} holds no layout, so part of dry.state is missing. Restore it; if it "
            "is lost, `sidechain repair --epoch` begins anew with an empty one",
            "epoch",
        )
    check_layout([(partition, _read(found, partition))], ours)


def _read(value: bytes, partition: int) -> Layout:
    try:
        return msgspec.json.decode(value, type=Layout)
    except (ValueError, RecursionError) as fault:  # any bytes may stand here
        raise Refused(
            f"the layout in the state of partition {partition} cannot be read ({fault}): somebody else wrote to "
            "dry.state. Write the record `layout` as it was, or restore the topic"
        ) from fault
