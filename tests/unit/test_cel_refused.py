"""What is refused at load: where it says so, why, and what it suggests."""

import pytest

from sidechain.models.cel import BOOL, DOUBLE, INT, STRING, CelError, Variable, check, list_of

VARIABLES = {
    "event.status": Variable(INT),
    "event.path": Variable(STRING),
    "event.tags": Variable(list_of(STRING)),
    "event.share": Variable(DOUBLE),
    "event.ok": Variable(BOOL),
    "features.errors_5m": Variable(INT, unknown=True),
    "score_bp": Variable(INT),
}


def refused(source: str) -> CelError:
    with pytest.raises(CelError) as caught:
        check(source, VARIABLES)
    return caught.value


@pytest.mark.parametrize(("source", "column", "message", "suggestion"), [
    ("events.status > 1", 1, "events.status is not declared", "event.status"),
    ("1 < feature.errors_5m", 5, "feature.errors_5m is not declared", "features.errors_5m"),
    ("event.stats > 1", 1, "event.stats is not declared", "event.status"),
    ("True", 1, "True is not declared", "true"),
    ("completely_else", 1, "completely_else is not declared", None),
    ("event.status.code", 1, "event.status is an int, it has no fields", None),
    ("(event.ok).x", 2, "event.ok is a bool, it has no fields", None),
    ("'a'.x", 1, "only variables have fields", None),
    ("event.path.startswith('/')", 12, "no function startswith", "startsWith"),
    ("sise(event.path)", 1, "no function sise", "size"),
    ("startsWith(event.path, 'a')", 1, "called on a string", "x.startsWith(y)"),
    ("event.path.startsWith()", 12, "one argument, not 0", None),
    ("size()", 1, "one argument, not 0", None),
    ("event.path.size(1)", 12, "no argument, not 1", None),
])  # fmt: skip
def test_names(source: str, column: int, message: str, suggestion: str | None):
    """An unknown name points at itself and at the nearest known one."""
    error = refused(source)
    assert message in error.message
    assert (error.line, error.column, error.suggestion) == (1, column, suggestion)


@pytest.mark.parametrize(("source", "column", "message", "suggestion"), [
    ("event.status == '404'", 14, "int and string", "404"),
    ("event.status == 4.5", 14, "int and double", "double(event.status)"),
    ("event.share > 1", 13, "double and int", "1.0"),
    ("event.status + event.share", 14, "int and double", "double(event.status)"),
    ("event.ok == 1", 10, "bool and int", None),
    ("1 < event.status < 5", 18, "do not chain", "a < b && b < c"),
    ("event.status && event.ok", 1, "&& takes bools, not an int", "event.status != 0"),
    ("event.ok || event.path", 13, "|| takes bools, not a string", "event.path != ''"),
    ("!event.status", 2, "! takes bools", "event.status != 0"),
    ("-event.path", 1, "- takes a number, not a string", None),
    ("-event.ok", 1, "- takes a number, not a bool", "!"),
    ("event.path - 'a'", 12, "- is not defined for string", None),
    ("event.share % 2.0", 13, "% is not defined for double", None),
    ("event.tags < event.tags", 12, "does not order list(string)", None),
    ("event.status ? 1 : 2", 14, "the condition before ? is a bool, not an int", None),
    ("event.ok ? 1 : 'a'", 10, "one type: int and string", None),
    ("1 in event.tags", 3, "in looks for an int in list(int), not in list(string)", None),
    ("'a' in event.path", 5, "not in string", None),
    ("[1, 'a']", 5, "int before, string here", None),
    ("event.path[0]", 11, "only lists have an index, not a string", None),
    ("event.tags['a']", 12, "an index is an int, not a string", None),
    ("size(5)", 1, "not an int", None),
    ("event.path.contains(5)", 12, "takes strings, not an int", None),
    ("event.tags.contains('a')", 12, "takes strings, not a list(string)", "x in list"),
])  # fmt: skip
def test_types(source: str, column: int, message: str, suggestion: str | None):
    """An error stands at the operator or at the operand that does not fit."""
    error = refused(source)
    assert message in error.message
    assert (error.line, error.column, error.suggestion) == (1, column, suggestion)


@pytest.mark.parametrize(("source", "column", "message", "suggestion"), [
    ("5u", 1, "unsigned", "5"),
    ("uint(5)", 1, "unsigned", None),
    ("b'x'", 1, "bytes are not supported", "the string without the b prefix"),
    ("bytes('x')", 1, "bytes are not supported", None),
    ("event.status == null", 17, "null is not supported", "has(...)"),
    ("{'a': 1}", 1, "maps are not supported", None),
    ("event{a: 1}", 6, "messages and maps are not supported", None),
    ("event.?status", 6, "optional selection", "has(...) ? ... : ..."),
    ("event.tags[?0]", 11, "optional selection", "has(...) ? ... : ..."),
    ("event.tags.exists(t, t == 'a')", 12, "macros over lists", None),
    ("event.tags.all(t, t == 'a')", 12, "macros over lists", None),
    ("event.tags.map(t, t)", 12, "macros over lists", None),
    ("event.tags.filter(t, true)", 12, "macros over lists", None),
    ("event.path.matches('a.*')", 12, "regular expressions", None),
    ("matches(event.path, 'a.*')", 1, "regular expressions", None),
    ("timestamp('2020-01-01T00:00:00Z')", 1, "times are int milliseconds", None),
    ("duration('1s')", 1, "durations are int milliseconds", None),
    ("type(1)", 1, "type() is not supported", None),
    ("dyn(1)", 1, "dyn() is not supported", None),
    ("bool('true')", 1, "bool() is not supported", None),
    ("string(1.5)", 1, "no conversion from double to string", "string(int(x))"),
    ("string(true)", 1, "no conversion from bool to string", 'x ? "true" : "false"'),
    ("int(true)", 1, "no conversion from bool to int", "x ? 1 : 0"),
    ("double(true)", 1, "no conversion from bool to double", None),
    ("[]", 1, "an empty list has no type", "size(x) == 0"),
    ("has(score_bp)", 1, "one dotted variable", None),
    ("has(1 + 1)", 1, "one dotted variable", None),
    ("has(event.nothing)", 5, "not declared", None),
    (".event.status", 1, "unexpected .", None),
])  # fmt: skip
def test_what_cel_has_and_we_do_not(source: str, column: int, message: str, suggestion: str | None):
    """Refused by name, with what to write instead where there is something."""
    error = refused(source)
    assert message in error.message
    assert (error.line, error.column) == (1, column)
    if suggestion is not None:
        assert error.suggestion == suggestion


@pytest.mark.parametrize(("source", "line", "column", "message", "suggestion"), [
    ("", 1, 1, "the expression is empty", None),
    ("  // only a comment", 1, 20, "the expression is empty", None),
    ("1 +", 1, 4, "ends too early", None),
    ("1 +\n  * 2", 2, 3, "unexpected *", None),
    ("event.ok and event.ok", 1, 10, "unexpected and", "&&"),
    ("event.ok or event.ok", 1, 10, "unexpected or", "||"),
    ("(event.ok or event.ok)", 1, 11, "unexpected or", "||"),
    ("event.ok & event.ok", 1, 10, "unexpected character '&'", "&&"),
    ("event.ok | event.ok", 1, 10, "unexpected character '|'", "||"),
    ("event.status = 1", 1, 14, "unexpected character '='", "=="),
    ("if event.ok", 1, 1, "unexpected if", "condition ? a : b"),
    ("event.ok ? 1", 1, 13, "a ? needs its :", None),
    ("(1", 1, 3, "a ( needs its )", None),
    ("[1", 1, 3, "expected , or ]", None),
    ("event.tags[1", 1, 13, "a [ needs its ]", None),
    ("size(event.tags", 1, 16, "expected , or )", None),
    ("1 2", 1, 3, "unexpected 2", None),
    ("1)", 1, 2, "unexpected )", None),
    ("event.", 1, 7, "a name must follow the dot", None),
    ("event.in", 1, 7, "in is a keyword", None),
    ("1.", 1, 3, "a name must follow the dot", "1.0"),
    ("1.e3", 1, 1, "only variables have fields", None),
    ("!-1 == 1", 1, 2, "unexpected -", None),
    ("12abc", 1, 1, "malformed number 12a", None),
    ("0x", 1, 1, "malformed number 0x", None),
    ("1e400", 1, 1, "1e400 does not fit a double", None),
    ("9223372036854775808", 1, 1, "does not fit a 64-bit signed integer", None),
    ("-9223372036854775809", 1, 2, "does not fit a 64-bit signed integer", None),
    ("1 - 9223372036854775808", 1, 5, "does not fit a 64-bit signed integer", None),
    ("1" * 3000, 1, 1, "does not fit a 64-bit signed integer", None),
    ("'abc", 1, 1, "no closing '", None),
    ("'abc\ndef'", 1, 1, "no closing '", None),
    ('"""abc"', 1, 1, 'no closing """', None),
    (r"'a\qb'", 1, 3, r"escape \q", r"\\q"),
    (r"'a\x4'", 1, 3, r"escape \x", r"\\x"),
    (r"'a\477'", 1, 3, r"escape \4", r"\\4"),
    (r"'\ud83d\ude00'", 1, 2, r"\ud83d is no Unicode character", None),
    (r"'\U00110000'", 1, 2, r"\U00110000 is no Unicode character", None),
    ("event.ok\n  && event.nope", 2, 6, "event.nope is not declared", None),
    ("'''a\nb''' + 1", 2, 6, "string and int", None),
    ("1 + é", 1, 5, "unexpected character 'é'", None),
    ("'é' + \N{EM DASH}", 1, 7, "unexpected character", None),
    ("'\ud83d'", 1, 2, "half of a surrogate pair", None),
    ("1 \x00", 1, 3, r"unexpected character '\x00'", None),
])  # fmt: skip
def test_syntax(source: str, line: int, column: int, message: str, suggestion: str | None):
    """Line and column count from 1, in characters."""
    error = refused(source)
    assert message in error.message
    assert (error.line, error.column) == (line, column)
    if suggestion is not None:
        assert error.suggestion == suggestion


def nest(before: str, core: str, after: str, count: int) -> str:
    return before * count + core + after * count


NESTED = {
    "parentheses": ("(", "1", ")"),
    "not": ("!", "true", ""),
    "minus": ("-", "1", ""),
    "lists": ("[", "1", "]"),
    "calls": ("int(", "1", ")"),
    "conditions": ("true ? 1 : ", "1", ""),
    "conditions on the left": ("(", "true", " ? true : false)"),
    "additions": ("1 + ", "1", ""),
    "comparisons": ("true == ", "true", ""),
    "indexes": ("[1][", "0", "]"),
    "fields": ("a.", "a", ""),
}


@pytest.mark.parametrize("kind", NESTED)
def test_nesting_is_bounded(kind: str):
    """Sixty deep is fine, a thousand is an error and never a RecursionError."""
    before, core, after = NESTED[kind]
    check(nest(before, core, after, 60), {nest("a.", "a", "", 60): Variable(INT)})
    for count in (66, 100, 4000 // len(before + core + after)):
        assert "nested more than 64 deep" in refused(nest(before, core, after, count)).message


def test_many_alternatives_are_not_deep():
    """A condition may list hundreds of them, known or not."""
    for name in ("event.status", "features.errors_5m"):
        source = "||".join(f"{name}=={index}" for index in range(160))
        assert check(source, VARIABLES).type == BOOL


def test_length_and_number_of_operands_are_bounded():
    assert "4097 characters, at most 4096" in refused("1" + " " * 4096).message
    assert "more than 1024" in refused("||".join(["1==1"] * 500)).message


def test_the_error_reads_well_alone():
    error = refused("event.ok &&\n  events.status > 1")
    assert str(error) == "line 2, column 3: events.status is not declared; did you mean event.status?"
    assert str(refused("1 +")) == "line 1, column 4: the expression ends too early"
    assert isinstance(error, ValueError)


def test_the_expected_type_is_checked():
    with pytest.raises(CelError, match="must be bool, and it is int"):
        check("event.status", VARIABLES, expect=BOOL)
    assert check("event.status > 1", VARIABLES, expect=BOOL).type == BOOL
