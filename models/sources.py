"""Raw data to events, as the pack's `sources` say: csv, tsv, ndjson, and the log formats of web servers.

    >>> list(convert(load_pack("web"), None, [b'h - - [01/Aug/1995:00:00:00 -0400] "GET / HTTP/1.0" 200 7280']))
    [b'{"id":"web-000001","host":"h","at":807249600000,"method":"GET","path":"/","status":200,"bytes":7280}']

A row that does not become an event becomes a `BadRow` with its line, and the rows around it are not touched. Rows are
numbered as they stand, bad ones included, so that an id or a time made from the number never shifts.
"""

import ast
import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, count, islice
from typing import Any, Final, NamedTuple

import msgspec

from sidechain.models import utc
from sidechain.models.cel import HELPERS, lower
from sidechain.models.pack_reader import closest
from sidechain.models.pack_sources import LOG_COLUMNS, ROW
from sidechain.models.policy import Policy, Source
from sidechain.models.server_log import log_parser

SNIFFED_LINES: Final = 20
_TIME: Final = "_source_time_ms"
# Python reads more, and other versions of it other things: what a file means must not depend on who reads it.
_DATE_AND_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T](?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]{3}(?:[0-9]{3})?)?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)

Values = Sequence[Any]  # one per column; None is unknown


class Converted(NamedTuple):
    """One event, and what the source itself says about it where it has a label."""

    line: int
    event: bytes  # one JSON object, no line end
    label: str | None
    is_normal: bool | None  # None without a label


class BadRow(NamedTuple):
    """A row that is no event, and why."""

    line: int
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.problem}"


class SourceError(ValueError):
    """The data fits none of the pack's sources, or there is no source of that name."""


def convert(policy: Policy, source: str | None, lines: Iterable[bytes]) -> Iterator[bytes | BadRow]:
    """The events in `lines`, in order; without a source's name the one that reads the first lines best is taken."""
    for one in rows(policy, source, lines):
        yield one if isinstance(one, BadRow) else one.event


def rows(policy: Policy, source: str | None, lines: Iterable[bytes]) -> Iterator[Converted | BadRow]:
    """As `convert`, with line numbers and labels."""
    if source is not None:
        return _converted(policy, named(policy, source), lines)
    rest = iter(lines)
    head = list(islice(rest, SNIFFED_LINES))
    return _converted(policy, sniffed(policy, head), chain(head, rest))


def named(policy: Policy, name: str) -> Source:
    """The pack's source of that name."""
    for one in policy.sources:
        if one.name == name:
            return one
    names = [one.name for one in policy.sources]
    hint = f"; did you mean {guess}?" if (guess := closest(name, names)) else ""
    raise SourceError(f"pack {policy.name} has no source {name}, it has {', '.join(names) or 'none'}{hint}")


def sniffed(policy: Policy, head: Sequence[bytes]) -> Source:
    """The source that makes most events of the first lines; of equals the first in the pack."""
    best, most, complaints = None, 0, []
    for one in policy.sources:
        found = list(_converted(policy, one, head))
        good = sum(isinstance(row, Converted) for row in found)
        if good > most:
            best, most = one, good
        complaints += [f"{one.name}: {row}" for row in found if isinstance(row, BadRow)][:1]
    if best is None:
        why = "; ".join(complaints) or "there is no row, or no source"
        raise SourceError(f"no source of pack {policy.name} reads this ({why})")
    return best


def _converted(policy: Policy, source: Source, lines: Iterable[bytes]) -> Iterator[Converted | BadRow]:
    make = _row_function(policy, source)
    event_fields = tuple(one.name for one in policy.event.fields)
    required = tuple(at for at, one in enumerate(policy.event.fields) if not one.optional)
    # Every field may be left out here: whether it may be is checked below, with a better message.
    struct = msgspec.defstruct("Row", [(name, Any, None) for name in event_fields], omit_defaults=True, gc=False)
    encode = msgspec.json.Encoder().encode
    label_at = source.columns.index(source.label) if source.label else None
    number = -1
    for line, values in _READERS[source.format](source, lines):
        number += 1
        if isinstance(values, str):
            yield BadRow(line, values)
            continue
        fields = make(*values, number, f"{policy.name}-{number + 1:06d}")
        if None in fields and (missing := next((at for at in required if fields[at] is None), None)) is not None:
            yield BadRow(line, _why_missing(source, event_fields[missing], values))
            continue
        try:
            event = encode(struct(*fields))
        except UnicodeEncodeError:
            yield BadRow(line, "bytes that are not UTF-8")
            continue
        # NaN and infinities are written as null.
        if b"null" in event and (bad := _not_finite(event_fields, fields)) is not None:
            yield BadRow(line, f"field {bad} is not a finite number")
            continue
        label = None if label_at is None else values[label_at]
        yield Converted(line, event, label, None if label is None else label in source.normal)


def _row_function(policy: Policy, source: Source) -> Callable[..., tuple[Any, ...]]:
    """(*columns, row number, generated id) -> the event's fields in order, None for unknown."""
    expressions = {one.field: one.expression for one in source.fields}
    arguments = [f"column_{name}" for name in source.columns]
    places = {name: f"column_{name}" for name in source.columns} | {ROW: "row_number"}
    temporaries = (f"t{index}" for index in count())

    def access(name: str) -> ast.expr:
        column = ast.Name(places[name], ast.Load())
        return ast.Call(ast.Name(_TIME, ast.Load()), [column], []) if name in source.times else column

    parts: list[ast.expr] = []
    for one in policy.event.fields:
        if one.name in expressions:
            parts.append(lower(expressions[one.name], access, temporaries))
        elif one.role == "id":
            parts.append(ast.Name("generated_id", ast.Load()))
        else:
            parts.append(ast.Constant(None))
    parameters = [ast.arg(name) for name in (*arguments, "row_number", "generated_id")]
    body = ast.Tuple(parts, ast.Load())
    function = ast.Expression(ast.Lambda(ast.arguments(parameters, [], None, [], [], None, []), body))
    code = compile(ast.fix_missing_locations(function), f"<source {source.name}>", "eval")
    names = {"__builtins__": {}, _TIME: time_ms, **HELPERS}
    return eval(code, names)  # type: ignore[no-any-return]  # noqa: S307 - our own nodes


def time_ms(text: str | None) -> int | None:
    """Milliseconds since 1970 of a date and a time of day, in UTC where no zone stands behind it; None for others.

    >>> time_ms("2018-04-01 00:00:31"), time_ms("2018-04-01T02:00:31.250+02:00"), time_ms("1 April")
    (1522540831000, 1522540831250, None)
    """
    if text is None or _DATE_AND_TIME.fullmatch(text) is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:  # the 31st of February
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return utc.ms(parsed)


def _why_missing(source: Source, field: str, values: Values) -> str:
    for one in source.fields:
        if one.field == field:
            read = [
                f"{name} is {_shown(values[source.columns.index(name)])}"
                for name in one.expression.variables
                if name in source.columns
            ]
            return f"field {field} ({one.expression.source}) has no value: {', '.join(read)}"
    return f"field {field} has no value"


def _not_finite(names: Sequence[str], fields: Sequence[Any]) -> str | None:
    for name, value in zip(names, fields, strict=True):
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            return name
    return None


def _shown(value: object) -> str:
    shown = repr(value) if value is not None else "unknown"
    return shown if len(shown) <= 60 else shown[:57] + "..."


Read = Iterator[tuple[int, Values | str]]  # line number, and the columns or what is wrong


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    """Lines without their ends; bytes that are not UTF-8 are refused when the event is written."""
    for line in lines:
        yield line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")


def _separated(source: Source, found: Iterator[tuple[int, list[str] | str]]) -> Read:
    """Rows of texts, checked against the columns; what the source calls unknown becomes None."""
    width = len(source.columns)
    unknown = frozenset(source.unknown)
    first = True
    for line, row in found:
        if isinstance(row, str):
            yield line, row
        elif first and source.header:
            if tuple(name.lower() for name in row) != source.columns:
                yield (
                    line,
                    f"the header is {_shown(','.join(row))}, and {_shown(','.join(source.columns))} was expected",
                )
        elif len(row) != width:
            yield line, f"{len(row)} columns, source {source.name} has {width}"
        elif unknown:
            yield line, [None if one in unknown else one for one in row]
        else:
            yield line, row
        first = False


def _read_csv(source: Source, lines: Iterable[bytes]) -> Read:
    def found() -> Iterator[tuple[int, list[str] | str]]:
        # With their ends: a quoted text may span lines.
        reader = csv.reader((line.decode("utf-8", "surrogateescape") for line in lines), strict=True)
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield reader.line_num, f"this is no csv: {error}"
                continue
            if row:
                yield reader.line_num, row

    return _separated(source, found())


def _read_tsv(source: Source, lines: Iterable[bytes]) -> Read:
    return _separated(source, ((at, text.split("\t")) for at, text in enumerate(_texts(lines), 1) if text))


def _read_ndjson(source: Source, lines: Iterable[bytes]) -> Read:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for at, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield at, "this is no JSON object"
            continue
        yield at, [_text(found.get(name)) for name in source.columns]


def _text(value: object) -> str | None:
    """A column is text: a number or list of the JSON is its own notation, null is unknown."""
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def _read_log(source: Source, lines: Iterable[bytes]) -> Read:
    parse = log_parser(has_agent="agent" in LOG_COLUMNS[source.format])
    for at, text in enumerate(_texts(lines), 1):
        if text:
            yield at, parse(text)


_READERS: Final[dict[str, Callable[[Source, Iterable[bytes]], Read]]] = {
    "csv": _read_csv,
    "tsv": _read_tsv,
    "ndjson": _read_ndjson,
    "common-log": _read_log,
    "combined-log": _read_log,
}
