"""The rows of a payments stream as what is sent: each payment, and behind it what it cost and what it turned out to be.

One payment in ten is charged a day later in event time, and of every second one of these a tenth is given back; what
any payment was, good or bad, is known seven days later. `steps` gives all of it in one order, so that whoever sends
step after step tells nobody anything before its time.
"""

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

import msgspec

from sidechain.agents.problems import UsageProblem
from sidechain.models.policy import Policy
from sidechain.models.sources import Converted, rows

DAY_MS: Final = 86_400_000
DELAY_MS: Final = 7 * DAY_MS
CHARGED_EVERY: Final = 10


class Payment(NamedTuple):
    """One row."""

    id: str
    at_ms: int
    customer: str
    terminal: str
    amount_minor: int
    kind: int  # which fraud it is; 0: good
    event: bytes

    @property
    def is_bad(self) -> bool:
        """Whether it is fraud of any kind."""
        return self.kind > 0

    def label(self, partition: int | None = None) -> bytes:
        """The outcome that says what it was. `partition`: that of its decision, where the outcome is to name it."""
        named = b"" if partition is None else b',"partition":%d' % partition
        label = b"bad" if self.kind else b"good"
        return b'{"id":"%b","key":"%b","at":%d,"label":"%b"%b}' % (*self._whose, self.at_ms + DELAY_MS, label, named)

    def charge(self, given_back_minor: int) -> bytes:
        """The outcome that says what it cost."""
        cost = self.amount_minor - given_back_minor
        return b'{"id":"%b","key":"%b","at":%d,"cost_minor":%d}' % (*self._whose, self.at_ms + DAY_MS, cost)

    @property
    def _whose(self) -> tuple[bytes, bytes]:
        return self.id.encode(), self.customer.encode()


class Step(NamedTuple):
    """So many payments, and what is known by the last of them."""

    payments: Sequence[Payment]
    charged: Sequence[Payment]
    labelled: Sequence[Payment]


class _Event(msgspec.Struct):
    id: str
    at: int
    customer: str
    terminal: str
    amount_minor: int


def payments(policy: Policy, lines: Iterable[bytes]) -> Iterator[Payment]:
    """Every row of the source `handbook`, its header first. Raises `UsageProblem` for a row that is no payment."""
    lines = iter(lines)
    kinds: deque[int] = deque()

    def noted(line: bytes) -> bytes:
        kinds.append(ord(line.rstrip()[-1:] or b"0") - ord("0"))  # the last column: which fraud it is
        return line

    read = msgspec.json.Decoder(_Event).decode
    reached_ms = 0
    for one in rows(policy, "handbook", chain([next(lines, b"")], map(noted, lines))):
        if not isinstance(one, Converted):
            raise UsageProblem(f"{one}; every row must be a payment, or nothing could be counted")
        event, kind = read(one.event), kinds.popleft()
        if event.at < reached_ms:
            raise UsageProblem(f"line {one.line}: a payment before the one above it; the rows must stand in their time")
        reached_ms = event.at
        names = sys.intern(event.customer), sys.intern(event.terminal)
        yield Payment(event.id, event.at, *names, event.amount_minor, kind, one.event)


def steps(found: Sequence[Payment], size: int) -> Iterator[Step]:
    """All of them, `size` at a time, with what is known by then; then what becomes known when nobody pays any more."""
    charges, labels = _Due(found[::CHARGED_EVERY], DAY_MS), _Due(found, DELAY_MS)
    for first in range(0, len(found), size):
        some = found[first : first + size]
        until_ms = some[-1].at_ms
        yield Step(some, charges.by(until_ms), labels.by(until_ms))
    yield Step((), charges.rest(), ())
    while rest := labels.rest(size):
        yield Step((), (), rest)


class _Due:
    """Payments, as something becomes known of them."""

    def __init__(self, found: Sequence[Payment], delay_ms: int) -> None:
        self._found = found
        self._delay_ms = delay_ms
        self._told = 0

    def by(self, now_ms: int) -> Sequence[Payment]:
        """Those that are due by now and were not told."""
        begin, due_ms = self._told, now_ms - self._delay_ms
        while self._told < len(self._found) and self._found[self._told].at_ms <= due_ms:
            self._told += 1
        return self._found[begin : self._told]

    def rest(self, count: int | None = None) -> Sequence[Payment]:
        """The next so many of those that were not told; None: all."""
        begin = self._told
        self._told = len(self._found) if count is None else min(len(self._found), begin + count)
        return self._found[begin : self._told]
