"""A record at fault is found in a few steps, however much its neighbours have to read."""

from pathlib import Path

import pytest

from sidechain.agents.local_kafka import LocalKafka
from tests.lanes import T0, Process, config_of, entries, made, ordinary, pinned, request, send

pytestmark = pytest.mark.kafka
PLANTED = Path(__file__).parents[1] / "kafka" / "feature_bug.py"
STEPS = 5  # a batch of thousands, then a sixteenth of it and so on to one record, twice


def test_a_poison_beside_a_long_backlog_is_found_soon(broker: LocalKafka, prefix: str, tmp_path: Path) -> None:
    """The search reads what failed and nothing else: small batches would never get through the other partition."""
    config = made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path)))
    poison = (1, b"h1.example", request(777_000, "h1.example"))
    send(config, [poison, *((0, key, value) for _, key, value in ordinary(20_000))])
    planted = (str(PLANTED), str(T0 + 777_000_000))
    with Process(config, tmp_path / "planted.log", program=planted) as worker:
        assert worker.ended() == 70
        assert worker.said().count("trying smaller ones") <= STEPS, worker.said()
    assert entries(config)[1] == []
