"""What was settled against what somebody else states: every difference, none excused.

    statement (CSV):     id,amount,unit        statement (NDJSON): {"id":"req-1","amount":"12.50","unit":"EUR"}
                         req-1,12.50,EUR

    missing    settled here, and the statement does not have it
    extra      in the statement, and nothing was settled under that id, or not in the period it is about
    amount     both have it, and they differ
    unit       both have it, in different units: the amounts are not compared
    duplicate  the statement has the id again, whatever the amount
    repeated   it was settled twice, which a chain does not do
    unreadable a line that states no cost

Rule 1: every line of the statement is a match or exactly one mismatch, and so is every settled cost. A mismatch names
the line and the entry, as far as there is one of each.
Rule 2: amounts are exact. What is finer than a minor unit is unreadable, not rounded.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from sidechain.models.amounts import DECIMALS_MAX, minor_units
from sidechain.models.dry.parse import ambiguous

Kind = Literal["missing", "extra", "amount", "unit", "duplicate", "repeated", "unreadable"]
COLUMNS: Final = ("id", "amount", "unit")
LINE_MAX: Final = 65_536

_decode = msgspec.json.Decoder().decode


class Entry(NamedTuple):
    """Where a settlement is sealed."""

    partition: int
    epoch: int
    seq: int

    def __str__(self) -> str:
        """As people are told of it."""
        epoch = f" of epoch {self.epoch}" if self.epoch else ""
        return f"entry {self.seq:,}{epoch} of partition {self.partition}"


class Settled(NamedTuple):
    """What one outcome said that a decision cost, in minor units of `unit`."""

    id: str
    amount: int
    unit: str
    entry: Entry
    is_due: bool = True  # it lies in the period that the statement is about


class Cost(NamedTuple):
    """What one line of a statement says, in minor units of `unit`."""

    id: str
    amount: int
    unit: str
    line: int


class Unreadable(NamedTuple):
    """A line of the statement that states no cost, and why."""

    line: int
    problem: str


class Mismatch(msgspec.Struct, frozen=True):
    """One difference. What a side does not have is None."""

    kind: Kind
    id: str | None
    line: int | None  # of the statement
    entry: Entry | None
    settled: int | None
    stated: int | None
    unit: str | None
    why: str


class Reconciled(msgspec.Struct, frozen=True):
    """The whole comparison. Totals are sums of minor units, by unit, of what is due and of every line that says one."""

    matches: int
    mismatches: tuple[Mismatch, ...]
    settled: dict[str, int]
    stated: dict[str, int]


class StatementError(ValueError):
    """A statement that cannot be read at all."""


def read_statement(
    lines: Iterable[bytes], *, decimals: int = 2, columns: Sequence[str] = COLUMNS
) -> Iterator[Cost | Unreadable]:
    """The costs a statement states, in order; NDJSON where the first line begins with a brace, else CSV with a header.

    `decimals`: those of the unit, 2 for cents, 0 for counts. `columns`: what the statement calls id, amount and unit.
    Raises StatementError where there is no header, or one without these columns.
    """
    if not 0 <= decimals <= DECIMALS_MAX:
        raise StatementError(f"decimals must be from 0 to {DECIMALS_MAX}, not {decimals}")
    if len(columns) != len(COLUMNS) or len(set(columns)) != len(COLUMNS):
        raise StatementError("three different columns are needed: those of id, amount and unit")
    numbered = ((number, line.rstrip(b"\r\n")) for number, line in enumerate(lines, 1))
    filled = ((number, line) for number, line in numbered if line.strip())
    first = next(filled, None)
    if first is None:
        raise StatementError("the statement is empty: it has neither a header nor a line")
    is_json = first[1].lstrip().startswith(b"{")
    if is_json:
        yield _cost(first[0], _member(first[1]), columns, decimals)
        for number, line in filled:
            yield _cost(number, _member(line), columns, decimals)
        return
    names = _row(first[1].removeprefix(b"\xef\xbb\xbf"))
    if isinstance(names, str) or not set(columns) <= set(names):
        raise StatementError(f"the first line must name the columns {', '.join(columns)}; it says {first[1][:80]!r}")
    for number, line in filled:
        row = _row(line)
        if not isinstance(row, str) and len(row) != len(names):
            row = f"it has {len(row)} columns, and the header has {len(names)}"
        found = row if isinstance(row, str) else dict(zip(names, row, strict=True))
        yield _cost(number, found, columns, decimals)


def reconcile(settled: Iterable[Settled], stated: Iterable[Cost | Unreadable]) -> Reconciled:
    """Compare. Mismatches come in the order of the statement, then those it lacks in the order of settlement.

    What is settled and not due is told apart from what never was: nobody misses it, and a line about it is `extra`.
    """
    ours: dict[str, Settled] = {}
    again: list[Mismatch] = []
    totals: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for one in settled:
        if one.is_due:
            _add(totals[0], one)
        first = ours.setdefault(one.id, one)
        if first is one:
            continue
        if not first.is_due and one.is_due:
            ours[one.id] = one
        elif one.is_due:
            why = f"it was settled before, by {first.entry}"
            again.append(Mismatch("repeated", one.id, None, one.entry, one.amount, None, one.unit, why))
    found: list[Mismatch] = []
    lines: dict[str, int] = {}
    matches = 0
    for line in stated:
        if isinstance(line, Unreadable):
            found.append(Mismatch("unreadable", None, line.line, None, None, None, None, line.problem))
            continue
        _add(totals[1], line)
        if line.id in lines:
            found.append(_duplicate(ours.get(line.id), line, lines[line.id]))
            continue
        lines[line.id] = line.line
        mismatch = _compared(ours.get(line.id), line)
        if mismatch is None:
            matches += 1
        else:
            found.append(mismatch)
    found += [
        Mismatch("missing", one.id, None, one.entry, one.amount, None, one.unit, "the statement does not have it")
        for one in ours.values()
        if one.is_due and one.id not in lines
    ]
    return Reconciled(matches, (*found, *again), *totals)


def _duplicate(ours: Settled | None, line: Cost, first: int) -> Mismatch:
    entry, amount = (None, None) if ours is None else (ours.entry, ours.amount)
    why = f"line {first:,} states it already"
    return Mismatch("duplicate", line.id, line.line, entry, amount, line.amount, line.unit, why)


def _compared(ours: Settled | None, line: Cost) -> Mismatch | None:
    if ours is None:
        why = "nothing was settled under this id"
        return Mismatch("extra", line.id, line.line, None, None, line.amount, line.unit, why)
    sides = line.line, ours.entry, ours.amount, line.amount, line.unit
    if not ours.is_due:
        return Mismatch("extra", line.id, *sides, "it was settled outside the period")
    if ours.unit != line.unit:
        return Mismatch("unit", line.id, *sides, f"settled in {ours.unit}, stated in {line.unit}")
    if ours.amount != line.amount:
        beyond = line.amount - ours.amount
        why = f"the statement says {abs(beyond)} {'more' if beyond > 0 else 'less'}"
        return Mismatch("amount", line.id, *sides, why)
    return None


def _add(totals: dict[str, int], one: Settled | Cost) -> None:
    totals[one.unit] = totals.get(one.unit, 0) + one.amount


def _row(line: bytes) -> list[str] | str:
    """The columns of one line, or why it has none."""
    if len(line) > LINE_MAX:
        return f"it is longer than {LINE_MAX} bytes"
    try:
        return [one.strip() for one in next(csv.reader([line.decode()], strict=True))]
    except (UnicodeDecodeError, csv.Error) as fault:
        return f"it is no line of CSV in UTF-8 ({fault})"


def _member(line: bytes) -> dict[str, Any] | str:
    """The members of one line, or why it has none."""
    if len(line) > LINE_MAX:
        return f"it is longer than {LINE_MAX} bytes"
    if (rejection := ambiguous(line)) is not None:  # a name twice, too: which of the two amounts would it be?
        return f"it is not strict JSON: {rejection.reason}"
    found = _decode(line)
    return found if isinstance(found, dict) else "it is no JSON object"


def _cost(number: int, found: dict[str, Any] | str, columns: Sequence[str], decimals: int) -> Cost | Unreadable:
    if isinstance(found, str):
        return Unreadable(number, found)
    identifier, amount, unit = (found.get(name) for name in columns)
    for name, value in zip(columns, (identifier, amount, unit), strict=True):
        if value is None or value == "":
            return Unreadable(number, f"it does not say {name}")
    if not isinstance(identifier, str) or not isinstance(unit, str):
        return Unreadable(number, f"{columns[0]} and {columns[2]} must be texts")
    if type(amount) is int:
        amount = str(amount)
    if not isinstance(amount, str):  # a JSON number with a point has been through a float: its decimals are a guess
        return Unreadable(number, f'{columns[1]} must be a text such as "12.50", or a whole number')
    try:
        return Cost(identifier, minor_units(amount, decimals), unit, number)
    except ValueError as fault:
        return Unreadable(number, str(fault))
