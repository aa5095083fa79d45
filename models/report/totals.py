"""Counts over entries. Each table counts in places named by a tuple, in the order in which they were first met.

    totals.add("rule", ("trying", "review"), 3)
    totals.merge(others)

A table holds so many places and no more: what comes behind them is counted together, so a log that names a million
rules costs no more memory than one that names ten.
"""

from collections import Counter
from typing import Final

PLACES_MAX: Final = 10_000
OTHERS: Final = "(others)"

Place = tuple[str, ...]


class Totals:
    """The counts of a part of a log."""

    def __init__(self) -> None:
        self.tables: dict[str, Counter[Place]] = {}
        self.sums: Counter[Place] = Counter()
        self.largest: dict[Place, int] = {}
        self.smallest: dict[Place, int] = {}

    def add(self, table: str, place: Place, count: int = 1) -> None:
        """Count so many more."""
        counts = self.tables.get(table)
        if counts is None:
            counts = self.tables[table] = Counter()
        if place not in counts and len(counts) >= PLACES_MAX:
            place = (OTHERS, *place[1:])  # the parts behind the name come from closed sets
        counts[place] += count

    def span(self, place: Place, least: int, most: int) -> None:
        """These lie between the smallest and the largest."""
        if place not in self.largest and len(self.largest) >= PLACES_MAX:
            place = (OTHERS, *place[1:])
        self.largest[place] = max(most, self.largest.get(place, most))
        self.smallest[place] = min(least, self.smallest.get(place, least))

    def add_sum(self, place: Place, value: int) -> None:
        """Add to a sum."""
        if place not in self.sums and len(self.sums) >= PLACES_MAX:
            place = (OTHERS, *place[1:])
        self.sums[place] += value

    def merge(self, other: "Totals") -> None:
        """Add what another part came to."""
        for table, counts in other.tables.items():
            for place, count in counts.items():
                self.add(table, place, count)
        for place, value in other.sums.items():
            self.add_sum(place, value)
        for place, most in other.largest.items():
            self.span(place, other.smallest[place], most)

    def of(self, table: str) -> dict[Place, int]:
        """A table, its places in order."""
        return dict(sorted(self.tables.get(table, Counter()).items()))

    def by_name(self, table: str) -> dict[str, int]:
        """A table whose places are single names."""
        return {place[0]: count for place, count in self.of(table).items()}
