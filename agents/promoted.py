"""`wet.models`: who is champion, by whose word. Reading it, and writing the record that a promotion is."""

from typing import Final

import msgspec
from aiokafka import AIOKafkaProducer, ConsumerRecord

from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import EnvironmentProblem, UsageProblem
from sidechain.agents.proposals import Proposed
from sidechain.agents.reader import Reader
from sidechain.agents.settings import Config
from sidechain.models.proposal import ModelFile
from sidechain.topics.codec import encode
from sidechain.topics.human import ModelRecord

SLOT: Final = "champion"
VERSION: Final = 1
_decode: Final = msgspec.json.Decoder(ModelRecord).decode


def read(record: ConsumerRecord) -> ModelRecord | None:
    """Who is champion by this record; None: it is about another place. Raises EnvironmentProblem."""
    if record.key != SLOT.encode():
        return None
    try:
        found = _decode(record.value or b"")
    except (ValueError, RecursionError) as fault:
        raise EnvironmentProblem(
            f"{record.topic}@{record.offset} names no model: {fault}; another program has written there"
        ) from None
    if found.v != VERSION:
        raise EnvironmentProblem(f"{record.topic}@{record.offset} is of version {found.v}; {VERSION} is known here")
    return found


async def promoted(config: Config) -> ModelRecord | None:
    """The last word on who is champion; None: nobody was ever promoted."""
    newest = None
    async with Reader(kafka_options(config), config.topic("wet.models")) as reader:
        async for records in reader.to_end(await reader.partitions()):
            for one in records:
                newest = read(one) or newest
    return newest


def promotion(one: Proposed, by: str, at_ms: int) -> ModelRecord:
    """What a proposal asks for, decided by somebody now. Raises `UsageProblem` where it is no ground for it."""
    change, name = one.proposal.change, one.proposal.id[:12]
    if not isinstance(change, ModelFile):
        raise UsageProblem(f"proposal {name} is about {one.proposal.kind} {one.proposal.target}, not about a model")
    if at_ms >= one.proposal.expires:
        raise UsageProblem(f"proposal {name} has expired; the trainer's next trial makes a new one")
    if by == one.proposal.author:
        raise UsageProblem(f"{by} asked for this; somebody else decides it")
    return ModelRecord(
        model=change.model,
        version=change.version,
        digest=change.digest,
        card=change.card,
        labels=change.labels,
        until=change.until,
        by=by,
        at=at_ms,
        proposal=one.proposal.id,
    )


async def promote(config: Config, record: ModelRecord) -> int:
    """Write it; returns its offset."""
    producer = AIOKafkaProducer(**kafka_options(config), acks="all", enable_idempotence=True)
    try:
        await producer.start()
        sent = await producer.send_and_wait(config.topic("wet.models"), encode(record), SLOT.encode(), partition=0)
        return int(sent.offset)
    finally:
        await producer.stop()
