"""The witness as a process: follows an installation's topics for as long as a run lasts and says what it sees.

    python -m tests.chaos.observer BOOTSTRAP PREFIX POLICY PARTITIONS ROOT_PUB

It prints a line of JSON twice a second: per partition how far events and entries were seen, checked and replayed, and
every fault found. A broker that is away is waited for. It ends at SIGTERM.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.keys import read_public
from sidechain.agents.settings import Config
from sidechain.models.pack_file import load, load_file
from sidechain.models.proof.note import VerifierKey
from tests.chaos.faulty import die_with_parent
from tests.chaos.witness import Witness
from tests.lanes import config_of

POLL_MS = 200
TELL_S = 0.5
PARTITIONED = ("events", "outcomes", "dry.decisions", "dry.deadletters", "dry.checkpoints")


class Seen(msgspec.Struct):
    """One partition, as of now."""

    visible: int
    events_next: int
    decided_next: int
    entries: int
    head: str
    kinds: dict[str, int]
    unmatched: int | None  # the first event with a rejection but no dead letter, or the other way round
    checkpoints: int
    outcomes: int  # visible ones
    outcomes_read: int  # up to which offset their topic was read
    outcomes_waiting: int | None  # the first outcome without an entry, or with half of what is due of a rejection


class Report(msgspec.Struct):
    """One line of the observer."""

    partitions: dict[int, Seen]
    faults: list[str]
    stalled_s: float  # since anything was read


async def observe(config: Config, partitions: int, root: VerifierKey) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    policy = load_file(config.policy)  # type: ignore[arg-type]
    witnesses = [Witness(one, policy, lambda text: load(text, name="control"), root) for one in range(partitions)]
    consumer = AIOKafkaConsumer(
        **kafka_options(config),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="none",
        max_partition_fetch_bytes=1_048_576,
    )
    await consumer.start()
    logical = {config.topic(one): one for one in (*PARTITIONED, "control")}
    tps = [TopicPartition(config.topic(one), number) for one in PARTITIONED for number in range(partitions)]
    tps.append(TopicPartition(config.topic("control"), 0))
    outcomes = [TopicPartition(config.topic("outcomes"), number) for number in range(partitions)]
    consumer.assign(tps)
    for tp in tps:
        consumer.seek(tp, 0)
    told = read = time.monotonic()
    while not stop.is_set():
        got: Any = {}
        with contextlib.suppress(KafkaError, OSError):  # the broker is away; what was lost would be seen
            got = await consumer.getmany(timeout_ms=POLL_MS)
        for tp, records in got.items():
            _hand_over(witnesses, logical[tp.topic], tp.partition, records)
        for one in witnesses:
            one.settle()
        now = time.monotonic()
        read = now if got else read
        if now - told >= TELL_S:
            told = now
            # Behind the last outcome may stand markers, and what a lane forwarded and gave up: never to be seen.
            reached = [await consumer.position(one) for one in outcomes]
            _tell(witnesses, reached, now - read)
    await consumer.stop()


def _hand_over(witnesses: list[Witness], topic: str, partition: int, records: Any) -> None:
    for record in records:
        match topic:
            case "events":
                witnesses[partition].event(record)
            case "outcomes":
                witnesses[partition].outcome(record)
            case "dry.decisions":
                witnesses[partition].entry(record.value, record.offset)
            case "dry.deadletters":
                witnesses[partition].letter(record)
            case "dry.checkpoints":
                witnesses[partition].checkpoint(record.value)
            case _:
                for one in witnesses:
                    one.control(record)


def _tell(witnesses: list[Witness], reached: list[int], stalled_s: float) -> None:
    seen = {
        one.partition: Seen(
            visible=one.visible,
            events_next=one.events_next,
            decided_next=one.decided_next,
            entries=one.seq,
            head=one.head,
            kinds=dict(one.kinds),
            unmatched=one.unmatched,
            checkpoints=one.checkpoints,
            outcomes=one.outcomes,
            outcomes_read=reached[one.partition],
            outcomes_waiting=one.outcomes_waiting,
        )
        for one in witnesses
    }
    report = Report(partitions=seen, faults=[fault for one in witnesses for fault in one.faults], stalled_s=stalled_s)
    os.write(sys.stdout.fileno(), msgspec.json.encode(report) + b"\n")


if __name__ == "__main__":
    die_with_parent()
    address, begins, text, count, public = sys.argv[1:]
    asyncio.run(observe(config_of(address, begins, policy=Path(text)), int(count), read_public(Path(public))))
