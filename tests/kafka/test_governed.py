"""Governance, reconciliation and rows that somebody proposed first, on a real broker: one installation, one sitting."""

import json
from pathlib import Path

import msgspec
import pytest

from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.settings import Config
from tests.answered import answered
from tests.lanes import T0, Process, config_of, entries, made, send, until, visible, wait_decided

PACK = """\
pack: llm
version: 1
event:
  fields:
    id: {type: string, role: id}
    badge: {type: string, role: key}
    at: {type: int, role: time}
    amount: {type: int}
lists:
  lost: {type: string}
budgets:
  timeout: 2d
  cost_unit: token
  accounts:
    - {name: tokens_day, unit: token, period: 1d, per: event.badge, limit: 100000}
  reserve:
    - {account: tokens_day, amount: event.amount, then: block}
governance: {account: tokens_day}
trust:
  tiers: {block: 0, review: 1, monitor: 2}
rules:
  - {id: lost, when: event.badge in lists.lost, then: block, reason: Lost.}
"""


@pytest.fixture
def config(broker: LocalKafka, prefix: str, tmp_path: Path) -> Config:
    file = tmp_path / "llm.yaml"
    file.write_text(PACK, encoding="utf-8")
    return made(config_of(broker.bootstrap, prefix, policy=file))


def event(number: int) -> tuple[int, bytes, bytes]:
    said = {"id": f"e-{number}", "badge": "b", "at": T0 + number, "amount": 1_000}
    return 0, b"b", msgspec.json.encode(said)


def cost(number: int) -> tuple[int, bytes, bytes]:
    """Twice what was held for it."""
    return 0, b"b", msgspec.json.encode({"id": f"e-{number}", "at": T0 + 10, "cost_minor": 2_000})


def settled(config: Config) -> int:
    return sum(b'"kind":"settlement"' in one.value for one in visible(config, "dry.decisions")[0])


@pytest.mark.kafka
def test_a_downgrade_outlives_its_worker_and_what_was_billed_is_what_was_settled(
    config: Config, tmp_path: Path
) -> None:
    """Three costs beyond their estimates: the next owner holds half. A statement with one line altered is told."""
    options = ["--policy", str(config.policy), "--bootstrap", config.bootstrap, "--prefix", str(config.prefix)]
    with Process(config, tmp_path / "first.log") as first:
        send(config, [event(one) for one in range(3)])
        wait_decided(config, 3, [first])
        send(config, [cost(one) for one in range(3)], "outcomes")
        until(lambda: settled(config) == 3, first.said)
        first.kill()
    (tmp_path / "lost.txt").write_text("b\n", encoding="utf-8")
    rows = [str(tmp_path / "lost.txt"), "--list", "lost", "--version", "1"]
    with Process(config, tmp_path / "second.log") as second:
        send(config, [event(3)])
        wait_decided(config, 4, [second])
        asked = answered("lists", "propose", *rows, "--by", "anna", "--why", "It was lost.", "--json", *options)
        assert asked.returncode == 0, asked.stderr
        name = json.loads(asked.stdout)["id"]
        done = answered("lists", "activate", *rows, "--by", "ben", "--proposal", name[:12], *options)
        assert done.returncode == 0, done.stderr + second.said()
        send(config, [event(4)])
        wait_decided(config, 5, [second])
        assert second.stop() == 0, second.said()

    chain = entries(config)[0]
    watched = [one["budget"]["governed"] for one in chain if one["kind"] == "settlement"]
    assert [one["event"] for one in watched] == ["breach", "breach", "downgraded"]
    decided = {one["id"]: one for one in chain if one["kind"] == "decision"}
    answers = {name: one["budget"]["governed"] for name, one in decided.items() if one["budget"]}
    assert (answers["e-2"]["downgraded"], answers["e-2"]["cost"] // 2) == (False, answers["e-3"]["cost"])
    assert answers["e-3"]["downgraded"]
    assert [one["proposal"] for one in chain if one["kind"] == "list"] == [name]
    assert [decided[one]["action"] for one in ("e-3", "e-4")] == ["allow", "block"]

    statement = tmp_path / "invoice.csv"
    for billed, exit_code in (("2000", 0), ("2001", 1)):
        lines = ["id,amount,unit", "e-0,2000,token", f"e-1,{billed},token", "e-2,2000,token", ""]
        statement.write_text("\n".join(lines), encoding="utf-8")
        held = answered("reconcile", "--invoice", str(statement), "--decimals", "0", "--json", *options)
        assert held.returncode == exit_code, held.stdout + held.stderr
    assert "e-1" in held.stdout
    replayed = answered("replay", *options)
    assert replayed.returncode == 0, replayed.stdout
