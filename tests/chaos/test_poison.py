"""A record at fault is found in a few steps, however much its neighbours have to read."""

import subprocess
import sys
from pathlib import Path

import pytest

from sidechain.agents.local_kafka import LocalKafka
from tests.lanes import T0, Process, config_of, made, pinned, request, send, until, visible

pytestmark = pytest.mark.kafka
ROOT = Path(__file__).parents[2]
PLANTED = ROOT / "tests" / "kafka" / "feature_bug.py"
STEPS = 8  # a batch of thousands, a sixteenth of it and so on to one record, twice; and what comes before it is read
RATE = "2000"


def test_a_poison_beside_lasting_load_is_found_soon(broker: LocalKafka, prefix: str, tmp_path: Path) -> None:
    """The search reads what failed and nothing else: in small batches it would never get through the others' events."""
    config = made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path)))
    words = [sys.executable, "-m", "tests.chaos.sender", broker.bootstrap, config.topic("events"), "4", RATE, "1"]
    load = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        until(lambda: len(visible(config, "events")[1]) > 1_000)
        with Process(config, tmp_path / "planted.log", program=(str(PLANTED), str(T0 + 777))) as worker:
            worker.wait_for("genesis")
            send(config, [(1, b"h1.example", request(1, "h1.example", at=T0 + 777))])
            assert worker.ended() == 70
            assert worker.said().count("trying smaller ones") <= STEPS, worker.said()
    finally:
        load.kill()
        load.wait(10)
