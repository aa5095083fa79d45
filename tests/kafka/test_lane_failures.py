"""Workers that die at any moment: nothing lost, nothing twice, the chain unbroken. tests/chaos has the other faults."""

import random
from pathlib import Path

import pytest

from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.settings import Config
from tests.lanes import (
    Process,
    assert_balanced,
    config_of,
    made,
    ordinary,
    pinned,
    send,
    until,
    wait_decided,
)

SESSION_S = 6.0  # the broker's least


@pytest.fixture
def config(broker: LocalKafka, prefix: str, tmp_path: Path) -> Config:
    """Four partitions in one shard."""
    return made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path)))


@pytest.fixture
def halves(broker: LocalKafka, prefix: str, tmp_path: Path) -> Config:
    """Four partitions in two shards."""
    return made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path), shard_size=2))


def worker_of(config: Config, log: Path) -> Process:
    """A worker whose death the group notices soon. Batches are small, so that a run has many moments to die in."""
    return Process(config, log, shard_size=config.shard_size, session_timeout_s=SESSION_S, batch_max_records=100)


def test_five_kills_lose_and_repeat_nothing(config: Config, tmp_path: Path) -> None:
    """SIGKILL at five random moments under load; the next process goes on from the log alone."""
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    print("seed", seed)
    sent = 0
    with worker_of(config, tmp_path / "worker.log") as worker:
        for kill in range(5):
            send(config, ordinary(2_000, sent))
            sent += 2_000
            wait_decided(config, 2_000 * kill + chance.randrange(1, 1_500), [worker])
            worker.kill()
            worker.start()
        wait_decided(config, sent, [worker])
        worker.wait_for("restored")
        assert worker.stop() == 0
    chains = assert_balanced(config)
    assert sum(one["kind"] == "decision" for chain in chains.values() for one in chain) == sent


def test_a_killed_worker_is_replaced_without_a_word(halves: Config, tmp_path: Path) -> None:
    """Both workers decide; one is killed; the other takes its shard when the session ends."""
    config = halves
    first, second = (worker_of(config, tmp_path / f"{name}.log") for name in ("first", "second"))
    with first, second:
        for one in (first, second):
            one.wait_for(r"shard \d: (genesis|restored|continued)")
        until(lambda: "shards of this worker: 0\n" in first.said() + second.said(), first.said)
        send(config, ordinary(1_000))
        wait_decided(config, 100, [first, second])
        first.kill()
        send(config, ordinary(1_000, 1_000))
        wait_decided(config, 2_000, [second])
    assert_balanced(config)
