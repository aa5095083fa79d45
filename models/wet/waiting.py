"""Decisions that wait for their outcome, with what was known of them then; and outcomes whose time has not come.

    waiting.tapped(partition, seqs, at_ms, batch, said)   decisions as they were scored, in the order of their chain
    waiting.told(partition, seq, at_ms, is_bad=True)      what one of them turned out to be
    waiting.due()                                         what can be learned now, or None

Nothing is learned before event time has come to it: whoever catches up reads outcomes a week late beside decisions of
today, and would know the future. Both memories are bounded, the oldest go first; whatever does not come together is
counted.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sidechain.models.wet.experts.contract import Batch, Flags, Matrix
from sidechain.models.wet.risk import Clock

DECISIONS: Final = 100_000
OUTCOMES: Final = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """Decisions whose outcome is known now."""

    batch: Batch  # as they were scored
    said: Matrix  # (experts, rows): what each expert said then
    is_bad: Flags


class _Partition:
    """How far one chain has been heard."""

    def __init__(self, max_step_ms: int) -> None:
        self.clock = Clock(max_step_ms)
        self.seq = -1  # of its newest decision
        self.outcomes: list[tuple[int, int, bool]] = []  # a heap of (at, seq, is bad)


class Waiting:
    """Of all partitions together. `forgotten`: decisions without an outcome; `dropped`: outcomes too many;
    `unknown`: outcomes of decisions that are not here, never were, or were told before."""

    def __init__(
        self,
        names: Sequence[str],
        voices: int,
        max_step_ms: int,
        decisions: int = DECISIONS,
        outcomes: int = OUTCOMES,
    ) -> None:
        """`names`: of the features. `voices`: how many experts say something. `max_step_ms`: see `risk.Clock`."""
        self.forgotten = self.dropped = self.unknown = self.settled = 0
        self._names = tuple(names)
        self._max_step, self._most = max_step_ms, outcomes
        self._partitions: dict[int, _Partition] = {}
        self._told = 0  # outcomes held
        self._next = 0
        self._place: dict[tuple[int, int], int] = {}  # (partition, seq) -> slot
        self._who: list[tuple[int, int] | None] = [None] * decisions
        self._keys: list[str] = [""] * decisions
        self._ids: list[str] = [""] * decisions
        self._rows = np.empty((decisions, len(self._names)))
        self._said = np.empty((decisions, voices))

    def __len__(self) -> int:
        """Decisions that wait."""
        return len(self._place)

    @property
    def outcomes(self) -> int:
        """Outcomes that wait."""
        return self._told

    def tapped(self, partition: int, seqs: Sequence[int], at_ms: Sequence[int], batch: Batch, said: Matrix) -> None:
        """Decisions of one partition. One that was tapped before is taken as it is now."""
        held = self._held(partition)
        most = len(self._who)
        slots = (self._next + np.arange(len(seqs))) % most
        for slot, seq, key, one in zip(slots.tolist(), seqs, batch.keys, batch.ids, strict=True):
            self._forget(slot)
            who = (partition, seq)
            if who in self._place:
                self._who[self._place[who]] = None
            self._place[who], self._who[slot] = slot, who
            self._keys[slot], self._ids[slot] = key, one
        if len(seqs):
            held.clock.hear(max(at_ms))  # at most one step for all of them: outcomes rather wait for the next
            held.seq = seqs[-1]
            newest = slice(max(0, len(seqs) - most), None)
            self._rows[slots[newest]] = batch.columns(self._names)[newest]
            self._said[slots[newest]] = said.T[newest]
        self._next = (self._next + len(seqs)) % most

    def told(self, partition: int, seq: int, at_ms: int, *, is_bad: bool) -> None:
        """An outcome; it counts from `at_ms` of event time on."""
        held = self._held(partition)
        heapq.heappush(held.outcomes, (at_ms, seq, is_bad))
        self._told += 1
        if self._told > self._most:
            fullest = max(self._partitions.values(), key=lambda one: len(one.outcomes))
            heapq.heappop(fullest.outcomes)
            self._told -= 1
            self.dropped += 1

    def due(self) -> Settled | None:
        """The decisions whose outcome counts by now. They wait no longer."""
        slots: list[int] = []
        bad: list[bool] = []
        for number, held in self._partitions.items():
            ahead = []  # their decisions are still to come, however late their own time says it is
            while held.outcomes and held.outcomes[0][0] <= held.clock.now:
                at, seq, is_bad = heapq.heappop(held.outcomes)
                self._told -= 1
                slot = self._place.pop((number, seq), None)
                if slot is not None:
                    self._who[slot] = None
                    slots.append(slot)
                    bad.append(is_bad)
                elif seq > held.seq:
                    ahead.append((at, seq, is_bad))
                else:
                    self.unknown += 1
            for one in ahead:
                heapq.heappush(held.outcomes, one)
                self._told += 1
        if not slots:
            return None
        self.settled += len(slots)
        keys, ids = [self._keys[at] for at in slots], [self._ids[at] for at in slots]
        batch = Batch(self._names, self._rows[slots], keys, ids)
        return Settled(batch, self._said[slots].T.copy(), np.array(bad, dtype=np.bool_))

    def _forget(self, slot: int) -> None:
        who = self._who[slot]
        if who is not None:
            del self._place[who]
            self._who[slot] = None
            self.forgotten += 1

    def _held(self, partition: int) -> _Partition:
        held = self._partitions.get(partition)
        if held is None:
            held = self._partitions[partition] = _Partition(self._max_step)
        return held
