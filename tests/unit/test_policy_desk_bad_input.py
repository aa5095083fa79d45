"""Bad input at the policy desk, through the commands people use: clear reasons, nothing lost, books that balance."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from sidechain.agents.cli import build
from tests import dumb_ledger

DAY = 86_400_000
T0 = 19_676 * DAY

TEXT = """\
pack: desk
version: 1
event:
  max_step: 30d
  duplicate_horizon: 256
  fields:
    id: {type: string, role: id}
    badge: {type: string, role: key}
    at: {type: int, role: time}
    team: {type: string, optional: true}
    amount: {type: int}
budgets:
  timeout: 2d
  accounts:
    - {name: house_day, unit: EUR, period: 1d, limit: 100000}
    - {name: team_day, unit: EUR, period: 1d, per: event.team, limits: {red: 1000}, parent: house_day}
  reserve:
    - {account: team_day, amount: event.amount, when: "has(event.team)", then: review}
lists:
  lost: {type: string}
  limits: {type: string, value: int}
rules: []
"""


def run(*words: str | Path) -> Result:
    """The command, in this process."""
    texts = list(map(str, words))
    name = texts[:2] if texts[0] in ("policy", "lists") else texts[:1]
    return CliRunner().invoke(build(name), texts, catch_exceptions=False)


def event(name: str, amount: Any = 100, team: str | None = "red", at: int = 0) -> bytes:
    fields = {"id": name, "badge": "b", "at": T0 + at, "team": team, "amount": amount}
    return json.dumps(fields).encode()


def outcome(name: str, cost: Any = None, at: int = 1, **more: Any) -> bytes:
    return json.dumps({"id": name, "at": T0 + at, "cost_minor": cost, **more}).encode()


class Desk:
    """A folder with a policy, and what its files were decided to."""

    def __init__(self, folder: Path, text: str = TEXT) -> None:
        self.folder = folder
        self.policy = folder / "desk.yaml"
        self.policy.write_text(text)

    def file(self, name: str, lines: list[bytes]) -> Path:
        path = self.folder / name
        path.write_bytes(b"".join(one + b"\n" for one in lines))
        return path

    def decide(self, events: list[bytes], outcomes: list[bytes]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Entries and dead letters; every input has one entry, every one unread a letter, and all is provable."""
        inputs = self.file("events", events), self.file("outcomes", outcomes)
        words = ["--policy", self.policy, "--outcomes", inputs[1], "--dead-letters", self.folder / "letters"]
        done = run("decide", *words, inputs[0])
        assert done.exit_code == 0
        decisions = self.folder / "decisions-0.ndjson"
        decisions.write_bytes(done.stdout_bytes)
        entries = [json.loads(one) for one in done.stdout_bytes.splitlines()]
        assert sorted(tuple(one["source"]) for one in entries) == sorted(
            (topic, 0, at) for topic, lines in (("events", events), ("outcomes", outcomes)) for at in range(len(lines))
        )
        letters = [json.loads(one) for one in (self.folder / "letters").read_bytes().splitlines()]
        unread = [one for one in entries if one["kind"] in ("rejected", "refused-outcome") and one["id"] is None]
        given = {**{("events", at): one for at, one in enumerate(events)}}
        given |= {("outcomes", at): one for at, one in enumerate(outcomes)}
        assert sorted(one["value"] for one in letters) == sorted(
            given[one["source"][0], one["source"][2]].decode() for one in unread
        )
        dumb_ledger.ledger([(0, iter(entries))])
        files = ["--policy", self.policy, "--events", inputs[0], "--outcomes", inputs[1], "--decisions", decisions]
        assert run("replay", *files).exit_code == 0
        assert run("verify", decisions).exit_code == 0
        return entries, letters


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def said(entry: dict[str, Any]) -> tuple[Any, ...]:
    """The reason an entry states, wherever its kind has one."""
    if entry["kind"] in ("rejected", "refused-outcome"):
        return entry["kind"], entry["reason"], entry["field"]
    budget = entry["budget"] or {"refused": []}
    return entry["kind"], entry.get("action"), [one["reason"] for one in budget["refused"]]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (event("x", -1), ("decision", "review", ["bad-amount"])),  # negative money
        (event("x", 2**53), ("decision", "review", ["bad-amount"])),  # more than every reader holds exactly
        (event("x", 2**63), ("rejected", "out-of-bounds", "amount")),  # overflowing
        (event("x", 10.25), ("rejected", "wrong-type", "amount")),  # float money
        (event("x", "10.25"), ("rejected", "wrong-type", "amount")),
        (event("x", float("nan")), ("rejected", "not-finite", "amount")),
        (event("x", None), ("rejected", "wrong-type", "amount")),
        (event("x", team="green"), ("decision", "review", ["unknown-account"])),
        (event("x", 1_001), ("decision", "review", ["exhausted"])),
        (event("a"), ("duplicate", None, [])),
    ],
)
def test_events(desk, line, found):
    """What can be read is decided and fails closed; what cannot is in the dead letters, byte for byte."""
    entries, _ = desk.decide([event("a"), line, event("z")], [outcome("a", 95)])
    if found[0] == "duplicate":
        assert (entries[1]["kind"], entries[1]["first"]) == ("duplicate", 0)
    else:
        assert said(entries[1]) == found
    after = entries[2]["budget"]["reserved"]
    assert dict(zip([one[0] for one in after["parts"]], after["remaining"], strict=True))["team_day"] == 800


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (outcome("a", -1), ("refused-outcome", "out-of-bounds", "cost_minor")),
        (outcome("a", 2**53), ("refused-outcome", "out-of-bounds", "cost_minor")),
        (outcome("a", 2**63), ("refused-outcome", "out-of-bounds", "cost_minor")),
        (outcome("a", 12.505), ("refused-outcome", "wrong-type", "cost_minor")),  # too many decimals, too
        (outcome("a", "12.50"), ("refused-outcome", "wrong-type", "cost_minor")),
        (outcome("nobody", 5), ("refused-outcome", "unknown-decision", None)),
        (outcome("s", 95), ("refused-outcome", "already-settled", None)),  # again
        (outcome("s", 96), ("refused-outcome", "already-settled", None)),  # again, and otherwise
        (outcome("s", 96, label="bad"), ("refused-outcome", "already-settled", None)),  # whole: no half is taken
        (outcome("a", 5, seq=1), ("refused-outcome", "other-decision", None)),
        (outcome("a", 5, partition=3), ("refused-outcome", "wrong-partition", None)),
        (outcome("a"), ("refused-outcome", "nothing-stated", None)),
        (outcome("a", 5, label="ugly"), ("refused-outcome", "out-of-bounds", "label")),
        (b'{"id":"a","at":1,"cost_minor":1,"cost_minor":2}', ("refused-outcome", "duplicate-field", "cost_minor")),
        (b"junk", ("refused-outcome", "not-json", None)),
    ],
)
def test_outcomes(desk, line, found):
    """It settles nothing: what was held for `a` stays held until its own outcome comes."""
    entries, _ = desk.decide([event("a"), event("s", 95)], [outcome("s", 95), line, outcome("a", 60, at=9)])
    assert said(entries[3]) == found
    closed = [(one["reservation"], one["parts"][0][4]) for entry in entries[2:] for one in budget(entry)["closed"]]
    assert closed == [(1, 95), (0, 60)]


def budget(entry: dict[str, Any]) -> dict[str, Any]:
    return entry.get("budget") or {"closed": []}


def test_a_late_outcome(desk):
    """Behind its reservation's timeout it settles the decision and no account; behind the horizon nothing."""
    events = [event("a"), event("b", at=3 * DAY)]
    entries, _ = desk.decide(events, [outcome("a", 95, at=3 * DAY)])
    assert [one["how"] for one in entries[1]["budget"]["closed"]] == ["expired"]
    assert said(entries[2]) == ("settlement", None, ["expired"])
    assert entries[2]["cost_minor"] == 95
    many = [event(f"e{at}", 0, team=None) for at in range(600)]
    entries, _ = desk.decide([event("a"), *many], [outcome("a", 95, seq=0), outcome("a", 95), outcome("e599", 1)])
    kinds = [said(one)[:2] for one in entries[-3:]]
    assert kinds == [
        ("refused-outcome", "too-late"),
        ("refused-outcome", "unknown-decision"),
        ("settlement", None),
    ]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("account: team_day", "account: team_dya", 'there is no account "team_dya" in reserve team_dya'),
        ("limit: 100000", "limit: -1", '"limit" must be a whole number from 0'),
        ("limit: 100000", "limit: 1000.50", '"limit" must be a whole number from 0'),
        ("limit: 100000", f"limit: {2**53}", '"limit" must be a whole number from 0'),
        ("red: 1000", "red: 1e3", "the limit of red must be a whole number of minor units"),
        ("parent: house_day", "parent: hose_day", 'there is no account "hose_day" in account team_day'),
        ("amount: event.amount", "amount: event.team", "the expression must be int, and it is string"),
        ("timeout: 2d", "timeout: soon", '"timeout"'),
    ],
)
def test_a_pack_whose_budgets_cannot_be_is_refused_with_line_and_column(tmp_path, old, new, sentence):
    """Before anything is decided by it, by whichever command."""
    assert old in TEXT
    desk = Desk(tmp_path, TEXT.replace(old, new, 1))
    line = next(at for at, text in enumerate(desk.policy.read_text().splitlines(), 1) if new in text)
    for words in (["policy", "check", desk.policy], ["decide", "--policy", desk.policy, desk.file("e", [event("a")])]):
        done = run(*words)
        assert done.exit_code in (1, 2)
        assert sentence in done.stdout + done.stderr
        assert f"desk.yaml:{line}:" in done.stdout + done.stderr
        assert '"kind"' not in done.stdout


@pytest.mark.parametrize(
    ("name", "rows", "problems"),
    [
        ("lost", ["b-1", "b-2", "b-1"], [(3, '"b-1" stands on line 1 already')]),
        ("lost", ["b-1", "", "b-2"], [(2, "an empty key")]),
        ("limits", ["b-1\t5", "b-2"], [(2, '"b-2" has no value')]),
        ("limits", ["b-1\tmany", "b-2\t1.5", "b-3\t7"], [(1, '"many" is no int'), (2, '"1.5" is no int')]),
        ("lots", ["b-1"], [(0, 'no list "lots"')]),
    ],
)
def test_a_list_with_repeated_or_malformed_rows(desk, name, rows, problems):
    """Every mistake with its line; nothing of it is put in force, also not by `decide`."""
    file = desk.file("rows.txt", [one.encode() for one in rows])
    done = run("lists", "check", file, "--list", name, "--policy", desk.policy, "--json")
    found = json.loads(done.stdout)["problems"]
    assert (done.exit_code, [one["line"] for one in found]) == (1, [line for line, _ in problems])
    assert all(text in one["message"] for one, (_, text) in zip(found, problems, strict=True))
    events = desk.file("events", [event("a")])
    refused = run("decide", "--policy", desk.policy, "--lists", f"{name}={file}", events)
    assert (refused.exit_code, refused.stdout) == (2, "")


def test_a_back_test_without_its_policy_and_a_period_without_data(desk):
    """Which is said, and what there is."""
    desk.decide([event("a"), event("b", at=DAY)], [outcome("a", 95)])
    files = ["--events", desk.folder / "events", "--decisions", desk.folder / "decisions-0.ndjson"]
    files += ["--outcomes", desk.folder / "outcomes"]
    for missing in (desk.folder / "none.yaml", desk.folder):
        done = run("policy", "backtest", missing, *files)
        assert (done.exit_code, done.stdout) == (2, "")
        assert missing.name in done.stderr
    done = run("policy", "backtest", desk.policy, *files, "--since", str(T0 + 9 * DAY))
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"none of 2 inputs lies in the period; their event times reach from {T0} to {T0 + DAY}" in done.stderr
    assert run("policy", "backtest", desk.policy, *files).exit_code == 0
    entries = desk.folder / "decisions-0.ndjson"
    done = run("report", entries, "--since", str(T0 + 9 * DAY), "--json")
    assert done.exit_code == 0
    assert f"no decision falls into this period; those of the chains have event times from {T0}" in done.stderr
    totals = json.loads(done.stdout)["totals"]
    assert (totals["decisions"], totals["budgets"]) == (0, {})
    outside = run("report", entries, "--since", "2026-01-02", "--until", "2026-01-01")
    assert (outside.exit_code, "no time lies between them" in outside.stderr) == (2, True)


def test_an_invoice_in_the_unit_of_the_policy(desk):
    """The policy says in which unit costs are; amounts finer than it, below zero or beyond all bounds are told."""
    desk.decide([event("a"), event("b"), event("c")], [outcome("a", 95), outcome("b", 100), outcome("c", 7)])
    rows = ["id,amount,unit", "a,0.95,EUR", "b,1.005,EUR", "c,-0.07,EUR", "b,90071992547409.92,EUR", "a,0.95,EUR"]
    file = desk.file("invoice.csv", [one.encode() for one in rows])
    words = ["--decisions", desk.folder / "decisions-0.ndjson", "--policy", desk.policy, "--json"]
    done = run("reconcile", "--invoice", file, *words)
    found = [(one["kind"], one["id"], one["line"]) for one in json.loads(done.stdout)["mismatches"]]
    assert done.exit_code == 1
    assert found == [
        ("unreadable", None, 3),
        ("unreadable", None, 4),
        ("unreadable", None, 5),
        ("duplicate", "a", 6),
        ("missing", "b", None),
        ("missing", "c", None),
    ]
