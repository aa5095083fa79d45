"""The same events through Kafka, however many workers decide them: per partition the same bytes.

What the wet side does meanwhile is `test_signature.py`.
"""

import pytest

from tests.identity import EVENTS, Keyed, alone, assert_same_bytes, connections, installation, listening, workers
from tests.lanes import Process, send, wait_decided


@pytest.fixture(scope="module")
def events() -> Keyed:
    """Four partitions of connections."""
    return connections()


def test_one_worker_seals_the_bytes_of_the_kernel_alone(broker, prefix, events, tmp_path) -> None:
    """Four partitions, one shard; the wet side is off."""
    config = installation(broker, prefix, listening(tmp_path))
    send(config, events)
    with workers(config, tmp_path, "dry") as up:
        wait_decided(config, EVENTS, list(up.values()))
    assert_same_bytes(config, alone(config.policy, events))


def test_two_workers_seal_the_same_bytes(broker, prefix, events, tmp_path) -> None:
    """Two shards of two partitions; the second worker comes while events flow, so that one of them moves."""
    config = installation(broker, prefix, listening(tmp_path), shard_size=2)
    first, second = (Process(config, tmp_path / f"{name}.log", shard_size=2) for name in ("first", "second"))
    with first:
        first.wait_for("genesis", times=2)
        send(config, events[: EVENTS // 2])
        with second:
            second.wait_for(r"shard \d: (genesis|restored)")
            send(config, events[EVENTS // 2 :])
            wait_decided(config, EVENTS, [first, second])
    assert_same_bytes(config, alone(config.policy, events))
