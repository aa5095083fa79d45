"""What a champion learns from: decisions as they were made, joined to what became of them when that is known.

    examples = Examples(names, max_step_ms=86_400_000)
    examples.decided(Decided(...))       features and scores as of the decision
    examples.told(Label(...))            its outcome, whenever it comes
    examples.taken()                     decisions whose outcome became known since the last call, with their scores
    examples.sample()                    rows and outcomes to fit to

No leakage: time is event time, and it is where the decisions have come to. A label of a later time is held back until
they get there, so nothing is fitted to, or judged by, what could not be known. Features are never looked up again: they
are the row the decision itself was made of.

Bounds: `waiting` decisions without an outcome, the oldest first to go; `known` ones with one, the newest kept; `early`
labels whose decision or time has not come. What goes is counted. One decision, one label: later ones are repetitions.
"""

import heapq
from collections import OrderedDict
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sidechain.models.wet.risk import Clock

WAITING: Final = 400_000
KNOWN: Final = 600_000
EARLY: Final = 100_000
SCORES: Final = 3  # of each decision: the rules', the champion's, the challenger's

Single = NDArray[np.float32]
Flags = NDArray[np.bool_]
Key = tuple[int, int]  # partition and seq


class Decided(NamedTuple):
    """Some decisions, in the order they came."""

    keys: list[Key]
    at: NDArray[np.int64]  # event time, ms
    rows: Single  # (decisions, features); NaN: unknown
    scores: Single  # (decisions, SCORES); NaN: that one did not score it


class Label(NamedTuple):
    """What became of one decision."""

    key: Key
    at: int  # event time at which it was known, ms
    is_bad: bool


class Known(NamedTuple):
    """Decisions whose outcome is known."""

    at: NDArray[np.int64]  # of the decision
    rows: Single
    scores: Single
    is_bad: Flags


class Ring:
    """The newest rows of several columns. Bounded."""

    def __init__(self, size: int, width: int) -> None:
        self.added = 0
        self.size = size
        self.at = np.zeros(size, dtype=np.int64)
        self.rows = np.empty((size, width), dtype=np.float32)
        self.scores = np.empty((size, SCORES), dtype=np.float32)
        self.is_bad = np.zeros(size, dtype=np.bool_)

    def __len__(self) -> int:
        return min(self.added, self.size)

    def put(self, at: int, row: Single, scores: Single, *, is_bad: bool = False) -> int:
        """Add one row in the place of the oldest; where it stands."""
        slot = self.added % self.size
        self.at[slot], self.rows[slot], self.scores[slot], self.is_bad[slot] = at, row, scores, is_bad
        self.added += 1
        return slot

    def newest(self, count: int) -> Known:
        """A copy of the newest rows, the oldest of them first."""
        count = min(count, len(self))
        slots = np.arange(self.added - count, self.added) % self.size
        return Known(self.at[slots], self.rows[slots], self.scores[slots], self.is_bad[slots])


class Examples:
    """The join, bounded."""

    def __init__(
        self,
        names: tuple[str, ...],
        *,
        max_step_ms: int,
        waiting: int = WAITING,
        known: int = KNOWN,
        early: int = EARLY,
    ) -> None:
        """`names`: of the features, in the order of the rows."""
        self.names = names
        self.known = 0  # outcomes joined to their decisions, ever
        self.bad = 0  # ... that were bad
        self.forgotten = 0  # decisions that went before their outcome came
        self.unmatched = 0  # labels that went before their decision came
        self.repeated = 0  # decisions and labels that had come before
        self._clock = Clock(max_step_ms)
        self._waiting = Ring(waiting, len(names))
        self._known = Ring(known, len(names))
        self._slots: dict[Key, int] = {}
        self._keys: list[Key | None] = [None] * waiting
        self._early: OrderedDict[Key, Label] = OrderedDict()
        self._most_early = early
        self._due: list[tuple[int, Key]] = []  # labels of the future, by their time
        self._fresh = 0  # rows of `_known` nobody has taken

    @property
    def now_ms(self) -> int:
        """Where the decisions have come to, event time; -1: nowhere."""
        return self._clock.now

    @property
    def waiting(self) -> int:
        """Decisions without an outcome."""
        return len(self._slots)

    @property
    def early(self) -> int:
        """Labels whose decision or time has not come."""
        return len(self._early)

    def decided(self, some: Decided) -> None:
        """Remember decisions until their outcome comes; one that came before counts once."""
        for index, key in enumerate(some.keys):
            at = int(some.at[index])
            self._clock.hear(at)
            if key in self._slots:
                self.repeated += 1
                continue
            gone = self._keys[self._waiting.added % self._waiting.size]
            slot = self._waiting.put(at, some.rows[index], some.scores[index])
            if gone is not None and self._slots.get(gone) == slot:
                del self._slots[gone]
                self.forgotten += 1
            self._slots[key], self._keys[slot] = slot, key
            if key in self._early:
                self._weigh(self._early[key])
        while self._due and self._due[0][0] <= self._clock.now:
            _, key = heapq.heappop(self._due)
            if key in self._early:
                self._weigh(self._early[key])

    def told(self, label: Label) -> None:
        """Join an outcome to its decision, now or as soon as both have come."""
        if label.key in self._early:
            self.repeated += 1
            return
        self._early[label.key] = label
        if label.at > self._clock.now:
            heapq.heappush(self._due, (label.at, label.key))
        self._weigh(label)
        while len(self._early) > self._most_early:
            self._early.popitem(last=False)
            self.unmatched += 1
        if len(self._due) > 2 * self._most_early:  # of most of them the label has gone
            self._due = [(one.at, one.key) for one in self._early.values() if one.at > self._clock.now]
            heapq.heapify(self._due)

    def _weigh(self, label: Label) -> None:
        """Join the label if its decision and its time have come."""
        slot = self._slots.get(label.key)
        if slot is None or label.at > self._clock.now:
            return
        del self._early[label.key], self._slots[label.key]
        self._keys[slot] = None
        waiting = self._waiting
        self._known.put(int(waiting.at[slot]), waiting.rows[slot], waiting.scores[slot], is_bad=label.is_bad)
        self.known += 1
        self.bad += label.is_bad
        self._fresh += 1

    def taken(self) -> Known:
        """What became known since the last call; at most as many as are kept."""
        fresh, self._fresh = self._fresh, 0
        return self._known.newest(fresh)

    def sample(self) -> Known:
        """All that is kept and known, by event time: the newest decisions with an outcome."""
        return self._known.newest(len(self._known))

    def forget_scores(self, column: int) -> None:
        """Whoever gave these is gone: decisions that wait count for somebody else no more."""
        self._waiting.scores[:, column] = np.nan
        self._known.scores[:, column] = np.nan

    def state(self) -> dict[str, Any]:
        """Arrays to go on from after a restart; scores stay behind, because nobody knows who gave them."""
        slots = np.fromiter(self._slots.values(), dtype=np.int64, count=len(self._slots))
        keys = np.array(list(self._slots), dtype=np.int64).reshape(-1, 2)
        known = self.sample()
        return {
            "names": np.array(self.names, dtype=np.str_),
            "now": np.array(self._clock.now),
            "waiting_keys": keys,
            "waiting_at": self._waiting.at[slots],
            "waiting_rows": self._waiting.rows[slots],
            "known_at": known.at,
            "known_rows": known.rows,
            "known_bad": known.is_bad,
            "labels": np.array(
                [(*one.key, one.at, one.is_bad) for one in self._early.values()], dtype=np.int64
            ).reshape(-1, 4),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`. ValueError: it is of other features."""
        if tuple(str(one) for one in state["names"]) != self.names:
            raise ValueError("these examples have other features")
        nobody = np.full(SCORES, np.nan, dtype=np.float32)
        for at, row, is_bad in zip(
            state["known_at"].tolist(), state["known_rows"], state["known_bad"].tolist(), strict=True
        ):
            self._known.put(at, row, nobody, is_bad=is_bad)
        self.known, self.bad = len(self._known), int(self._known.is_bad[: len(self._known)].sum())
        keys = [(int(one), int(seq)) for one, seq in state["waiting_keys"]]
        for key, at, row in zip(keys, state["waiting_at"].tolist(), state["waiting_rows"], strict=True):
            slot = self._waiting.put(at, row, nobody)
            self._slots[key], self._keys[slot] = slot, key
        if int(state["now"]) >= 0:
            self._clock.hear(int(state["now"]))
        for partition, seq, at, is_bad in state["labels"].tolist():
            self.told(Label((partition, seq), at, bool(is_bad)))
