"""A list as somebody keeps it, in the form in which it is activated; or what is wrong with it, line by line.

    b-17            one key a line, or key, tab, value
    b-17,500        CSV
    {"key":"b-17","value":500}   or "b-17", or ["b-17",500]: NDJSON

Rows are put in the order of their bytes, so that one content has one digest whoever wrote the file.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec

from sidechain.models.dry.lists import KEY_MAX, ROWS_MAX, Activation, Content
from sidechain.models.dry.records import Line
from sidechain.models.pack_reader import closest
from sidechain.models.policy import KeyType, ListSchema, Policy

Format = Literal["lines", "csv", "ndjson"]
SUFFIXES: Final[Mapping[str, Format]] = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
CHUNK_BYTES: Final = 262_144  # of rows in one record: far below what `control` takes, and milliseconds to read
SHOWN: Final = 20  # problems; nobody reads more
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")
_INT: Final = re.compile(r"0|-?[1-9][0-9]{0,18}")


class ListProblem(NamedTuple):
    """One complaint: `blocked.csv:7: "b-17" stands on line 3 already`."""

    file: str
    line: int  # from 1; 0: the file as a whole
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class ListError(ValueError):
    """A list that is refused, with what is wrong with it, one line each."""

    def __init__(self, problems: Iterable[ListProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class ListText(NamedTuple):
    """The rows of a list in canonical form."""

    content: Content
    chunks: tuple[str, ...]  # whole lines; one after another they are what the digest is over


def format_of(path: Path) -> Format:
    """What the file's name says it is: one row a line unless it ends otherwise."""
    return SUFFIXES.get(path.suffix.lower(), "lines")


def read_list(
    path: Path,
    declared: ListSchema,
    format_: Format | None = None,
    *,
    header: bool = False,
    may_be_empty: bool = False,
) -> ListText:
    """The rows in a file, for a list declared so. `header`: its first line is none. Raises ListError."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ListError([ListProblem(str(path), 0, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise ListError([ListProblem(path.name, 0, f"byte {error.start} is not UTF-8")]) from None
    found = of_rows(_rows(text, format_ or format_of(path), header=header), declared, path.name)
    if not found.content.rows and not may_be_empty:
        raise ListError([ListProblem(path.name, 0, "it has no row; a list that is meant to be empty must be said so")])
    return found


def of_values(values: Any, declared: ListSchema) -> ListText:
    """The rows of a collection of keys, or of a mapping of keys to values. Raises ListError."""
    pairs = values.items() if isinstance(values, Mapping) else ((one, None) for one in values)
    rows = ((number, _Row(key, value), "") for number, (key, value) in enumerate(pairs, 1))
    return of_rows(rows, declared, f"list {declared.name}")


class _Row(NamedTuple):
    key: Any
    value: Any = None  # None: there is none


def of_rows(rows: Iterable[tuple[int, _Row | None, str]], declared: ListSchema, file: str) -> ListText:
    """The canonical form of (line, row, what is wrong with it instead). Raises ListError, naming the first problems."""
    problems: list[ListProblem] = []
    found: dict[str, str] = {}  # key, as it is written -> its line
    at: dict[str, int] = {}
    for number, row, wrong in rows:
        if row is not None:
            key, value, wrong = _written(row, declared)
            if not wrong and key in at:
                same = "" if found[key] == _line(key, value) else ", with another value"
                wrong = f"{_shown(key)} stands on line {at[key]} already{same}"
            if not wrong and len(at) >= ROWS_MAX:
                problems.append(ListProblem(file, number, f"a list has at most {ROWS_MAX:,} rows"))
                break
            if not wrong:
                at[key], found[key] = number, _line(key, value)
        if wrong:
            problems.append(ListProblem(file, number, wrong))
            if len(problems) >= SHOWN:
                problems.append(ListProblem(file, 0, "there may be more; the first are shown"))
                break
    if problems:
        raise ListError(problems)
    return canonical(found.values(), declared.key_type, declared.value_type)


def canonical(lines: Iterable[str], key_type: KeyType, value_type: KeyType | None) -> ListText:
    """The canonical form of rows that are right, each with its line's end."""
    digest, count = sha256(), 0
    chunks: list[str] = []
    part: list[str] = []
    size = 0
    for line in sorted(lines):  # code points sort as their UTF-8 does
        length = len(line.encode())
        if part and size + length > CHUNK_BYTES:
            chunks.append("".join(part))
            part, size = [], 0
        part.append(line)
        size += length
        count += 1
    if part:
        chunks.append("".join(part))
    for one in chunks:
        digest.update(one.encode())
    return ListText(Content(digest.hexdigest(), count, key_type, value_type), tuple(chunks))


def offline_control(policy: Policy, lists: Mapping[str, Any]) -> list[Line]:
    """`control` as it would be had these lists been activated there, in the order of their names, and nothing else.

    Name -> the path of a file, the keys, keys and values, or a `ListText`. Raises ListError.
    """
    records: list[Line] = []
    for name in sorted(lists):
        content, chunks = _text_of(lists[name], declared_as(policy, name))
        key, first = f"{policy.name}/{name}".encode(), len(records)
        for text in chunks:
            value = msgspec.json.encode({"kind": "rows", "name": policy.name, "list": name, "rows": text})
            records.append(Line(len(records), key, value))
        offsets = tuple(range(first, len(records)))
        wanted = Activation("list", policy.name, name, 1, *content, "decide", 0, offsets)
        records.append(Line(len(records), key, msgspec.json.encode(wanted)))
    return records


def declared_as(policy: Policy, name: str) -> ListSchema:
    """How a policy declares a list. Raises ListError where it does not."""
    known = {one.name: one for one in policy.lists}
    if name not in known:
        close = closest(name, known)
        hint = f'; did you mean "{close}"?' if close else ""
        raise ListError([ListProblem(policy.ref, 0, f'this policy declares no list "{name}"{hint}')])
    return known[name]


def _text_of(given: Any, declared: ListSchema) -> ListText:
    if isinstance(given, ListText):
        return given
    return read_list(Path(given), declared) if isinstance(given, str | Path) else of_values(given, declared)


def _rows(text: str, format_: Format, *, header: bool) -> Iterator[tuple[int, _Row | None, str]]:
    read = {"lines": _of_lines, "csv": _of_csv, "ndjson": _of_ndjson}[format_](text)
    if header:
        next(read, None)
    yield from read


def _of_lines(text: str) -> Iterator[tuple[int, _Row | None, str]]:
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        cells = line.removesuffix("\r").split("\t")
        yield (number, _Row(*cells), "") if len(cells) <= 2 else (number, None, "more than one tab in a line")


def _of_csv(text: str) -> Iterator[tuple[int, _Row | None, str]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if 1 <= len(cells) <= 2:
                yield reader.line_num, _Row(*cells), ""
            else:
                yield reader.line_num, None, f"a row has a key, or a key and a value, and this has {len(cells)} columns"
    except csv.Error as error:
        yield reader.line_num, None, f"this is no CSV: {error}"


def _of_ndjson(text: str) -> Iterator[tuple[int, _Row | None, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            given = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, None, f"this is no JSON: {error}"
            continue
        if isinstance(given, dict) and given.keys() <= {"key", "value"} and "key" in given:
            yield number, _Row(given["key"], given.get("value")), ""
        elif isinstance(given, list) and len(given) == 2:
            yield number, _Row(*given), ""
        elif isinstance(given, str | int):
            yield number, _Row(given), ""
        else:
            yield number, None, 'a row is "key", ["key",value] or {"key":…,"value":…}'


def _written(row: _Row, declared: ListSchema) -> tuple[str, str | None, str]:
    """Key and value as they are written, and what is wrong with them."""
    key, wrong = _cell(row.key, declared.key_type, "key")
    if wrong:
        return "", None, wrong
    if declared.value_type is None:
        return key, None, f"{_shown(key)} has a value, and the list has none" if row.value is not None else ""
    if row.value is None:
        return "", None, f"{_shown(key)} has no value, and the list's rows have one ({declared.value_type})"
    value, wrong = _cell(row.value, declared.value_type, "value")
    return key, value, wrong


def _cell(given: Any, kind: KeyType, what: str) -> tuple[str, str]:
    """A key or a value as it is written, and what is wrong with it."""
    if isinstance(given, bool) or not isinstance(given, str | int) or (kind == "string" and not isinstance(given, str)):
        return "", f"the {what} {given!r:.60} is no {kind}"
    text = str(given)
    if kind == "int":
        is_int = _INT.fullmatch(text) and -(2**63) <= int(text) < 2**63
        return (
            text,
            "" if is_int else f"the {what} {_shown(text)} is no int of 64 bits, written without zeros before it",
        )
    if not text:
        return "", f"an empty {what}"
    if _CONTROL.search(text):
        return "", f"the {what} {_shown(text)} holds a control character"
    if text[0] == " " or text[-1] == " ":
        return "", f"the {what} {_shown(text)} begins or ends with a blank, which no event's would match"
    if len(text) > KEY_MAX:
        return "", f"the {what} {_shown(text)} has {len(text):,} characters, at most {KEY_MAX:,} are allowed"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "", f"the {what} {_shown(text)} holds half a character"
    return text, ""


def _line(key: str, value: str | None) -> str:
    return f"{key}\n" if value is None else f"{key}\t{value}\n"


def _shown(text: str) -> str:
    shown = json.dumps(text, ensure_ascii=False)
    return shown if len(shown) <= 60 else shown[:57] + '..."'
