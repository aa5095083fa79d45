"""What many tests need: one real broker for the whole run, and a fresh topic prefix for each test."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings

from sidechain.agents.config import load
from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.problems import EnvironmentProblem

# A wet worker that steps back waits for every other test; how far it would is asked of it alone (test_priority.py).
os.environ["SIDECHAIN_WET_NICE"] = "0"

settings.register_profile("suite", deadline=None)  # no test fails by the clock: others use the processors too
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for the broker bears its marker, so `-m 'not kafka'` leaves the broker off."""
    for one in items:
        if "broker" in getattr(one, "fixturenames", ()):
            one.add_marker("kafka")


@pytest.fixture(scope="session")
def broker() -> Iterator[LocalKafka]:
    """A real Kafka on a free port with a data folder of its own; `broker.bootstrap` is its address."""
    home = Path(tempfile.mkdtemp(prefix="sidechain-test-broker-"))
    kafka = local_kafka(home)
    try:
        kafka.start()
    except EnvironmentProblem as problem:
        kafka.stop()  # on a machine that is busy it may have begun, only not in time
        shutil.rmtree(home, ignore_errors=True)
        pytest.skip(f"NO BROKER, so nothing about Kafka is tested: {problem}")
    yield kafka
    kafka.kill()  # a clean stop takes half a minute with hundreds of topics, and nobody needs them any more
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def private_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., LocalKafka]]:
    """Brokers of a module's own, not started: `private_broker(port=0, properties={…})`; ended with the module."""
    made: list[LocalKafka] = []

    def make(home: Path | None = None, **settings: object) -> LocalKafka:
        made.append(local_kafka(home or tmp_path_factory.mktemp("broker"), **settings))
        return made[-1]

    yield make
    for one in made:
        one.kill()


def local_kafka(home: Path, **settings: object) -> LocalKafka:
    """A broker in `home` made of the jars and the Java this machine has."""
    config = load().config
    made = {"cache": config.cache, "java": config.java, "jars": config.jars, "mirror": config.mirror}
    return LocalKafka(home, **(made | settings))  # type: ignore[arg-type]


@pytest.fixture
def prefix() -> str:
    """A topic prefix no other test has."""
    return f"t{uuid4().hex[:10]}."


@pytest.fixture
def sidechain():
    """Run the command line in a process of its own: `done = sidechain("broker", "status")`; bounded to a minute."""

    def run(*words: str, timeout: float = 60, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sidechain.agents", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, **options)  # type: ignore[call-overload]

    return run
