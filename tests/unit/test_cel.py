"""What expressions mean: every operator and function, and what becomes of the unknown."""

import itertools
import math

import pytest

from sidechain.models.cel import BOOL, DOUBLE, INT, STRING, Variable, check, evaluator, list_of

MAX, MIN = 2**63 - 1, -(2**63)
VARIABLES = {
    "event.status": Variable(INT),
    "event.path": Variable(STRING),
    "event.tags": Variable(list_of(STRING), unknown=True),
    "event.share": Variable(DOUBLE),
    "event.ok": Variable(BOOL),
    "features.errors": Variable(INT, unknown=True),
    "p.q": Variable(BOOL, unknown=True),
    "r.s": Variable(BOOL, unknown=True),
    "score_bp": Variable(INT),
}


def value(source: str, **values: object) -> object:
    """The result of `source`; `event__status=404` stands for `event.status`."""
    environment = {name.replace("__", "."): one for name, one in values.items()}
    return evaluator(check(source, VARIABLES))(environment)


@pytest.mark.parametrize(("source", "result"), [
    ("1 + 2 * 3", 7),
    ("(1 + 2) * 3", 9),
    ("10 - 3 - 2", 5),  # left to right
    ("-5", -5),
    ("- 5", -5),
    ("--5", 5),
    ("1--1", 2),
    ("0x1F", 31),
    ("-0x10", -16),
    ("9223372036854775807", MAX),
    ("-9223372036854775808", MIN),
    ("9223372036854775807 + 1", None),
    ("-9223372036854775808 - 1", None),
    ("4611686018427387904 * 2", None),
    ("4611686018427387904 * -2", MIN),
    ("-(-9223372036854775808)", None),
    ("-(-9223372036854775807)", MAX),
])  # fmt: skip
def test_integers_have_64_bits_and_overflow_is_unknown(source: str, result: int | None):
    """The largest and the smallest int are values, one step further is not."""
    assert value(source) == result


@pytest.mark.parametrize("divisor_is", ["a literal", "a variable"])
@pytest.mark.parametrize(("left", "right", "quotient", "rest"), [
    (7, 2, 3, 1),
    (-7, 2, -3, -1),  # toward zero, not down
    (7, -2, -3, 1),  # the rest has the dividend's sign
    (-7, -2, 3, -1),
    (6, 3, 2, 0),
    (-6, 3, -2, 0),
    (0, 5, 0, 0),
    (5, 0, None, None),
    (MAX, 1, MAX, 0),
    (MIN, 1, MIN, 0),
    (MIN, 2, -(2**62), 0),
    (MIN, -1, None, None),  # the one quotient that does not fit
    (MAX, -1, -MAX, 0),
])  # fmt: skip
def test_division_truncates(divisor_is: str, left: int, right: int, quotient: int | None, rest: int | None):
    """The same whether the divisor is known when the pack is loaded or not."""
    divisor = str(right) if divisor_is == "a literal" else "score_bp"
    assert value(f"event.status / {divisor}", event__status=left, score_bp=right) == quotient
    assert value(f"event.status % {divisor}", event__status=left, score_bp=right) == rest


@pytest.mark.parametrize(("source", "result"), [
    ("0.1 + 0.2", 0.30000000000000004),
    (".5 * 4.0", 2.0),
    ("1e3", 1000.0),
    ("1.5e-3", 0.0015),
    ("-1.5", -1.5),
    ("3.0 / 2.0", 1.5),
    ("1.0 / 0.0", math.inf),
    ("-1.0 / 0.0", -math.inf),
    ("1.0 / -0.0", -math.inf),
    ("1e308 * 10.0", math.inf),
    ("0.0 == -0.0", True),
    ("0.0 / 0.0 == 0.0 / 0.0", False),  # NaN equals nothing
    ("0.0 / 0.0 != 0.0 / 0.0", True),
    ("[0.0 / 0.0] == [0.0 / 0.0]", False),
    ("0.0 / 0.0 in [0.0 / 0.0]", False),
    ("0.0 / 0.0 < 1.0", None),  # and has no order
    ("1.0 >= 0.0 / 0.0", None),
    ("1.0 / 0.0 > 1e308", True),
    ("event.share > 0.25", True),
])  # fmt: skip
def test_doubles_follow_ieee_754(source: str, result: object):
    """No exception and no libm: infinities and NaN are results."""
    assert value(source, event__share=0.5) == result


@pytest.mark.parametrize(("source", "result"), [
    ("2 < 3", True),
    ("3 < 3", False),
    ("3 <= 3", True),
    ("3 > 3", False),
    ("3 >= 3", True),
    ("3 == 3", True),
    ("3 != 3", False),
    ("'a' < 'b'", True),
    ("'B' < 'a'", True),
    (r"'\uffff' < '\U0001F600'", True),  # by code point, not by UTF-16 unit
    ("'' < 'a'", True),
    ("false < true", True),
    ("true == true", True),
    ("[1, 2] == [1, 2]", True),
    ("[1, 2] != [2, 1]", True),
    ("[1] == [1, 2]", False),
    ("[[1], [2]] == [[1], [2]]", True),
])  # fmt: skip
def test_comparisons(source: str, result: bool):
    assert value(source) is result


@pytest.mark.parametrize(("source", "result"), [
    ("'ab' + 'cd'", "abcd"),
    ("[1] + [2, 3]", [1, 2, 3]),
    ("size('')", 0),
    (r"size('h\u00e9\U0001F600')", 3),  # code points
    ("'abc'.size()", 3),
    ("[1, 2, ].size()", 2),
    ("size(event.tags)", 2),
    ("event.path.startsWith('/a')", True),
    ("event.path.startsWith('a')", False),
    ("event.path.endsWith('/b')", True),
    ("event.path.endsWith('')", True),
    ("event.path.contains('a/')", True),
    ("event.path.contains('A')", False),
    ("'x' in event.tags", True),
    ("'z' in event.tags", False),
    ("2 in [1, 2]", True),
    ("event.path in ['/1', '/2', '/3', '/4', '/a/b']", True),  # long enough for a set
    ("[1] in [[1], [2]]", True),
    ("event.tags[0]", "x"),
    ("event.tags[1]", "y"),
    ("event.tags[2]", None),
    ("event.tags[-1]", None),
    ("[7, 8][1]", 8),
    ("event.status >= 400 ? 'bad' : 'good'", "bad"),
    ("event.status < 400 ? 'a' : event.status < 500 ? 'b' : 'c'", "b"),
    ("event.ok ?.5 : 1.0", 0.5),
    ("event.ok ? 1 : 1 / 0", 1),  # only one side is evaluated
    ("1 == 1 // the rest is a comment", True),
    ("true\n  && true", True),
])  # fmt: skip
def test_strings_lists_and_conditions(source: str, result: object):
    assert value(source, event__path="/a/b", event__tags=["x", "y"], event__status=404, event__ok=True) == result


@pytest.mark.parametrize(("literal", "text"), [
    (r"'a\n\t\r\\\'\"'", "a\n\t\r\\'\""),
    (r'"\a\b\f\v\`\?"', "\a\b\f\v`?"),
    (r"'\x41\X42\u0043\U00000044\105'", "ABCDE"),
    (r"r'\n'", r"\n"),
    (r'R"\"', "\\"),
    ("'''it's\ntwo lines'''", "it's\ntwo lines"),
    ('"""say "x" """', 'say "x" '),
    ('r"""\\"""', "\\"),
    ("'//no comment'", "//no comment"),
])  # fmt: skip
def test_every_way_to_write_a_string(literal: str, text: str):
    assert value(literal) == text


@pytest.mark.parametrize(("source", "result"), [
    ("int('42')", 42),
    ("int('+42')", 42),
    ("int('-0042')", -42),
    ("int('9223372036854775807')", MAX),
    ("int('9223372036854775808')", None),
    ("int('-9223372036854775808')", MIN),
    ("int('')", None),
    ("int(' 1')", None),
    ("int('1_000')", None),  # Python reads it, CEL does not
    (r"int('\u0663')", None),  # an Arabic three
    ("int('0x10')", None),
    ("int('1.0')", None),
    ("int(1.9)", 1),
    ("int(-1.9)", -1),
    ("int(9223372036854774784.0)", 9223372036854774784),
    ("int(9223372036854775807.0)", None),  # rounds up to 2**63
    ("int(-9223372036854775808.0)", None),  # refused by the specification, though it would fit
    ("int(0.0 / 0.0)", None),
    ("int(1.0 / 0.0)", None),
    ("int(7)", 7),
    ("double(3)", 3.0),
    ("double('2.5')", 2.5),
    ("double('.5')", 0.5),
    ("double('1e3')", 1000.0),
    ("double('1e400')", math.inf),
    ("double('-inf')", -math.inf),
    ("double('1_0')", None),
    ("double(' 1')", None),
    ("double('x')", None),
    ("double('')", None),
    ("string(-7)", "-7"),
    ("string('a')", "a"),
])  # fmt: skip
def test_conversions(source: str, result: object):
    """What does not convert is unknown; the type of the result is the type asked for."""
    found = value(source)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(("source", "results"), [
    # for every pair of true, false, unknown: (p, r) in the order tt tf tu ft ff fu ut uf uu
    ("p.q && r.s", (True, False, None, False, False, False, None, False, None)),
    ("p.q || r.s", (True, True, True, True, False, None, True, None, None)),
    ("!p.q && r.s", (False, False, False, True, False, None, None, False, None)),
    ("!p.q || !r.s", (False, True, None, True, True, True, None, True, None)),
    ("p.q == r.s", (True, False, None, False, True, None, None, None, None)),
    ("p.q ? r.s : true", (True, False, None, True, True, True, None, None, None)),
    ("r.s && event.ok && p.q", (True, False, None, False, False, False, None, False, None)),
    ("r.s || !event.ok || p.q", (True, True, True, True, False, None, True, None, None)),
    ("has(p.q) && has(r.s)", (True, True, False, True, True, False, False, False, False)),
])  # fmt: skip
def test_the_unknown_is_absorbed_where_the_rest_decides(source: str, results: tuple[bool | None, ...]):
    """False wins over unknown in `&&`, true in `||`, on either side; nowhere else."""
    pairs = itertools.product((True, False, None), repeat=2)
    assert results == tuple(value(source, p__q=p, r__s=r, event__ok=True) for p, r in pairs)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
@pytest.mark.parametrize(("operator", "decides"), [("&&", False), ("||", True)])
def test_long_conditions_absorb_the_unknown_too(count: int, operator: str, decides: bool):
    """Every assignment of true, false and unknown to up to five operands."""
    names = [f"x.v{index}" for index in range(count)]
    run = evaluator(check(f" {operator} ".join(names), {name: Variable(BOOL, unknown=True) for name in names}))
    for values in itertools.product((True, False, None), repeat=count):
        expected = decides if decides in values else None if None in values else not decides
        assert run(dict(zip(names, values, strict=True))) is expected, values


@pytest.mark.parametrize("source", [
    "features.errors + 1",
    "-features.errors",
    "features.errors > 5",
    "5 > features.errors",
    "features.errors == features.errors",  # unknown is not even itself
    "!(features.errors > 5)",
    "features.errors > 5 ? 1 : 2",
    "features.errors in [1, 2]",
    "3 in [1, features.errors]",
    "[features.errors]",
    "size([features.errors])",
    "string(features.errors) + 'x'",
    "double(features.errors) * 2.0",
    "'abc'.startsWith(string(features.errors))",
    "[1, 2][features.errors]",
    "size(event.tags) > 0",
    "'a' in event.tags",
    "event.tags[0] == 'a'",
    "1 / 0 > 0",
    "1 / 0 > 0 && true",
    "1 / 0 > 0 || false",
])  # fmt: skip
def test_the_unknown_spreads_through_everything_else(source: str):
    assert check(source, VARIABLES).unknown
    assert value(source) is None


@pytest.mark.parametrize(("source", "result"), [
    ("features.errors > 5 && false", False),
    ("1 / 0 > 0 && false", False),
    ("true || 1 / 0 > 0", True),
    ("has(features.errors)", False),
    ("!has(features.errors) || features.errors > 5", True),
    ("has(features.errors) ? features.errors : 0", 0),
])  # fmt: skip
def test_what_is_decided_without_the_unknown(source: str, result: object):
    assert value(source) == result


@pytest.mark.parametrize(("source", "kind", "unknown", "names"), [
    ("event.status >= 400 && event.path == '/'", "bool", False, ("event.path", "event.status")),
    ("event.status + score_bp", "int", True, ("event.status", "score_bp")),  # may overflow
    ("size(event.path) + 1", "int", False, ("event.path",)),  # cannot
    ("event.status % 60", "int", False, ("event.status",)),
    ("event.status / score_bp", "int", True, ("event.status", "score_bp")),
    ("event.share + 1.0", "double", False, ("event.share",)),
    ("event.share + 1.0 > 0.5", "bool", True, ("event.share",)),  # infinities may have become NaN
    ("event.share > 0.5", "bool", False, ("event.share",)),
    ("has(event.tags)", "bool", False, ("event.tags",)),
    ("has(event.ok)", "bool", False, ("event.ok",)),
    ("[['a']]", "list(list(string))", False, ()),
    ("event.tags", "list(string)", True, ("event.tags",)),
])  # fmt: skip
def test_what_is_known_about_an_expression(source: str, kind: str, unknown: bool, names: tuple[str, ...]):
    found = check(source, VARIABLES)
    assert (str(found.type), found.unknown, found.variables) == (kind, unknown, names)


@pytest.mark.parametrize(("name", "wrong"), [
    ("event.status", "404"),
    ("event.status", True),  # a bool is no int
    ("event.status", 2**63),
    ("event.path", b"/"),
    ("event.ok", 1),
    ("event.share", math.nan),
    ("event.share", math.inf),
    ("event.tags", "x"),
    ("event.tags", [1]),
    ("event.tags", ["x", None]),
])  # fmt: skip
def test_a_value_of_the_wrong_type_is_the_callers_mistake(name: str, wrong: object):
    """It is neither unknown nor silently converted."""
    with pytest.raises(TypeError, match=name):
        evaluator(check(name, VARIABLES))({name: wrong})


def test_a_whole_number_stands_for_a_double():
    """YAML and JSON write 1 for 1.0."""
    assert value("event.share / 2.0", event__share=1) == 0.5
