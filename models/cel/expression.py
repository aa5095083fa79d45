"""The three steps others use: check an expression, lower it into code of their own, or evaluate it alone."""

import ast
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from types import CodeType, FunctionType
from typing import Any, Final

from sidechain.models.cel.checker import Node, check_types
from sidechain.models.cel.helpers import HELPERS, int_of_string
from sidechain.models.cel.language import BOOL, DOUBLE, INT, INT_MAX, INT_MIN, STRING, CelError, Type, Variable
from sidechain.models.cel.lowering import Access, Lowering
from sidechain.models.cel.parser import parse


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression: its type, whether its result may be unknown (None), and the variables it reads."""

    source: str
    type: Type
    unknown: bool
    variables: tuple[str, ...]  # dotted names, sorted
    tree: Node


def check(source: str, variables: Mapping[str, Variable], *, expect: Type | None = None) -> Expression:
    """Parse and type-check `source`; raises CelError, also if the result is not of type `expect`."""
    tree = check_types(source, parse(source), variables)
    if expect is not None and tree.type != expect:
        raise CelError(f"the expression must be {expect}, and it is {tree.type}", 1, 1)
    return Expression(source, tree.type, tree.unknown, tuple(sorted(_types(tree))), tree)


def lower(expression: Expression, access: Access, temporaries: Iterator[str]) -> ast.expr:
    """The Python expression of `expression`; None is unknown.

    `access(name)` gives a cheap expression without side effects for a variable and may be called several times;
    `temporaries` yields local names for `:=`. The code refers to HELPERS and to no builtin. Source locations are left
    to the caller: `ast.fix_missing_locations` on the finished module.
    """
    return Lowering(access, temporaries).value(expression.tree)


def evaluator(expression: Expression) -> Callable[[Mapping[str, object]], Any]:
    """A function from {dotted name: value} to the result, both None where unknown; a missing name is unknown.

    Here every variable may be missing, also one declared as always known. A value that does not fit its variable's
    type raises TypeError: it is the caller's mistake, not an unknown.
    """
    types = _types(expression.tree)
    tree = check(expression.source, {name: Variable(kind, unknown=True) for name, kind in types.items()}).tree
    names = {name: f"v{index}" for index, name in enumerate(types)}
    lowering = Lowering(lambda name: ast.Name(names[name], ast.Load()), (f"t{index}" for index in count()))
    function = _function(list(names.values()), lowering.value(tree))
    inputs = tuple(types.items())

    def evaluate(values: Mapping[str, object]) -> Any:
        return function(*[_fit(name, kind, values.get(name)) for name, kind in inputs])

    return evaluate


def _types(tree: Node) -> dict[str, Type]:
    """The variables of a tree and their types, in the order in which they are first read."""
    found: dict[str, Type] = {}
    pending = [tree]
    while pending:
        node = pending.pop()
        if node.op == "variable":
            found[str(node.value)] = node.type
        pending.extend(reversed(node.args))
    return found


def _function(names: list[str], body: ast.expr) -> FunctionType:
    arguments = ast.arguments(
        posonlyargs=[ast.arg(name) for name in names], args=[], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    outer = compile(ast.fix_missing_locations(ast.Expression(ast.Lambda(arguments, body))), "<cel>", "eval")
    (code,) = (one for one in outer.co_consts if isinstance(one, CodeType))
    return FunctionType(code, {**HELPERS, "__builtins__": {}})


def _fit(name: str, kind: Type, value: object) -> object:
    if value is None:
        return None
    if kind.item is not None and isinstance(value, list | tuple):
        items = [_fit(name, kind.item, item) for item in value]
        if None not in items:
            return items
    elif kind.key is not None:
        return _fit_table(name, kind, value)
    elif kind == INT and type(value) is int and INT_MIN <= value <= INT_MAX:
        return value
    elif kind == DOUBLE and type(value) in (int, float) and -_HUGE <= value <= _HUGE:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    elif (kind == BOOL and type(value) is bool) or (kind == STRING and type(value) is str):
        return value
    raise TypeError(f"{name} is {kind}, and {value!r:.60} does not fit")


def _fit_table(name: str, kind: Type, given: object) -> Collection[object]:
    """A table of an example: keys alone as a list, keys and values as a mapping, whose names YAML reads as text."""
    assert kind.key is not None
    if kind.value is None and isinstance(given, list | tuple | set):
        keys, values = list(given), []
    elif kind.value is not None and isinstance(given, Mapping):
        keys = [int_of_string(one) if kind.key == INT and isinstance(one, str) else one for one in given]
        values = [_fit(name, kind.value, one) for one in given.values()]
    else:
        raise TypeError(f"{name} is {kind}, and {given!r:.60} does not fit")
    if None in keys or None in values:
        raise TypeError(f"{name} is {kind}, and something in {given!r:.60} does not fit")
    fitted = [_fit(name, kind.key, one) for one in keys]
    return set(fitted) if kind.value is None else dict(zip(fitted, values, strict=True))


_HUGE: Final = 1.7976931348623157e308  # the largest finite double
