"""Whatever the bytes, the parser answers with an event or a rejection, and always with the same one."""

import json
import sys
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidechain.models.dry.parse import REASONS, Rejection, parser
from sidechain.models.policy import EventSchema
from tests.support import FIELDS, T0, decided, event, line, policy

SCHEMAS = [EventSchema(fields=FIELDS, unknown_fields=one) for one in ("refuse", "ignore")]
PARSERS = [parser(one) for one in SCHEMAS]
GOOD = line(event(0, m=3, s="a:b\\", d=0.5))

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["", ":", '"', "\ud800", "[" * 40]),
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from([one.name for one in FIELDS]) | st.text(max_size=4)
members = st.lists(st.tuples(names, documents | scalars), max_size=9)
texts = st.text('{}[]:,"\\-+.eE0123456789ntrufalsNaIiy du\u00e9', max_size=60)

syntax = st.sampled_from([bytes([one]) for one in b'{}[]:,"\\0-e.\n'])


def edits_of(replacement: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[tuple[int, int, bytes]]]:
    """A few edits: where, how many bytes go, what comes instead."""
    return st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), replacement), min_size=1, max_size=4)


def written(pairs: list[tuple[str, Any]]) -> bytes:
    """An object of these members in this order, names repeated where they are."""
    return (
        b"{" + b",".join(json.dumps(name).encode() + b":" + json.dumps(value).encode() for name, value in pairs) + b"}"
    )


def mutated(value: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for at, length, replacement in edits:
        at %= len(value) + 1
        value = value[:at] + replacement + value[at + length :]
    return value


def check_verdict(value: bytes) -> None:
    """An event or a rejection; twice the same; and what is accepted says what the standard library reads."""
    for schema, parse in zip(SCHEMAS, PARSERS, strict=True):
        found = parse(value)
        assert parse(value) == found
        if isinstance(found, Rejection):
            assert found.reason in REASONS
            (found.field or "").encode()
            continue
        document = json.loads(value)
        for one in schema.fields:
            assert getattr(found, one.name) == document.get(one.name)
        assert schema.unknown_fields == "ignore" or document.keys() <= {one.name for one in schema.fields}
        assert len(set(pairs_of(value))) == len(pairs_of(value))


def pairs_of(value: bytes) -> list[str]:
    """The names of the outermost object, as often as they stand there."""
    found: list[list[str]] = []
    json.loads(value, object_pairs_hook=lambda pairs: found.append([name for name, _ in pairs]))
    return found[-1]


@given(st.binary(max_size=80))
def test_any_bytes(value):
    """Nothing here is likely to be JSON at all."""
    check_verdict(value)


@given(texts.map(str.encode) | documents.map(lambda one: json.dumps(one).encode()))
def test_anything_like_json(value):
    """Fragments of JSON, and whole documents that are no events."""
    check_verdict(value)


@given(members)
@example([("id", "e"), ("host", "h"), ("at", T0), ("n", 1)])
@example([("id", "e"), ("host", "h"), ("at", T0), ("n", 1), ("\ud800", 1)])
@example([("id", "e"), ("host", "h"), ("at", T0), ("n", 1), ("m", None), ("x", {"d": None})])
@example([("id", "e"), ("host", "h"), ("at", T0), ("n", 1), ("x", {"y": float("nan")})])
def test_any_members(pairs):
    """Objects of our fields and others, with any values and repetitions."""
    check_verdict(written(pairs))


@given(edits_of(st.binary(max_size=3)))
def test_damaged_events(edits):
    """A good event with a few bytes cut, added or replaced."""
    check_verdict(mutated(GOOD, edits))


@given(edits_of(syntax))
def test_damaged_syntax(edits):
    """The same with the bytes JSON is made of, which goes deeper."""
    check_verdict(mutated(GOOD, edits))


def test_every_single_byte_of_an_event_replaced_by_every_byte():
    """256 values at each place: one answer each, none an exception."""
    accepted = 0
    for at in range(len(GOOD)):
        for byte in range(256):
            value = GOOD[:at] + bytes([byte]) + GOOD[at + 1 :]
            found = PARSERS[0](value)
            accepted += not isinstance(found, Rejection)
            assert not isinstance(found, Rejection) or found.reason in REASONS
    assert accepted > len(GOOD)  # some damage makes another event: an id or a digit


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=40) | members.map(written), max_size=6))
def test_every_verdict_can_be_sealed(values):
    """Whatever was wrong, the entry that says so can be written and read."""
    entries = decided(policy(unknown_fields="ignore"), values)
    assert [one["seq"] for one in entries] == list(range(len(values)))


@settings(max_examples=50)
@given(members.map(written), st.integers(0, 500))
def test_the_callers_depth_does_not_matter(value, depth):
    """The same verdict on top of `depth` frames."""

    def at_depth(left: int) -> object:
        return at_depth(left - 1) if left else PARSERS[1](value)

    assert sys.getrecursionlimit() > 700
    assert at_depth(depth) == PARSERS[1](value)


optional_pairs = st.lists(
    st.tuples(
        st.sampled_from(["m", "s", "d", "n", "x"]), st.sampled_from([None, 1, "a:b", '"m":null', {"m": None}, {"s": 1}])
    ),
    max_size=5,
)
separators = st.sampled_from([b":", b" :", b": ", b"\t:\n", b"\r:"])


@settings(max_examples=400)
@given(optional_pairs, separators)
def test_a_repeated_member_is_found_however_it_is_written(pairs, separator):
    """Members that repeat or not, with nulls, colons in texts and white space: rejected exactly when they do."""
    head = GOOD[: GOOD.index(b',"m"')]
    members_ = b"".join(b',"%b"%b%b' % (name.encode(), separator, json.dumps(value).encode()) for name, value in pairs)
    value = head + members_ + b"}"
    found = PARSERS[1](value)
    names = [name for name, _ in pairs]
    repeated = len({*names, "n"}) < len(names) + 1
    assert (isinstance(found, Rejection) and found.reason == "duplicate-field") == repeated
    check_verdict(value)
