"""Budgets on a real broker: conserved across kills, takeovers and a policy change, as a second program reckons it."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sidechain.agents.activate import activate, sealed_everywhere
from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.settings import Config
from sidechain.models.pack_file import load
from tests import dumb_ledger
from tests.lanes import (
    Process,
    assert_balanced,
    config_of,
    entries,
    made,
    ordinary,
    send,
    until,
    visible,
    wait_decided,
)

PACK = """
pack: web
version: {version}
event:
  fields:
    id: {{type: string, role: id}}
    host: {{type: string, role: key}}
    at: {{type: int, role: time}}
    method: {{type: string}}
    path: {{type: string}}
    status: {{type: int}}
    bytes: {{type: int}}
budgets:
  timeout: 10m
  cost_unit: bytes
  accounts:
    - {{name: all_hour, unit: bytes, period: 1h, limit: {limit}}}
    - {{name: host_minute, unit: bytes, period: 5m, per: event.host, limit: 3000, parent: all_hour}}
    - {{name: looks, unit: looks, period: 5m, limit: 20}}
  reserve:
    - {{account: host_minute, amount: event.bytes, then: review}}
    - {{account: looks, amount: "1", for: [review], then: block}}
rules:
  - {{id: never, when: event.status < 0, then: note, reason: Never.}}
"""
EVENTS = 1_500
ACCOUNTS = 60_000


@pytest.fixture
def config(broker: LocalKafka, prefix: str, tmp_path: Path) -> Config:
    """An installation under a policy with budgets; what it changes into has half as much again."""
    file = tmp_path / "web.yaml"
    file.write_text(PACK.format(version=1, limit=ACCOUNTS), encoding="utf-8")
    return made(config_of(broker.bootstrap, prefix, policy=file))


def cost(number: int) -> bytes:
    """What an event really cost: less than its 512 bytes, as much, or more."""
    return msgspec.json.encode({"id": f"req-{number:06d}", "at": 0, "cost_minor": number * 37 % 900})


def run(config: Config, folder: Path) -> None:
    """Events and their costs; three workers one after the other, two of them killed, and a policy change."""
    outcomes = [(ordinary(1, n)[0][0], b"k", cost(n)) for n in range(EVENTS) if n % 3]
    third = EVENTS // 3
    sent = 0
    for part in range(3):
        with Process(config, folder / f"{part}.log") as worker:
            send(config, ordinary(third, part * third))
            wait_decided(config, sent + third // 2, [worker])
            settled = [
                one for one in outcomes if part * third <= int(json.loads(one[2])["id"][4:]) < (part + 1) * third
            ]
            send(config, settled, "outcomes")
            if part < 2:
                worker.kill()
                sent += third
                continue
            text = PACK.format(version=2, limit=ACCOUNTS * 3 // 2)
            activated = asyncio.run(activate(config, load(text.encode(), name="second"), "anna"))
            asyncio.run(sealed_everywhere(config, activated, 30, lambda _partition, _seq: None))
            send(config, ordinary(200, EVENTS))
            wait_decided(config, EVENTS + 200, [worker])
            until(lambda: _settled(config) >= len(outcomes), worker.said)
            assert worker.stop() == 0, worker.said()


def _settled(config: Config) -> int:
    found = visible(config, "dry.decisions").values()
    return sum(b'"source":["outcomes",' in one.value for records in found for one in records)


def test_what_a_killed_worker_held_is_conserved_to_the_last_unit(config: Config, tmp_path: Path, sidechain) -> None:
    """Every balance of an export, reckoned by a program without our code; replays, and a back-test that follows it."""
    run(config, tmp_path)
    assert_balanced(config)
    options = ["--policy", str(config.policy), "--bootstrap", config.bootstrap, "--prefix", str(config.prefix)]
    folder = tmp_path / "export"
    done = sidechain("export", str(folder), "--with-events", *options)
    assert done.returncode == 0, done.stderr

    checked = subprocess.run(
        [sys.executable, dumb_ledger.__file__, str(folder)], capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stderr
    assert "are right" in checked.stdout
    found = dumb_ledger.ledger(dumb_ledger.entries_of(folder))
    assert {one.partitions for one in found.values()} == {4}
    for (account, _key, _from), (given, held, spent, _owed) in dumb_ledger.spent(found).items():
        assert held + spent <= given <= {"all_hour": ACCOUNTS * 3 // 2, "host_minute": 3_000, "looks": 20}[account]
    chains = entries(config)
    whys = {reason[2] for chain in chains.values() for one in chain for reason in one.get("reasons", [])}
    assert {"exhausted", "owing"} <= whys
    assert {"allow", "review", "block"} <= {one.get("action") for chain in chains.values() for one in chain}

    live, exported = (sidechain("replay", *words, "--json") for words in (options, ["--export", str(folder)]))
    assert (live.returncode, exported.returncode) == (0, 0), live.stdout + exported.stdout
    assert json.loads(live.stdout) == json.loads(exported.stdout)

    held = next(one for chain in chains.values() for one in chain if one.get("budget") and one["budget"]["reserved"])
    assert "bytes are held" in sidechain("explain", held["id"], *options).stdout
    flips = sidechain("policy", "backtest", str(config.policy), "--export", str(folder), "--json")
    assert flips.returncode == 0, flips.stderr
    before = json.loads(flips.stdout)["verdicts"]
    assert before["before"].keys() == before["after"].keys()


def test_a_back_test_of_the_policy_in_force_flips_nothing(config: Config, tmp_path: Path, sidechain) -> None:
    """Reservations, costs and refusals are followed to the unit, so the candidate decides what was decided."""
    with Process(config, tmp_path / "worker.log") as worker:
        send(config, ordinary(600))
        wait_decided(config, 600, [worker])
        send(config, [(ordinary(1, n)[0][0], b"k", cost(n)) for n in range(0, 600, 2)], "outcomes")
        until(lambda: _settled(config) >= 300, worker.said)
        send(config, ordinary(600, 600))
        wait_decided(config, 1_200, [worker])
        assert worker.stop() == 0, worker.said()
    options = ["--bootstrap", config.bootstrap, "--prefix", str(config.prefix)]
    done = sidechain("policy", "backtest", str(config.policy), *options, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["inputs"], told["flips"]) == (1_200, 0)
    assert told["verdicts"]["before"]["review"] > 0
