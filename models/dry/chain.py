"""Checking a chain's seals and links: are these the bytes that were sealed?

A chain is one epoch, unless somebody began another with `sidechain repair`: its first entry names the head it stands
behind, who decided it and why. What was broken before stays broken; a new epoch only says where rightness begins again.
`replay.py` asks whether the same inputs would seal the same bytes again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import msgspec

from sidechain.models.dry.entry import GENESIS, VERSION, Broken, Epoch, body_and_hash, is_epoch, stated


class Fault(NamedTuple):
    """The first entry that is not what it must be."""

    position: int  # how many entries before it were right
    seq: int | None  # as the entry states it, where it can be read
    problem: str
    expected: str
    found: str

    def __str__(self) -> str:
        seq = "?" if self.seq is None else self.seq
        return f"entry {self.position} (states seq {seq}): {self.problem}; expected {self.expected}, found {self.found}"


@dataclass
class EpochReport:
    """What was found of one epoch of a chain."""

    number: int
    entries: int = 0  # that are right, from its first on
    head: str = GENESIS  # hash of the last of them
    fault: Fault | None = None
    begun: Epoch | None = None  # who began it, why, behind which head; None for epoch 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing was wrong with its entries. Where another epoch follows, ask who began that, and why."""
        return self.fault is None


class Verifier:
    """Checks seals and links of one chain, entry by entry, in constant memory.

    After a fault it may be given what follows: it passes over everything up to an `epoch` entry that names the broken
    head, and goes on from there.
    """

    def __init__(self, *, seq: int = 0, prev: str = GENESIS, epoch: int = 0) -> None:
        self.count = 0  # entries that were right, over all epochs
        self.seq = seq
        self.head = prev
        self.epochs: list[EpochReport] = []  # those that ended
        self._epoch = EpochReport(epoch)
        self._began = 0  # the count at which this epoch began
        self._last: bytes | None = None  # the record before this one, while the epoch is broken
        self._is_special = not seq  # the next entry may begin an epoch in its place

    @property
    def epoch(self) -> int:
        """The epoch the last entry is of."""
        return self._epoch.number

    @property
    def reports(self) -> Sequence[EpochReport]:
        """Every epoch so far, the one under way last."""
        self._close()
        return [*self.epochs, self._epoch]

    def take(self, line: bytes) -> Fault | None:
        """Check the next entry; the first fault of an epoch is returned, and nothing more until the next epoch."""
        split = body_and_hash(line)
        if split is None:
            return self._fault(line, "not a sealed entry", "75 bytes of seal at its end", shown(line[-75:]))
        body, sealed = split
        digest = sha256(body).hexdigest()
        if digest != sealed:
            return self._fault(line, "its bytes are not those that were sealed", sealed[:16], digest[:16])
        opening = b'{"v":%d,"seq":%d,"prev":"%b",' % (VERSION, self.seq, self.head.encode())
        if self._is_special or not body.startswith(opening):
            return self._special(line, digest, body.startswith(opening))
        self.seq += 1
        self.head = digest
        self.count += 1
        return None

    def _special(self, line: bytes, digest: str, is_in_place: bool) -> Fault | None:
        if is_epoch(line):
            return self._begin(line, digest)
        if not is_in_place or self._last is not None:
            return self._misplaced(line)
        self._begun_with(digest)
        return None

    def _begin(self, line: bytes, digest: str) -> Fault | None:
        """An epoch entry: is it the one that may stand here?"""
        opening = msgspec.json.decode(line, type=Epoch)
        if self.count or self._epoch.fault:  # else the chain is kept from here on only
            if opening.epoch <= self.epoch:  # a greater step is no lie: with the records between them epochs are lost
                due = f"epoch {self.epoch + 1} or above"
                return self._break(line, Fault(self.count, 0, "begins the wrong epoch", due, f"epoch {opening.epoch}"))
            before = (self.seq - 1, self.head) if self._last is None else _names(stated(self._last))
            if _names(opening.broken) != before:
                expected, found = _named(before), _named(_names(opening.broken))
                return self._break(line, Fault(self.count, 0, "begins an epoch behind another head", expected, found))
            self._close()
            self.epochs.append(self._epoch)
        self._epoch = EpochReport(opening.epoch, begun=opening)
        self._began, self._last = self.count, None
        self._begun_with(digest)
        return None

    def _begun_with(self, digest: str) -> None:
        self.seq, self.head, self.count = 1, digest, self.count + 1
        self._is_special = False

    def _close(self) -> None:
        if self._epoch.fault is None:
            self._epoch.entries, self._epoch.head = self.count - self._began, self.head

    def _misplaced(self, line: bytes) -> Fault | None:
        try:
            opening = msgspec.json.decode(line, type=_Opening)
        except (ValueError, RecursionError):
            return self._fault(line, "not readable as an entry", "a JSON object", shown(line[:60]))
        if opening.v != VERSION:
            return self._fault(line, "an unknown record version", str(VERSION), str(opening.v))
        if opening.seq != self.seq:
            return self._fault(line, "out of sequence", f"seq {self.seq}", f"seq {opening.seq}")
        return self._fault(line, "does not follow the entry before it", self.head[:16], opening.prev[:16])

    def _fault(self, line: bytes, problem: str, expected: str, found: str) -> Fault | None:
        if self._last is not None:
            self._last = line
            return None
        return self._break(line, Fault(self.count, stated(line).seq, problem, expected, found))

    def _break(self, line: bytes, fault: Fault) -> Fault:
        self._close()
        self._epoch.fault = self._epoch.fault or fault
        self._last, self._is_special = line, True
        return fault


def _names(broken: Broken) -> tuple[int | None, str | None]:
    return broken.seq, broken.hash


def _named(names: tuple[int | None, str | None]) -> str:
    seq, digest = names
    return f"seq {'?' if seq is None else seq}, hash {(digest or '?')[:16]}"


class _Opening(msgspec.Struct):
    v: int
    seq: int
    prev: str


def shown(value: bytes) -> str:
    """The beginning of some bytes, as a fault quotes them."""
    return repr(value[:96])[2:-1]
