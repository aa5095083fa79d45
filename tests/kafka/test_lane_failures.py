"""Workers that die, hang, come and go: nothing lost, nothing twice, the chain unbroken."""

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
    open_transactions,
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


def test_a_zombie_writes_nothing(config: Config, tmp_path: Path) -> None:
    """A worker hangs under load until another has its shard, and wakes: what it still holds never gets in."""
    hangs, takes_over = (worker_of(config, tmp_path / f"{name}.log") for name in ("hangs", "takes-over"))
    with hangs:
        hangs.wait_for("genesis")
        send(config, ordinary(3_000))
        wait_decided(config, 200, [hangs])
        hangs.pause()
        with takes_over:
            takes_over.wait_for("restored")
            send(config, ordinary(1_000, 3_000))
            wait_decided(config, 4_000, [takes_over])
            hangs.wake()
            # Awake, it learns that the group went on without it, joins again and gets nothing: there is one shard.
            hangs.wait_for("shards of this worker", times=2)
            send(config, ordinary(500, 4_000))
            wait_decided(config, 4_500, [hangs, takes_over])
            assert (hangs.stop(), takes_over.stop()) == (0, 0)
    assert_balanced(config)
    assert open_transactions(config, ("dry.decisions", "dry.state")) == {}


def test_shards_move_when_workers_come_and_go(halves: Config, tmp_path: Path) -> None:
    """A second worker takes one shard while events flow, the first one leaves, and the second has both."""
    config = halves
    first, second = (worker_of(config, tmp_path / f"{name}.log") for name in ("first", "second"))
    with first:
        first.wait_for("genesis", times=2)
        send(config, ordinary(1_000))
        with second:
            second.wait_for(r"shard \d: (genesis|restored)")
            first.wait_for(r"shard \d: continued")
            send(config, ordinary(1_000, 1_000))
            wait_decided(config, 2_000, [first, second])
            assert first.stop() == 0, first.said()
            second.wait_for(r"shards of this worker: 0 1")
            send(config, ordinary(1_000, 2_000))
            wait_decided(config, 3_000, [first, second])
            assert second.stop() == 0, second.said()
    assert_balanced(config)


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
