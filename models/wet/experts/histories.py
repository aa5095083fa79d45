"""What each entity usually does: means and deviations of its own features, the older the fainter. Bounded.

Every event of an entity fades what was there by FADED and adds itself: about the last 1 / (1 - FADED) = 50 events
count. Sums of a batch are added at once, faded by how many of the entity's events came after; so a batch is as good as
its events one by one. The entity heard of longest ago is forgotten first, and counted.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from sidechain.models.wet.experts.contract import Counts, Matrix

FADED: Final = 0.98
ENTITIES: Final = 50_000


class History(NamedTuple):
    """Of each row's entity; a feature never known of it: mean and variance NaN."""

    events: Counts  # (rows,); 0: never heard of
    mean: Matrix  # (rows, features)
    variance: Matrix  # (rows, features)


class Histories:
    """Faded sums per entity and feature."""

    def __init__(self, width: int, entities: int = ENTITIES) -> None:
        """`entities` kept at most, `width` features each: 24 bytes for every one of both."""
        self.forgotten = 0
        self._most = entities
        self._slots: OrderedDict[str, int] = OrderedDict()
        self._events = np.zeros(entities, dtype=np.int64)
        self._weight = np.zeros((entities, width))
        self._sum = np.zeros((entities, width))
        self._square = np.zeros((entities, width))

    def __len__(self) -> int:
        return len(self._slots)

    def of(self, keys: Sequence[str]) -> History:
        """What is known of each key; asking changes nothing."""
        get = self._slots.get
        slots = np.fromiter((get(key, -1) for key in keys), dtype=np.intp, count=len(keys))
        known = slots >= 0
        weight = np.where(known[:, None], self._weight[slots], 0.0)
        seen = np.where(weight > 0.0, weight, np.nan)
        mean = self._sum[slots] / seen
        variance = np.maximum(self._square[slots] / seen - mean * mean, 0.0)
        return History(np.where(known, self._events[slots], 0), mean, variance)

    def add(self, keys: Sequence[str], rows: Matrix) -> None:
        """One event of each key, in order; NaN: unknown."""
        for start in range(0, len(keys), self._most):  # within so many, nobody heard of is forgotten again
            self._add(keys[start : start + self._most], rows[start : start + self._most])

    def _add(self, keys: Sequence[str], rows: Matrix) -> None:
        slots, fresh = self._take(keys)
        self._events[fresh] = 0
        for kept in (self._weight, self._sum, self._square):
            kept[fresh] = 0.0
        order = np.argsort(slots, kind="stable")
        ordered = slots[order]
        first = np.flatnonzero(np.diff(ordered, prepend=-1))
        many = np.diff(np.append(first, len(ordered)))
        after = np.repeat(first + many, many) - 1 - np.arange(len(ordered))  # events of the entity behind this one
        fade = np.power(FADED, after)[:, None]
        at = ordered[first]
        fade_before = np.power(FADED, many)[:, None]
        values = rows[order]
        known = ~np.isnan(values)
        values = np.where(known, values, 0.0)
        for kept, added in ((self._weight, known), (self._sum, values), (self._square, values * values)):
            kept[at] = kept[at] * fade_before + np.add.reduceat(added * fade, first, axis=0)
        self._events[at] += many

    def _take(self, keys: Sequence[str]) -> tuple[Counts, list[int]]:
        """The slot of every key, and those that are another entity's now."""
        slots, fresh = self._slots, []
        found = np.empty(len(keys), dtype=np.intp)
        for at, key in enumerate(keys):
            slot = slots.get(key)
            if slot is None:
                if len(slots) < self._most:
                    slot = len(slots)
                else:
                    _, slot = slots.popitem(last=False)
                    self.forgotten += 1
                slots[key] = slot
                fresh.append(slot)
            else:
                slots.move_to_end(key)
            found[at] = slot
        return found, fresh
