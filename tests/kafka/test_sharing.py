"""An account that partitions share, on a real broker: money goes where it is needed, and none is lost or made."""

import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from sidechain.agents.local_kafka import LocalKafka
from tests import dumb_ledger
from tests.answered import answered
from tests.lanes import T0, Process, assert_balanced, config_of, made, send, until, visible, wait_decided

SESSION_S = 6.0  # after it, a killed worker's partitions are given to others
PACK = """\
pack: tills
version: 1
event:
  fields:
    id: {type: string, role: id}
    till: {type: string, role: key}
    at: {type: int, role: time}
    amount: {type: int}
budgets:
  timeout: 7d
  accounts:
    - {name: house_day, unit: EUR, period: 1d, limit: 4000}
  reserve:
    - {account: house_day, amount: event.amount, for: [allow], then: block}
rules: []
"""


def spent(number: int, partition: int, amount: int = 100) -> tuple[int, bytes, bytes]:
    """One event, all of them within a minute of the same day."""
    till = f"till-{partition}"
    event = {"id": f"e-{number:05d}", "till": till, "at": T0 + number, "amount": amount}
    return partition, till.encode(), msgspec.json.encode(event)


@pytest.fixture
def config(broker: LocalKafka, prefix: str, tmp_path: Path):
    (tmp_path / "tills.yaml").write_text(PACK, encoding="utf-8")
    return made(config_of(broker.bootstrap, prefix, policy=tmp_path / "tills.yaml", shard_size=2))


def test_what_one_partition_lacks_comes_from_the_others_and_not_a_cent_is_lost(config, tmp_path: Path) -> None:
    """1,000 each. Partition 0 spends more than it was given at first, while a worker is killed and another comes."""
    options = ["--policy", str(config.policy), "--bootstrap", config.bootstrap, "--prefix", str(config.prefix)]
    settings = {"shard_size": 2, "session_timeout_s": SESSION_S}
    first, second, third = (Process(config, tmp_path / f"{one}.log", **settings) for one in range(3))
    sent = 0

    def spend(*partitions: int, amount: int = 100) -> None:
        nonlocal sent
        send(config, [spent(sent + at, one, amount) for at, one in enumerate(partitions)])
        sent += len(partitions)

    with first, second:
        spend(0, amount=1_500)  # nobody waits for an answer: this one is refused, and asks
        wait_decided(config, sent, [first, second])
        until(lambda: _moved(config) >= 2, lambda: first.said() + second.said())
        spend(0, amount=1_500)  # and this one is not
        wait_decided(config, sent, [first, second])
        spend(*[0, 1, 2, 3] * 3)
        first.kill()
        spend(*[0, 1, 1, 2, 3] * 5)
        with third:
            spend(*[0, 3] * 3)
            wait_decided(config, sent, [second, third])
            third.wait_for(r"shards of this worker")  # on a slow machine the second has done all of it alone by now
            until(lambda: _is_quiet(config), lambda: second.said() + third.said())
            assert [one.stop() for one in (second, third)] == [0, 0]

    chains = assert_balanced(config)
    decided = [one for one in chains[0] if one["kind"] == "decision"][:2]
    assert [one["action"] for one in decided] == ["block", "allow"]
    assert [one["reason"] for one in decided[0]["budget"]["refused"]] == ["exhausted"]
    assert decided[1]["budget"]["reserved"]["initial"] == [1_500]  # 500 of them came from elsewhere
    kinds = Counter(one["kind"] for chain in chains.values() for one in chain)
    assert kinds["debit"] == kinds["credit"] > 3
    topic = visible(config, "dry.transfers")
    for partition, chain in chains.items():
        sources = [one["source"][2] for one in chain if one["source"][0] == "transfers"]
        assert sources == [record.offset for record in topic[partition]], partition

    replayed = answered("replay", *options, "--json")
    assert replayed.returncode == 0, replayed.stdout
    balanced = answered("account", *options, "--json")
    assert balanced.returncode == 0, balanced.stdout
    counted = {one["partition"]: one["transfers"]["events"] for one in json.loads(balanced.stdout)}
    assert counted == {partition: len(records) for partition, records in topic.items()}

    audit = tmp_path / "audit"
    exported = answered("export", str(audit), "--with-events", *options)
    assert exported.returncode == 0, exported.stderr
    again = answered("replay", "--export", str(audit), "--json")
    assert json.loads(again.stdout) == json.loads(replayed.stdout)
    checked = answered("verify", "--export", str(audit), "--against-events")
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count("transfers: each has exactly one entry") == 4
    found = dumb_ledger.ledger(dumb_ledger.entries_of(audit))
    assert not any(dumb_ledger.under_way(found).values())
    [(given, held, used, owed)] = dumb_ledger.spent(found).values()
    assert held + used <= given <= 4_000
    assert owed == 0


def _moved(config) -> int:
    """How many transfers have their entry."""
    chains = visible(config, "dry.decisions")
    return sum(b'"source":["transfers",' in one.value for chain in chains.values() for one in chain)


def _is_quiet(config) -> bool:
    """Whether all of them have; decisions alone ask, so then there is nothing more to come."""
    return _moved(config) == sum(map(len, visible(config, "dry.transfers").values()))
