"""A broker that hangs, a port that is taken, a wet side that floods: every wait ends when its setting says.

What needs no broker is in tests/unit/test_bounds_*.py; the table of all bounds is in deploy/README.md.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from sidechain.agents import doctor
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.lane.producers import close_producers, open_producers
from sidechain.agents.local_kafka import LocalKafka, free_port
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


@pytest.fixture(scope="module")
def hanging(private_broker: Callable[..., LocalKafka]) -> LocalKafka:
    """A broker that may be paused without losing its partitions, and that ends forgotten transactions at once."""
    properties = {
        "broker.session.timeout.ms": "120000",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
    }
    broker = private_broker(port=free_port(), properties=properties)
    broker.start()
    return broker


@contextmanager
def paused(broker: LocalKafka) -> Iterator[None]:
    """The broker neither answers nor hangs up meanwhile."""
    running = broker.status()
    assert running is not None
    os.kill(running.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(running.pid, signal.SIGCONT)


@pytest.fixture
def config(hanging: LocalKafka, prefix: str, tmp_path: Path) -> Config:
    return made(config_of(hanging.bootstrap, prefix, policy=pinned(tmp_path)))


def worker_of(config: Config, tmp_path: Path, **settings: Any) -> Process:
    """A worker that decided a few events already."""
    return Process(config, tmp_path / "worker.log", **settings)


def test_a_commit_that_is_not_answered_is_given_up_and_asked_about(
    hanging: LocalKafka, config: Config, tmp_path: Path
) -> None:
    """commit_timeout_s: the log is asked when the broker is back, and nothing is lost or there twice."""
    with worker_of(config, tmp_path, commit_timeout_s=1) as worker:
        send(config, ordinary(500))
        wait_decided(config, 500, [worker])
        worker.wait_for("genesis")
        send(config, ordinary(8_000, 500))
        with paused(hanging):
            worker.wait_for(r"shard 0: TimeoutError; asking the log again")
        wait_decided(config, 8_500, [worker])
        assert worker.stop() == 0
    assert_balanced(config)


def test_a_broker_that_stays_away_ends_the_worker(hanging: LocalKafka, config: Config, tmp_path: Path) -> None:
    """retry_timeout_s, and one sentence; also ending is bounded while nobody answers. The next worker goes on."""
    with worker_of(config, tmp_path, commit_timeout_s=1, retry_timeout_s=2, shutdown_timeout_s=2) as worker:
        send(config, ordinary(500))
        wait_decided(config, 500, [worker])
        send(config, ordinary(8_000, 500))
        with paused(hanging):
            assert worker.ended() == 3
        assert "shard 0 has been failing for 2 s" in worker.said()
        assert "`sidechain doctor`" in worker.said()
        worker.start()
        wait_decided(config, 8_500, [worker])
    assert_balanced(config)


def test_a_stop_does_not_wait_for_a_broker_that_hangs(hanging: LocalKafka, config: Config, tmp_path: Path) -> None:
    """shutdown_timeout_s: what is not committed by then is given up, and decided by the next owner."""
    with worker_of(config, tmp_path, shutdown_timeout_s=2) as worker:
        send(config, ordinary(500))
        wait_decided(config, 500, [worker])
        send(config, ordinary(8_000, 500))
        with paused(hanging):
            began = time.monotonic()
            code = worker.stop()
            took = time.monotonic() - began
        assert took < 22, worker.said()  # at 17, shutdown_timeout_s and the grace of worker.py, it is cut off
        assert code in (0, 70), worker.said()
        worker.start()
        wait_decided(config, 8_500, [worker])
    assert_balanced(config)


def test_a_takeover_ends_when_its_time_is_up(config: Config, tmp_path: Path) -> None:
    """takeover_timeout_s: somebody holds a transaction open for longer; it is tried again until retry_timeout_s."""

    async def scenario() -> None:
        async with AIOKafkaProducer(**kafka_options(config), transactional_id="somebody-else") as other:
            await other.begin_transaction()
            await other.send_and_wait(config.topic("dry.decisions"), b"not ours", key=b"x", partition=3)
            with worker_of(config, tmp_path, takeover_timeout_s=1, retry_timeout_s=2) as worker:
                assert await asyncio.to_thread(worker.ended) == 3
                assert "shard 0: TimeoutError; asking the log again" in worker.said()
                assert "shard 0 has been failing for 2 s" in worker.said()
            await other.abort_transaction()

    asyncio.run(scenario())


def test_a_transaction_nobody_ends_is_ended_by_the_broker(config: Config) -> None:
    """transaction_timeout_s: a dead worker without a successor holds readers back no longer than that."""
    short = config_of(config.bootstrap, str(config.prefix), policy=config.policy, transaction_timeout_s=4)
    send(config, [(1, b"x", b"not in a transaction")], "dry.decisions")  # the partition has a leader by now

    async def leave_open() -> None:
        opened = await open_producers(kafka_options(short), short, 0)
        await opened[0].begin_transaction()
        await opened[0].send_and_wait(short.topic("dry.decisions"), b"never", key=b"x", partition=1)
        await opened[0].client.close()  # as a power cut would
        await close_producers(opened[1:])

    asyncio.run(leave_open())
    assert open_transactions(short, ("dry.decisions",)) != {}
    until(lambda: open_transactions(short, ("dry.decisions",)) == {}, within_s=20)


def test_a_transaction_that_cannot_begin_is_a_finding(
    config: Config, hanging: LocalKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sidechain doctor` waits for it no longer than TRANSACTION_S."""
    monkeypatch.setattr(doctor, "TRANSACTION_S", 0.001)
    found = asyncio.run(doctor._transactions(config))
    assert (found.state, found.says) == ("fail", "cannot begin (TimeoutError)")


def test_no_metrics_are_no_reason_not_to_decide(broker: LocalKafka, prefix: str, tmp_path: Path) -> None:
    """The port is somebody else's: said once, and everything is decided."""
    config = made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path)))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Process(config, tmp_path / "worker.log", metrics_port=port) as worker:
            send(config, ordinary(100))
            wait_decided(config, 100, [worker])
            assert f"no metrics at 127.0.0.1:{port} (Address already in use); the worker goes on" in worker.said()
            assert worker.stop() == 0


def test_a_hanging_scraper_keeps_no_decision_waiting(broker: LocalKafka, prefix: str, tmp_path: Path) -> None:
    """Connections that ask for nothing, while events are decided and another scraper is served."""
    config = made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path)))
    port = free_port()
    with Process(config, tmp_path / "worker.log", metrics_port=port) as worker:
        worker.wait_for("genesis")
        hanging = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(5)]
        try:
            send(config, ordinary(2_000))
            wait_decided(config, 2_000, [worker])
            with socket.create_connection(("127.0.0.1", port), timeout=10) as other:
                other.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                assert b"200 OK" in other.recv(100)
        finally:
            for one in hanging:
                one.close()


def test_a_flood_from_the_wet_side_keeps_no_decision_waiting(broker: LocalKafka, prefix: str, tmp_path: Path) -> None:
    """60,000 metadata records and 300 of control, a few hundred of them a round: every event is decided meanwhile."""
    config = made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path)))
    with Process(config, tmp_path / "worker.log") as worker:
        worker.wait_for("genesis")
        send(config, [(at % 4, b"p:%d" % (at % 999), b"x" * 200) for at in range(60_000)], "wet.metadata")
        send(config, [(0, b"other", b'{"kind":"other"}') for _ in range(300)], "control")
        send(config, ordinary(2_000))
        wait_decided(config, 2_000, [worker])
        assert worker.stop() == 0
    chains = assert_balanced(config)
    assert sum(one["kind"] == "decision" for chain in chains.values() for one in chain) == 2_000
