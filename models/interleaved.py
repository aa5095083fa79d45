"""Outcomes beside events, each in a file: in which order one partition takes them, as far as event time tells.

    waiting = Outcomes(lines, "at")
    for event in events:
        waiting.before(event)      # those that happened before it
    waiting.rest()

Rule 1: an outcome comes before the first event that is later than it, by what both state; never before one of its time.
Rule 2: the order of each file stays. An outcome that stands behind a later one comes with that one.
Rule 3: an outcome whose time cannot be read waits for nobody; before an event whose time cannot be read, none is due.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

import msgspec

AT: Final = "at"  # the field of an outcome that states its time
AT_ONCE: Final = 1_000  # outcomes of `rest` in one list


class Outcomes:
    """The outcomes that have not been taken yet."""

    def __init__(self, lines: Iterable[bytes], time_field: str) -> None:
        """`time_field`: of an event. The first line is read at once."""
        self._lines = iter(lines)
        self._event_time, self._outcome_time = _time_of(time_field), _time_of(AT)
        self._next = next(self._lines, None)
        self._at_ms = self._time_of_next()

    @property
    def are_left(self) -> bool:
        """Whether any were not taken yet."""
        return self._next is not None

    def before(self, event: bytes) -> list[bytes]:
        """What is due before this event."""
        due: list[bytes] = []
        if self._next is None:
            return due
        now_ms = self._event_time(event)
        while self._next is not None and (self._at_ms is None or (now_ms is not None and self._at_ms < now_ms)):
            due.append(self._next)
            self._advance()
        return due

    def rest(self) -> Iterator[list[bytes]]:
        """All that are left, some at a time."""
        while self._next is not None:
            some = [self._next, *islice(self._lines, AT_ONCE - 1)]
            self._advance()
            yield some

    def _advance(self) -> None:
        self._next = next(self._lines, None)
        self._at_ms = self._time_of_next()

    def _time_of_next(self) -> int | None:
        return None if self._next is None else self._outcome_time(self._next)


def _time_of(field: str) -> Callable[[bytes], int | None]:
    """Reads this field of a record; None where the record does not say it."""
    decode = msgspec.json.Decoder(msgspec.defstruct("Timed", [(field, int | None, None)])).decode

    def time_of(value: bytes) -> int | None:
        try:
            found: int | None = getattr(decode(value), field)
        except (ValueError, RecursionError):  # the kernel says what is wrong with it
            return None
        return found

    return time_of
