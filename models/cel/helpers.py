"""What compiled expressions call; everything else is inlined.

No function here raises: what cannot be computed is None. Numbers are read with our own grammar, because what `int()`
and `float()` accept (underscores, spaces, digits of other scripts) is Python's business and not CEL's.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sidechain.models.cel.language import INT_MAX, INT_MIN

_INT: Final = re.compile(r"([+-]?)0*([0-9]{1,19})")
_DOUBLE: Final = re.compile(
    r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE
)
_TWO_63: Final = 9223372036854775808.0


def int_divide(left: int, right: int) -> int | None:
    """Truncates toward zero; None for a zero divisor and for the one quotient that does not fit."""
    if right == 0:
        return None
    quotient = abs(left) // abs(right)
    if (left < 0) != (right < 0):
        return -quotient
    return quotient if quotient <= INT_MAX else None


def int_remainder(left: int, right: int) -> int | None:
    """Has the dividend's sign; None for a zero divisor and where the division itself would overflow."""
    if right == 0 or (right == -1 and left == INT_MIN):
        return None
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def double_divide(left: float, right: float) -> float:
    """IEEE 754: dividing by zero is infinity, or NaN for zero by zero."""
    if right != 0.0:
        return left / right
    if left == 0.0 or left != left:
        return float("nan")
    # The sign of a zero shows only in its representation.
    negative = (left < 0.0) != float.hex(right).startswith("-")
    return float("-inf") if negative else float("inf")


def int_of_double(value: float) -> int | None:
    """Rounds toward zero; None for NaN, infinities and what lies outside, the two limits included."""
    return int(value) if -_TWO_63 < value < _TWO_63 else None


def int_of_string(text: str) -> int | None:
    """Decimal digits with an optional sign."""
    if (match := _INT.fullmatch(text)) is None:
        return None
    value = -int(match[2]) if match[1] == "-" else int(match[2])
    return value if INT_MIN <= value <= INT_MAX else None


def double_of_string(text: str) -> float | None:
    """Decimal or exponent notation, `inf`, `nan`; too large a number is infinity."""
    return float(text) if _DOUBLE.fullmatch(text) else None


def item_at(items: list[object], index: int) -> object:
    """None outside the list; a negative index is outside."""
    return items[index] if 0 <= index < len(items) else None


HELPERS: Final[Mapping[str, object]] = MappingProxyType(
    {
        "_cel_int_divide": int_divide,
        "_cel_int_remainder": int_remainder,
        "_cel_double_divide": double_divide,
        "_cel_int_of_double": int_of_double,
        "_cel_int_of_string": int_of_string,
        "_cel_double_of_string": double_of_string,
        "_cel_item_at": item_at,
        "_cel_len": len,
        "_cel_str": str,
        "_cel_float": float,
    }
)
