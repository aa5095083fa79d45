"""What is no event: each kind of bad input, the reason it is given, and the field at fault."""

import sys

import pytest

from sidechain.models.dry.parse import MAX_DEPTH, REASONS, Rejection, parser
from sidechain.models.explain import explain
from sidechain.models.policy import EventField, EventSchema
from tests.support import FIELDS, T0, event, line

FIELDS_OF_ALL_TYPES = (
    *FIELDS,
    EventField(name="flag", type="bool", optional=True),
    EventField(name="tags", type="list<string>", optional=True, max_length=8),
    EventField(name="small", type="int", optional=True, minimum=-3, maximum=7),
    EventField(name="short", type="string", optional=True, max_length=4),
)
BOUNDS = {"earliest_ms": T0 - 1_000, "latest_ms": T0 + 100_000, "max_bytes": 4_096}
REFUSE = EventSchema(fields=FIELDS_OF_ALL_TYPES, **BOUNDS)
IGNORE = EventSchema(fields=FIELDS_OF_ALL_TYPES, unknown_fields="ignore", **BOUNDS)
STRICT, LAX = parser(REFUSE), parser(IGNORE)

GOOD = line(event(0))


def with_text(member: str) -> bytes:
    """A good event with one more member, as raw text."""
    return GOOD[:-1] + b"," + member.encode() + b"}"


def with_n(text: str) -> bytes:
    """A good event whose required int stands as `text`."""
    return GOOD.replace(b'"n":1', b'"n":' + text.encode())


def test_the_events_the_tests_change_are_good():
    """Otherwise every rejection below could have another reason than the change."""
    assert STRICT(GOOD).n == 1
    assert STRICT(with_n("2")).n == 2
    assert STRICT(with_text('"m":5')).m == 5


@pytest.mark.parametrize(
    ("value", "reason", "field"),
    [
        # no JSON object at all
        (None, "null-value", None),
        (b"", "not-json", None),
        (b" ", "not-json", None),
        (b"hello", "not-json", None),
        (GOOD[:-1], "not-json", None),  # truncated
        (GOOD[:-4], "not-json", None),
        (GOOD + GOOD, "not-json", None),
        (GOOD + b"\x00", "not-json", None),
        (b"\xef\xbb\xbf" + GOOD, "not-json", None),  # a byte order mark
        (b"{'id':1}", "not-json", None),
        (GOOD[:-1] + b",}", "not-json", None),
        (with_n("01"), "not-json", None),
        (with_n("1_000"), "not-json", None),
        (with_n("0x1"), "not-json", None),
        (with_n("1 /* one */"), "not-json", None),
        (b"[]", "not-an-object", None),
        (b"[" + GOOD + b"]", "not-an-object", None),
        (b"null", "not-an-object", None),
        (b'"text"', "not-an-object", None),
        (b"1", "not-an-object", None),
        # bytes that are no text
        (b"\xff\xfe", "bad-utf8", None),
        (GOOD.replace(b"e-0", b"e-\xff"), "bad-utf8", None),
        (GOOD.replace(b"e-0", b"e-\xc3"), "bad-utf8", None),  # cut in the middle of a character
        (GOOD.replace(b"e-0", b"e-\xed\xa0\x80"), "bad-utf8", None),  # half a character, encoded
        (GOOD.replace(b"e-0", b"\xc0\x80"), "bad-utf8", None),  # overlong
        (GOOD.replace(b"e-0", b"e-\\ud800"), "not-json", None),  # half a character, escaped
        (GOOD.replace(b"e-0", b"e-\n"), "not-json", None),
        # the wrong members
        (b"{}", "missing-field", "id"),
        (line({"id": "e-0", "host": "h", "at": T0}), "missing-field", "n"),
        (with_text('"x":1'), "unknown-field", "x"),
        (with_text('"N":1'), "unknown-field", "N"),
        (with_text('"' + "x" * 100 + '":1'), "unknown-field", "x" * 64),
        (with_text('"n":2'), "duplicate-field", "n"),
        (with_text('"n":1'), "duplicate-field", "n"),  # also with the same value
        (with_text('"\\u006e":2'), "duplicate-field", "n"),  # n, spelled otherwise
        (with_text('"s":"http://x","n":2'), "duplicate-field", "n"),
        (with_text('"s":"http://x","n" :2'), "duplicate-field", "n"),
        (with_text('"s":"http://x","n"\t:2'), "duplicate-field", "n"),
        (with_text('"s":"http://x","n"\r:2'), "duplicate-field", "n"),
        (with_text('"s":"http://x","n" \n:2'), "duplicate-field", "n"),
        (with_text('"m":null,"m":2'), "duplicate-field", "m"),
        (with_text('"m":2,"m":null'), "duplicate-field", "m"),
        (with_text('"m":null,"m":null'), "duplicate-field", "m"),
        (with_text('"s":"\\"m\\":null","m":null,"m":null'), "duplicate-field", "m"),
        # the wrong types
        (with_n('"1"'), "wrong-type", "n"),
        (with_n("1.0"), "wrong-type", "n"),
        (with_n("1e0"), "wrong-type", "n"),
        (with_n("true"), "wrong-type", "n"),
        (with_n("null"), "wrong-type", "n"),
        (with_n("[1]"), "wrong-type", "n"),
        (with_n('{"a":1}'), "wrong-type", "n"),
        (with_text('"s":1'), "wrong-type", "s"),
        (with_text('"d":"1.0"'), "wrong-type", "d"),
        (with_text('"d":true'), "wrong-type", "d"),
        (with_text('"flag":1'), "wrong-type", "flag"),
        (with_text('"flag":"true"'), "wrong-type", "flag"),
        (with_text('"tags":"a"'), "wrong-type", "tags"),
        (with_text('"tags":["a",1]'), "wrong-type", "tags"),
        (with_text('"tags":["a",null]'), "wrong-type", "tags"),
        (line(event(0, id=7)), "wrong-type", "id"),
        (line(event(0, id=None)), "wrong-type", "id"),
        (line(event(0, at="2023-11-14")), "wrong-type", "at"),
        (line(event(0, at=T0 + 0.5)), "wrong-type", "at"),
        # numbers that are none
        (with_text('"d":NaN'), "not-finite", "d"),
        (with_text('"d":Infinity'), "not-finite", "d"),
        (with_text('"d":-Infinity'), "not-finite", "d"),
        (with_text('"d":1e400'), "not-finite", "d"),
        (with_text('"d":-1e400'), "not-finite", "d"),
        (with_text('"d":1' + "0" * 309), "not-finite", "d"),
        (with_text('"d":-1' + "0" * 999), "not-finite", "d"),
        (with_n("NaN"), "not-finite", "n"),
        (with_n("Infinity"), "not-finite", "n"),
        (with_n("1e400"), "not-finite", "n"),
        (with_text('"tags":[NaN]'), "not-finite", "tags"),
        (b"NaN", "not-finite", None),
        # outside the bounds
        (with_n(str(2**63)), "out-of-bounds", "n"),
        (with_n(str(-(2**63) - 1)), "out-of-bounds", "n"),
        (with_n("1" + "0" * 2_000), "out-of-bounds", "n"),
        (with_text('"small":-4'), "out-of-bounds", "small"),
        (with_text('"small":8'), "out-of-bounds", "small"),
        (with_text('"short":"12345"'), "out-of-bounds", "short"),
        (with_text('"tags":["123456789"]'), "out-of-bounds", "tags"),
        (line(event(0, id="")), "out-of-bounds", "id"),
        (line(event(0, host="")), "out-of-bounds", "host"),
        (line(event(0, host="h" * 1_025)), "out-of-bounds", "host"),
        (line(event(0, at=T0 - 1_001)), "time-out-of-bounds", "at"),
        (line(event(0, at=T0 + 100_001)), "time-out-of-bounds", "at"),
        (line(event(0, at=0)), "time-out-of-bounds", "at"),  # 1970
        (line(event(0, at=253_402_300_799_000)), "time-out-of-bounds", "at"),  # the end of 9999
        (line(event(0, at=-1)), "time-out-of-bounds", "at"),
        # too much
        (with_text('"s":"' + "x" * 4_096 + '"'), "too-large", None),
        (b"x" * 2_000_000, "too-large", None),
        (b"[" * 1_000 + b"]" * 1_000, "too-deep", None),
        (b"[" * 1_000, "too-deep", None),
        (b'{"a":' * 500, "too-deep", None),
        (with_text('"x":' + "[" * 1_000 + "]" * 1_000), "too-deep", None),
    ],
)
def test_bad_input_is_rejected_with_its_reason_and_field(value, reason, field):
    """The reason comes from a closed list, because it is sealed."""
    assert STRICT(value) == Rejection(reason, field)
    assert reason in REASONS


@pytest.mark.parametrize(
    ("value", "field", "expected"),
    [
        (with_n("-0"), "n", 0),
        (with_n(str(2**63 - 1)), "n", 2**63 - 1),
        (with_n(str(-(2**63))), "n", -(2**63)),
        (with_text('"d":1'), "d", 1.0),
        (with_text('"d":1e308'), "d", 1e308),
        (with_text('"d":1e-400'), "d", 0.0),
        (with_text('"d":' + "9" * 300), "d", 1e300),
        (with_text('"small":-3'), "small", -3),  # bounds are inclusive
        (with_text('"small":7'), "small", 7),
        (with_text('"short":"1234"'), "short", "1234"),
        (with_text('"short":"\U0001f600\U0001f600\U0001f600\U0001f600"'), "short", "\U0001f600" * 4),  # characters
        (with_text('"short":"\\ud83d\\ude00"'), "short", "\U0001f600"),
        (with_text('"short":""'), "short", ""),
        (with_text('"tags":[]'), "tags", []),
        (with_text('"m":null'), "m", None),
        (line(event(0, host="h" * 1_024)), "host", "h" * 1_024),
        (line(event(0, at=T0 - 1_000)), "at", T0 - 1_000),
        (line(event(0, at=T0 + 100_000)), "at", T0 + 100_000),
        # colons, brackets and quotes inside texts are no members and no nesting
        (with_text('"s":"a:b:c:::"'), "s", "a:b:c:::"),
        (with_text('"s":"\\"n\\":1,\\"n\\":2"'), "s", '"n":1,"n":2'),
        (with_text('"s":"' + "[{" * 500 + '"'), "s", "[{" * 500),
        (with_text('"s":"' + "[" * 500 + '\\""'), "s", "[" * 500 + '"'),
        (b"\r\n\t " + GOOD + b" \n", "id", "e-0"),
        (GOOD.replace(b":", b" : "), "id", "e-0"),
    ],
)
def test_good_input_is_an_event(value, field, expected):
    """The rows next to the edges of what is refused; ignoring unknown fields changes nothing about them."""
    assert getattr(STRICT(value), field) == expected
    assert getattr(LAX(value), field) == expected


@pytest.mark.parametrize(
    ("member", "reason", "field"),
    [
        ('"x":{"a":[1,2,{"b":null}]}', None, None),
        ('"x":"a:b"', None, None),
        ('"x":1' + "0" * 3_000, None, None),  # nobody reads it
        ('"x":' + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1), None, None),
        ('"x":' + "[" * MAX_DEPTH + "]" * MAX_DEPTH, "too-deep", None),
        ('"x":' + "[" * 1_000 + "]" * 1_000, "too-deep", None),
        ('"x":' + '{"a":' * 500 + "1" + "}" * 500, "too-deep", None),
        ('"x":1,"x":2', "duplicate-field", "x"),
        ('"x":{"a":{"b":1,"b":2}}', "duplicate-field", "b"),
        ('"x":[{"b":1,"\\u0062":2}]', "duplicate-field", "b"),
        ('"x":{"n":1,"n":1}', "duplicate-field", "n"),
        ('"x":{"m":null,"d":null,"d":null}', "duplicate-field", "d"),
        ('"x":{"m":null},"n":2', "duplicate-field", "n"),
        ('"m":null,"x":1,"x":1', "duplicate-field", "x"),
        ('"x":{"n":2}', None, None),  # another object's member of the same name is no repetition
        ('"x":NaN', "not-finite", "x"),
        ('"x":[[-Infinity]]', "not-finite", "x"),
        ('"x":{"y":1e999}', "not-finite", "y"),
        ('"x":tru', "not-json", None),
        ('"x":"\\ud800"', "not-json", None),
    ],
)
def test_ignored_fields_are_still_read_strictly(member, reason, field):
    """What two readers could understand differently is rejected, wherever it stands."""
    found = LAX(with_text(member))
    assert found == Rejection(reason, field) if reason else found.id == "e-0"


def test_bad_utf8_in_an_ignored_field_is_rejected():
    """msgspec passes over it."""
    assert LAX(GOOD[:-1] + b',"x":"\xff"}') == Rejection("bad-utf8")
    assert LAX(GOOD[:-1] + b',"\xff":1}') == Rejection("bad-utf8")


def test_unknown_fields_are_ignored_or_refused_as_the_schema_says():
    """The same bytes, two schemas."""
    value = with_text('"x":1')
    assert STRICT(value) == Rejection("unknown-field", "x")
    assert LAX(value) == LAX(GOOD)


@pytest.mark.parametrize("member", ['"\\ud800":1', '"\\ud800":1,"\\ud800":1', '"\\udfff":NaN'])
def test_a_field_name_no_entry_could_repeat_does_not_reach_one(member):
    """Half a character in a name: the rejection itself must be writable, or the worker stops at this event for ever."""
    for parse in (STRICT, LAX):
        found = parse(with_text(member))
        assert found.field is None or found.field.encode()
        assert found.reason in ("unknown-field", "duplicate-field", "not-finite", "not-json")


@pytest.mark.parametrize("limit", [100, 4_095])
def test_the_size_limit_is_inclusive(limit):
    """Exactly `max_bytes` are read, one more is not."""
    parse = parser(EventSchema(fields=FIELDS, max_bytes=limit))
    padding = limit - len(GOOD)
    assert parse(GOOD + b" " * padding).id == "e-0"
    assert parse(GOOD + b" " * (padding + 1)) == Rejection("too-large")


def test_no_event_is_before_1970_whatever_the_schema_allows():
    """Windows mark `never` by a negative time."""
    parse = parser(EventSchema(fields=FIELDS, earliest_ms=-(10**12)))
    assert parse(line(event(0, at=-1))) == Rejection("time-out-of-bounds", "at")
    assert parse(line(event(0, at=0))).at == 0


DEEP = (
    GOOD,
    with_text('"x":' + "[" * 30 + "]" * 30),
    with_text('"x":' + "[" * 31 + "]" * 31),
    with_text('"x":' + "[" * 32 + "]" * 32),
    with_text('"x":' + "[" * 700 + "]" * 700),
    with_text('"x":' + '{"a":' * 30 + "1" + "}" * 30),
    with_n("1.5"),
)


@pytest.mark.parametrize("value", DEEP)
@pytest.mark.parametrize("parse", [STRICT, LAX])
def test_the_verdict_does_not_depend_on_the_depth_of_the_callers_stack(value, parse):
    """At every depth up to the interpreter's limit: the same verdict, or our own RecursionError, never another one."""
    expected = parse(value)

    def at_depth(left: int) -> object:
        return at_depth(left - 1) if left else parse(value)

    limit = sys.getrecursionlimit()
    answers = []
    for depth in range(0, limit, 7):
        try:
            answers.append(at_depth(depth))
        except RecursionError:
            break
    assert len(answers) > limit // 14
    assert all(one == expected for one in answers)


def test_a_full_stack_of_ours_is_no_verdict_on_the_input(monkeypatch):
    """A decoder that finds no room left: deep input is too deep, and anything else is for the worker to stop at."""

    class Full:
        def __init__(self, _type: type) -> None:
            pass

        def decode(self, _value: bytes) -> object:
            raise RecursionError

    monkeypatch.setattr("msgspec.json.Decoder", Full)
    parse = parser(IGNORE)
    assert parse(DEEP[3]) == Rejection("too-deep")
    with pytest.raises(RecursionError):
        parse(DEEP[1])


@pytest.mark.parametrize("digits", [640, 0])
def test_no_setting_of_the_interpreter_reaches_a_verdict(digits):
    """How many digits `int` converts can be set from the environment."""
    before = sys.get_int_max_str_digits()
    values = [with_n("1" * size) for size in (19, 20, 700, 3_000)] + [with_text('"x":' + "1" * 3_000)]
    expected = [parse(one) for one in values for parse in (STRICT, LAX)]
    try:
        sys.set_int_max_str_digits(digits)
        assert [parse(one) for one in values for parse in (STRICT, LAX)] == expected
    finally:
        sys.set_int_max_str_digits(before)


@pytest.mark.parametrize("value", [GOOD, with_n("1.5"), with_n("7"), with_text('"x":1')])
def test_every_truncation_of_an_event_is_rejected(value):
    """No prefix of an event is an event."""
    assert [cut for cut in range(len(value)) if not isinstance(STRICT(value[:cut]), Rejection)] == []


def test_every_reason_has_words():
    """A person who asks why an input was rejected is never answered with a code."""
    for reason in REASONS:
        entry = {"kind": "rejected", "reason": reason, "source": ("events", 0, 1), "digest": None, "seq": 1, "hash": ""}
        assert reason not in next(explain(entry))
