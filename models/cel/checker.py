"""Syntax to a typed tree: every name resolved, every operator's types agreed, and whether the result may be unknown.

*Unknown* covers both an input that is not there and a run-time error (overflow, division by zero, a bad index, a
failed conversion): compiled code has one value for them, None. Integers carry the range they can have, so that
`size(x) + 1` needs no overflow check.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from sidechain.models.cel.language import (
    BOOL,
    DOUBLE,
    INT,
    INT_MAX,
    INT_MIN,
    STRING,
    CelError,
    Type,
    Variable,
    error_at,
    list_of,
)
from sidechain.models.cel.lexer import Value
from sidechain.models.cel.parser import Syntax
from sidechain.models.cel.ranges import FULL, SIZE, Range, bounds_of, within


@dataclass(frozen=True, slots=True)
class Node:
    """A typed operation. `op`: `literal`, `variable`, `has`, `list`, `if`, `index`, a function, or the operator."""

    op: str
    type: Type
    args: tuple["Node", ...] = ()
    value: Value = None  # of a literal; of a variable its dotted name
    unknown: bool = False
    fails: bool = False  # the operation itself can fail, whatever its operands
    range: Range = FULL  # of an int
    nan: bool = False  # of a double: whether it may be NaN


_ORDERED: Final = (INT, DOUBLE, STRING, BOOL)
_FUNCTIONS: Final = {"size": 1, "int": 1, "double": 1, "string": 1, "has": 1}
_METHODS: Final = {"size": 0, "startsWith": 1, "endsWith": 1, "contains": 1}
_CONVERSIONS: Final = {
    ("int", INT), ("int", DOUBLE), ("int", STRING),
    ("double", DOUBLE), ("double", INT), ("double", STRING),
    ("string", STRING), ("string", INT),
}  # fmt: skip
_REFUSED: Final = {
    "bool": "bool() is not supported: compare, as in x == 'true'",
    "bytes": "bytes are not supported",
    "uint": "unsigned integers are not supported: use int",
    "dyn": "dyn() is not supported: every expression has one type",
    "type": "type() is not supported: types are known when the pack is loaded",
    "timestamp": "timestamps are not supported: times are int milliseconds",
    "duration": "durations are not supported: durations are int milliseconds",
    "matches": "regular expressions are not supported: use startsWith, endsWith or contains",
} | dict.fromkeys(
    ("all", "exists", "exists_one", "map", "filter"),
    "macros over lists are not supported: use in, or compute a feature",
)  # fmt: skip


def check_types(source: str, syntax: Syntax, variables: Mapping[str, Variable]) -> Node:
    """The typed tree; raises CelError."""
    return _Checker(source, variables).node(syntax)


class _Checker:
    def __init__(self, source: str, variables: Mapping[str, Variable]) -> None:
        self.source = source
        self.variables = variables
        self.kinds: dict[str, Callable[[Syntax], Node]] = {
            "literal": self._literal,
            "name": self._variable,
            "select": self._variable,
            "call": self._call,
            "method": self._method,
            "index": self._index,
            "list": self._list,
            "operator": self._operator,
        }

    def node(self, syntax: Syntax) -> Node:
        return self.kinds[syntax.kind](syntax)

    def _nodes(self, syntaxes: tuple[Syntax, ...]) -> tuple[Node, ...]:
        return tuple(self.node(one) for one in syntaxes)

    def _error(self, syntax: Syntax, message: str, suggestion: str | None = None) -> CelError:
        return error_at(self.source, syntax.offset, message, suggestion)

    def _literal(self, syntax: Syntax) -> Node:
        value = syntax.value
        if isinstance(value, bool):
            return Node("literal", BOOL, value=value)
        if isinstance(value, int):
            return Node("literal", INT, value=value, range=(value, value))
        return Node("literal", DOUBLE if isinstance(value, float) else STRING, value=value)

    def _variable(self, syntax: Syntax) -> Node:
        name = _dotted(syntax)
        if name is None:
            raise self._error(syntax, f"only variables have fields, and what stands before .{syntax.text} is none")
        variable = self.variables.get(name)
        if variable is None:
            raise self._undeclared(syntax, name)
        return Node("variable", variable.type, value=name, unknown=variable.unknown)

    def _undeclared(self, syntax: Syntax, name: str) -> CelError:
        parts = name.split(".")
        for count in range(len(parts) - 1, 0, -1):
            holder = ".".join(parts[:count])
            if holder in self.variables:
                return self._error(syntax, f"{holder} is {_a(self.variables[holder].type)}, it has no fields")
        return self._error(syntax, f"{name} is not declared", _close(name, (*self.variables, "true", "false")))

    def _call(self, syntax: Syntax) -> Node:
        name, args = syntax.text, syntax.args
        if name == "has" and len(args) == 1:
            return self._has(syntax)
        if name in _FUNCTIONS:
            self._count(syntax, _FUNCTIONS[name], len(args))
            (argument,) = self._nodes(args)
            return self._size(syntax, argument) if name == "size" else self._convert(syntax, argument)
        if name in _METHODS and len(args) == 2:
            raise self._error(syntax, f"{name} is called on a string", f"x.{name}(y)")
        raise self._no_function(syntax)

    def _method(self, syntax: Syntax) -> Node:
        name = syntax.text
        if name not in _METHODS:
            raise self._no_function(syntax)
        self._count(syntax, _METHODS[name], len(syntax.args) - 1)
        args = self._nodes(syntax.args)
        if name == "size":
            return self._size(syntax, args[0])
        for one in args:
            if one.type != STRING:
                hint = "x in list" if name == "contains" and args[0].type.item else None
                raise self._error(syntax, f"{name} takes strings, not {_a(one.type)}", hint)
        return Node(name, BOOL, args, unknown=_any_unknown(args))

    def _count(self, syntax: Syntax, wanted: int, given: int) -> None:
        if wanted != given:
            raise self._error(syntax, f"{syntax.text} takes {_arguments(wanted)}, not {given}")

    def _no_function(self, syntax: Syntax) -> CelError:
        if syntax.text in _REFUSED:
            return self._error(syntax, _REFUSED[syntax.text])
        known = _METHODS if syntax.kind == "method" else _FUNCTIONS
        close = _close(syntax.text, known)
        return self._error(syntax, f"there is no function {syntax.text}", close)

    def _has(self, syntax: Syntax) -> Node:
        (argument,) = syntax.args
        if argument.kind != "select":
            raise self._error(syntax, "has() asks about one dotted variable, as in has(event.name)")
        return Node("has", BOOL, (self._variable(argument),))

    def _size(self, syntax: Syntax, argument: Node) -> Node:
        if argument.type != STRING and argument.type.item is None:
            raise self._error(syntax, f"size takes a string or a list, not {_a(argument.type)}")
        return Node("size", INT, (argument,), unknown=argument.unknown, range=SIZE)

    def _convert(self, syntax: Syntax, argument: Node) -> Node:
        name = syntax.text
        if (name, argument.type) not in _CONVERSIONS:
            hint = {BOOL: 'x ? "true" : "false"', DOUBLE: "string(int(x))"}.get(argument.type)
            hint = hint if name == "string" else "x ? 1 : 0" if (name, argument.type) == ("int", BOOL) else None
            raise self._error(syntax, f"there is no conversion from {argument.type} to {name}", hint)
        target = {"int": INT, "double": DOUBLE, "string": STRING}[name]
        if target == argument.type:
            return argument
        fails = argument.type != INT
        unknown, nan = argument.unknown or fails, (name, argument.type) == ("double", STRING)
        return Node(f"{name}<-{argument.type}", target, (argument,), unknown=unknown, fails=fails, nan=nan)

    def _index(self, syntax: Syntax) -> Node:
        args = self._nodes(syntax.args)
        if args[0].type.key is not None:
            return self._lookup(syntax, *args)
        if args[0].type.item is None:
            raise self._error(syntax, f"only lists have an index, not {_a(args[0].type)}")
        if args[1].type != INT:
            raise self._error(syntax.args[1], f"an index is an int, not {_a(args[1].type)}")
        return Node("index", args[0].type.item, args, unknown=True, fails=True, nan=True)

    def _lookup(self, syntax: Syntax, table: Node, key: Node) -> Node:
        """The value of a key; what is not in the table is unknown, or the table's default."""
        kind = table.type
        if kind.value is None:
            hint = f"{_dotted(syntax.args[1]) or '...'} in {_dotted(syntax.args[0]) or '...'}"
            raise self._error(syntax, "this list says only who is on it, its rows have no values", hint)
        if key.type != kind.key:
            raise self._error(syntax.args[1], f"its keys are {kind.key}, not {key.type}")
        fails = kind.default is None
        unknown = _any_unknown((table, key)) or fails
        return Node("lookup", kind.value, (table, key), kind.default, unknown=unknown, fails=fails)

    def _no_tables(self, syntax: Syntax, args: tuple[Node, ...]) -> None:
        for one, operand in zip(args, syntax.args, strict=True):
            if one.type.key is not None:
                raise self._error(operand, f"{_dotted(operand) or 'a table'} can only be asked, with in or [...]")

    def _list(self, syntax: Syntax) -> Node:
        if not syntax.args:
            raise self._error(syntax, "an empty list has no type", "size(x) == 0")
        args = self._nodes(syntax.args)
        self._no_tables(syntax, args)
        for one, item in zip(args, syntax.args, strict=True):
            if one.type != args[0].type:
                raise self._error(item, f"a list has items of one type: {args[0].type} before, {one.type} here")
        return Node("list", list_of(args[0].type), args, unknown=_any_unknown(args))

    def _operator(self, syntax: Syntax) -> Node:
        op, args = syntax.text, self._nodes(syntax.args)
        if op == "in" and args[1].type.key is not None:
            return self._in_table(syntax, *args)
        self._no_tables(syntax, args)
        if op in ("&&", "||", "!_"):
            return self._logic(syntax, args)
        if op == "?:":
            return self._condition(syntax, args)
        if op == "-_":
            return self._negate(syntax, args[0])
        left, right = args
        if op == "in":
            if right.type != list_of(left.type):
                raise self._error(syntax, f"in looks for {_a(left.type)} in {list_of(left.type)}, not in {right.type}")
            return Node("in", BOOL, args, unknown=_any_unknown(args))
        if left.type != right.type:
            raise self._mixed(syntax, left, right)
        if op in ("==", "!="):
            return Node(op, BOOL, args, unknown=_any_unknown(args))
        if op in ("<", "<=", ">", ">="):
            if left.type not in _ORDERED:
                raise self._error(syntax, f"{op} does not order {left.type}")
            nan = left.nan or right.nan  # NaN has no order: asking for it is an error
            return Node(op, BOOL, args, unknown=_any_unknown(args) or nan, fails=nan)
        return self._arithmetic(syntax, left, right)

    def _in_table(self, syntax: Syntax, left: Node, right: Node) -> Node:
        if left.type != right.type.key:
            raise self._error(syntax, f"in looks for {_a(left.type)}, and the keys of this list are {right.type.key}")
        return Node("in", BOOL, (left, right), unknown=_any_unknown((left, right)))

    def _logic(self, syntax: Syntax, args: tuple[Node, ...]) -> Node:
        op = syntax.text.rstrip("_")
        for one, operand in zip(args, syntax.args, strict=True):
            if one.type != BOOL:
                raise self._error(operand, f"{op} takes bools, not {_a(one.type)}", _as_bool(one, operand))
        return Node(syntax.text, BOOL, args, unknown=_any_unknown(args))

    def _condition(self, syntax: Syntax, args: tuple[Node, ...]) -> Node:
        condition, then, otherwise = args
        if condition.type != BOOL:
            raise self._error(syntax, f"the condition before ? is a bool, not {_a(condition.type)}")
        if then.type != otherwise.type:
            raise self._error(syntax, f"both results of ?: have one type: {then.type} and {otherwise.type}")
        low, high = min(then.range[0], otherwise.range[0]), max(then.range[1], otherwise.range[1])
        nan = then.nan or otherwise.nan
        return Node("?:", then.type, args, unknown=_any_unknown(args), range=(low, high), nan=nan)

    def _negate(self, syntax: Syntax, argument: Node) -> Node:
        if argument.type not in (INT, DOUBLE):
            hint = "!" if argument.type == BOOL else None
            raise self._error(syntax, f"- takes a number, not {_a(argument.type)}", hint)
        low, high = -argument.range[1], -argument.range[0]
        fails = argument.type == INT and high > INT_MAX
        unknown, span = argument.unknown or fails, within(low, high)
        return Node("-_", argument.type, (argument,), unknown=unknown, fails=fails, range=span, nan=argument.nan)

    def _arithmetic(self, syntax: Syntax, left: Node, right: Node) -> Node:
        op, kind, args = syntax.text, left.type, (left, right)
        if op == "+" and (kind == STRING or kind.item is not None):
            return Node(op, kind, args, unknown=_any_unknown(args))
        if kind == DOUBLE and op != "%":
            return Node(op, kind, args, unknown=_any_unknown(args), nan=True)
        if kind != INT:
            raise self._error(syntax, f"{op} is not defined for {kind}")
        bounds = bounds_of(op, left.range, right.range)
        fails = bounds is None or bounds[0] < INT_MIN or bounds[1] > INT_MAX
        unknown = _any_unknown(args) or fails
        return Node(op, INT, args, unknown=unknown, fails=fails, range=within(*(bounds or FULL)))

    def _mixed(self, syntax: Syntax, left: Node, right: Node) -> CelError:
        text = f"{syntax.text} needs one type on both sides: {left.type} and {right.type}"
        if syntax.args[0].text in ("<", "<=", ">", ">=") and left.op == syntax.args[0].text:
            return self._error(syntax, f"comparisons do not chain: {text}", "a < b && b < c")
        if {left.type, right.type} == {INT, DOUBLE}:
            whole, at = (left, syntax.args[0]) if left.type == INT else (right, syntax.args[1])
            written = f"{whole.value}.0" if whole.op == "literal" else f"double({_dotted(at) or '...'})"
            return self._error(syntax, text, written)
        if {left.type, right.type} == {INT, STRING}:
            text_side = left if left.type == STRING else right
            if isinstance(text_side.value, str) and text_side.op == "literal" and text_side.value.isdecimal():
                return self._error(syntax, text, text_side.value)
        return self._error(syntax, text)


def _dotted(syntax: Syntax) -> str | None:
    """`a.b.c` of a chain of selections that starts at a name."""
    parts: list[str] = []
    while syntax.kind == "select":
        parts.append(syntax.text)
        syntax = syntax.args[0]
    return ".".join([syntax.text, *reversed(parts)]) if syntax.kind == "name" else None


def _any_unknown(args: tuple[Node, ...]) -> bool:
    return any(one.unknown for one in args)


def _close(name: str, known: Iterable[str]) -> str | None:
    by_lower = {one.lower(): one for one in known}
    found = get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[found[0]] if found else None


def _a(kind: Type) -> str:
    return f"an {kind}" if kind == INT else f"a {kind}"


def _arguments(count: int) -> str:
    return {0: "no argument", 1: "one argument"}[count]


def _as_bool(node: Node, syntax: Syntax) -> str | None:
    nothing = {INT: "0", DOUBLE: "0.0", STRING: "''"}.get(node.type)
    return f"{_dotted(syntax) or '...'} != {nothing}" if nothing else None
