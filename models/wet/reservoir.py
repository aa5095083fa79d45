"""A uniform sample of a stream whose length nobody knows (Algorithm R, a batch at a time).

Every row seen so far is in the sample with the same probability, capacity / seen. One random number is drawn per row
behind the first `capacity`, so the sample depends on the seed and the order of rows alone, not on how they were cut
into batches. A feature that is unknown is NaN here; the fit replaces it by the sample's median.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

CAPACITY: Final = 4_096


class Reservoir:
    """At most `capacity` rows of `width` numbers, drawn uniformly from all rows added."""

    def __init__(self, width: int, seed: int, capacity: int = CAPACITY) -> None:
        self.seen = 0
        self._rows = np.empty((capacity, width), dtype=np.float64)
        self._random = np.random.Generator(np.random.PCG64(seed))

    def __len__(self) -> int:
        return min(self.seen, len(self._rows))

    def add(self, rows: Matrix) -> None:
        """Show `rows` to the sample, in order."""
        capacity = len(self._rows)
        head = rows[: max(0, capacity - self.seen)]
        self._rows[self.seen : self.seen + len(head)] = head
        self.seen += len(head)
        tail = rows[len(head) :]
        if len(tail):
            ordinals = np.arange(self.seen + 1, self.seen + 1 + len(tail))
            slots = (self._random.random(len(tail)) * ordinals).astype(np.int64)
            kept = slots < capacity
            # A slot drawn twice in one batch keeps the later row, as it would one by one: numpy assigns in order.
            self._rows[slots[kept]] = tail[kept]
            self.seen += len(tail)

    def sample(self) -> Matrix:
        """A copy of the sample, in no meaningful order."""
        return self._rows[: len(self)].copy()
