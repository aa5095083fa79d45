"""What expressions are compiled to: plain Python where the types allow it, and nothing outside a short list."""

import ast
import itertools
from types import CodeType, FunctionType

import pytest

from sidechain.models.cel import BOOL, DOUBLE, HELPERS, INT, STRING, Variable, check, list_of, lower

VARIABLES = {
    "e.status": Variable(INT),
    "e.path": Variable(STRING),
    "e.tags": Variable(list_of(STRING)),
    "e.share": Variable(DOUBLE),
    "f.errors": Variable(INT, unknown=True),
    "f.share": Variable(DOUBLE, unknown=True),
    "f.ok": Variable(BOOL, unknown=True),
}
NODES = (
    ast.expr_context, ast.Constant, ast.Name, ast.NamedExpr, ast.IfExp, ast.List, ast.Tuple, ast.Set, ast.Call,
    ast.Attribute, ast.BoolOp, ast.boolop, ast.BinOp, ast.operator, ast.UnaryOp, ast.unaryop, ast.Compare, ast.cmpop,
)  # fmt: skip
EVERYTHING = (
    "e.status + 1 - -f.errors * 2 / 3 % e.status > 0 && e.share / f.share < 2.0 * e.share || !f.ok",
    "has(f.ok) ? e.path.startsWith('a') : e.path.endsWith('b') || e.path.contains('c') || 'a' in e.tags",
    "e.status in [1, 2] && e.status in [1, 2, 3, 4, 5, 6] && e.status in [f.errors] && [e.path] + e.tags == ['a']",
    "int('1') + int(e.share) + size(e.tags) > 1 && double('1') + double(1) > 1.0 && string(e.status) == e.tags[0]",
)


def lowered(source: str) -> ast.expr:
    temporaries = (f"t{index}" for index in itertools.count())
    return lower(check(source, VARIABLES), lambda name: ast.Name(name.replace(".", "_"), ast.Load()), temporaries)


@pytest.mark.parametrize(("source", "code"), [
    ("e.status >= 400 && e.path == '/'", "e_status >= 400 and e_path == '/'"),
    ("f.errors > 5", "None if f_errors is None else f_errors > 5"),
    # what is always known comes first
    ("f.errors > 5 && e.status >= 400", "e_status >= 400 and (None if f_errors is None else f_errors > 5)"),
    ("e.status in [200, 304]", "e_status in (200, 304)"),
    ("e.status in [1, 2, 3, 4, 5]", "e_status in {1, 2, 3, 4, 5}"),
    ("!e.path.startsWith('/')", "not e_path.startswith('/')"),
    ("has(f.errors)", "f_errors is not None"),
    ("has(e.status)", "True"),
    ("size(e.path) + 1 > 80", "_cel_len(e_path) + 1 > 80"),  # cannot overflow: no check
    ("size(e.path) / 2", "_cel_len(e_path) // 2"),
    ("e.share * 2.0", "e_share * 2.0"),
    ("e.share / 2.0", "e_share / 2.0"),
    ("e.status > 0 ? 'a' : 'b'", "'a' if e_status > 0 else 'b'"),
    ("f.ok && f.errors > 1",
     "False if (t0 := f_ok) is False else (None if f_errors is None else f_errors > 1) and t0"),
    ("e.status + 1",
     "t0 if -9223372036854775808 <= (t0 := (e_status + 1)) <= 9223372036854775807 else None"),
])  # fmt: skip
def test_simple_expressions_become_the_code_one_would_write(source: str, code: str):
    """A rule costs what its comparison costs."""
    assert ast.unparse(ast.fix_missing_locations(lowered(source))) == code


@pytest.mark.parametrize("source", EVERYTHING)
def test_only_listed_nodes_and_names_are_compiled(source: str):
    """No subscript, no comprehension, no attribute but two string methods, no name but inputs, helpers, temporaries."""
    inputs = {name.replace(".", "_") for name in VARIABLES}
    for node in ast.walk(lowered(source)):
        assert isinstance(node, NODES), ast.dump(node)
        if isinstance(node, ast.Attribute):
            assert node.attr in ("startswith", "endswith")
        if isinstance(node, ast.Name):
            assert node.id in inputs or node.id in HELPERS or (node.id[0] == "t" and node.id[1:].isdecimal())
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id in HELPERS


def test_compiled_code_needs_no_builtins():
    names = [name.replace(".", "_") for name in VARIABLES]
    tree = ast.parse(f"lambda {', '.join(names)}: 0", mode="eval")
    assert isinstance(tree.body, ast.Lambda)
    tree.body.body = ast.Tuple([lowered(source) for source in EVERYTHING], ast.Load())
    (code,) = (
        one for one in compile(ast.fix_missing_locations(tree), "<test>", "eval").co_consts if isinstance(one, CodeType)
    )
    run = FunctionType(code, {**HELPERS, "__builtins__": {}})
    assert run(1, "abc", ["1"], 0.5, 3, 0.25, True) == (False, True, False, True)
    assert run(1, "abc", ["1"], 0.5, None, None, None) == (None, True, False, True)


def test_temporaries_are_never_used_twice():
    """Rules are compiled into one function, side by side."""
    tree = lowered("(f.errors + 1 > 2 || f.share > 1.0) && f.errors * 2 > 3 && f.ok")
    stored = [node.target.id for node in ast.walk(tree) if isinstance(node, ast.NamedExpr)]
    assert len(stored) > 3
    assert len(set(stored)) == len(stored)
