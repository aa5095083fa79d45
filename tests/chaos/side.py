"""Faults that end an installation for good, on a small one beside the load: it refuses in words and writes nothing."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.structs import TopicPartition

from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.settings import Config
from tests.chaos.scene import Scene
from tests.chaos.signing import keys_for
from tests.lanes import Process, config_of, made, ordinary, send, visible, wait_decided

Decide = Callable[[int], None]  # how many events came before -> another EVENTS are sent and decided

PARTITIONS = 2
EVENTS = 60
WRITTEN = ("dry.decisions", "dry.state", "dry.deadletters", "dry.checkpoints")


def input_shorter(scene: Scene) -> str:
    """The events topic was replaced, or has lost what was not decided yet."""
    if scene.chance.random() < 0.5:
        return _refused(scene, _replaced, "stands still.*the chain has decided up to .* and the log ends at")
    return _refused(scene, _deleted, "stands still.*were deleted before they were decided")


def decisions_shorter(scene: Scene) -> str:
    """Chain and changelog were put back as of an earlier moment; they agree, and a checkpoint knows better."""
    return _refused(scene, _put_back, "stands still.*entries that were committed are gone")


def partitions_added(scene: Scene) -> str:
    """Somebody gave the events topic more partitions: keys would move to other chains."""
    return _refused(scene, _widened, "partitions", ends=3)


def _refused(scene: Scene, harm: Callable[[Config, Decide], str], sentence: str, ends: int | None = None) -> str:
    """A small installation decides, is harmed, and must not go on: `ends` is its exit code, None: it stands still."""
    prefix = f"side{uuid4().hex[:8]}."
    policy = scene.config.policy
    config = made(config_of(scene.broker.bootstrap, prefix, policy=policy, partitions=PARTITIONS))
    log, keys = scene.folder / f"{prefix}log", keys_for(scene.folder / prefix, prefix)

    def decide(already: int) -> None:
        send(config, ordinary(EVENTS, already, partitions=PARTITIONS))
        with Process(config, log, **keys) as worker:
            wait_decided(config, already + EVENTS, [worker])
            assert worker.stop() == 0, worker.said()

    decide(0)
    done = harm(config, decide)
    before = scene.end_offsets(WRITTEN, config)
    with Process(config, log, **keys) as worker:
        if ends is None:
            worker.wait_for(sentence)
            assert worker.process.poll() is None, "the worker ended, and stands for its other shards no more"
            assert worker.stop() == 0
        else:
            assert worker.ended() == ends, worker.said()
            assert sentence in worker.said()
            assert "Traceback" not in worker.said()
    assert scene.end_offsets(WRITTEN, config) == before, "a worker that refused has written"
    asyncio.run(_forget(config))
    return f"{done}; refused, nothing written"


def _replaced(config: Config, _: Decide) -> str:
    async def run(client: AIOKafkaAdminClient) -> None:
        await _again(client, config, "events", PARTITIONS)

    asyncio.run(_administer(config, run))
    send(config, ordinary(3, partitions=PARTITIONS))
    return "the events topic was made anew"


def _deleted(config: Config, _: Decide) -> str:
    send(config, ordinary(40, EVENTS, partitions=PARTITIONS))

    async def run(client: AIOKafkaAdminClient) -> None:
        tps = [TopicPartition(config.topic("events"), one) for one in range(PARTITIONS)]
        await client.delete_records({tp: RecordsToDelete(-1) for tp in tps})

    asyncio.run(_administer(config, run))
    return "events were deleted before they were decided"


def _put_back(config: Config, decide: Decide) -> str:
    was = {topic: visible(config, topic) for topic in ("dry.decisions", "dry.state")}
    decide(EVENTS)

    async def run(client: AIOKafkaAdminClient) -> None:
        for topic in was:
            await _again(client, config, topic, PARTITIONS)

    asyncio.run(_administer(config, run))
    for topic, found in was.items():
        send(config, [(p, one.key, one.value) for p, records in found.items() for one in records], topic)
    return f"chain and state put back by {EVENTS} entries"


def _widened(config: Config, _: Decide) -> str:
    async def run(client: AIOKafkaAdminClient) -> None:
        await client.create_partitions({config.topic("events"): NewPartitions(PARTITIONS + 1)})

    asyncio.run(_administer(config, run))
    return f"{PARTITIONS + 1} partitions instead of {PARTITIONS}"


async def _again(client: AIOKafkaAdminClient, config: Config, topic: str, partitions: int) -> None:
    name = config.topic(topic)
    await client.delete_topics([name])
    for _ in range(100):
        answer = await client.create_topics([NewTopic(name, partitions, 1)])
        if answer.topic_errors[0][1] == 0:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name} cannot be made anew")


async def _forget(config: Config) -> None:
    async def run(client: AIOKafkaAdminClient) -> None:
        await client.delete_topics([one for one in await client.list_topics() if one.startswith(config.topic_prefix)])

    await _administer(config, run)


async def _administer(config: Config, work: Callable[[AIOKafkaAdminClient], object]) -> None:
    client = AIOKafkaAdminClient(**kafka_options(config))
    await client.start()
    try:
        await work(client)  # type: ignore[misc]
    finally:
        await client.close()
