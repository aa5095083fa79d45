"""Precision and recall: a table worked out by hand, and the labelled sample counted a second, dumber way."""

import gzip
import json
import subprocess
from collections import Counter
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from sidechain.models import samples
from sidechain.models.measure import Measured
from sidechain.models.pack_file import load_pack
from sidechain.models.policy import Typology
from tests.answered import answered
from tests.support import decided, event, policy, rule

SAMPLE = files("sidechain.models") / "packs" / "samples" / samples.RAW["network"]
POLICY = policy(
    rules=[rule("big", "event.n > 10", "review"), rule("odd", "event.n % 2 == 1"), rule("never", "event.n < 0")],
    typologies=[Typology(id="both", title="", weights={"big": 50, "odd": 50}, review_at=100)],
)


def measure(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return answered("policy", "measure", *words)


def test_a_table_worked_out_by_hand() -> None:
    """Five decisions and one rejection; three of the six events are bad, one of which cannot be decided.

    n      1    11    12    2    13    "x"
    bad    no   yes   no    yes  no    yes
    big         x     x          x
    odd    x    x                x
    both        x                x
    """
    entries = decided(POLICY, [event(at, n=n) for at, n in enumerate([1, 11, 12, 2, 13, "x"])])
    measured = Measured()
    for entry, is_bad in zip(entries, [False, True, False, True, False, True], strict=True):
        measured.add(entry, is_bad)
    assert (measured.events, measured.bad, measured.undecided) == (6, 3, 1)
    assert [(*one, one.precision, one.recall) for one in measured.table(POLICY)] == [
        ("rule", "big", 3, 1, 3, 1 / 3, 1 / 3),
        ("rule", "odd", 3, 1, 3, 1 / 3, 1 / 3),
        ("rule", "never", 0, 0, 3, None, 0.0),
        ("typology", "both", 2, 1, 3, 1 / 2, 1 / 3),
        ("whole", POLICY.ref, 3, 1, 3, 1 / 3, 1 / 3),
    ]


def test_nothing_bad_has_no_recall() -> None:
    """Not 0 and not 1: there was nothing to find."""
    measured = Measured()
    measured.add(decided(POLICY, [event(0, n=11)])[0], False)
    assert {one.recall for one in measured.table(POLICY)} == {None}


@pytest.fixture(scope="module")
def rows() -> list[list[str]]:
    """The raw columns of the network sample; the label stands last."""
    lines = gzip.decompress(SAMPLE.read_bytes()).decode().splitlines()
    return [line.split(",") for line in lines]


def test_the_command_over_the_labelled_sample_agrees_with_a_dumber_count(rows: list[list[str]]) -> None:
    """Rules over single columns are counted with split and compare; every row of the table is there."""
    done = measure("--pack", "network", "--json", Path(str(SAMPLE)))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    one = load_pack("network")
    names = [("rule", rule.id) for rule in one.rules] + [("typology", typology.id) for typology in one.typologies]
    assert [(line["scope"], line["id"]) for line in found["measures"]] == [*names, ("whole", one.ref)]
    bad = sum(row[41] != "normal." for row in rows)
    assert (found["events"], found["bad"]) == (len(rows), bad)
    by_name = {line["id"]: line for line in found["measures"]}
    for name, fires in {
        "bad_fragment": lambda row: int(row[7]) > 0,
        "echo_reply_flood": lambda row: row[1] == "icmp" and int(row[23]) >= 100,
        "oversized_request": lambda row: row[2] == "http" and int(row[4]) >= 10_000,
        "empty_datagram": lambda row: row[1] == "udp" and int(row[4]) <= 5,
    }.items():
        counted = Counter(row[41] != "normal." for row in rows if fires(row))
        assert (by_name[name]["named"], by_name[name]["named_bad"]) == (counted.total(), counted[True]), name
        assert by_name[name]["precision"] == counted[True] / counted.total()
        assert by_name[name]["recall"] == counted[True] / bad
    assert by_name[one.ref]["precision"] >= 0.999
    assert by_name[one.ref]["recall"] >= 0.99


def test_the_command_prints_a_line_for_each_and_the_totals(tmp_path: Path, rows: list[list[str]]) -> None:
    """For people; rows that are no events are left out and counted."""
    some = tmp_path / "some.csv"
    some.write_text("\n".join([*(",".join(row) for row in rows[:400]), "nonsense"]) + "\n", encoding="utf-8")
    done = measure("--pack", "network", some)
    lines = done.stdout.splitlines()
    assert (done.returncode, len(lines)) == (0, 15 + 2 + 1 + 1)
    assert lines[0].split()[:2] == ["rule", "echo_reply_flood"]
    assert lines[-2].split()[0] == "whole"
    bad = sum(row[41] != "normal." for row in rows[:400])
    assert lines[-1] == f"400 events, {bad} of them bad, 0 undecided"
    assert "1 rows are no events and were left out" in done.stderr


def test_data_without_labels_is_refused(tmp_path: Path) -> None:
    """Exit 2 and why: there is nothing to measure against."""
    log = tmp_path / "access.log"
    log.write_text('h - - [01/Aug/1995:00:00:00 -0400] "GET / HTTP/1.0" 200 7280\n', encoding="utf-8")
    done = measure("--pack", "web", log)
    assert (done.returncode, done.stdout) == (2, "")
    assert "names no label; nothing to measure against" in done.stderr


def test_undecided_rows_are_no_hits() -> None:
    """A rejected or repeated event of an attack was not caught by anybody."""
    measured = Measured()
    for entry in decided(POLICY, [event(0, n=11), event(0, n=11), event(1, n=None)]):
        measured.add(msgspec.json.decode(msgspec.json.encode(entry)), True)
    assert (measured.events, measured.bad, measured.undecided) == (3, 3, 2)
    assert [one.named_bad for one in measured.table(POLICY)] == [1, 1, 0, 1, 1]
