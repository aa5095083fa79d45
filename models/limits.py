"""A rule's condition taken apart: each comparison it makes, what was measured, and whether it held.

limits(rule.when, values)  ->  Limit("features.seen >= 2", {"features.seen": 3}, True), …
"""

import ast
import json
from collections.abc import Iterator, Mapping, Set
from itertools import count
from typing import Any, Final

import msgspec

from sidechain.models.cel import HELPERS, Expression, Variable, check, lower
from sidechain.models.cel.checker import Node

_METHODS: Final = ("startsWith", "endsWith", "contains")


class Limit(msgspec.Struct, frozen=True):
    """One comparison of a condition."""

    text: str  # as the pack could have written it
    measured: dict[str, Any]  # each variable it reads, with its value; of a list its count of rows, {"rows": 3}
    holds: bool | None  # None: unknown

    def __str__(self) -> str:
        said = {True: "holds", False: "does not hold", None: "is unknown"}[self.holds]
        shown = ", ".join(f"{name} {_shown(value)}" for name, value in self.measured.items())
        return f"{self.text} {said}{': ' if shown else ''}{shown}"


def limits(condition: Expression, values: Mapping[str, Any]) -> Iterator[Limit]:
    """The comparisons of a condition, in its order. `values`: by dotted name; a missing one is unknown."""
    for leaf in _leaves(condition.tree):
        variables = {str(one.value): one for one in _variables(leaf)}
        text = _text(leaf)
        if text is None:  # of a kind this has no words for: the whole condition stands for it
            measured = {name: _measured(values.get(name)) for name in condition.variables}
            yield Limit(" ".join(condition.source.split()), measured, _answer(condition, values))
            return
        known = {name: Variable(one.type, unknown=True) for name, one in variables.items()}
        measured = {name: _measured(values.get(name)) for name in variables}
        yield Limit(text, measured, _answer(check(text, known), values))


def _answer(condition: Expression, values: Mapping[str, Any]) -> bool | None:
    """What the condition is for these values, lowered as in the kernel: no list is copied to ask it."""
    names = {name: f"v{at}" for at, name in enumerate(condition.variables)}
    body = lower(condition, lambda name: ast.Name(names[name], ast.Load()), (f"t{at}" for at in count()))
    code = compile(ast.fix_missing_locations(ast.Expression(body)), "<limit>", "eval")
    given = {local: values.get(name) for name, local in names.items()}
    found: bool | None = eval(code, {"__builtins__": {}, **HELPERS, **given})  # noqa: S307 - a tree of our own nodes
    return found


def _leaves(node: Node) -> Iterator[Node]:
    """What a condition is made of, below and, or, not and a choice."""
    if node.op in ("&&", "||") or (node.op == "?:" and str(node.type) == "bool"):
        for one in node.args:
            yield from _leaves(one)
    elif node.op == "!_" and node.args[0].op in ("&&", "||", "!_", "?:"):
        yield from _leaves(node.args[0])
    else:
        yield node


def _variables(node: Node) -> Iterator[Node]:
    if node.op == "variable":
        yield node
    for one in node.args:
        yield from _variables(one)


def _text(node: Node) -> str | None:
    """The source of a node; None where one of its parts has no words here."""
    parts = [_text(one) for one in node.args]
    texts = [one for one in parts if one is not None]
    if len(texts) < len(parts):
        return None
    bound = [f"({text})" if one.op in _BINARY else text for text, one in zip(texts, node.args, strict=True)]
    if node.op == "literal":
        return json.dumps(node.value, ensure_ascii=False) if not isinstance(node.value, float) else repr(node.value)
    if node.op == "variable":
        return str(node.value)
    if node.op in _BINARY and len(bound) >= 2:
        return f" {node.op} ".join(bound)
    if node.op in ("!_", "-_"):
        return f"{node.op[0]}{bound[0]}" if node.args[0].op not in ("-_", "literal") else f"{node.op[0]}({texts[0]})"
    if node.op == "?:":
        return f"({bound[0]} ? {bound[1]} : {bound[2]})"
    if node.op == "list":
        return f"[{', '.join(texts)}]"
    if node.op in ("index", "lookup"):
        return f"{bound[0]}[{texts[1]}]"
    if node.op in _METHODS:
        return f"{bound[0]}.{node.op}({texts[1]})"
    if node.op in ("has", "size") or "<-" in node.op:  # a conversion is named int<-string
        return f"{node.op.partition('<-')[0]}({texts[0]})"
    return None


_BINARY: Final = ("&&", "||", "==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%")


def _measured(value: Any) -> Any:
    return {"rows": len(value)} if isinstance(value, Mapping | Set) else value


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"of {value['rows']:,} rows"
    return "unknown" if value is None else json.dumps(value, ensure_ascii=False)
