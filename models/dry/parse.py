"""Bytes in, a typed event out, or the reason why not.

Strict on purpose: what two readers could understand differently is rejected, not decided. msgspec does the work at C
speed; when it refuses, `_why` looks a second time with the standard library and names the reason in our own words,
because a reason is sealed into the chain and must not change with a library's error texts.
"""

import json
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from sidechain.models.policy import EventField, EventSchema

MAX_DEPTH: Final = 32  # nesting of objects and lists, also inside ignored fields
INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
_INFINITY: Final = float("inf")
_BEYOND: Final = 10**400  # stands for an integer of more digits: outside every type, and quick to make
_STRING_OR_BRACKET: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)

REASONS: Final = (
    "null-value",
    "null-key",
    "key-mismatch",  # the record's key is not the event's key field: its history lives on another partition
    "too-large",
    "bad-utf8",
    "too-deep",
    "not-json",
    "not-an-object",
    "not-finite",  # NaN, Infinity, or a number too large for its type
    "duplicate-field",
    "unknown-field",
    "missing-field",
    "wrong-type",
    "out-of-bounds",  # length, minimum or maximum of a field
    "time-out-of-bounds",
    "bad-control",  # a control record that is no valid policy and no list whose rows are there
    "bad-transfer",  # a record between partitions that cannot be read, or is not meant for this one
)


class Rejection(NamedTuple):
    """Why an input cannot be decided, and the field at fault where there is one."""

    reason: str
    field: str | None = None


class _Refused(Exception):  # noqa: N818 - a verdict on the input, not an error of ours
    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(reason)
        self.rejection = Rejection(reason, field)


Parse = Callable[[bytes | None], Any]


def event_type(schema: EventSchema) -> type[msgspec.Struct]:
    """The pack's event as a struct: one attribute per declared field, None where an optional one is absent."""
    return msgspec.defstruct(
        "Event",
        [
            (one.name, _annotation(one) | None, None) if one.optional else (one.name, _annotation(one))
            for one in schema.fields
        ],
        kw_only=True,
        frozen=True,
        gc=False,
        forbid_unknown_fields=schema.unknown_fields == "refuse",
    )


def parser(schema: EventSchema) -> Parse:
    """A function from a record's value to the event, or to a `Rejection`. It never raises on any bytes."""
    decode = msgspec.json.Decoder(event_type(schema)).decode
    # Windows mark "never" with a negative time, so that no event may have one.
    max_bytes, earliest, latest = schema.max_bytes, max(schema.earliest_ms, 0), schema.latest_ms
    time_field = schema.role("time").name
    optional = tuple((one.name, f'"{one.name}":null'.encode()) for one in schema.fields if one.optional)
    required = len(schema.fields) - len(optional)
    time_rejection = Rejection("time-out-of-bounds", time_field)

    def parse(value: bytes | None) -> Any:
        if value is None:
            return Rejection("null-value")
        if len(value) > max_bytes:
            return Rejection("too-large")
        try:
            event = decode(value)
        except ValueError:  # bad JSON, bad UTF-8, or not this schema
            return _why(value, schema)
        except RecursionError:
            if (found := ambiguous(value)) is not None:
                return found
            raise  # not nested deeply: it is our own stack that is full, and that must not become a verdict
        # Each member has one colon outside strings. No more colons than fields present: no field stands twice and
        # nothing was ignored. Otherwise (a colon in a string, a null) look more closely, twice.
        present = required
        for name, _ in optional:
            if getattr(event, name) is not None:
                present += 1
        if value.count(b":") > present:
            for name, as_null in optional:
                if getattr(event, name) is None and as_null in value:
                    present += 1
            if _members_at_most(value) > present and (found := ambiguous(value)) is not None:
                return found
        if not earliest <= getattr(event, time_field) <= latest:
            return time_rejection
        return event

    return parse


def _annotation(one: EventField) -> Any:
    text = Annotated[str, Meta(min_length=1 if one.role else None, max_length=one.max_length)]
    low = INT64_MIN if one.minimum is None else one.minimum
    high = INT64_MAX if one.maximum is None else one.maximum
    return {
        "string": text,
        "int": Annotated[int, Meta(ge=low, le=high)],
        "double": float,
        "bool": bool,
        "list<string>": list[text],
    }[one.type]


def _members_at_most(value: bytes) -> int:
    """A member's colon stands behind the quote that ends its name, or behind white space; those of an URL do not."""
    return sum(map(value.count, (b'":', b" :", b"\t:", b"\n:", b"\r:")))


def ambiguous(value: bytes) -> Rejection | None:
    """Why `value` is not strict JSON, or None. msgspec lets pass inside what it ignores: duplicate names, deep nesting,
    bad UTF-8, numbers that are not finite."""
    try:
        _read(value)
    except _Refused as refused:
        return refused.rejection
    return None


def _why(value: bytes, schema: EventSchema) -> Rejection:
    """The first reason, in a fixed order, why `value` is no event of this schema."""
    try:
        document = _read(value)
        if not isinstance(document, dict):
            return Rejection("not-an-object")
        known = {one.name: one for one in schema.fields}
        if schema.unknown_fields == "refuse":
            for name in document:
                if name not in known:
                    return Rejection("unknown-field", _cut(name))
        for one in schema.fields:
            if one.name not in document:
                if not one.optional:
                    return Rejection("missing-field", one.name)
            elif not (one.optional and document[one.name] is None):
                _check(one, document[one.name])
    except _Refused as refused:
        return refused.rejection
    # The standard library reads it and we found nothing: something only msgspec refuses, such as a lone surrogate.
    return Rejection("not-json")


def _check(one: EventField, value: object) -> None:
    fits = {
        "string": isinstance(value, str),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "double": isinstance(value, int | float) and not isinstance(value, bool),
        "bool": isinstance(value, bool),
        "list<string>": isinstance(value, list) and all(isinstance(item, str) for item in value),
    }[one.type]
    if one.type == "double" and isinstance(value, int) and not _fits_double(value):
        raise _Refused("not-finite", one.name)
    if not fits:
        raise _Refused("wrong-type", one.name)
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    shortest = 1 if one.role else 0
    if any(not shortest <= len(text) <= one.max_length for text in texts):
        raise _Refused("out-of-bounds", one.name)
    if one.type == "int" and isinstance(value, int):
        low = INT64_MIN if one.minimum is None else one.minimum
        high = INT64_MAX if one.maximum is None else one.maximum
        if not low <= value <= high:
            raise _Refused("out-of-bounds", one.name)


def _read(value: bytes) -> object:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise _Refused("bad-utf8") from None
    _check_depth(text)
    try:
        document = json.loads(text, object_pairs_hook=_members, parse_int=_integer)
    except ValueError:
        raise _Refused("not-json") from None
    if not _is_finite(document):
        raise _Refused("not-finite")
    return document


def _integer(digits: str) -> int:
    """How many digits `int` converts is a setting of the process, which must not reach a verdict."""
    if len(digits) <= 400:
        return int(digits)
    return -_BEYOND if digits[0] == "-" else _BEYOND


def _is_finite(value: object) -> bool:
    """False for NaN, an infinity or a number like 1e400, also in a list. Objects have looked at their members."""
    if isinstance(value, float):
        return -_INFINITY < value < _INFINITY
    return not isinstance(value, list) or all(map(_is_finite, value))


def _fits_double(value: int) -> bool:
    try:
        return float(value) < _INFINITY
    except OverflowError:
        return False


def _cut(name: str) -> str:
    """A field name as an entry repeats it: its beginning, without the halves of characters JSON can spell."""
    return name[:64].encode("utf-8", "replace").decode()


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _Refused("duplicate-field", _cut(name))
            seen.add(name)
    for name, value in pairs:
        if not _is_finite(value):
            raise _Refused("not-finite", _cut(name))
    return members


def _check_depth(text: str) -> None:
    """Refuse deep nesting before a recursive parser meets it: its own limit depends on the stack it is called on."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        part = match.group()
        if part in ("[", "{"):
            depth += 1
            if depth > MAX_DEPTH:
                raise _Refused("too-deep")
        elif part in ("]", "}"):
            depth -= 1
