"""Put a policy in force: one record on `control`, and word from every partition that it sealed it.

The record carries the policy's whole text, so the chain can be replayed from the topics alone for as long as they are
kept, and its digest, which is that of the file: `sha256sum web.yaml` shows it.
"""

import asyncio
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Final

import msgspec
from aiokafka import AIOKafkaProducer

from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import AnswerIsNo, EnvironmentProblem, UsageProblem
from sidechain.agents.reader import Reader
from sidechain.agents.settings import Config
from sidechain.models.policy import Policy
from sidechain.topics.human import PolicyRecord

BEGINNING: Final = -1  # instead of an offset: in force since the first entry

Sealed = Callable[[int, int], None]  # told the partition and the seq of its policy entry


async def standing(config: Config, policy: Policy, proposal: str | None = None) -> int | None:
    """Where on `control` this policy was put in force, when nothing came after it; None when it is to be activated.

    BEGINNING when no policy was ever activated and this is the one the chains began under. Activating it again would
    seal nothing, and whoever waited for a seal would wait for ever. For the same reason `UsageProblem` is raised where
    `proposal` is to be sealed and the policy was put in force without it.
    """
    newest: PolicyRecord | None = None
    offset = BEGINNING
    async with Reader(kafka_options(config), config.topic("control")) as reader:
        async for records in reader.to_end(await reader.partitions()):
            for one in records:
                if (read := _read(one.value)) is not None and read.name == policy.name:
                    newest, offset = read, one.offset
    if newest is None:
        is_there = await _began_under(config, policy)
    else:
        is_there = newest.digest == policy.digest
    if not is_there:
        return None
    if proposal is not None and (newest is None or newest.proposal != proposal):
        raise UsageProblem(
            f"{policy.ref} is in force already, without proposal {proposal[:12]}: no entry will ever name that one"
        )
    return offset


async def activate(config: Config, policy: Policy, by: str, proposal: str | None = None) -> int:
    """Write the activation, with the id of the proposal it follows; returns its offset on `control`."""
    record = PolicyRecord(
        name=policy.name,
        version=policy.version,
        digest=policy.digest,
        by=by,
        at=time.time_ns() // 1_000_000,
        text=policy.text,
        proposal=msgspec.UNSET if proposal is None else proposal,
    )
    producer = AIOKafkaProducer(
        **kafka_options(config), acks="all", enable_idempotence=True, max_request_size=8_000_000
    )
    try:
        await producer.start()
        topic = config.topic("control")
        sent = await producer.send_and_wait(topic, msgspec.json.encode(record), policy.name.encode(), partition=0)
        return int(sent.offset)
    finally:
        await producer.stop()


async def sealed_everywhere(
    config: Config, offset: int, within_s: float, sealed: Sealed, what: str = "the policy"
) -> None:
    """Wait until every partition's chain has an entry for the control record at `offset`.

    Raises EnvironmentProblem when some have none within the bound: their decider is down or far behind; AnswerIsNo when
    one refused it.
    """
    source = b'"source":["control",0,%d]' % offset
    async with Reader(kafka_options(config), config.topic("dry.decisions")) as reader:
        waiting = set(await reader.partitions())
        try:
            async with asyncio.timeout(within_s):
                async for records in reader.follow(sorted(waiting), from_end=False):
                    for one in records:
                        if one.partition not in waiting or source not in one.value:
                            continue
                        entry = msgspec.json.decode(one.value)
                        if entry["source"] != ["control", 0, offset]:
                            continue
                        if entry["kind"] == "rejected":
                            raise AnswerIsNo(
                                f"partition {one.partition} refused {what} as entry {entry['seq']}: {entry['reason']}; "
                                "the record is in its dead letters, and nothing changed there"
                            )
                        waiting.discard(one.partition)
                        sealed(one.partition, entry["seq"])
                    if not waiting:
                        return
        except TimeoutError:
            raise EnvironmentProblem(
                f"partitions {sorted(waiting)} have not sealed {what} within {within_s:.0f} s; it is on `control` "
                "and takes effect when their decider gets there (`sidechain worker dry`)"
            ) from None


async def _began_under(config: Config, policy: Policy) -> bool:
    """Whether there is a chain already, and every one begins under this policy."""
    began: set[str] = set()
    async with Reader(kafka_options(config), config.topic("dry.decisions")) as reader:
        for partition in await reader.partitions():
            async for records in reader.to_end([partition]):
                began.add(msgspec.json.decode(records[0].value)["policy"])
                break
    return began == {policy.ref}


def _read(value: bytes | None) -> PolicyRecord | None:
    """An activation; None for what the deciders reject or pass over."""
    try:
        read = msgspec.json.decode(value or b"", type=PolicyRecord)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    is_as_stated = sha256(read.text.encode()).hexdigest() == read.digest
    return read if read.kind == "policy" and is_as_stated else None
