"""One threshold changed on Friday: `backtest` names the flips that the workers then show, entry by entry."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.settings import Config
from sidechain.models.pack_file import load_file
from tests.answered import answered
from tests.hosts import few_errors
from tests.lanes import Process, config_of, entries, made, request, send, wait_decided

EVENTS = 1_200


@pytest.fixture
def policies(tmp_path: Path) -> tuple[Path, Path]:
    """A policy in force, and the one that Friday's change makes of it."""
    files = tmp_path / "monday.yaml", tmp_path / "friday.yaml"
    files[0].write_text(few_errors(1, limit=6), encoding="utf-8")
    files[1].write_text(few_errors(2, limit=4), encoding="utf-8")
    return files


def traffic() -> list[tuple[int, bytes, bytes]]:
    """Eleven hosts on four partitions; every seventh request fails, some repeat, a few nobody can read."""
    found = []
    for number in range(EVENTS):
        host = f"h{number % 11}.example"
        value = request(number - 44 * (number % 97 == 50), host, status=404 if number % 7 == 0 else 200, bytes=number)
        found.append((number % 11 % 4, host.encode(), b"not json" if number % 101 == 7 else value))
    return found


def decided(config: Config, log: Path) -> dict[int, list[dict]]:
    """The chains that a worker makes of the traffic."""
    with Process(config, log) as worker:
        worker.wait_for("genesis")
        send(config, traffic())
        wait_decided(config, EVENTS, [worker])
        assert worker.stop() == 0
    return entries(config)


def backtest(config: Config, file: Path, *words: str | Path) -> dict:
    """`sidechain policy backtest … --json`, on the topics unless the words say otherwise."""
    where = [] if "--export" in words else ["--bootstrap", config.bootstrap, "--prefix", str(config.prefix)]
    command = [sys.executable, "-m", "sidechain.agents", "policy", "backtest", file, *words, "--json", *where]
    done = subprocess.run([str(one) for one in command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.kafka
def test_the_flips_it_names_are_those_the_workers_show(
    broker: LocalKafka, prefix: str, policies: tuple[Path, Path], tmp_path: Path
) -> None:
    """From the topics and from an export, in one process and in several, to the entry and to the last unit at stake."""
    monday, friday = policies
    before = made(config_of(broker.bootstrap, f"{prefix}.monday", policy=monday))
    after = made(config_of(broker.bootstrap, f"{prefix}.friday", policy=friday))
    old = decided(before, tmp_path / "monday.log")
    listed = tmp_path / "flips.ndjson"
    told = backtest(before, friday, "--jobs", "2", "--flips", listed)
    folder = tmp_path / "export"
    words = ["export", str(folder), "--with-events", "--policy", str(monday)]
    where = ["--bootstrap", before.bootstrap, "--prefix", str(before.prefix)]
    answered(*words, *where).check_returncode()
    assert backtest(before, friday, "--export", folder) == told

    chain = folder / "decisions-2.ndjson"
    chain.write_bytes(b"".join(chain.read_bytes().splitlines(keepends=True)[:-1]))
    words = ["policy", "backtest", str(friday), "--export", str(folder)]
    cut = answered(*words)
    assert (cut.returncode, "the export was cut short" in cut.stderr) == (2, True)

    flip = json.loads(listed.read_bytes().splitlines()[0])
    words = ["explain", flip["id"], "--policy", str(monday)]
    said = answered(*words, *where)
    assert "    many_errors did not fire\n      features.errors_5m >= 6 does not hold: " in said.stdout
    assert "    features.errors_5m 6 instead of " in said.stdout

    new = decided(after, tmp_path / "friday.log")  # only now does the changed policy decide anything
    flips = [
        (was["id"], partition, was["seq"], was["action"], now["action"])
        for partition, chain in old.items()
        for was, now in zip(chain, new[partition], strict=True)
        if was.get("action") != now.get("action")
    ]
    named = [json.loads(one) for one in listed.read_bytes().splitlines()]
    assert [(one["id"], one["partition"], one["seq"], one["before"], one["after"]) for one in named] == flips
    assert len(flips) > 20
    assert len({one[1] for one in flips}) == 4
    read = [json.loads(value) for _, _, value in reversed(traffic()) if value != b"not json"]
    stakes = {one["id"]: one["bytes"] for one in read}  # of a repeated id the first event counts
    assert told["value"] == sum(stakes[one[0]] for one in flips)
    assert told["candidate"] == load_file(friday).ref
    assert told["sealed_under"] == {load_file(monday).ref: EVENTS}
    assert told["rules"]["many_errors"]["began"] == len(flips)
    assert told["verdicts"]["before"]["rejected"] == told["verdicts"]["after"]["rejected"] > 0
    assert told["verdicts"]["before"]["duplicate"] == told["verdicts"]["after"]["duplicate"] > 0
