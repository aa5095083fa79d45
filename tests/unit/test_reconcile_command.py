"""`sidechain reconcile`: planted differences of every kind are told with line and entry, whoever asks and however."""

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from sidechain.agents.cli import build
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.entry import stated
from tests.reported import FIRST, T0, exported
from tests.signed import ndjson

RUNNER = CliRunner()
COSTS = {"a": 1_250, "b": 700, "c": 99, "d": 5, "e": 0, "f": 12}
LATER = T0 + 86_400_000


def reconcile(*words: str | Path):
    return RUNNER.invoke(build(["reconcile"]), ["reconcile", *map(str, words)])


def settled(folder: Path, partition: int = 0, costs: dict[str, int] = COSTS) -> Path:
    """A file of entries: a decision for each id, then an outcome for each, the last two of them a day later."""
    fold = Fold(FIRST, partition)
    events = [{"id": one, "badge": "b", "at": T0 + at, "n": 1} for at, one in enumerate(costs)]
    outcomes = [
        {"id": one, "at": LATER if one in "ef" else T0 + 60_000, "cost_minor": cost} for one, cost in costs.items()
    ]
    outcomes.append({"id": next(iter(costs)), "at": T0 + 60_000, "label": "good"})  # a label costs nothing
    lines = fold.events([Line(at, b"b", json.dumps(one).encode()) for at, one in enumerate(events)]).entries
    lines += fold.outcomes([Line(at, b"b", json.dumps(one).encode()) for at, one in enumerate(outcomes)]).entries
    return written(folder, [line for _, line in lines], partition)


def written(folder: Path, lines: list[bytes], partition: int = 0) -> Path:
    file = folder / f"decisions-{partition}.ndjson"
    file.write_bytes(ndjson(lines))
    return file


@pytest.fixture
def entries(tmp_path: Path) -> Path:
    return settled(tmp_path)


def invoice(folder: Path, *rows: str, header: str = "id,amount,unit") -> Path:
    file = folder / "invoice.csv"
    file.write_text("\n".join([header, *rows, ""]))
    return file


GOOD = ["a,12.50,EUR", "b,7,EUR", "c,0.99,EUR", "d,0.05,EUR", "e,0,EUR", "f,0.12,EUR"]


def test_nothing_differs(entries, tmp_path):
    done = reconcile("--invoice", invoice(tmp_path, *GOOD), "--decisions", entries, "--unit", "EUR")
    assert (done.exit_code, done.stdout) == (
        0,
        "6 lines are what was settled, 0 differ\nEUR: settled 20.66, stated 20.66\n",
    )


def test_every_planted_difference_is_told_with_its_line_and_its_entry(entries, tmp_path):
    """Entries 6 to 11 settle a to f; `repeated` needs a second epoch, below."""
    file = invoice(tmp_path, "a,12.51,EUR", "b,7,USD", "c,0.99,EUR", "c,0.99,EUR", "x,1,EUR", "d,0.055,EUR", "e,0,EUR")
    options = ["--invoice", file, "--decisions", entries, "--unit", "EUR"]
    done = reconcile(*options, "--json")
    told = json.loads(done.stdout)
    found = {(one["kind"], one["id"]): (one["line"], (one["entry"] or {}).get("seq")) for one in told["mismatches"]}
    assert found == {
        ("amount", "a"): (2, 6),
        ("unit", "b"): (3, 7),
        ("duplicate", "c"): (5, 8),
        ("extra", "x"): (6, None),
        ("unreadable", None): (7, None),
        ("missing", "d"): (None, 9),
        ("missing", "f"): (None, 11),
    }
    assert told["kinds"] == {"amount": 1, "duplicate": 1, "extra": 1, "missing": 2, "unit": 1, "unreadable": 1}
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (
        1,
        f"sidechain: 7 differences between what was settled and {file}",
    )
    lines = reconcile(*options).stdout.splitlines()
    assert (
        "amount     a: line 2, entry 6 of partition 0: the statement says 1 more (settled 12.50, stated 12.51 EUR)"
        in lines
    )
    assert "missing    f: entry 11 of partition 0: the statement does not have it (settled 0.12 EUR)" in lines
    assert "unreadable -: line 7: 0.055 has 3 decimals, and the unit has 2" in lines


@pytest.mark.parametrize(
    ("options", "rows", "differences"),
    [
        (["--until", str(LATER)], GOOD[:4], []),
        (["--until", str(LATER)], GOOD[:5], [("extra", "e", "it was settled outside the period")]),
        (["--since", str(LATER)], GOOD[4:], []),
        (["--since", str(LATER)], [], [("missing", one, "the statement does not have it") for one in "ef"]),
        (["--since", str(LATER + 1)], [], []),
    ],
)
def test_a_period_says_what_is_due(entries, tmp_path, options, rows, differences):
    """By the outcomes' event time, from the first moment up to, not including, the last."""
    done = reconcile("--invoice", invoice(tmp_path, *rows), "--decisions", entries, "--unit", "EUR", *options, "--json")
    found = json.loads(done.stdout)["mismatches"]
    assert [(one["kind"], one["id"], one["why"]) for one in found] == differences


def test_a_cost_settled_in_two_epochs_is_told(tmp_path):
    """A repair forgets what was settled, so one id can be settled twice; nobody is charged twice unseen."""
    first = Fold(FIRST, 0)
    event = Line(0, b"b", json.dumps({"id": "a", "badge": "b", "at": T0, "n": 1}).encode())
    lines = [line for _, line in first.events([event]).entries]
    lines += [line for _, line in first.outcomes([outcome(0)]).entries]
    again, opening = Fold.begin_epoch(FIRST, 0, 1, stated(lines[-1], 2), first.next, at_ms=T0, by="ben", why="lost")
    lines += [opening, *(line for _, line in again.events([event._replace(offset=1)]).entries)]
    lines += [line for _, line in again.outcomes([outcome(1)]).entries]
    entries = written(tmp_path, lines)
    done = reconcile("--invoice", invoice(tmp_path, "a,5,EUR"), "--decisions", entries, "--unit", "EUR", "--json")
    (told,) = json.loads(done.stdout)["mismatches"]
    assert told["kind"] == "repeated"
    assert told["entry"] == {"partition": 0, "epoch": 1, "seq": 2}


def outcome(offset: int) -> Line:
    return Line(offset, b"b", json.dumps({"id": "a", "at": T0, "cost_minor": 500}).encode())


def test_an_export_and_several_processes_say_the_same(tmp_path):
    """The entries of three partitions, one of them repaired."""
    export = exported(tmp_path / "export")
    costs = [
        (one["id"], one["cost_minor"])
        for file in sorted(export.glob("decisions-*.ndjson"))
        for one in map(msgspec.json.decode, file.read_bytes().splitlines())
        if one.get("kind") == "settlement" and one["cost_minor"] is not None
    ]
    assert costs
    file = invoice(tmp_path, *(f"{identifier},{cost},MIN" for identifier, cost in costs))
    options = ["--invoice", file, "--export", export, "--unit", "MIN", "--decimals", "0", "--json"]
    done = reconcile(*options)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["matches"] == len(costs)
    assert reconcile(*options, "--jobs", "2").stdout == done.stdout


@pytest.mark.parametrize(
    ("rows", "options", "sentence"),
    [
        ([], [], f"in which unit 6 costs under {FIRST.ref} are; name it with --unit"),
        (GOOD, ["--unit", "EUR", "--columns", "id,id,unit"], "three different columns are needed"),
        (GOOD, ["--unit", "EUR", "--columns", "ref,amount,unit"], "must name the columns ref, amount, unit"),
        (GOOD, ["--unit", "EUR", "--export", "."], "name --decisions or --export, one of the two"),
        (GOOD, ["--unit", "EUR", "--since", "yesterday"], "--since yesterday is no time"),
    ],
)
def test_bad_input_is_a_sentence(entries, tmp_path, rows, options, sentence):
    """Exit 2, and nothing on standard output."""
    done = reconcile("--invoice", invoice(tmp_path, *rows), "--decisions", entries, *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert sentence in done.stderr


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_statement_is_refused(entries, tmp_path, content):
    """It would miss everything; nobody meant that."""
    file = tmp_path / "invoice.csv"
    file.write_bytes(content)
    done = reconcile("--invoice", file, "--decisions", entries, "--unit", "EUR")
    assert (done.exit_code, "the statement is empty" in done.stderr) == (2, True)
    assert reconcile("--invoice", tmp_path / "none", "--decisions", entries, "--unit", "EUR").exit_code == 2


def test_nothing_is_compared_with_a_broken_chain(entries, tmp_path):
    """One altered cost would settle the difference somebody wants to hide."""
    entries.write_bytes(entries.read_bytes().replace(b'"cost_minor":1250', b'"cost_minor":1251'))
    done = reconcile("--invoice", invoice(tmp_path, *GOOD), "--decisions", entries, "--unit", "EUR")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "broken" in done.stderr


def test_other_names_of_columns_and_lines_of_json(entries, tmp_path):
    """As other people's programs write them."""
    file = tmp_path / "invoice.ndjson"
    names = ("ref", "total", "currency")
    rows = [dict(zip(names, row.split(","), strict=True)) for row in GOOD]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = reconcile("--invoice", file, "--decisions", entries, "--unit", "EUR", "--columns", ",".join(names), "--json")
    assert (done.exit_code, json.loads(done.stdout)["matches"]) == (0, len(GOOD))
