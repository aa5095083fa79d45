"""A typed tree to a Python expression.

The compiled code evaluates everything it needs, never raises and calls nothing it does not have to. None is unknown.
Where the types say that an operand is always known, the code is what one would write by hand:

    event.status >= 400 && features.errors_5m > 20        (the feature may be unknown)
    event.status >= 400 and (None if errors_5m is None else errors_5m > 20)
"""

import ast
from collections.abc import Callable, Iterator
from typing import Final

from sidechain.models.cel.checker import Node
from sidechain.models.cel.language import INT, INT_MAX, INT_MIN

Access = Callable[[str], ast.expr]

_COMPARISONS: Final[dict[str, ast.cmpop]] = {
    "==": ast.Eq(),
    "!=": ast.NotEq(),
    "<": ast.Lt(),
    "<=": ast.LtE(),
    ">": ast.Gt(),
    ">=": ast.GtE(),
}
_ARITHMETIC: Final[dict[str, ast.operator]] = {"+": ast.Add(), "-": ast.Sub(), "*": ast.Mult()}
_STRING_METHODS: Final = {"startsWith": "startswith", "endsWith": "endswith"}
_CALLS: Final = {
    "index": "_cel_item_at",
    "size": "_cel_len",
    "int<-double": "_cel_int_of_double",
    "int<-string": "_cel_int_of_string",
    "double<-int": "_cel_float",
    "double<-string": "_cel_double_of_string",
    "string<-int": "_cel_str",
}
_SET_FROM: Final = 5  # items from which a set is quicker than a tuple


class Lowering:
    """Builds the Python expression of one tree; `temporaries` yields names nobody else uses."""

    def __init__(self, access: Access, temporaries: Iterator[str]) -> None:
        self.access = access
        self.temporaries = temporaries

    def value(self, node: Node) -> ast.expr:
        """An expression with the node's value, or None where it is unknown."""
        match node.op:
            case "literal":
                return ast.Constant(node.value)
            case "variable":
                return self.access(str(node.value))
            case "has":
                return self._has(node.args[0])
            case "&&" | "||":
                return self._logic(node)
            case "?:":
                return self._condition(node)
            case "in" if _is_constant_list(node.args[1]):
                return self._strict(node.args[:1], lambda item: _in(item, _constant_items(node.args[1])))
            case _:
                return self._strict(node.args, lambda *operands: self._operation(node, *operands))

    def _has(self, variable: Node) -> ast.expr:
        if not variable.unknown:
            return ast.Constant(value=True)
        return ast.Compare(self.value(variable), [ast.IsNot()], [_none()])

    def _strict(self, args: tuple[Node, ...], build: Callable[..., ast.expr]) -> ast.expr:
        """`build` of the operands' values; None as soon as one of them is unknown."""
        guards: list[ast.expr] = []
        operands: list[ast.expr] = []
        for one in args:
            guard, operand = self._operand(one)
            operands.append(operand)
            if guard is not None:
                guards.append(guard)
        result = build(*operands)
        if not guards:
            return result
        return ast.IfExp(guards[0] if len(guards) == 1 else ast.BoolOp(ast.Or(), guards), _none(), result)

    def _operand(self, node: Node) -> tuple[ast.expr | None, ast.expr]:
        """A test for unknown (None where there is nothing to test), and the value to use after it."""
        if not node.unknown:
            return None, self.value(node)
        if node.op == "variable":
            return _is_none(self.value(node)), self.value(node)
        stored, again = self._store(self.value(node))
        return _is_none(stored), again

    def _store(self, value: ast.expr) -> tuple[ast.expr, ast.expr]:
        """(name := value), and the name to use after it has been evaluated."""
        name = next(self.temporaries)
        return ast.NamedExpr(ast.Name(name, ast.Store()), value), ast.Name(name, ast.Load())

    def _operation(self, node: Node, *operands: ast.expr) -> ast.expr:
        op = node.op
        if op in _CALLS:
            return _call(_CALLS[op], *operands)
        if op in _STRING_METHODS:
            return ast.Call(ast.Attribute(operands[0], _STRING_METHODS[op], ast.Load()), [operands[1]], [])
        if op == "contains":
            return _in(operands[1], operands[0])
        if op == "in":
            return _in(*operands)
        if op == "lookup":
            default = [ast.Constant(node.value)] if node.value is not None else []
            return ast.Call(ast.Attribute(operands[0], "get", ast.Load()), [operands[1], *default], [])
        if op == "list":
            return ast.List(list(operands), ast.Load())
        if op == "!_":
            return ast.UnaryOp(ast.Not(), operands[0])
        if op in _COMPARISONS:
            return self._comparison(node, *operands)
        if node.type == INT:
            return self._integer(node, *operands)
        if op == "/":
            divisor = node.args[1]
            if divisor.op == "literal" and divisor.value:
                return ast.BinOp(operands[0], ast.Div(), operands[1])
            return _call("_cel_double_divide", *operands)
        return _arithmetic(op, *operands)

    def _comparison(self, node: Node, left: ast.expr, right: ast.expr) -> ast.expr:
        if not node.fails:
            return ast.Compare(left, [_COMPARISONS[node.op]], [right])
        stored_left, left = self._store(left)
        stored_right, right = self._store(right)
        is_nan: list[ast.expr] = [
            ast.Compare(stored_left, [ast.NotEq()], [left]),
            ast.Compare(stored_right, [ast.NotEq()], [right]),
        ]
        ordered = ast.Compare(left, [_COMPARISONS[node.op]], [right])
        return ast.IfExp(ast.BoolOp(ast.Or(), is_nan), _none(), ordered)

    def _integer(self, node: Node, *operands: ast.expr) -> ast.expr:
        if node.op in ("/", "%"):
            return self._division(node, *operands)
        result = _arithmetic(node.op, *operands)
        if not node.fails:
            return result
        stored, again = self._store(result)
        fits = ast.Compare(ast.Constant(INT_MIN), [ast.LtE(), ast.LtE()], [stored, ast.Constant(INT_MAX)])
        return ast.IfExp(fits, again, _none())

    def _division(self, node: Node, left: ast.expr, right: ast.expr) -> ast.expr:
        """Python rounds down and CEL toward zero: the same for positive numbers, otherwise divide without the sign."""
        divide: ast.operator = ast.FloorDiv() if node.op == "/" else ast.Mod()
        dividend, divisor = node.args
        if divisor.range[0] > 0 and dividend.range[0] >= 0:
            return ast.BinOp(left, divide, right)
        if divisor.range[0] > 0 and divisor.op == "literal":
            stored, again = self._store(left)
            positive = ast.Compare(stored, [ast.GtE()], [ast.Constant(0)])
            mirrored = _negative(ast.BinOp(_negative(again), divide, right))
            return ast.IfExp(positive, ast.BinOp(again, divide, right), mirrored)
        return _call("_cel_int_divide" if node.op == "/" else "_cel_int_remainder", left, right)

    def _condition(self, node: Node) -> ast.expr:
        condition, then, otherwise = node.args
        guard, test = self._operand(condition)
        result = ast.IfExp(test, self.value(then), self.value(otherwise))
        return result if guard is None else ast.IfExp(guard, _none(), result)

    def _logic(self, node: Node) -> ast.expr:
        """Operands that are always known come first: `&&` and `||` commute, because nothing here raises."""
        known = [one for one in node.args if not one.unknown]
        unknown = [one for one in node.args if one.unknown]
        join = ast.And() if node.op == "&&" else ast.Or()
        values = [self.value(one) for one in known]
        if unknown:
            values.append(self._absorbing(node.op, unknown))
        return values[0] if len(values) == 1 else ast.BoolOp(join, values)

    def _absorbing(self, op: str, nodes: list[Node]) -> ast.expr:
        """Three-valued `&&` or `||`, split in halves so that many operands do not nest deeply.

        and: (False if (a := A) is False else B and a)            a is True or None, B decides unless it is true
        or:  (True if (a := A) is True else a if (b := B) is False else b)
        """
        if len(nodes) == 1:
            return self.value(nodes[0])
        middle = len(nodes) // 2
        stored, left = self._store(self._absorbing(op, nodes[:middle]))
        right = self._absorbing(op, nodes[middle:])
        decided = ast.Compare(stored, [ast.Is()], [ast.Constant(op == "||")])
        if op == "&&":
            return ast.IfExp(decided, ast.Constant(value=False), ast.BoolOp(ast.And(), [right, left]))
        stored_right, again = self._store(right)
        undecided = ast.Compare(stored_right, [ast.Is()], [ast.Constant(value=False)])
        return ast.IfExp(decided, ast.Constant(value=True), ast.IfExp(undecided, left, again))


def _none() -> ast.expr:
    return ast.Constant(None)


def _is_none(value: ast.expr) -> ast.expr:
    return ast.Compare(value, [ast.Is()], [_none()])


def _in(item: ast.expr, holder: ast.expr) -> ast.expr:
    return ast.Compare(item, [ast.In()], [holder])


def _call(helper: str, *args: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(helper, ast.Load()), list(args), [])


def _arithmetic(op: str, *operands: ast.expr) -> ast.expr:
    return _negative(operands[0]) if op == "-_" else ast.BinOp(operands[0], _ARITHMETIC[op], operands[1])


def _negative(value: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.USub(), value)


def _is_constant_list(node: Node) -> bool:
    return node.op == "list" and all(one.op == "literal" for one in node.args)


def _constant_items(node: Node) -> ast.expr:
    """Finite literals, so NaN is not among them; Python makes one constant of either form."""
    items: list[ast.expr] = [ast.Constant(one.value) for one in node.args]
    return ast.Tuple(items, ast.Load()) if len(items) < _SET_FROM else ast.Set(items)
