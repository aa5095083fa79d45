"""Our CEL against another one: the same expressions and values, the same results.

The other is `common-expression-language`, a Rust implementation. 100,000 generated expressions are each evaluated for
two sets of values; an error there is None here. Both ways our code is generated are covered: variables declared always
known (`known.*`, `flat`) and variables that may be missing (`maybe.*`).

Not generated, each with the reason and, where the other implementation is at fault, an example at the end of this file:

* what we refuse when a pack is loaded (int and double in one operator, uint, bytes, maps, macros, null, ...)
* size() of text that is not ASCII: the other counts bytes, the specification code points
* unary minus of an int that can be the smallest one: the other wraps around, the specification says error
"""

import ast
import itertools
import math
import os
import random
import struct
from collections.abc import Callable
from types import CodeType, FunctionType

import cel
import pytest

from sidechain.models.cel import BOOL, DOUBLE, HELPERS, INT, STRING, Variable, check, evaluator, list_of, lower

EXPRESSIONS = 100_000
BATCH = 250
SEED = int(os.environ.get("SIDECHAIN_TEST_SEED", "20250801"))

INTS = (0, 1, -1, 2, 3, 7, -13, 60, 400, 10_000, 2**31, 2**62, -(2**62), 2**63 - 1, -(2**63 - 1), -(2**63))
TAME_INTS = (0, 1, -1, 2, 5, 60, -60, 404, 10_000)
DOUBLES = (0.0, -0.0, 1.0, -1.5, 0.1, 2.5, 1e308, -1e308, 5e-324, 9.2e18, 9223372036854775807.0, -9223372036854775808.0)
ASCII = ("", "a", "ab", "/health", "GET", "404", "-7", "+12", "0x1f", " 5", "1_000", "9223372036854775808", "1.5e3")
NAMED = dict(zip("\a\b\f\n\r\t\v\\'\"`?", "abfnrtv\\'\"`?", strict=True))
TEXTS = (*ASCII, "".join(NAMED), "a'b\"c\\d\n", "é", "日本", "\U0001f600", "\uffff", "inf", "-nan", "1e400", "٣", "-.5")

VARIABLES = {
    f"{root}.{name}": Variable(kind, unknown=root == "maybe")
    for root in ("known", "maybe")
    for name, kind in {
        "i": INT,
        "tame": INT,
        "d": DOUBLE,
        "s": STRING,
        "ascii": STRING,
        "b": BOOL,
        "si": list_of(INT),
        "ss": list_of(STRING),
        "sd": list_of(DOUBLE),
    }.items()
} | {"flat": Variable(INT)}

# What the other implementation raises for run-time errors. Anything else, such as an undeclared function, means that
# the generator made something the other one does not know.
ERRORS = {
    KeyError: "",
    ZeroDivisionError: "",
    OverflowError: "",
    IndexError: "",
    TypeError: "No such overload",  # the order of NaN: an error here, there, and in the reference implementation
    RuntimeError: "string parse error",  # a failed conversion
}


Maker = Callable[[int], str]


class Generator:
    """Random well-typed expressions. Every method returns source text."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def anything(self, depth: int) -> str:
        make = self.chance.choice(
            (
                self.boolean,
                self.boolean,
                self.boolean,
                self.integer,
                self.integer,
                self.double,
                self.string,
                self.some_list,
            )
        )
        return make(depth)

    def _variable(self, name: str) -> str:
        return f"{self.chance.choice(('known', 'maybe'))}.{name}"

    def _pick(self, *makers: Callable[[], str]) -> str:
        return self.chance.choice(makers)()

    def _if(self, make: Maker, depth: int) -> str:
        return f"({self.boolean(depth - 1)} ? {make(depth - 1)} : {make(depth - 1)})"

    def boolean(self, depth: int) -> str:
        if depth <= 0:
            return self._pick(
                lambda: self._variable("b"),
                lambda: self.chance.choice(("true", "false")),
                lambda: f"has({self._variable(self.chance.choice(('i', 's', 'b', 'ss')))})",
            )
        less = depth - 1
        return self._pick(
            lambda: f"{self._operand(less)} && {self._operand(less)}",
            lambda: f"{self._operand(less)} || {self._operand(less)}",
            lambda: self.chance.choice((" && ", " || ")).join(self._operand(less - 1) for _ in range(4)),
            lambda: f"{'!' * self.chance.randint(1, 2)}({self.boolean(less)})",
            lambda: f"{self.integer(less)} {self._order()} {self.integer(less)}",
            lambda: f"{self.integer(less)} {self._order()} {self.integer(less)}",
            lambda: f"{self.double(less)} {self._order()} {self.double(less)}",
            lambda: f"{self.string(less)} {self._order()} {self.string(less)}",
            lambda: f"({self.boolean(less)}) {self._order()} ({self.boolean(less)})",
            lambda: f"{self.double(less)} {self._equal()} {self.double(less)}",
            lambda: f"{self._integers(less)} {self._equal()} {self._integers(less)}",
            lambda: " == ".join(self._items(self.double, "sd", less) for _ in range(2)),
            lambda: f"{self.integer(less)} in {self._integers(less)}",
            lambda: f"{self.string(less)} in {self._items(self.string, 'ss', less)}",
            lambda: f"{self.double(less)} in {self._items(self.double, 'sd', less)}",
            lambda: f"{self.string(less)}.{self._method()}({self.string(less)})",
            lambda: self._if(self.boolean, depth),
        )

    def _operand(self, depth: int) -> str:
        operand = self.boolean(depth)
        return f"({operand})" if self.chance.random() < 0.5 else operand

    def _order(self) -> str:
        return self.chance.choice(("<", "<=", ">", ">=", "==", "!="))

    def _equal(self) -> str:
        return self.chance.choice(("==", "!="))

    def _method(self) -> str:
        return self.chance.choice(("startsWith", "endsWith", "contains"))

    def integer(self, depth: int) -> str:
        if depth <= 0:
            return self._pick(
                lambda: self._variable("i"),
                lambda: self._variable("tame"),
                lambda: "flat",
                lambda: str(self.chance.choice(INTS)),
                lambda: hex(self.chance.choice(INTS)),
            )
        less = depth - 1
        return self._pick(
            lambda: f"({self.integer(less)} {self.chance.choice('+-*/%')} {self.integer(less)})",
            lambda: f"{self.integer(less)} {self.chance.choice('+-*/%')} {self.integer(less)}",
            lambda: f"({self.integer(less)} {self.chance.choice('/%')} {self.chance.choice(TAME_INTS)})",
            lambda: f"-({self.tame_int(less)})",
            lambda: self.tame_int(depth),
            lambda: f"int({self.double(less)})",
            lambda: f"int({self.string(less)})",
            lambda: f"int({self.integer(less)})",
            lambda: f"{self._integers(less)}[{self.tame_int(less)}]",
            lambda: self._if(self.integer, depth),
        )

    def tame_int(self, depth: int) -> str:
        """Never the smallest int, so that the other implementation can negate it."""
        if depth <= 0:
            return self._pick(lambda: self._variable("tame"), lambda: str(self.chance.choice(TAME_INTS)))
        less = depth - 1
        return self._pick(
            lambda: f"({self.tame_int(0)} {self.chance.choice('+-*/%')} {self.tame_int(0)})",
            lambda: f"size({self.ascii_text(less)})",
            lambda: f"{self.ascii_text(less)}.size()",
            lambda: f"size({self._integers(less)})",
            lambda: f"--{self._variable('tame')}",
        )

    def double(self, depth: int) -> str:
        if depth <= 0:
            return self._pick(lambda: self._variable("d"), lambda: repr(self.chance.choice(DOUBLES)))
        less = depth - 1
        return self._pick(
            lambda: f"({self.double(less)} {self.chance.choice('+-*/')} {self.double(less)})",
            lambda: f"{self.double(less)} {self.chance.choice('+-*/')} {self.double(less)}",
            lambda: f"-({self.double(less)})",
            lambda: f"double({self.integer(less)})",
            lambda: f"double({self.string(less)})",
            lambda: f"double({self.double(less)})",
            lambda: f"-{self._variable('d')}",
            lambda: self._if(self.double, depth),
        )

    def string(self, depth: int) -> str:
        if depth <= 0:
            return self._pick(
                lambda: self._variable("s"), lambda: self._quoted(self.chance.choice(TEXTS)), self.ascii_text
            )
        less = depth - 1
        return self._pick(
            lambda: f"({self.string(less)} + {self.string(less)})",
            lambda: f"string({self.integer(less)})",
            lambda: f"string({self.string(less)})",
            lambda: f"{self._items(self.string, 'ss', less)}[{self.tame_int(less)}]",
            lambda: self.ascii_text(less),
            lambda: self._if(self.string, depth),
        )

    def ascii_text(self, depth: int = 0) -> str:
        if depth <= 0:
            return self._pick(lambda: self._variable("ascii"), lambda: self._quoted(self.chance.choice(ASCII)))
        return self._pick(
            lambda: f"({self.ascii_text(0)} + {self.ascii_text(depth - 1)})",
            lambda: f"string({self.integer(depth - 1)})",
        )

    def _quoted(self, text: str) -> str:
        """One of the ways CEL has to write a string."""
        style = self.chance.randrange(4)
        quote = self.chance.choice("'\"")
        if style == 0 and "\\" not in text and quote not in text and text.isprintable():
            return f"r{quote}{text}{quote}"
        if style == 1 and text:
            return quote + "".join(self._escaped(one) for one in text) + quote
        plain = text.replace("\\", "\\\\").replace(quote, f"\\{quote}").replace("\r", "\\r")
        return quote * 3 + plain + quote * 3 if style == 2 else quote + plain.replace("\n", "\\n") + quote

    def _escaped(self, character: str) -> str:
        if character in NAMED:
            return f"\\{NAMED[character]}"
        code = ord(character)
        forms = [f"\\U{code:08x}"] + ([f"\\u{code:04X}"] if code < 2**16 else [])
        return self.chance.choice(forms + ([f"\\x{code:02x}", f"\\{code:03o}"] if code < 128 else []))

    def some_list(self, depth: int) -> str:
        return self._pick(
            lambda: self._integers(depth - 1),
            lambda: self._items(self.string, "ss", depth - 1),
            lambda: self._items(self.double, "sd", depth - 1),
            lambda: f"[{self._integers(depth - 2)}, {self._integers(depth - 2)}]",
        )

    def _integers(self, depth: int) -> str:
        return self._items(self.integer, "si", depth)

    def _items(self, make: Maker, name: str, depth: int) -> str:
        def literal() -> str:
            count = self.chance.choice((1, 1, 2, 3, 6))
            return "[" + ", ".join(make(depth - 1 if count < 3 else 0) for _ in range(count)) + "]"

        return self._pick(
            literal, literal, lambda: self._variable(name), lambda: f"({self._variable(name)} + {literal()})"
        )


def values(chance: random.Random) -> dict[str, object]:
    """A value for every variable; about a third of the `maybe` ones is missing."""
    choices = {
        "i": lambda: chance.choice(INTS),
        "tame": lambda: chance.choice(TAME_INTS),
        "d": lambda: chance.choice(DOUBLES),
        "s": lambda: chance.choice(TEXTS),
        "ascii": lambda: chance.choice(ASCII),
        "b": lambda: chance.random() < 0.5,
        "si": lambda: chance.choices(INTS, k=chance.randrange(4)),
        "ss": lambda: chance.choices(TEXTS, k=chance.randrange(4)),
        "sd": lambda: chance.choices(DOUBLES, k=chance.randrange(4)),
    }
    return {
        name: choices[name.rpartition(".")[2]]() if "." in name else chance.choice(INTS)
        for name, variable in VARIABLES.items()
        if not (variable.unknown and chance.random() < 0.33)
    }


def theirs(program: cel.Program, context: cel.Context) -> object:
    try:
        return program.execute(context)
    except tuple(ERRORS) as error:
        if ERRORS[type(error)] in str(error):
            return None
        raise


def nested(environment: dict[str, object]) -> dict[str, object]:
    """{"known.i": 1, "flat": 2} as {"known": {"i": 1}, "maybe": {}, "flat": 2}."""
    tree: dict[str, object] = {root: {} for root in ("known", "maybe")}
    for name, value in environment.items():
        root, _, field = name.partition(".")
        if field:
            tree[root][field] = value  # type: ignore[index]
        else:
            tree[root] = value
    return tree


def compiled(sources: list[str]) -> FunctionType:
    """One function of all variables that returns the results of all `sources`."""
    temporaries = (f"t{index}" for index in itertools.count())
    body = [
        lower(check(one, VARIABLES), lambda name: ast.Name(local(name), ast.Load()), temporaries) for one in sources
    ]
    function = ast.parse(f"lambda {', '.join(map(local, VARIABLES))}: None", mode="eval")
    assert isinstance(function.body, ast.Lambda)
    function.body.body = ast.Tuple(body, ast.Load())
    code = compile(ast.fix_missing_locations(function), "<batch>", "eval")
    inner = next(one for one in code.co_consts if isinstance(one, CodeType))
    return FunctionType(inner, {**HELPERS, "__builtins__": {}})


def local(name: str) -> str:
    return name.replace(".", "_")


def read(name: str) -> ast.expr:
    return ast.Name(local(name), ast.Load())


def same(left: object, right: object) -> bool:
    """Equal in type and value; doubles by their bits, except that one NaN is as good as another."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float) and isinstance(right, float):
        return struct.pack("<d", left) == struct.pack("<d", right) or (math.isnan(left) and math.isnan(right))
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


@pytest.mark.parametrize("part", range(8))
def test_the_same_results_as_another_implementation(part: int):
    """No difference in 100,000 expressions, each under two sets of values."""
    chance = random.Random(SEED + part)
    generator = Generator(chance)
    tally = {"known": 0, "unknown": 0}
    for _ in range(EXPRESSIONS // 8 // BATCH):
        sources = [generator.anything(chance.choice((1, 2, 2, 3))) for _ in range(BATCH)]
        function = compiled(sources)
        programs = [cel.compile(source) for source in sources]
        for _ in range(2):
            environment = values(chance)
            mine = function(*map(environment.get, VARIABLES))
            context = cel.Context(variables=nested(environment))
            for source, program, ours in zip(sources, programs, mine, strict=True):
                expected = theirs(program, context)
                tally["unknown" if expected is None else "known"] += 1
                assert same(ours, expected), f"seed {SEED}, part {part}: {source} with {environment}"
        # The other way our code is generated: every variable may be missing.
        alone = evaluator(check(sources[0], VARIABLES))(environment)
        assert same(alone, mine[0]), f"seed {SEED}, part {part}: evaluator of {sources[0]} with {environment}"
    # A generator that only makes errors, or none, would show little.
    assert min(tally.values()) > sum(tally.values()) // 10, tally


def test_the_other_counts_bytes_where_the_specification_counts_code_points():
    """`size(string)`: "the number of Unicode code points"."""
    assert cel.evaluate("size('é')") == 2
    assert ours("size('é')") == 1
    assert ours("size('\\U0001F600')") == 1


@pytest.mark.parametrize("source", ["-(-9223372036854775808)", "-known.i"])
def test_the_other_wraps_the_smallest_int_around(source: str):
    """Its negation does not fit 64 bits: an error by the specification, as it is for `0 - x` in both."""
    smallest = {"known.i": -(2**63)}
    assert cel.evaluate(source, nested(smallest)) == -(2**63)
    assert ours(source, smallest) is None
    with pytest.raises(OverflowError):
        cel.evaluate("0 - known.i", nested(smallest))
    assert ours("0 - known.i", smallest) is None


def ours(source: str, environment: dict[str, object] | None = None) -> object:
    return evaluator(check(source, VARIABLES))(environment or {})
