"""What was found out before about the same scenario, so that it need not be paid for again.

    insight:<32 hex>   [41,41,950400000]   decision 41 is about to find it out; nobody knows it yet
    insight:<32 hex>   [41,97,950486000]   entry 97 settled decision 41, at this event time: it is known

Rule 1: an insight holds while less than its time to live has passed; the clock is the partition's watermark.
Rule 2: memory is bounded; what was written longest ago goes first, an order that depends on the entries alone.
Rule 3: of several decisions about one scenario, all of which paid for it, the first that waits finds it out.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from sidechain.models.dry.governance.rules import Governance
from sidechain.models.dry.state import Change, share

INSIGHT_PREFIX: Final = b"insight:"
SCENARIO_LENGTH: Final = 32
FORGOTTEN_AT_ONCE: Final = 16  # insights past their time that one new one takes with it

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[int, int, int]).decode


class CorruptInsight(ValueError):  # noqa: N818 - named for what it is
    """A state record that no version of this code has written."""


def scenario(parts: Iterable[str | int | None]) -> str:
    """The 32 hex digits that name a scenario; two are the same only if every part is, in order."""
    return blake2b(_encode(list(parts)), digest_size=16).hexdigest()


class _Kept(NamedTuple):
    decision: int
    entry: int  # that wrote it; another than the decision is its settlement
    at_ms: int

    @property
    def is_known(self) -> bool:
        return self.entry != self.decision


class Insights:
    """The insights of one partition, oldest first, and the decisions that are about to find one."""

    def __init__(self, rules: Governance) -> None:
        self._rules = rules
        self.total = 0  # of the shares of all records, as of the last `changes`
        self._found: OrderedDict[str, _Kept] = OrderedDict()  # by scenario
        self._awaited: dict[int, str] = {}  # decision -> scenario
        self._dirty: dict[str, None] = {}
        self._shares: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._found)

    @property
    def names(self) -> list[bytes]:
        """Of its records on the changelog."""
        return [INSIGHT_PREFIX + name.encode() for name in self._shares]

    def change(self, rules: Governance) -> None:
        """A policy took effect: what no longer fits is forgotten, oldest first."""
        self._rules = rules
        while len(self._found) > rules.insights:
            self._forget_oldest()

    def find(self, name: str, now_ms: int) -> int | None:
        """Which decision has found this out; None: none has, or it is too long ago."""
        found = self._found.get(name)
        return found.decision if found is not None and found.is_known and self._holds(found.at_ms, now_ms) else None

    def expect(self, name: str, decision: int, now_ms: int) -> None:
        """This decision, which is the entry in the making, pays for finding out about a scenario."""
        found = self._found.get(name)
        if found is None or found.is_known or not self._holds(found.at_ms, now_ms):
            self._put(name, _Kept(decision, decision, now_ms), now_ms)

    def learn(self, decision: int, entry: int, now_ms: int) -> str | None:
        """Entry `entry` settles a decision; the scenario that is known from now on, None where it awaited none."""
        name = self._awaited.get(decision)
        if name is not None:
            self._put(name, _Kept(decision, entry, now_ms), now_ms)
        return name

    def forget(self, decision: int) -> None:
        """Nothing will come of this decision."""
        name = self._awaited.get(decision)
        if name is not None:
            self._drop(name)

    def changes(self) -> Iterator[Change]:
        """What changed since the last call, one record a scenario."""
        for name in self._dirty:
            record, found = INSIGHT_PREFIX + name.encode(), self._found.get(name)
            self.total -= self._shares.pop(name, 0)
            if found is None:
                yield record, None
                continue
            value = _encode(found)
            self._shares[name] = now = share(record, value)
            self.total += now
            yield record, value
        self._dirty.clear()

    def forget_changes(self) -> None:
        """As if `changes` had been asked and its answer thrown away."""
        self._dirty.clear()

    def restore(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Take over the records of the changelog, in any order. Raises CorruptInsight for one that cannot be read."""
        found: dict[int, tuple[str, _Kept]] = {}  # by entry, which writes one at most
        for record, value in records:
            name = record.removeprefix(INSIGHT_PREFIX).decode("ascii", "replace")
            try:
                kept = _Kept(*_decode(value))
            except (ValueError, RecursionError) as fault:  # any bytes may stand there
                raise CorruptInsight(f"{record!r} cannot be read: {fault}") from fault
            if not 0 <= kept.decision <= kept.entry or len(name) != SCENARIO_LENGTH or kept.entry in found:
                raise CorruptInsight(f"{record!r} is {value[:80]!r}, and no entry writes this")
            self._shares[name] = now = share(record, value)
            self.total += now
            found[kept.entry] = name, kept
        for _, (name, kept) in sorted(found.items()):
            self._found[name] = kept
            if not kept.is_known:
                self._awaited[kept.decision] = name

    def _holds(self, at_ms: int, now_ms: int) -> bool:
        return now_ms - at_ms < self._rules.insight_ttl_ms

    def _put(self, name: str, kept: _Kept, now_ms: int) -> None:
        self._drop(name)
        self._found[name] = kept
        if not kept.is_known:
            self._awaited[kept.decision] = name
        if len(self._found) > self._rules.insights:
            self._forget_oldest()
        for _ in range(FORGOTTEN_AT_ONCE):
            if self._holds(next(iter(self._found.values())).at_ms, now_ms):
                break
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        self._drop(next(iter(self._found)))

    def _drop(self, name: str) -> None:
        self._dirty[name] = None
        found = self._found.pop(name, None)
        if found is not None and not found.is_known:
            del self._awaited[found.decision]
