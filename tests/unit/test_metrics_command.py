"""`sidechain metrics score` and `send`: rows in, scores out or values sent; what is no number is told."""

import csv
import gzip
import io
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sidechain.agents.cli import build, metrics_send
from sidechain.agents.produce import Keyed

RUNNER = CliRunner()
HEADER = "timestamp,value"
ROWS = [f"2014-04-01 00:{at // 60:02}:{at % 60:02},{10 + at % 3}" for at in range(600)]
SPIKE = "2014-04-01 00:10:00,500"


def score(*words: str | Path) -> Result:
    return RUNNER.invoke(build(["metrics", "score"]), ["metrics", "score", *map(str, words)])


def series(folder: Path, *rows: str, header: str = HEADER, name: str = "series.csv") -> Path:
    file = folder / name
    file.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return file


def test_every_row_comes_back_with_a_score(tmp_path: Path) -> None:
    """In its order, and the strange one says why."""
    done = score(series(tmp_path, *ROWS, SPIKE))
    assert done.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [f"{one['timestamp']},{one['value']}" for one in rows] == [*ROWS, SPIKE]
    assert float(rows[-1]["anomaly_score"]) > 0.9
    assert rows[-1]["why"] == "no value like 500 was seen, the nearest is 12"
    assert {one["why"] for one in rows[:-1]} == {""}
    assert "601 values, 1 of them strange" in done.stderr


def test_as_json_and_from_standard_input_and_gzip(tmp_path: Path, sidechain) -> None:
    """One object a line; columns may stand in any order, and others beside them."""
    rows = [f"x,{row.split(',')[1]},{row.split(',')[0]}" for row in (*ROWS, SPIKE)]
    file = series(tmp_path, *rows, header="other, Value,timestamp")
    told = score(file, "--json").stdout
    lines = [json.loads(one) for one in told.splitlines()]
    assert list(lines[-1]) == ["timestamp", "value", "anomaly_score", "why"]
    assert (lines[-1]["timestamp"], lines[-1]["value"]) == ("2014-04-01 00:10:00", 500.0)
    assert sidechain("metrics", "score", "-", "--json", input=file.read_text()).stdout == told
    packed = tmp_path / "series.csv.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert score(packed, "--json").stdout == told


def test_a_row_without_a_number_keeps_its_place_and_is_counted(tmp_path: Path) -> None:
    """Not a number, infinite, empty, cut off: no score, and the line is named."""
    bad = ["a,none", "b,inf", "c,", "d"]
    done = score(series(tmp_path, *ROWS[:300], *bad, *ROWS[300:], SPIKE), "--json")
    lines = [json.loads(one) for one in done.stdout.splitlines()]
    assert [(one["timestamp"], one["value"], one["anomaly_score"]) for one in lines[300:304]] == [
        (name, None, None) for name in "abcd"
    ]
    without = [json.loads(one) for one in score(series(tmp_path, *ROWS, SPIKE), "--json").stdout.splitlines()]
    assert lines[:300] + lines[304:] == without
    assert "line 302: 'none' is no number" in done.stderr
    assert "4 rows without a number" in done.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "names no column timestamp and none value"),
        (b"at,value\n1,2\n", "names no column timestamp"),
        (b"timestamp,value\n", "holds no row with a number"),
        (b"timestamp,value\na,b\n", "holds no row with a number"),
        (b"timestamp,value\n\xff,1\n", "line 2"),
        (b'timestamp,value\n"a,1\n' + b"x" * 200_000, "is no CSV"),
    ],
)
def test_what_is_no_such_file_is_said_in_a_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    """Exit code 2, no traceback."""
    file = tmp_path / "series.csv"
    file.write_bytes(content)
    done = score(file)
    assert done.exit_code == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def sent(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> tuple[Result, list[bytes]]:
    """`sidechain metrics send`, and what would stand on the topic."""
    found: list[bytes] = []

    async def produce(_options: object, topic: str, values: Iterable[Keyed], **_: object) -> int:
        assert topic == "sidechain.web.metrics"
        found.extend(one.value for one in values)
        return len(found)

    monkeypatch.setattr(metrics_send, "produce", produce)
    words = ("metrics", "send", *map(str, words), "--pack", "web")
    return RUNNER.invoke(build(["metrics", "send"]), list(words)), found


def test_a_file_is_sent_row_by_row_and_what_is_no_value_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = series(tmp_path, "2014-04-01 00:00:00,1", "yesterday,2", "2014-04-01 00:10:00,none", "2014-04-01 00:15:00,3")
    done, found = sent(monkeypatch, file, "--metric", "cpu")
    assert done.exit_code == 0
    assert found == [
        b'{"metric":"cpu","at":1396310400000,"value":1.0}',
        b'{"metric":"cpu","at":1396311300000,"value":3.0}',
    ]
    assert done.stdout == "2 values sent to sidechain.web.metrics\n"
    assert "line 3: 'yesterday' is no time" in done.stderr
    assert "2 rows without a time or a number" in done.stderr


@pytest.mark.parametrize("metric", ["", "a\nb"])
def test_a_metric_without_a_name_is_no_metric(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, metric: str) -> None:
    done, found = sent(monkeypatch, series(tmp_path, "2014-04-01 00:00:00,1"), "--metric", metric)
    assert (done.exit_code, found) == (2, [])
    assert "is a name of 1 to 200 printable characters" in done.stderr
