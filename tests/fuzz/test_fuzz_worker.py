"""The same hostile inputs through a real broker and a real worker: nothing stops it, nothing is lost on the way."""

import asyncio
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.settings import Config
from sidechain.models.dry import Fold, Line
from tests.fuzz.chain import loaded
from tests.fuzz.inputs import Source
from tests.lanes import (
    Process,
    assert_balanced,
    config_of,
    made,
    open_transactions,
    pinned,
    visible,
    wait_decided,
)

INPUTS = 4_000


def test_a_worker_outlives_hostile_inputs(broker: LocalKafka, prefix: str, tmp_path: Path) -> None:
    """Every visible event has its entry, every rejected one its bytes in the dead letters, as the kernel alone says."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    source = Source(*loaded("web"), chance)
    # A compacted topic takes no record without a key, so no worker will ever see one.
    inputs = [one for one in (source.next() for _ in range(INPUTS)) if one.topic != "metadata" or one.key is not None]
    config = made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path)))
    with Process(config, tmp_path / "worker.log") as worker:
        for topic, name in (("metadata", "wet.metadata"), ("control", "control"), ("events", "events")):
            count = 1 if topic == "control" else 4
            records = [(chance.randrange(count), one.key, one.value) for one in inputs if one.topic == topic]
            asyncio.run(_send(config, records, name))
        wait_decided(config, sum(one.topic == "events" for one in inputs), [worker])
        assert worker.stop() == 0, worker.said()
        assert "stands still" not in worker.said()
        assert "WARNING sidechain.agents.lane" not in worker.said()
    chains = assert_balanced(config)
    letters = visible(config, "dry.deadletters")
    for partition, records in visible(config, "events").items():
        alone = Fold(loaded("web")[0], partition).events([Line(one.offset, one.key, one.value) for one in records])
        expected = _rejected(map(msgspec.json.decode, (line for _, line in alone.entries)))
        assert _rejected(chains[partition]) == expected
        told = [dict(one.headers) for one in letters[partition]]
        assert [int(one["dlq.offset"]) for one in told if one["dlq.topic"] == b"events"] == list(expected)
        by_offset = {one.offset: one for one in records}
        for letter, headers in zip(letters[partition], told, strict=True):
            if headers["dlq.topic"] == b"events":
                assert (letter.value or b"") == (by_offset[int(headers["dlq.offset"])].value or b"")
        assert len(told) == sum(one["kind"] == "rejected" for one in chains[partition])
    assert open_transactions(config, ("dry.decisions", "dry.state", "dry.deadletters")) == {}


async def _send(config: Config, records: Sequence[tuple[int, bytes | None, bytes | None]], topic: str) -> None:
    """As any client may: aiokafka's own `send` refuses a record without key and value."""
    async with AIOKafkaProducer(**kafka_options(config), max_request_size=4_000_000) as producer:
        for partition, key, value in records:
            batch = producer.create_batch()
            batch.append(timestamp=None, key=key, value=value)
            await producer.send_batch(batch, config.topic(topic), partition=partition)
        await producer.flush()


def _rejected(entries: Iterable[dict[str, Any]]) -> dict[int, str]:
    """Offset and reason of every event that could not be decided."""
    rejected = (one for one in entries if one["kind"] == "rejected" and one["source"][0] == "events")
    return {one["source"][2]: one["reason"] for one in rejected}
