"""The rows of a payments stream as what is sent: each payment, and behind it what it turned out to be.

An outcome is due so long after its payment in event time; `steps` gives both in one order, so that whoever sends step
after step tells nobody anything before its time.
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

    def outcome(self, partition: int | None = None) -> bytes:
        """What it turned out to be and cost. `partition`: that of its decision, where the outcome is to name it."""
        named = b"" if partition is None else b',"partition":%d' % partition
        return b'{"id":"%b","key":"%b","at":%d,"label":"%b","cost_minor":%d%b}' % (
            self.id.encode(),
            self.customer.encode(),
            self.at_ms + DELAY_MS,
            b"bad" if self.kind else b"good",
            self.amount_minor,
            named,
        )


class Step(NamedTuple):
    """So many payments, and the outcomes that are due by the last of them."""

    payments: Sequence[Payment]
    due: Sequence[Payment]


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
    """All of them, `size` at a time, with the outcomes that are due by then; then the outcomes that are left."""
    due = 0
    for first in range(0, len(found), size):
        some = found[first : first + size]
        begin, until_ms = due, some[-1].at_ms
        while found[due].at_ms + DELAY_MS <= until_ms:
            due += 1
        yield Step(some, found[begin:due])
    for first in range(due, len(found), size):
        yield Step((), found[first : first + size])
