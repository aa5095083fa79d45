"""The words everything in this package shares: types, variables, and the one error."""

from dataclasses import dataclass
from typing import Final

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

MAX_SOURCE: Final = 4096  # characters
MAX_DEPTH: Final = 64  # parentheses, operators, calls and `?:` inside one another
MAX_NODES: Final = 1024  # operators, calls, variables and literals


class CelError(ValueError):
    """An expression that is refused: what is wrong, where (1-based, inside the expression), what to write instead."""

    def __init__(self, message: str, line: int, column: int, suggestion: str | None = None) -> None:
        super().__init__(message, line, column, suggestion)
        self.message = message
        self.line = line
        self.column = column
        self.suggestion = suggestion

    def __str__(self) -> str:
        hint = f"; did you mean {self.suggestion}?" if self.suggestion else ""
        return f"line {self.line}, column {self.column}: {self.message}{hint}"


def error_at(source: str, offset: int, message: str, suggestion: str | None = None) -> CelError:
    """The error for `offset` (0-based) of `source`, with line and column worked out."""
    line = source.count("\n", 0, offset) + 1
    column = offset - source.rfind("\n", 0, offset)
    return CelError(message, line, column, suggestion)


@dataclass(frozen=True, slots=True)
class Type:
    """One of the four scalar types, a list of one type, or a table: keys, and what each has for a value."""

    name: str
    item: "Type | None" = None  # of a list
    key: "Type | None" = None  # of a table
    value: "Type | None" = None  # of a table whose keys have one
    default: int | str | None = None  # of a table: the value of a key that is not in it; None: unknown

    def __str__(self) -> str:
        if self.key is not None:
            return f"{self.name}({self.key}{f', {self.value}' if self.value else ''})"
        return self.name if self.item is None else f"{self.name}({self.item})"


INT: Final = Type("int")  # 64-bit signed; a Python int in range
DOUBLE: Final = Type("double")  # a Python float, finite in a variable; never an int
BOOL: Final = Type("bool")  # True or False themselves: compiled code compares by identity
STRING: Final = Type("string")


def list_of(item: Type) -> Type:
    """A Python list whose items are all known."""
    return Type("list", item)


def table_of(key: Type, value: Type | None = None, default: int | str | None = None) -> Type:
    """A Python set, or a mapping where keys have values; far too large for an expression: it can be asked, no more."""
    return Type("table", key=key, value=value, default=default)


@dataclass(frozen=True, slots=True)
class Variable:
    """What an environment maps a dotted name to."""

    type: Type
    unknown: bool = False  # True: the Python value may be None, meaning unknown
