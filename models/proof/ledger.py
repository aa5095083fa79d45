"""One chain as its checkpoints state it: the tree over its entries, what they were, and which inputs they account for.

    ledger.extend(lines)
    ledger.checkpoint(origin), ledger.frontier.dump()

The totals of a checkpoint, a pure function of the entries of its epoch, so that one size has one text:

    decision=40        how many entries of a kind; only kinds that have occurred. Together they are the size
    next.events=57     what the last entry says of each input in `next`

Every input record has exactly one entry, so these are the books of the chain: whoever counts the records of an input
up to `next` can compare them with the kinds that consume one.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Self

import msgspec

from sidechain.models.proof.checkpoint import Checkpoint, Origin
from sidechain.models.proof.merkle import Frontier

NEXT: Final = "next."
# `v`, `seq` and `prev` stand before the kind and have a fixed or bounded length, so it is within these bytes.
_FRONT: Final = 160
_DECISION: Final = b'"kind":"decision"'
_KIND: Final = re.compile(rb'"kind":"([a-z][a-z-]{0,31})"')


class _Reached(msgspec.Struct):
    next: dict[str, int]


class Ledger:
    """A chain up to some entry; of no entries at the beginning."""

    __slots__ = ("frontier", "head", "kinds", "next")

    def __init__(self) -> None:
        self.frontier = Frontier()
        self.kinds: Counter[str] = Counter()
        self.next: dict[str, int] = {}
        self.head: str | None = None  # hash of the last entry

    @property
    def size(self) -> int:
        """How many entries."""
        return self.frontier.size

    @classmethod
    def load(cls, checkpoint: Checkpoint, peaks: Sequence[str]) -> Self:
        """Where the checkpoint stands. Raises ValueError unless peaks and totals belong to it."""
        self = cls()
        self.frontier = Frontier.load(checkpoint.size, peaks, checkpoint.root)
        self.head = checkpoint.head
        self.next = {name[len(NEXT) :]: at for name, at in checkpoint.totals.items() if name.startswith(NEXT)}
        self.kinds = Counter({name: n for name, n in checkpoint.totals.items() if not name.startswith(NEXT)})
        if self.kinds.total() != self.size:
            raise ValueError(f"the totals come to {self.kinds.total()} entries, and the size is {self.size}")
        if (self.head is None) != (self.size == 0):
            raise ValueError("it does not state the head of the chain")
        return self

    def copy(self) -> Self:
        """The same books, to be continued apart from these."""
        twin = type(self)()
        twin.frontier, twin.kinds = self.frontier.copy(), self.kinds.copy()
        twin.next, twin.head = self.next, self.head  # both are replaced, never changed
        return twin

    def extend(self, lines: Sequence[bytes]) -> None:
        """Add sealed entries, in order. The caller has made or checked the seals and links."""
        if not lines:
            return
        self.frontier.extend_sealed(lines)
        # Nearly all entries are decisions whose kind stands at the same place: until `seq` has one more digit.
        begins = lines[-1].find(_DECISION, 0, _FRONT)
        ends = begins + len(_DECISION)
        if begins >= 0 and [line[begins:ends] for line in lines].count(_DECISION) == len(lines):
            self.kinds["decision"] += len(lines)
        else:
            self.kinds.update(map(_kind, lines))
        self.head = lines[-1][-66:-2].decode()
        self.next = msgspec.json.decode(lines[-1], type=_Reached).next

    def totals(self) -> Mapping[str, int]:
        """What a checkpoint states beside size and root."""
        return {**self.kinds, **{f"{NEXT}{name}": at for name, at in self.next.items()}}

    def checkpoint(self, origin: Origin) -> Checkpoint:
        """This state, to be signed."""
        return Checkpoint(
            origin=origin, size=self.size, root=self.frontier.root(), head=self.head, totals=self.totals()
        )


def _kind(line: bytes) -> str:
    match = _KIND.search(line, 0, _FRONT)
    if match is None:
        raise ValueError("an entry without a kind")
    return match[1].decode()
