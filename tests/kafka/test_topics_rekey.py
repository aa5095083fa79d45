"""`sidechain rekey`: every visible record once, under its new key, in its order, whatever ends the copier."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from sidechain.agents.admin import administrator
from sidechain.agents.rekey import Rekey

SOURCE_PARTITIONS = 3
TARGET_PARTITIONS = 4
RECORDS = 6_000
PARTS = 3


async def create(bootstrap: str, **topics: int) -> None:
    async with administrator({"bootstrap_servers": bootstrap}) as client:
        await client.create_topics([NewTopic(name, count, 1) for name, count in topics.items()])


async def fill(bootstrap: str, topic: str, first: int = 0, last: int = RECORDS) -> None:
    """Committed and aborted transactions in turn, so that the source has holes and records nobody may see."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"fill-{topic}", linger_ms=5)
    await producer.start()
    try:
        for start in range(first, last, 500):
            for is_visible in (False, True):
                await producer.begin_transaction()
                for number in range(start, start + 500):
                    value = {"id": f"e-{number}", "host": f"h-{number % 37}", "seen": is_visible}
                    await producer.send(topic, json.dumps(value).encode(), partition=number % SOURCE_PARTITIONS)
                await (producer.commit_transaction() if is_visible else producer.abort_transaction())
    finally:
        await producer.stop()


async def visible(bootstrap: str, topic: str, partitions: int) -> list[tuple[int, bytes | None, bytes | None]]:
    """Partition, key and value of all a read_committed reader sees, partition by partition."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        tps = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        found = []
        async with asyncio.timeout(60):
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                    found += [(tp.partition, record.key, record.value) for record in records]
        return sorted(found, key=lambda one: one[0])
    finally:
        await consumer.stop()


def copier(bootstrap: str, source: str, target: str, *more: str) -> subprocess.Popen:
    words = ["rekey", "--from", source, "--to", target, "--field", "host", "--bootstrap", bootstrap, *more]
    return subprocess.Popen([sys.executable, "-m", "sidechain.agents", *words], stdout=-1, stderr=-1, text=True)


def test_every_record_once_although_the_copier_is_killed(broker, prefix):
    source, target = f"{prefix}raw", f"{prefix}keyed"
    asyncio.run(create(broker.bootstrap, **{source: SOURCE_PARTITIONS, target: TARGET_PARTITIONS}))
    part = RECORDS // PARTS
    for first in range(0, RECORDS - part, part):
        # Each copier finds records no other has seen: one that is quick enough to copy all leaves the next its own.
        asyncio.run(fill(broker.bootstrap, source, first, first + part))
        # More than the markers that abort what the one before left open.
        before = end(broker.bootstrap, target) + TARGET_PARTITIONS
        one = copier(broker.bootstrap, source, target)
        wait_until(lambda before=before, one=one: end(broker.bootstrap, target) > before or one.poll() is not None)
        one.kill()
        one.communicate(timeout=30)
    asyncio.run(fill(broker.bootstrap, source, RECORDS - part))
    last = copier(broker.bootstrap, source, target, "--once", "--json")
    stdout, stderr = last.communicate(timeout=60)
    assert last.returncode == 0, stderr
    assert json.loads(stdout)["without_key"] == 0

    copied = asyncio.run(visible(broker.bootstrap, target, TARGET_PARTITIONS))
    events = [json.loads(value) for _, _, value in copied]
    assert all(event["seen"] for event in events)
    assert sorted(event["id"] for event in events) == sorted(f"e-{number}" for number in range(RECORDS))
    assert all(key == event["host"].encode() for (_, key, _), event in zip(copied, events, strict=True))
    partitions, order = defaultdict(set), defaultdict(list)
    for (partition, key, _), event in zip(copied, events, strict=True):
        number = int(event["id"][2:])
        partitions[key].add(partition)
        order[key, number % SOURCE_PARTITIONS].append(number)
    assert all(len(one) == 1 for one in partitions.values())
    assert all(one == sorted(one) for one in order.values())


def end(bootstrap: str, topic: str) -> int:
    tps = [TopicPartition(topic, number) for number in range(TARGET_PARTITIONS)]

    async def ask() -> int:
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
        await consumer.start()
        try:
            return sum((await consumer.end_offsets(tps)).values())
        finally:
            await consumer.stop()

    return asyncio.run(ask())


def wait_until(condition, seconds: float = 45) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing was copied"
        time.sleep(0.05)


def test_what_has_no_such_field_is_copied_without_a_key(broker, prefix):
    """Nothing is lost or changed on the way; the decider says what is wrong with it."""
    source, target = f"{prefix}raw", f"{prefix}keyed"
    values = [b'{"host":"a"}', b"not json", None, b'{"host":1}', b'{"other":"a"}', b"\xff", b'["host"]']

    async def run():
        await create(broker.bootstrap, **{source: 1, target: 2})
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
        await producer.start()
        for value in values:
            await producer.send_and_wait(source, value, key=b"old", partition=0, headers=[("h", b"1")])
        await producer.stop()
        copied = await Rekey({"bootstrap_servers": broker.bootstrap}, source, target, "host").run(once=True)
        return copied, await visible(broker.bootstrap, target, 2)

    copied, found = asyncio.run(run())
    assert (copied.records, copied.without_key) == (7, 6)
    assert {key: value for _, key, value in found if key is not None} == {b"a": values[0], b"old": None}
    # Without a key they keep their order on one partition.
    assert [value for _, key, value in found if key is None] == [one for one in values[1:] if one is not None]


def test_it_goes_on_until_it_is_told_to_stop(broker, prefix):
    """SIGTERM ends it after the transaction under way, with the count."""
    source, target = f"{prefix}raw", f"{prefix}keyed"
    asyncio.run(create(broker.bootstrap, **{source: SOURCE_PARTITIONS, target: TARGET_PARTITIONS}))
    one = copier(broker.bootstrap, source, target, "--json")
    try:
        asyncio.run(fill(broker.bootstrap, source))
        wait_until(lambda: len(asyncio.run(visible(broker.bootstrap, target, TARGET_PARTITIONS))) == RECORDS)
    finally:
        one.send_signal(signal.SIGTERM)
        stdout, stderr = one.communicate(timeout=30)
    assert one.returncode == 0, stderr
    assert json.loads(stdout) == {"records": RECORDS, "without_key": 0}


@pytest.mark.parametrize(
    ("source", "target", "code", "sentence"),
    [
        ("same", "same", 2, "same topic"),
        ("absent", "keyed", 3, "does not exist"),
    ],
)
def test_what_cannot_be_copied_is_said(broker, prefix, sidechain, source, target, code, sentence):
    words = ["--from", prefix + source, "--to", prefix + target, "--field", "host", "--bootstrap", broker.bootstrap]
    asyncio.run(create(broker.bootstrap, **{f"{prefix}keyed": 1}))
    done = sidechain("rekey", *words, "--once", env=os.environ | {"SIDECHAIN_PREFIX": prefix})
    assert done.returncode == code
    assert sentence in done.stderr
