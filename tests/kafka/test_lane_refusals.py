"""When a lane must not decide on, it says why; what it cannot decide stops one shard and never skips a record."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.structs import TopicPartition

from sidechain.agents.app import make_app, running
from sidechain.agents.dry import decider
from sidechain.agents.dry import worker as dry_worker
from sidechain.agents.dry.decider import decide_batch
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.lane.batch import Batch
from sidechain.agents.lane.pipeline import Output
from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.metrics import DryMetrics, registry
from sidechain.agents.settings import Config
from sidechain.models.pack_file import load, load_file
from sidechain.models.policy import Policy
from tests.lanes import (
    T0,
    WAIT_S,
    Process,
    assert_balanced,
    config_of,
    entries,
    made,
    open_transactions,
    ordinary,
    pinned,
    request,
    send,
    until,
    visible,
    wait_decided,
)
from tests.support import control


@pytest.fixture
def config(broker: LocalKafka, prefix: str, tmp_path: Path) -> Config:
    return made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path)))


@pytest.fixture
def begun(config: Config, tmp_path: Path) -> Config:
    """An installation that has decided 80 events and stands still."""
    send(config, ordinary(80))
    with Process(config, tmp_path / "begun.log") as worker:
        wait_decided(config, 80, [worker])
        worker.process.send_signal(signal.SIGINT)  # Ctrl-C is an order like SIGTERM
        assert worker.ended() == 0
    return config


async def _delete_records(config: Config, topic: str, partition: int, before: int) -> None:
    client = AIOKafkaAdminClient(**kafka_options(config))
    await client.start()
    try:
        await client.delete_records({TopicPartition(config.topic(topic), partition): RecordsToDelete(before)})
    finally:
        await client.close()


def test_another_shard_size_does_not_start(begun: Config, tmp_path: Path) -> None:
    """The layout is sealed with the first entry; keys would move to other chains."""
    with Process(begun, tmp_path / "worker.log", shard_size=2) as worker:
        assert worker.ended() == 3
        assert "was begun with 4 partitions in shards of 4" in worker.said()


def test_a_missing_topic_is_named(broker: LocalKafka, prefix: str, tmp_path: Path) -> None:
    """Nothing was created."""
    config = config_of(broker.bootstrap, prefix, policy=pinned(tmp_path))
    with Process(config, tmp_path / "worker.log") as worker:
        assert worker.ended() == 3
        assert f"{prefix}" in worker.said()
        assert "topics apply" in worker.said()


def test_nobody_at_the_address(prefix: str, tmp_path: Path) -> None:
    """One sentence and exit code 3, not a traceback."""
    config = config_of("127.0.0.1:9", prefix, policy=pinned(tmp_path))
    with Process(config, tmp_path / "worker.log") as worker:
        assert worker.ended() == 3
        assert "no Kafka answers at 127.0.0.1:9" in worker.said()
        assert "Traceback" not in worker.said()


def test_events_deleted_before_they_were_decided(begun: Config, tmp_path: Path) -> None:
    """Retention overtook the decider: the shard stands still instead of going on behind the gap."""
    send(begun, ordinary(80, 80))
    end = visible(begun, "events")[2][-1].offset
    asyncio.run(_delete_records(begun, "events", 2, end))
    with Process(begun, tmp_path / "worker.log") as worker:
        worker.wait_for("shard 0 stands still.*were deleted before they were decided")
        assert worker.process.poll() is None
        assert worker.stop() == 0
    assert sum(len(chain) for chain in entries(begun).values()) == 80


def test_a_chain_that_was_deleted_is_not_taken_for_a_beginning(begun: Config, tmp_path: Path) -> None:
    """The log of partition 1 is empty but not new."""
    asyncio.run(_delete_records(begun, "dry.decisions", 1, -1))
    with Process(begun, tmp_path / "worker.log") as worker:
        worker.wait_for("shard 0 stands still.*holds no entry any more")


def test_an_edited_policy_file_is_no_activation(begun: Config, tmp_path: Path) -> None:
    """Whoever edited it believes that it decides now."""
    assert begun.policy is not None
    begun.policy.write_text(begun.policy.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    with Process(begun, tmp_path / "worker.log") as worker:
        worker.wait_for("shard 0 stands still.*which it never was under")


def test_somebody_elses_open_transaction_is_named(begun: Config, tmp_path: Path) -> None:
    """A writer that is none of ours holds the chain's end open: the takeover waits, then says which partition."""

    async def scenario() -> None:
        other = AIOKafkaProducer(**kafka_options(begun), transactional_id="somebody-else")
        await other.start()
        try:
            await other.begin_transaction()
            await other.send_and_wait(begun.topic("dry.decisions"), b"not ours", key=b"x", partition=3)
            settings = {"commit_timeout_s": 1, "retry_timeout_s": 2}
            with Process(begun, tmp_path / "worker.log", **settings) as worker:
                assert await asyncio.to_thread(worker.ended) == 3
                assert f"a transaction on {begun.topic('dry.decisions')}/3 stays open" in worker.said()
            await other.abort_transaction()
        finally:
            await other.stop()

    asyncio.run(scenario())
    with Process(begun, tmp_path / "worker.log") as worker:
        send(begun, ordinary(40, 80))
        wait_decided(begun, 120, [worker])
    assert_balanced(begun)


PLANTED = Path(__file__).with_name("feature_bug.py")


def test_a_bug_in_a_feature_stops_the_worker(broker: LocalKafka, prefix: str, tmp_path: Path) -> None:
    """What came before is decided, for the record itself nothing is written, and a mended worker decides it."""
    config = made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path), shard_size=2))
    before, after = ordinary(300, partitions=4), ordinary(300, 1_000, partitions=4)
    send(config, [*before, (1, b"h1.example", request(777, "h1.example")), *after])
    planted = (str(PLANTED), str(T0 + 777_000))
    with Process(config, tmp_path / "planted.log", program=planted, shard_size=2) as worker:
        assert worker.ended() == 70
        said = worker.said()
    chains = entries(config)
    at = len(chains[1])
    assert [one["id"] for one in chains[1]] == [f"req-{n:06d}" for n in range(300) if n % 23 % 4 == 1]
    assert f"events/1@{at} failed twice alone; nothing was written for it" in said
    assert "ZeroDivisionError: planted in a feature" in said
    assert "the dry worker ends: a fault of ours" in said
    assert "stands still" not in said
    assert sum(map(len, visible(config, "dry.deadletters").values())) == 0
    assert open_transactions(config, ("dry.decisions", "dry.state")) == {}
    with Process(config, tmp_path / "mended.log", shard_size=2) as worker:
        wait_decided(config, 601, [worker])
    assert_balanced(config)


def test_a_bug_that_a_control_record_meets_stops_the_worker(begun: Config) -> None:
    """Also among others that are obeyed in the same round; nothing of the round is written, nothing is passed over."""
    assert begun.policy is not None
    text = begun.policy.read_text(encoding="utf-8")
    versions = [_read(text.replace("\nversion: 1\n", f"\nversion: {one}\n", 1).encode()) for one in (2, 3, 4)]
    send(begun, [(0, b"web", control(one).value) for one in versions], "control")

    def planted(text: bytes) -> Policy:
        if b"\nversion: 3\n" in text:
            raise ZeroDivisionError("planted in the reader of policies")
        return load(text, name="c")

    with pytest.raises(ZeroDivisionError, match="planted") as met:
        asyncio.run(_run_until(begun, DryMetrics(registry()), lambda: False, planted))
    assert "control/0@1 failed twice alone; nothing was written for it" in " ".join(met.value.__notes__)
    assert {one["kind"] for chain in entries(begun).values() for one in chain} == {"decision"}


class Refusing:
    """A cluster that does not take what one event leads to; everything else as always."""

    def __init__(self, poison: bytes) -> None:
        self.poison = poison
        self.sizes: list[int] = []  # of the batches it refused

    async def __call__(self, batch: Batch) -> list[Output]:
        if any(self.poison in (one.value or b"") for records in batch.events.values() for one in records):
            self.sizes.append(batch.size)
            raise MessageSizeTooLargeError
        return await decide_batch(batch)


def test_a_record_the_cluster_refuses_stops_its_shard_only(
    broker: LocalKafka, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything before it is decided, it is not skipped, the other shard goes on, and a new worker decides it."""
    config = made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path), shard_size=2))
    refusing = Refusing(b'"req-000777"')
    monkeypatch.setattr(decider, "decide_batch", refusing)
    before, after = ordinary(300, partitions=4), ordinary(300, 1_000, partitions=4)
    send(config, [*before, (1, b"h1.example", request(777, "h1.example")), *after])
    metrics = DryMetrics(registry())
    asyncio.run(_run_until(config, metrics, lambda: _stands(metrics) and _is_decided(config, 2, 3)))
    chains = entries(config)
    assert refusing.sizes[-2:] == [1, 1]
    assert 3 <= len(refusing.sizes) <= 6, "narrowed down in a few steps"
    assert "req-000777" not in {one["id"] for one in chains[1]}
    assert [one["id"] for one in chains[1]] == [f"req-{n:06d}" for n in range(300) if n % 23 % 4 == 1]
    with Process(config, tmp_path / "mended.log", shard_size=2) as worker:
        wait_decided(config, 601, [worker])
    assert_balanced(config)


def _stands(metrics: DryMetrics) -> bool:
    return metrics.halted._value.get() == 1


def _is_decided(config: Config, *partitions: int) -> bool:
    chains, events = entries(config), visible(config, "events")
    return all(len(chains[one]) == len(events[one]) for one in partitions)


def _read(text: bytes) -> Policy:
    return load(text, name="c")


async def _run_until(
    config: Config, metrics: DryMetrics, is_done: Any, read: Callable[[bytes], Policy] = _read
) -> None:
    """A worker in this process."""
    app = make_app("test")
    worker = dry_worker.DryWorker(app, load_file(config.policy), config, kafka_options(config), str, read, metrics)
    stop = asyncio.Event()
    try:
        await worker.prepare()
        async with running(app):
            run = asyncio.create_task(worker.run(stop))
            await asyncio.to_thread(until, lambda: run.done() or is_done())
            stop.set()
            async with asyncio.timeout(WAIT_S):
                await run
    finally:
        await worker.close()
