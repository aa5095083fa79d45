"""Tokens to a syntax tree: precedence climbing, no types yet.

Nothing here or later can run into Python's recursion limit: depth and size are counted while the tree grows, and
`&&` and `||` are flat, so a condition may list hundreds of alternatives.
"""

from dataclasses import dataclass
from typing import Final, Literal

from sidechain.models.cel.language import INT_MAX, MAX_DEPTH, MAX_NODES, MAX_SOURCE, CelError, error_at
from sidechain.models.cel.lexer import Token, Value, tokens

Kind = Literal["literal", "name", "select", "call", "method", "index", "list", "operator"]


@dataclass(frozen=True, slots=True)
class Syntax:
    """One node. `text`: the operator, function, field or variable; `args`: operands (of a method: receiver first)."""

    kind: Kind
    offset: int
    text: str
    args: tuple["Syntax", ...] = ()
    value: Value = None
    height: int = 1


_BINDING: Final = {
    "||": 1, "&&": 2,
    "<": 3, "<=": 3, ">": 3, ">=": 3, "==": 3, "!=": 3, "in": 3,
    "+": 4, "-": 4,
    "*": 5, "/": 5, "%": 5,
}  # fmt: skip
_KEYWORDS: Final = frozenset({"true", "false", "null", "in"})
_RESERVED: Final = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"}
    | {"namespace", "return", "var", "void", "while"}
)
_INSTEAD: Final = {"and": "&&", "or": "||", "not": "!", "is": "==", "if": "condition ? a : b"}


def parse(source: str) -> Syntax:
    """The syntax tree of `source`; raises CelError."""
    if len(source) > MAX_SOURCE:
        raise CelError(f"the expression has {len(source)} characters, at most {MAX_SOURCE} are allowed", 1, 1)
    parser = _Parser(source)
    tree = parser.expression()
    parser.expect_end()
    return tree


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = tokens(source)
        self.at = 0
        self.depth = 0
        self.nodes = 0

    def expression(self) -> Syntax:
        """condition ? a : b, or anything that binds tighter."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._too_deep(self._peek().offset)
        tree = self._binary(1)
        question = self._peek()
        if self._take("?"):
            then = self._binary(1)
            self._need(":", "a ? needs its :")
            tree = self._node("operator", question.offset, "?:", (tree, then, self.expression()))
        self.depth -= 1
        return tree

    def expect_end(self) -> None:
        if self._peek().kind != "end":
            raise self._unexpected(self._peek())

    def _binary(self, least: int) -> Syntax:
        left = self._unary()
        while (binding := self._binding()) >= least:
            operator = self._next()
            right = self._binary(binding + 1)
            if operator.text in ("&&", "||") and left.kind == "operator" and left.text == operator.text:
                operands = (*left.args, right)
            else:
                operands = (left, right)
            left = self._node("operator", operator.offset, operator.text, operands)
        return left

    def _binding(self) -> int:
        token = self._peek()
        return _BINDING.get(token.text, 0) if token.kind in ("operator", "name") else 0

    def _unary(self) -> Syntax:
        first, start = self._peek(), self.at
        if first.kind != "operator" or first.text not in ("!", "-"):
            return self._postfix()
        while self._take(first.text):
            pass
        signs = self.at - start
        if signs > MAX_DEPTH:
            raise self._too_deep(first.offset)
        # The last minus belongs to the number behind it, or the smallest integer could not be written.
        negative = first.text == "-" and self._peek().kind in ("int", "double")
        operand = self._postfix(negative=negative)
        if (signs - negative) % 2 == 0:  # as in the reference parser, a pair of signs cancels out
            return operand
        return self._node("operator", first.offset, f"{first.text}_", (operand,))

    def _postfix(self, *, negative: bool = False) -> Syntax:
        tree = self._primary(negative=negative)
        while True:
            here = self._peek()
            if self._take("."):
                tree = self._member(tree)
            elif self._take("["):
                tree = self._node("index", here.offset, "[]", (tree, self.expression()))
                self._need("]", "a [ needs its ]")
            elif here.kind == "operator" and here.text == "{":
                raise error_at(self.source, here.offset, "messages and maps are not supported")
            else:
                return tree

    def _member(self, receiver: Syntax) -> Syntax:
        name = self._next()
        if name.kind != "name":
            hint = f"{receiver.text}.0" if receiver.kind == "literal" and type(receiver.value) is int else None
            raise error_at(self.source, name.offset, "a name must follow the dot", hint)
        if name.text in _KEYWORDS:
            raise error_at(self.source, name.offset, f"{name.text} is a keyword and cannot be a field")
        if self._take("("):
            return self._node("method", name.offset, name.text, (receiver, *self._list(")")))
        return self._node("select", receiver.offset, name.text, (receiver,))

    def _primary(self, *, negative: bool) -> Syntax:
        token = self._next()
        if token.kind in ("int", "double"):
            return self._number(token, negative=negative)
        if token.kind == "string":
            return self._node("literal", token.offset, token.text, (), token.value)
        if token.kind == "name":
            return self._named(token)
        if token.text == "(":
            tree = self.expression()
            self._need(")", "a ( needs its )")
            return tree
        if token.text == "[":
            return self._node("list", token.offset, "[]", self._list("]"))
        if token.text == "{":
            raise error_at(self.source, token.offset, "maps are not supported")
        raise self._unexpected(token)

    def _number(self, token: Token, *, negative: bool) -> Syntax:
        value = token.value
        assert isinstance(value, int | float)
        if token.kind == "int" and value > INT_MAX and not negative:
            raise error_at(self.source, token.offset, "the number does not fit a 64-bit signed integer")
        text = f"-{token.text}" if negative else token.text
        return self._node("literal", token.offset, text, (), -value if negative else value)

    def _named(self, token: Token) -> Syntax:
        if token.text in ("true", "false"):
            return self._node("literal", token.offset, token.text, (), token.text == "true")
        if token.text == "null":
            raise error_at(self.source, token.offset, "null is not supported, absence is unknown", "has(...)")
        if token.text in _RESERVED or token.text in _KEYWORDS:
            raise self._unexpected(token)
        if self._take("("):
            return self._node("call", token.offset, token.text, self._list(")"))
        return self._node("name", token.offset, token.text)

    def _list(self, closing: str) -> tuple[Syntax, ...]:
        """Expressions up to `closing`, separated by commas."""
        items: list[Syntax] = []
        if self._take(closing):
            return ()
        while True:
            items.append(self.expression())
            if self._take(closing):
                return tuple(items)
            self._need(",", f"expected , or {closing}")
            if closing == "]" and self._take(closing):  # CEL allows a comma after the last item of a list
                return tuple(items)

    def _node(self, kind: Kind, offset: int, text: str, args: tuple[Syntax, ...] = (), value: Value = None) -> Syntax:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise error_at(self.source, offset, f"more than {MAX_NODES} operators and operands: split the rule")
        height = 1 + max((one.height for one in args), default=0)
        if height > MAX_DEPTH:
            raise self._too_deep(offset)
        return Syntax(kind, offset, text, args, value, height)

    def _peek(self) -> Token:
        return self.tokens[self.at]

    def _next(self) -> Token:
        token = self.tokens[self.at]
        if token.kind != "end":
            self.at += 1
        return token

    def _take(self, operator: str) -> bool:
        token = self.tokens[self.at]
        if token.kind == "operator" and token.text == operator:
            self.at += 1
            return True
        return False

    def _need(self, operator: str, message: str) -> None:
        if not self._take(operator):
            token = self._peek()
            if token.kind != "end" and token.text in _INSTEAD:
                raise self._unexpected(token)
            raise error_at(self.source, token.offset, message)

    def _unexpected(self, token: Token) -> CelError:
        if token.kind == "end":
            message = "the expression ends too early" if self.at else "the expression is empty"
            return error_at(self.source, token.offset, message)
        return error_at(self.source, token.offset, f"unexpected {token.text}", _INSTEAD.get(token.text))

    def _too_deep(self, offset: int) -> CelError:
        return error_at(self.source, offset, f"nested more than {MAX_DEPTH} deep: split the rule")
