"""What was found out before about the same scenario, so that it need not be paid for again.

    insight:<32 hex>   [41,950400000]   the decision that found it, and when, in event time

Rule 1: an insight holds while less than its time to live has passed; the clock is the partition's watermark.
Rule 2: memory is bounded; the oldest insight goes first, an order that depends on the entries alone.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

import msgspec

from sidechain.models.dry.governance.rules import Governance
from sidechain.models.dry.state import Change, share

INSIGHT_PREFIX: Final = b"insight:"
FORGOTTEN_AT_ONCE: Final = 16  # insights past their time that one new one takes with it

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[int, int]).decode


class CorruptInsight(ValueError):  # noqa: N818 - named for what it is
    """A state record that no version of this code has written."""


def scenario(parts: Iterable[str | int | None]) -> str:
    """The 32 hex digits that name a scenario; two are the same only if every part is, in order."""
    return blake2b(_encode(list(parts)), digest_size=16).hexdigest()


class Insights:
    """The insights of one partition, oldest first."""

    def __init__(self, rules: Governance) -> None:
        self._rules = rules
        self.total = 0  # of the shares of all records, as of the last `changes`
        self._found: OrderedDict[str, tuple[int, int]] = OrderedDict()  # scenario -> seq and time
        self._dirty: dict[str, None] = {}
        self._shares: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._found)

    def change(self, rules: Governance) -> None:
        """A policy took effect: what no longer fits is forgotten, oldest first."""
        self._rules = rules
        while len(self._found) > rules.insights:
            self._forget_oldest()

    def find(self, name: str, now_ms: int) -> int | None:
        """Which decision has found this out; None: none has, or it is too long ago."""
        found = self._found.get(name)
        return None if found is None or not self._holds(found[1], now_ms) else found[0]

    def store(self, name: str, seq: int, now_ms: int) -> None:
        """Decision `seq` has found out about this scenario."""
        self._found.pop(name, None)
        self._found[name] = (seq, now_ms)
        self._dirty[name] = None
        if len(self._found) > self._rules.insights:
            self._forget_oldest()
        for _ in range(FORGOTTEN_AT_ONCE):
            if self._holds(next(iter(self._found.values()))[1], now_ms):
                break
            self._forget_oldest()

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
        found: list[tuple[int, str, int]] = []
        for record, value in records:
            try:
                name = record.removeprefix(INSIGHT_PREFIX).decode()
                seq, at_ms = _decode(value)
            except (ValueError, RecursionError) as fault:  # any bytes may stand there
                raise CorruptInsight(f"{record!r} cannot be read: {fault}") from fault
            self._shares[name] = now = share(record, value)
            self.total += now
            found.append((seq, name, at_ms))
        for seq, name, at_ms in sorted(found):
            self._found[name] = (seq, at_ms)

    def _holds(self, at_ms: int, now_ms: int) -> bool:
        return now_ms - at_ms < self._rules.insight_ttl_ms

    def _forget_oldest(self) -> None:
        name, _ = self._found.popitem(last=False)
        self._dirty[name] = None
