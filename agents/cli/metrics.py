"""`sidechain metrics score`: how strange each value of a metric is."""

import csv
import math
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
import typer

from sidechain.agents.cli.convert import raw_lines
from sidechain.agents.cli.output import Json, say
from sidechain.agents.problems import EnvironmentProblem, UsageProblem

SHOWN_PROBLEMS: Final = 5
TIME, VALUE, SCORE, WHY = COLUMNS = ("timestamp", "value", "anomaly_score", "why")


Write = Callable[
    ["Row", float | None, float | None, str], None
]  # a row, its value and its score where it has them, why


class Row(NamedTuple):
    """One row that has both columns."""

    line: int
    timestamp: str
    text: str  # of the value

    @property
    def value(self) -> float:
        """NaN for a text that is no number, or none that counts."""
        try:
            return float(self.text)
        except ValueError:
            return math.nan


def score(
    file: Annotated[Path, typer.Argument(help="CSV with columns timestamp and value, plain or gzip; - is stdin.")],
    json: Json = False,
) -> None:
    """Score each value by how unlike all before it is: 0 to 1, worth a look from 0.5 on, then with the reason.

    Rows are taken in their order. One whose value is no number has no score, and is counted on standard error.
    """
    if find_spec("numpy") is None:
        raise EnvironmentProblem("scoring metrics needs numpy: pip install 'sidechain[wet]'")
    from sidechain.models.wet.metric_stream import MetricStream

    stream, write = MetricStream(), _json if json else _csv()
    strange = unread = rows = 0
    for row in rows_of(file):
        value = row.value
        if not math.isfinite(value):
            unread += 1
            if unread <= SHOWN_PROBLEMS:
                say(f"line {row.line}: {row.text[:40]!r} is no number")
            write(row, None, None, "")
            continue
        rows += 1
        said = stream.add(value)
        strange += bool(said.why)
        write(row, value, said.score, said.why)
    sys.stdout.flush()
    if not rows:
        raise UsageProblem(f"{file} holds no row with a number in its column {VALUE!r}")
    say(f"{rows:,} values, {strange:,} of them strange" + (f"; {unread:,} rows without a number" if unread else ""))


def rows_of(file: Path) -> Iterator[Row]:
    """The rows behind the header. Raises `UsageProblem` for what is no such file."""
    lines = (_text(file, number, one) for number, one in enumerate(raw_lines(file), 1))
    table = csv.reader(lines)
    try:
        header = [one.strip().lower() for one in next(table, [])]
        missing = [one for one in (TIME, VALUE) if one not in header]
        if missing:
            raise UsageProblem(
                f"the first line of {file} names no column {' and none '.join(missing)}; it must name both"
            )
        time, value = header.index(TIME), header.index(VALUE)
        for cells in table:
            if len(cells) > max(time, value):
                yield Row(table.line_num, cells[time], cells[value].strip())
            elif cells:
                yield Row(table.line_num, cells[time] if len(cells) > time else "", "")
    except csv.Error as fault:
        raise UsageProblem(f"line {table.line_num} of {file} is no CSV: {fault}") from None


def _text(file: Path, number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as fault:
        raise UsageProblem(f"line {number} of {file} is no UTF-8: {fault.reason}") from None


def _csv() -> Write:
    """Writes the header; then what it returns writes rows."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)

    def write(row: Row, _: float | None, found: float | None, why: str) -> None:
        writer.writerow((row.timestamp, row.text, "" if found is None else f"{found:.6f}", why))

    return write


def _json(row: Row, value: float | None, found: float | None, why: str) -> None:
    known = None if found is None else round(found, 6)
    line = {TIME: row.timestamp, VALUE: value, SCORE: known, WHY: why}
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
