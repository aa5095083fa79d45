"""The compose file's services as plain processes: its commands, its settings, a real Kafka instead of its own.

What stays untried is what only a container engine does: building the images, and confining what runs in them.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from sidechain.agents.local_kafka import LocalKafka, free_port
from tests.deployed import ROOT, samples

WORKERS = ("dry", "tap", "wet", "aggregator")
EVENTS = 40
BROKEN = b"this is not JSON"
PATIENCE_S = 60.0
Shown = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(port: int) -> Shown:
    """What a worker shows at the moment; nothing while it does not answer."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            text = answer.read().decode()
    except (URLError, ConnectionError, TimeoutError):
        return {}
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(shown: Shown, name: str, **labels: str) -> float:
    """The sum of a metric's series that bear these labels."""
    return sum(
        value for (series, found), value in shown.items() if series == name and labels.items() <= dict(found).items()
    )


class Deployed:
    """The services of the compose file, started one by one on this machine."""

    def __init__(self, folder: Path, bootstrap: str, prefix: str) -> None:
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
        self._services = yaml.safe_load(text)["services"]
        self._folder = folder
        self._key = folder / "pseudonym.key"
        self._key.write_text("0123456789abcdef0123456789abcdef\n", encoding="ascii")
        self._moved = {"SIDECHAIN_BOOTSTRAP": bootstrap, "SIDECHAIN_PREFIX": prefix}
        self.ports = {name: free_port() for name in WORKERS}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """One service, its output in a file."""
        given = dict(self._services[name]["environment"]) | self._moved
        given |= {"SIDECHAIN_METRICS_HOST": "127.0.0.1", "SIDECHAIN_METRICS_PORT": str(self.ports.get(name, 0))}
        if "SIDECHAIN_PSEUDONYM_KEY_FILE" in given:
            given["SIDECHAIN_PSEUDONYM_KEY_FILE"] = str(self._key)
        ours = {key: value for key, value in os.environ.items() if not key.startswith("SIDECHAIN_")}
        command = [sys.executable, "-m", "sidechain.agents", *self._services[name]["command"]]
        with (self._folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command, env=ours | given, stdout=log, stderr=subprocess.STDOUT, cwd=self._folder
            )

    def said(self, name: str) -> str:
        """The end of a service's output, for whoever reads a failure."""
        return (self._folder / f"{name}.log").read_text(encoding="utf-8")[-3000:]

    def until(self, name: str, reached: Callable[[Shown], bool], what: str) -> Shown:
        """Scrape a worker until it shows what is expected, bounded."""
        shown: Shown = {}
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.processes[name].poll() is None, self.said(name)
            shown = scrape(self.ports[name])
            if shown and reached(shown):
                return shown
            time.sleep(0.1)
        pytest.fail(f"{name}: {what} not within {PATIENCE_S:.0f} s; {self.said(name)}")

    def stop(self, name: str) -> int:
        """Told as a container engine tells it. Returns the exit code."""
        self.processes[name].send_signal(signal.SIGTERM)
        return self.processes[name].wait(PATIENCE_S)


@pytest.fixture
def deployed(broker: LocalKafka, prefix: str, tmp_path: Path) -> Iterator[Deployed]:
    """Nothing started yet; whatever is running afterwards is ended."""
    made = Deployed(tmp_path, broker.bootstrap, prefix)
    yield made
    for process in made.processes.values():
        if process.poll() is None:
            process.kill()
            process.wait(10)


def events() -> bytes:
    """Requests of three hosts, a line each, and one line that nobody can decide."""
    lines = [
        json.dumps(
            {
                "id": f"req-{number:05}",
                "host": f"{'abc'[number % 3]}.example",
                "at": 807_256_800_000 + 1_000 * number,
                "method": "GET",
                "path": "/",
                "status": 200,
                "bytes": 1_713,
            },
            separators=(",", ":"),
        ).encode()
        for number in range(EVENTS)
    ]
    return b"\n".join([*lines, BROKEN]) + b"\n"


def test_the_services_of_the_compose_file_work_together(deployed: Deployed, broker, prefix, sidechain, tmp_path: Path):
    """Topics, then workers at zero, then events: each is counted once along the whole way, and all stop when told."""
    deployed.start("topics")
    assert deployed.processes["topics"].wait(PATIENCE_S) == 0, deployed.said("topics")
    for name in WORKERS:
        deployed.start(name)
    for name in WORKERS:
        # The endpoint answers a moment before the worker's own metrics are made.
        complete = set(samples(name))
        shown = deployed.until(name, lambda now, complete=complete: set(now) >= complete, "every series")
        assert set(shown) == complete
    assert total(scrape(deployed.ports["dry"]), "sidechain_entries_total") == 0

    file = tmp_path / "events.ndjson"
    file.write_bytes(events())
    sent = sidechain("produce", str(file), "--pack", "web", "--bootstrap", broker.bootstrap, "--prefix", prefix)
    assert sent.returncode == 0, sent.stderr

    dry = deployed.until("dry", lambda now: total(now, "sidechain_entries_total") > EVENTS, "every entry")
    assert total(dry, "sidechain_decisions_total") == EVENTS
    assert total(dry, "sidechain_entries_total", kind="decision") == EVENTS
    assert total(dry, "sidechain_entries_total", kind="rejected") == 1
    assert total(dry, "sidechain_dead_letters_total") == 1
    assert total(dry, "sidechain_takeovers_total", result="genesis") == total(dry, "sidechain_lanes") == 1
    assert total(dry, "sidechain_transaction_seconds_count") == total(dry, "sidechain_batches_total") > 0
    assert abs(total(dry, "sidechain_last_commit_timestamp_seconds") - time.time()) < PATIENCE_S
    deployed.until("dry", lambda now: total(now, "sidechain_lag_records") == 0, "no lag")

    tap = deployed.until("tap", lambda now: total(now, "sidechain_taps_total") >= EVENTS, "every decision tapped")
    assert total(tap, "sidechain_taps_total", result="sent") == EVENTS
    wet = deployed.until("wet", lambda now: total(now, "sidechain_scores_total") >= EVENTS, "every tap scored")
    assert total(wet, "sidechain_scores_total", state="warming") == EVENTS
    assert total(wet, "sidechain_model_version") == 0

    assert {name: deployed.stop(name) for name in WORKERS} == dict.fromkeys(WORKERS, 0), deployed.said("dry")
