"""The compose file's Kafka settings start a real Kafka: all of them, and none but them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sidechain.agents import local_kafka
from sidechain.agents.local_kafka import LocalKafka, free_port
from tests.deployed import ROOT

ELSEWHERE = {"KAFKA_HEAP_OPTS"}  # for the JVM; everything else the image turns into a broker's setting


def broker_settings(environment: dict[str, str]) -> dict[str, str]:
    """As the image turns its environment into `server.properties`: underscores are dots."""
    return {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in environment.items()
        if name.startswith("KAFKA_") and name not in ELSEWHERE
    }


@pytest.mark.kafka
def test_the_compose_files_kafka_starts(
    private_broker: Callable[..., LocalKafka], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """It forms a quorum with itself, creates a topic and begins a transaction, with the ports moved to free ones."""
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8").replace("${KAFKA_PORT:-9092}", "9092")
    given = broker_settings(yaml.safe_load(compose)["services"]["kafka"]["environment"])
    inside = free_port()

    def as_composed(data: Path, host: str, port: int, controller_port: int) -> dict[str, str]:
        moved = {":9092": f":{port}", ":19092": f":{inside}", ":29093": f":{controller_port}"}
        settings = {}
        for name, value in given.items():
            for was, becomes in moved.items():
                value = value.replace(was, becomes)
            settings[name] = value.replace("://:", f"://{host}:").replace("kafka:", f"{host}:")
        return settings | {"log.dirs": str(data)}

    monkeypatch.setattr(local_kafka, "server_properties", as_composed)
    kafka = private_broker(tmp_path / "composed")
    kafka.start()  # ready means: a topic can be created and a transactional id initialised
    written = (tmp_path / "composed" / "server.properties").read_text(encoding="utf-8")
    assert set(given) == {line.partition("=")[0] for line in written.splitlines()}
    kafka.stop()
