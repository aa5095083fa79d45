"""How a pack says its raw data is read: which format, which columns, one expression for each event field."""

from collections.abc import Mapping as MappingType
from typing import Final, Literal, get_args

from sidechain.models.cel import INT, STRING, Type, Variable
from sidechain.models.pack_reader import NAME, Problems, Section, closest
from sidechain.models.policy import Column, EventSchema, FieldType, Source
from sidechain.models.yaml_positions import Node, Scalar, plain

Format = Literal["csv", "tsv", "ndjson", "common-log", "combined-log"]

ROW: Final = "row"  # the row's number, from 0, an int

# What the parsers of the two web server formats find; "-" in a line means unknown.
COMMON_LOG: Final = ("host", "ident", "user", "at", "method", "path", "protocol", "status", "bytes")
LOG_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "common-log": COMMON_LOG,
    "combined-log": (*COMMON_LOG, "referer", "agent"),
}


def column_variables(
    columns: tuple[str, ...], kind: str, unknown: tuple[str, ...], times: tuple[str, ...]
) -> dict[str, Variable]:
    """What an expression over a row may read: strings, except that times, a log line's `at` and `row` are ints."""
    may_be_unknown = bool(unknown) or kind in ("ndjson", *LOG_COLUMNS)
    found = {name: Variable(STRING, unknown=may_be_unknown) for name in columns}
    found |= {name: Variable(INT, unknown=True) for name in times}
    if kind in LOG_COLUMNS:
        found["at"] = Variable(INT)
    return {**found, ROW: Variable(INT)}


def read_sources(
    problems: Problems, node: Node | None, event: EventSchema, types: MappingType[FieldType, Type]
) -> tuple[Source, ...]:
    """The pack's sources, in the order in which they are tried on a file whose source nobody named."""
    found: list[Source] = []
    for name, value in problems.pairs(node, "sources"):
        with problems.section(value, f"source {name.text}") as section:
            found.append(_source(problems, section, name.text, event, types))
    return tuple(found)


def _source(
    problems: Problems, section: Section, name: str, event: EventSchema, types: MappingType[FieldType, Type]
) -> Source:
    kind = section.choice("format", get_args(Format))
    unknown = _texts(problems, section, "unknown")
    columns = _columns(problems, section, kind)
    times = _times(problems, section, columns, kind)
    variables = column_variables(columns, kind, unknown, times)
    has_header = section.flag("header")
    if has_header and kind not in ("csv", "tsv"):
        section.complain("header", f"{kind} has no header")
    label = section.text("label", "") or None
    if label is not None and label not in columns:
        section.complain("label", f'"label" names no column: "{label}"', closest(label, columns))
    normal = _texts(problems, section, "normal")
    return Source(
        name=name,
        format=kind,
        columns=columns,
        header=has_header,
        fields=_fields(problems, section, variables, event, types),
        label=label,
        normal=normal,
        unknown=unknown,
        times=times,
    )


def _columns(problems: Problems, section: Section, kind: str) -> tuple[str, ...]:
    if kind in LOG_COLUMNS:
        if section.get("columns") is not None:
            section.complain("columns", f'the columns of {kind} are fixed: remove "columns"')
        return LOG_COLUMNS[kind]
    names = section.names("columns") if section.need("columns") is not None else ()
    seen: set[str] = set()
    for name, place in names:
        if not NAME.fullmatch(name) or name == ROW:
            problems.add(place, f'column name "{name}" must be lower-case letters, digits and _, and not "{ROW}"')
        if name in seen:
            problems.add(place, f'column "{name}" stands twice in {section.what}')
        seen.add(name)
    return tuple(name for name, _ in names)


def _times(problems: Problems, section: Section, columns: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """Which columns are dates with a time of day."""
    if kind in LOG_COLUMNS and section.get("times") is not None:
        section.complain("times", f'the time of {kind} is "at", an int already: remove "times"')
        return ()
    names = section.names("times")
    for name, place in names:
        if name not in columns:
            problems.add(place, f'"times" names no column: "{name}"', closest(name, columns))
    return tuple(name for name, _ in names if name in columns)


def _texts(problems: Problems, section: Section, name: str) -> tuple[str, ...]:
    """Raw texts; unlike names they may be empty, when quoted."""
    found: list[str] = []
    for one in problems.items(section.get(name), f'"{name}" of {section.what}'):
        if isinstance(one, Scalar) and plain(one) is not None:
            found.append(one.text)
        else:
            problems.add(one, f'"{name}" of {section.what} must be a list of texts')
    return tuple(found)


def _fields(
    problems: Problems,
    section: Section,
    variables: MappingType[str, Variable],
    event: EventSchema,
    types: MappingType[FieldType, Type],
) -> tuple[Column, ...]:
    known = {one.name: one for one in event.fields}
    node = section.need("fields")
    found: list[Column] = []
    given: set[str | None] = set()
    for name, value in problems.pairs(node, f'"fields" of {section.what}'):
        given.add(name.text)
        if name.text not in known:
            guess = closest(name.text, known)
            given.add(guess)
            problems.add(name, f'unknown event field "{name.text}" in {section.what}', guess)
            continue
        what = f'field "{name.text}" of {section.what}'
        expression = problems.cel(value, what, variables, types[known[name.text].type])
        if expression is not None:
            found.append(Column(field=name.text, expression=expression))
    for one in event.fields:
        if node is not None and one.name not in given and not one.optional and one.role != "id":
            problems.add(node, f'missing field "{one.name}" in {section.what}')
    return tuple(found)
