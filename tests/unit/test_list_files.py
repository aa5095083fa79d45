"""A list as somebody keeps it: what is read, and what is refused with its line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sidechain.agents.cli import build
from sidechain.models.dry.lists import KEY_MAX
from sidechain.models.list_file import ListError, format_of, of_values, read_list
from sidechain.models.policy import ListSchema
from tests.answered import answered
from tests.unit.test_lists import PACK

LOST = ListSchema(name="lost")
LIMITS = ListSchema(name="limits", value_type="int")
CODES = ListSchema(name="codes", key_type="int", value_type="string")


@pytest.mark.parametrize(
    ("name", "text", "declared", "rows"),
    [
        ("a.txt", "b\na\n", LOST, "a\nb\n"),
        ("a.txt", "b\r\na", LOST, "a\nb\n"),
        ("a", "b\t2\na\t1\n", LIMITS, "a\t1\nb\t2\n"),
        ("a.csv", 'b,2\n"a,x",1\n', LIMITS, "a,x\t1\nb\t2\n"),
        ("a.csv", "b\r\n\ufeffa\r\n", LOST, "b\n\ufeffa\n"),
        ("a.ndjson", '"b"\n\n["a"]\n', LOST, None),
        ("a.ndjson", '"b"\n\n{"key":"a"}\n', LOST, "a\nb\n"),
        ("a.jsonl", '["b",2]\n{"key":"a","value":-1}\n', LIMITS, "a\t-1\nb\t2\n"),
        ("a.jsonl", '[10,"x"]\n{"key":"9","value":"y"}\n', CODES, "10\tx\n9\ty\n"),
        ("a.txt", "\ufeffa\n", LOST, "a\n"),  # of the file, not of its first row
    ],
)
def test_rows_are_read_and_put_in_the_order_of_their_bytes(tmp_path: Path, name, text, declared, rows):
    """One content has one digest, whoever wrote it and how."""
    path = tmp_path / name
    path.write_bytes(text.encode())
    if rows is None:
        with pytest.raises(ListError):
            read_list(path, declared)
    else:
        found = read_list(path, declared)
        assert "".join(found.chunks) == rows
        assert found.content == of_values(_values(rows, declared), declared).content


def _values(rows: str, declared: ListSchema):
    cells = [line.split("\t") for line in rows.splitlines()]
    kinds = {"int": int, "string": str}
    keys = [kinds[declared.key_type](one[0]) for one in cells]
    if declared.value_type is None:
        return keys
    return {key: kinds[declared.value_type](one[1]) for key, one in zip(keys, cells, strict=True)}


BAD = [
    ("a.txt", b"", LOST, ["a.txt: it has no row; a list that is meant to be empty must be said so"]),
    ("a.txt", b"a\n\nb\n", LOST, ["a.txt:2: an empty key"]),
    ("a.txt", b"a\nb\na\n", LOST, ['a.txt:3: "a" stands on line 1 already']),
    ("a.txt", b"a\t1\na\t2\n", LIMITS, ['a.txt:2: "a" stands on line 1 already, with another value']),
    ("a.txt", b"a\t1\n", LOST, ['a.txt:1: "a" has a value, and the list has none']),
    ("a.txt", b"a\n", LIMITS, ['a.txt:1: "a" has no value, and the list\'s rows have one (int)']),
    ("a.txt", b"a\t1\t2\n", LIMITS, ["a.txt:1: more than one tab in a line"]),
    ("a.txt", b"a\t1.5\n", LIMITS, ['a.txt:1: the value "1.5" is no int of 64 bits, written without zeros before it']),
    ("a.txt", b"a\t\n", LIMITS, ['a.txt:1: the value "" is no int of 64 bits, written without zeros before it']),
    ("a.txt", b"007\tx\n", CODES, ['a.txt:1: the key "007" is no int of 64 bits, written without zeros before it']),
    ("a.txt", b" a\nb \n", LOST, ['a.txt:1: the key " a" begins or ends', 'a.txt:2: the key "b " begins or ends']),
    ("a.txt", b"a\x00\n", LOST, ['a.txt:1: the key "a\\u0000" holds a control character']),
    ("a.txt", b"a" * (KEY_MAX + 1), LOST, ['a.txt:1: the key "']),
    ("a.txt", b"\xff\n", LOST, ["a.txt: byte 0 is not UTF-8"]),
    ("a.csv", b"a,1,2\n", LIMITS, ["a.csv:1: a row has a key, or a key and a value, and this has 3 columns"]),
    ("a.csv", b'a,"1\n', LIMITS, ["a.csv:1: this is no CSV: "]),
    ("a.csv", b"\n", LOST, ["a.csv:1: a row has a key, or a key and a value, and this has 0 columns"]),
    ("a.csv", b"key,value\na,1\n", LIMITS, ['a.csv:1: the value "value" is no int']),
    ("a.ndjson", b"{a}\n", LOST, ["a.ndjson:1: this is no JSON: "]),
    ("a.ndjson", b"1.5\n", LOST, ['a.ndjson:1: a row is "key"']),
    ("a.ndjson", b"true\n", LOST, ["a.ndjson:1: the key True is no string"]),
    ("a.ndjson", b"5\n", LOST, ["a.ndjson:1: the key 5 is no string"]),
    ("a.ndjson", b'{"key":"a","amount":1}\n', LIMITS, ['a.ndjson:1: a row is "key"']),
    ("a.ndjson", b'["a","x"]\n', LIMITS, ['a.ndjson:1: the value "x" is no int']),
    ("a.ndjson", b'["a",9223372036854775808]\n', LIMITS, ['a.ndjson:1: the value "9223372036854775808" is no int']),
    ("a.ndjson", b'"\\ud800"\n', LOST, ["a.ndjson:1: the key ", "holds half a character"]),
    ("a.ndjson", b'["a","\\u0000"]\n', ListSchema(name="x", value_type="string"), ["holds a control character"]),
]


@pytest.mark.parametrize(("name", "text", "declared", "said"), BAD)
def test_what_is_wrong_with_a_list_is_said_with_its_line(tmp_path: Path, name, text, declared, said):
    """Nothing is guessed: what two people could read as two lists is refused."""
    path = tmp_path / name
    path.write_bytes(text)
    with pytest.raises(ListError) as refused:
        read_list(path, declared)
    assert all(one in str(refused.value) for one in said), str(refused.value)


def test_a_missing_file_and_many_mistakes_are_said_in_few_words(tmp_path: Path):
    """The first twenty lines at fault are enough to find out what went wrong."""
    with pytest.raises(ListError, match="cannot be read: No such file"):
        read_list(tmp_path / "gone.txt", LOST)
    path = tmp_path / "a.txt"
    path.write_text("a\n" + "a\n" * 1_000)
    with pytest.raises(ListError) as refused:
        read_list(path, LOST)
    assert len(refused.value.problems) == 21
    assert str(refused.value.problems[-1]).endswith("there may be more; the first are shown")


def test_an_empty_list_and_a_header_are_said_so(tmp_path: Path):
    """Neither is guessed."""
    path = tmp_path / "a.csv"
    path.write_text("key,limit\na,5\n")
    assert read_list(path, LIMITS, header=True).chunks == ("a\t5\n",)
    path.write_text("")
    empty = read_list(path, LIMITS, may_be_empty=True)
    assert (empty.content.rows, empty.chunks) == (0, ())
    assert (format_of(path), format_of(Path("x.JSONL")), format_of(Path("x"))) == ("csv", "ndjson", "lines")


def run(*words: str | Path):
    name = [str(one) for one in words[:2]]
    return CliRunner().invoke(build(name), [str(one) for one in words], catch_exceptions=False)


def test_a_list_is_checked_against_its_pack(tmp_path: Path):
    """Exit 0 and the digest, 1 and every mistake, 2 for a list the pack does not declare."""
    pack, good, bad = tmp_path / "doors.yaml", tmp_path / "good.txt", tmp_path / "bad.txt"
    pack.write_text(PACK)
    good.write_text("b\na\n")
    bad.write_text("a\na\n")
    found = run("lists", "check", good, "--list", "lost", "--policy", pack, "--json")
    assert (found.exit_code, json.loads(found.stdout)["rows"]) == (0, 2)
    refused = run("lists", "check", bad, "--list", "lost", "--policy", pack, "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["problems"][0]["line"] == 2
    other = run("lists", "check", good, "--list", "lots", "--policy", pack)
    assert other.exit_code == 1
    assert 'declares no list "lots"; did you mean "lost"?' in other.stderr
    odd = run("lists", "check", good, "--list", "lost", "--format", "xml", "--policy", pack)
    assert (odd.exit_code, "--format is lines, csv or ndjson, not xml" in odd.stderr) == (2, True)


def test_decide_and_replay_take_the_rows_from_files(tmp_path: Path):
    """As if they had been activated before the first event; a replay without them says what is gone."""
    pack, lost, events = tmp_path / "doors.yaml", tmp_path / "lost.txt", tmp_path / "events.ndjson"
    pack.write_text(PACK)
    lost.write_text("a\n")
    events.write_text('{"id":"1","badge":"a","at":5}\n{"id":"2","badge":"b","at":6}\n')
    given = ["--policy", str(pack), "--lists", f"lost={lost}"]
    decided = answered("decide", *given, str(events))
    entries = [json.loads(one) for one in decided.stdout.splitlines()]
    assert [one.get("action") for one in entries] == [None, "block", "allow"]
    decisions = tmp_path / "decisions.ndjson"
    decisions.write_text(decided.stdout)
    files = ["--events", str(events), "--decisions", str(decisions)]
    assert answered("replay", *files, *given).returncode == 0
    without = answered("replay", *files, *given[:2])
    assert (without.returncode, "its input is gone" in without.stdout) == (1, True)
    explained = answered("explain", "1", "--file", str(decisions), "--policy", str(pack), "--events", str(events))
    assert "list lost: lost@1:" in explained.stdout
    assert "not without the rows of its lists" in explained.stdout
    pack.write_text(
        PACK
        + "sources:\n  raw:\n    format: csv\n    columns: [badge, at, label]\n    label: label\n    normal: [good]\n"
        "    fields: {badge: badge, at: int(at)}\n"
    )
    labelled = tmp_path / "labelled.csv"
    labelled.write_text("a,5,bad\nb,6,good\n")
    measured = answered("policy", "measure", str(labelled), *given, "--json")
    whole = [one for one in json.loads(measured.stdout)["measures"] if one["scope"] == "whole"]
    assert (whole[0]["precision"], whole[0]["recall"]) == (1, 1), measured.stdout
    for named, said in (("lost", "write it as NAME=FILE"), (f"lots={lost}", 'did you mean "lost"')):
        refused = answered("decide", "--policy", str(pack), "--lists", named, str(events))
        assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr
