"""The range an integer can have, so that `size(x) + 1` needs no overflow check and `x % 60 / 7` no zero check."""

from typing import Final

from sidechain.models.cel.language import INT_MAX, INT_MIN

Range = tuple[int, int]  # both ends included

FULL: Final = (INT_MIN, INT_MAX)
SIZE: Final = (0, 2**40)  # no list or string of an event comes near


def within(low: int, high: int) -> Range:
    """What is left of a range once everything outside 64 bits has become an error."""
    return max(low, INT_MIN), min(high, INT_MAX)


def bounds_of(op: str, left: Range, right: Range) -> Range | None:
    """A range that holds every mathematical result of `left op right`; None where the operator itself can fail."""
    (a, b), (c, d) = left, right
    if op == "+":
        return a + c, b + d
    if op == "-":
        return a - d, b - c
    if op == "*":
        corners = (a * c, a * d, b * c, b * d)
        return min(corners), max(corners)
    if c <= 0 <= d or (a == INT_MIN and c <= -1 <= d):
        return None
    if op == "/":
        most = max(abs(a), abs(b)) // min(abs(c), abs(d))
        return (0 if a >= 0 and c > 0 else -most), most
    limit = max(abs(c), abs(d)) - 1
    return (0 if a >= 0 else -limit), (limit if b > 0 else 0)
