"""Where a shard's chains stand: the last entries, checked, and the state that was written with them.

decisions   … entry 40, entry 41, marker      the tail; 41 says where to go on
state       layout, plan:…, k:…, head         the changelog; `head` must name entry 41
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from sidechain.agents.lane.log_ends import Ends, Span, read_spans
from sidechain.agents.lane.problems import REMEDIES, Refused, Remedy
from sidechain.models.dry.chain import Verifier
from sidechain.models.dry.entry import CO_PARTITIONED, is_epoch

log = logging.getLogger(__name__)

HEAD_KEY: Final = b"head"
TAIL: Final = 32  # offsets looked at first; entries and markers
WIDER: Final = 16  # times as many, each time only markers and aborted records were found
NOT_OURS: Final = (
    "No worker of ours writes that: `sidechain verify` says where it begins; restore the topic, or begin anew behind "
    "it with `sidechain repair --epoch`"
)
CHECKED: Final = 16  # entries whose links are checked at a takeover; `sidechain verify` checks all


@dataclass
class Standing:
    """One partition's chain and changelog, as read."""

    entries: list[bytes] = field(default_factory=list)  # the last few, oldest first
    state: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def head(self) -> bytes | None:
        """The last entry; None for a chain that has not begun."""
        return self.entries[-1] if self.entries else None

    @property
    def repair(self) -> Remedy | None:
        """What `sidechain repair` sealed, if that is the last entry."""
        opening = (self.head or b"")[:192]  # nothing but fixed fields stands before the kind
        return next((one for one in REMEDIES if b'"kind":"%b"' % one.encode() in opening), None)


class _Place(msgspec.Struct):
    seq: int
    prev: str
    source: tuple[str, int, int] | None = None


async def read_tails(
    consumer: AIOKafkaConsumer, ends: Ends, decisions: str, partitions: Sequence[int]
) -> dict[int, list[bytes]]:
    """The last visible entries of each chain. Raises Refused for a chain whose entries were all deleted."""
    tps = {one: TopicPartition(decisions, one) for one in partitions}
    spans = await ends.spans(tps.values())
    found: dict[int, list[bytes]] = {one: [] for one in partitions}
    width = TAIL
    while missing := [one for one in partitions if not found[one]]:
        wanted = {tps[one]: _last(spans[tps[one]], width) for one in missing}
        async for tp, records in read_spans(consumer, wanted):
            found[tp.partition].extend(record.value or b"" for record in records)
        done = [one for one in missing if not found[one] and wanted[tps[one]] == spans[tps[one]]]
        for one in done:
            span = spans[tps[one]]
            if span.start > 0:
                raise Refused(
                    f"{decisions}/{one} begins at offset {span.start} and holds no entry any more: the chain was "
                    "deleted. Set its retention to forever and restore it; if it is lost, `sidechain repair --epoch` "
                    "begins a new one",
                    "epoch",
                )
        if len(done) == len(missing):
            break
        width *= WIDER
    return {one: _linked(decisions, one, entries[-CHECKED:]) for one, entries in found.items()}


async def read_state(
    consumer: AIOKafkaConsumer, ends: Ends, topic: str, partitions: Sequence[int]
) -> dict[int, dict[bytes, bytes]]:
    """Each partition's changelog, the newest value of every key."""
    state: dict[int, dict[bytes, bytes]] = {one: {} for one in partitions}
    began, read = time.perf_counter(), 0
    spans = await ends.spans([TopicPartition(topic, one) for one in partitions])
    async for tp, records in read_spans(consumer, spans):
        table = state[tp.partition]
        read += len(records)
        for record in records:
            if record.value is None:
                table.pop(record.key, None)
            else:
                table[record.key] = record.value
    live, took = sum(map(len, state.values())), time.perf_counter() - began
    log.info("partitions %s: read %d state records, %d of them live, in %.3f s", sorted(state), read, live, took)
    return state


def is_unbegun(standing: Standing, partition: int) -> bool:
    """Whether the chain has no entry. Raises Refused when there was one: its state is still there."""
    if standing.head is not None:
        return False
    if HEAD_KEY in standing.state:
        raise Refused(
            f"partition {partition} has state but no entry: dry.decisions was deleted or replaced. Restore it; "
            "beginning anew in silence would fork the history, and `sidechain repair --epoch` begins anew aloud",
            "epoch",
        )
    return True


def _last(span: Span, width: int) -> Span:
    return Span(max(span.start, span.end - width), span.end)


def _linked(decisions: str, partition: int, entries: list[bytes]) -> list[bytes]:
    """The entries of the last epoch, if they are this partition's, sealed, and follow each other. Raises Refused."""
    begins = max((at for at, entry in enumerate(entries) if is_epoch(entry)), default=0)
    entries = entries[begins:]
    if not entries:
        return entries
    places = [_place(decisions, partition, entry) for entry in entries]
    verifier = Verifier(seq=places[0].seq, prev=places[0].prev)
    for entry, place in zip(entries, places, strict=True):
        if broken := verifier.take(entry):
            raise Refused(f"{decisions}/{partition}: the chain is broken near its end: {broken}. {NOT_OURS}", "epoch")
        if place.source is not None and place.source[0] in CO_PARTITIONED and place.source[1] != partition:
            raise Refused(
                f"{decisions}/{partition} holds the chain of partition {place.source[1]}: the topic was restored "
                "wrongly, or somebody else wrote to it. Put every partition's records back where they were",
                "epoch",
            )
    return entries


def _place(decisions: str, partition: int, entry: bytes) -> _Place:
    try:
        return msgspec.json.decode(entry, type=_Place)
    except (ValueError, RecursionError) as fault:  # any bytes may stand here
        raise Refused(
            f"{decisions}/{partition}: the tail holds a record that is no entry ({fault}). {NOT_OURS}", "epoch"
        ) from fault
