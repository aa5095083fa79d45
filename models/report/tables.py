"""Tables of a page, and what people wrote in them."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

ROWS_MAX: Final = 30  # of a table; the JSON form has them all

Row = Sequence[Any]


def table(names: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    """A table, numbers to the right; nothing where there is no row."""
    if not rows:
        return
    numeric = [all(isinstance(row[at], int) or str(row[at]).endswith(" %") for row in rows) for at in range(len(names))]
    yield f"| {' | '.join(names)} |"
    yield f"|{'|'.join('---:' if one else '---' for one in numeric)}|"
    for row in rows[:ROWS_MAX]:
        yield f"| {' | '.join(f'{one:,}' if isinstance(one, int) else plain(one) for one in row)} |"
    if len(rows) > ROWS_MAX:
        yield ""
        yield f"{len(rows) - ROWS_MAX:,} more rows stand in the JSON form."


def plain(text: str) -> str:
    """What people wrote, so that it stays text: no table, no markup, no line of its own."""
    shown = "".join(one if one.isprintable() else " " for one in text)
    return "".join(f"\\{one}" if one in "\\`*_{}[]<>#|~" else one for one in shown)
