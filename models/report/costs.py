"""The costs that the entries of one partition settled, one by one, gathered on the way past a check of their seals.

    CostAsk(period, units={"web@3:7b1e0c92d4aa": "EUR"}).tally(partition)

A cost has the unit of the policy in force at its entry; an entry says no unit itself.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from sidechain.models.reconcile import Entry, Settled
from sidechain.models.report.entries import Whole
from sidechain.models.report.tally import Ask, Tally

KIND: Final = b'"kind":"settlement"'
OPENING: Final = 192  # nothing but fixed fields stands before the kind


class _Settlement(msgspec.Struct, tag_field="kind", tag="settlement"):
    seq: Whole
    id: str
    at: Whole
    policy: str
    label: Literal["good", "bad"] | None
    cost_minor: Whole | None


_decode = msgspec.json.Decoder(_Settlement).decode


@dataclass(frozen=True)
class CostAsk(Ask):
    """As `Ask`; and each cost, with its place."""

    units: Mapping[str, str] = field(default_factory=dict)  # of costs, by policy reference
    unit: str | None = None  # of all of them, whatever their policies say

    def tally(self, partition: int) -> "CostTally":
        """Of a partition, still empty."""
        return CostTally(self, partition)


class CostTally(Tally):
    """What the entries of one partition come to, and each cost among them."""

    def __init__(self, ask: CostAsk, partition: int) -> None:
        super().__init__(ask, partition)
        self.costs: list[Settled] = []
        self.without_unit: Counter[str] = Counter()  # costs nobody here knows the unit of, by policy
        self._units, self._unit, self._period = ask.units, ask.unit, ask.period

    def take(self, epoch: int, lines: Sequence[bytes]) -> None:
        """Take the next entries of an epoch."""
        super().take(epoch, lines)
        for line in lines:
            if KIND not in line[:OPENING]:
                continue
            try:
                one = _decode(line)
            except (ValueError, RecursionError):  # counted as unreadable
                continue
            if one.cost_minor is None:
                continue
            unit = self._unit or self._units.get(one.policy)
            if unit is None:
                self.without_unit[one.policy] += 1
                continue
            place = Entry(self.partition, epoch, one.seq)
            self.costs.append(Settled(one.id, one.cost_minor, unit, place, self._period.holds(one.at)))
