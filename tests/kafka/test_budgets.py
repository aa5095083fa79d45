"""Budgets on a real broker: conserved across a kill, a takeover and a policy change, as a second program reckons it."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from sidechain.agents.activate import activate, sealed_everywhere
from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.settings import Config
from sidechain.models.pack_file import load
from tests import dumb_ledger
from tests.answered import answered
from tests.hosts import hosts
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

BUDGETS = """\
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
EVENTS = 1_000
ACCOUNTS = 40_000


@pytest.fixture
def config(broker: LocalKafka, prefix: str, tmp_path: Path) -> Config:
    """An installation under a policy with budgets; what it changes into has half as much again."""
    file = tmp_path / "web.yaml"
    file.write_text(hosts(BUDGETS.format(limit=ACCOUNTS)), encoding="utf-8")
    return made(config_of(broker.bootstrap, prefix, policy=file))


def outcome(number: int) -> tuple[int, bytes, bytes]:
    """What an event really cost: less than its 512 bytes, as much, or more."""
    said = {"id": f"req-{number:06d}", "at": 0, "cost_minor": number * 37 % 900}
    return ordinary(1, number)[0][0], b"k", msgspec.json.encode(said)


def run(config: Config, folder: Path) -> None:
    """Events and their costs; a worker is killed, another goes on, and a policy takes effect."""
    half = EVENTS // 2
    sent = 0
    for part in range(2):
        with Process(config, folder / f"{part}.log") as worker:
            send(config, ordinary(half, part * half))
            wait_decided(config, sent + half // 2, [worker])
            send(config, [outcome(n) for n in range(part * half, (part + 1) * half) if n % 3], "outcomes")
            if part < 1:
                worker.kill()
                sent += half
                continue
            text = hosts(BUDGETS.format(limit=ACCOUNTS * 3 // 2), version=2)
            activated = asyncio.run(activate(config, load(text.encode(), name="second"), "anna"))
            asyncio.run(sealed_everywhere(config, activated, 30, lambda _partition, _seq: None))
            send(config, ordinary(200, EVENTS))
            wait_decided(config, EVENTS + 200, [worker])
            until(lambda: _settled(config) >= sum(n % 3 > 0 for n in range(EVENTS)), worker.said)
            assert worker.stop() == 0, worker.said()


def _settled(config: Config) -> int:
    found = visible(config, "dry.decisions").values()
    return sum(b'"source":["outcomes",' in one.value for records in found for one in records)


def test_what_a_killed_worker_held_is_conserved_to_the_last_unit(config: Config, tmp_path: Path) -> None:
    """Every balance of an export, reckoned by a program without our code; and every entry is made again."""
    run(config, tmp_path)
    assert_balanced(config)
    options = ["--policy", str(config.policy), "--bootstrap", config.bootstrap, "--prefix", str(config.prefix)]
    folder = tmp_path / "export"
    done = answered("export", str(folder), "--with-events", *options)
    assert done.returncode == 0, done.stderr

    found = dumb_ledger.ledger(dumb_ledger.entries_of(folder))
    assert {one.partitions for one in found.values()} == {4}
    for (account, _key, _from), (given, held, spent, _owed) in dumb_ledger.spent(found).items():
        assert held + spent <= given <= {"all_hour": ACCOUNTS * 3 // 2, "host_minute": 3_000, "looks": 20}[account]
    chains = entries(config)
    whys = {reason[2] for chain in chains.values() for one in chain for reason in one.get("reasons", [])}
    assert "exhausted" in whys
    ends = [
        end for chain in chains.values() for one in chain for end in (one.get("budget") or {"closed": []})["closed"]
    ]
    assert {"settled", "expired"} == {one["how"] for one in ends}
    assert {"allow", "review", "block"} <= {one.get("action") for chain in chains.values() for one in chain}

    replayed = answered("replay", *options)
    assert replayed.returncode == 0, replayed.stdout
