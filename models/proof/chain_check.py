"""One chain beside its checkpoints: every seal and link, and root, head and totals at every size that was signed.

    check = ChainCheck(held, with_points=True)
    while check.wants(len(lines)) and there is one more: check.point(it)
    step = check.take(lines)              # how many of them were looked at; again with the others
    check.finish(); check.epochs

Seals and links alone show that the entries fit each other: whoever has the code can seal a whole chain anew. A signed
size has one root for ever, so what stands before it cannot be another history, nor can it be shorter. Points come in
the order in which a worker signs, and only those ahead of the chain are held: memory does not grow with either.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sidechain.models.dry.chain import Fault, Verifier
from sidechain.models.dry.entry import GENESIS, Epoch
from sidechain.models.proof.checkpoint import Checkpoint
from sidechain.models.proof.ledger import Ledger


class Point(NamedTuple):
    """A checkpoint, and where it was read: an offset, a line, a file."""

    checkpoint: Checkpoint
    where: str
    signers: tuple[str, ...] = ()  # names and ids of the keys that signed it, as far as anybody looked

    @property
    def at(self) -> tuple[int, int]:
        """Where in the partition's history: epoch, then size."""
        return self.checkpoint.origin.epoch, self.checkpoint.size


Seen = Callable[[int, Sequence[bytes]], None]  # told an epoch, and entries of it that are right in themselves, in order


def _unseen(_epoch: int, _lines: Sequence[bytes]) -> None:
    """Nobody looks on."""


class Step(NamedTuple):
    """What `take` did with some lines."""

    taken: int  # lines; the last of them is at fault, where there is a fault
    fault: Fault | None = None


@dataclass
class EpochCheck:
    """What was found of one epoch of a chain."""

    number: int
    entries: int = 0  # right in themselves, from its first on
    head: str = GENESIS
    begun: Epoch | None = None  # who began it and why; None for epoch 0
    fault: Fault | None = None
    where: str = ""  # where the fault stands
    checkpoints: int = 0  # that agree with the entries
    covered: int = 0  # size of the last of them
    origin: str = ""  # as they name the chain
    last: Point | None = None  # of them


class ChainCheck:
    """Takes the entries of one partition and what was signed of them."""

    def __init__(self, held: Iterable[Point] = (), *, with_points: bool = False, seen: Seen | None = None) -> None:
        """`held`: checkpoints that somebody kept, in any order. `with_points`: others will be given on the way.

        `seen`: whoever counts the entries on the way past.
        """
        self._seen = seen or _unseen
        self._verifier = Verifier()
        self._held = deque(sorted(held, key=lambda one: one.at))
        self._points: deque[Point] = deque()
        self._latest: Point | None = None  # of those given on the way
        self._keeps_books = with_points or bool(self._held)
        self._books = Ledger()
        self._is_broken = False  # seals or links of this epoch: what follows is passed over
        self.epoch = EpochCheck(0)
        self.epochs: list[EpochCheck] = []  # those that ended; all of them after `finish`

    @property
    def entries(self) -> int:
        """How many entries were right in themselves, over all epochs."""
        return self._verifier.count

    @property
    def head(self) -> str:
        """Hash of the last of them."""
        return self._verifier.head

    def wants(self, lines: int) -> bool:
        """Whether another point is needed before so many lines are taken."""
        return self._latest is None or self._latest.at <= (self.epoch.number, self.epoch.entries + lines)

    def point(self, point: Point) -> None:
        """The next one that was signed. A worker never signs a smaller size behind a larger one."""
        last, self._latest = self._latest, point
        if last is not None and point.at <= last.at:
            self._repeated(last, point)
        elif point.at[0] >= self.epoch.number:  # else of an epoch that has ended, and is known to be broken
            self._points.append(point)

    def refuse(self, problem: str, where: str) -> None:
        """A record that should be a checkpoint and is none, or none that can be believed."""
        self._blame(Fault(self.epoch.entries, None, problem, "a checkpoint of this chain", "none"), where)

    def take(self, lines: Sequence[bytes]) -> Step:
        """Check the next entries; stops behind a fault and behind the beginning of an epoch."""
        if self._is_broken:
            return self._pass_over(lines)
        verifier, take = self._verifier, self._verifier.take
        for index, line in enumerate(lines):
            fault = take(line)
            if fault is None and verifier.seq > 1:
                continue
            if fault is not None:
                self._keep(lines[:index])
                self._is_broken = True
                if self.epoch.fault is None:
                    self.epoch.fault = fault
                    return Step(index + 1, fault)
                return Step(index + 1)
            if verifier.epoch != self.epoch.number:
                self._keep(lines[:index])
                self._begin(line)
                return Step(index + 1)
        self._keep(lines)
        return Step(len(lines))

    def finish(self) -> None:
        """There are no more entries."""
        self._close()
        ahead = next((one for one in (*self._held, *self._points) if one.at[0] > self.epoch.number), None)
        if ahead is not None:
            self._blame_missing(ahead)
        self.epochs.append(self.epoch)

    def _pass_over(self, lines: Sequence[bytes]) -> Step:
        for index, line in enumerate(lines):
            self._verifier.take(line)
            if self._verifier.epoch != self.epoch.number:
                self._begin(line)
                return Step(index + 1)
        return Step(len(lines))

    def _begin(self, line: bytes) -> None:
        """An epoch begins with this line."""
        if self.epoch.entries or self.epoch.fault:
            self._close()
            self.epochs.append(self.epoch)
        report = self._verifier.reports[-1]
        self.epoch = EpochCheck(report.number, begun=report.begun)
        self._books, self._is_broken = Ledger(), False
        self._keep([line])

    def _keep(self, lines: Sequence[bytes]) -> None:
        """These are right in themselves: into the books with them, as far as the next size that was signed, and on."""
        self.epoch.entries += len(lines)
        if lines:
            self.epoch.head = lines[-1][-66:-2].decode()
            self._seen(self.epoch.number, lines)
        if not self._keeps_books or self.epoch.fault is not None:
            return
        while (due := self._due()) is not None and due[0].checkpoint.size <= self._books.size + len(lines):
            part = due[0].checkpoint.size - self._books.size
            if self._book(lines[:part]):
                self._compare(due.popleft())
            lines = lines[part:]
            if self.epoch.fault is not None:
                return
        self._book(lines)

    def _book(self, lines: Sequence[bytes]) -> bool:
        """Enter these into the books; whether that could be done. Anybody with the code can seal what is no entry."""
        try:
            self._books.extend(lines)
        except (ValueError, RecursionError) as problem:
            position = self._books.size
            self._blame(
                Fault(position, None, "sealed, and not readable as an entry", "kind and next", str(problem)), ""
            )
        return self.epoch.fault is None

    def _due(self) -> deque[Point] | None:
        """Where the next point of this epoch stands."""
        queues = [one for one in (self._held, self._points) if one and one[0].at[0] <= self.epoch.number]
        return min(queues, key=lambda one: one[0].at, default=None)

    def _compare(self, point: Point) -> None:
        stated = point.checkpoint
        ours = self._books.checkpoint(stated.origin)
        position = self.epoch.covered
        if stated.root != ours.root:
            problem = f"entries {position} to {stated.size - 1} are not those that were signed at size {stated.size}"
            fault = Fault(position, None, problem, f"root {stated.root.hex()[:16]}", f"root {ours.root.hex()[:16]}")
        elif stated.head not in (None, ours.head):
            problem = f"the checkpoint of size {stated.size} names another head"
            fault = Fault(position, stated.size - 1, problem, str(stated.head)[:16], str(ours.head)[:16])
        elif wrong := _first_difference(stated, ours):
            problem = f"the checkpoint of size {stated.size} states another {wrong}"
            counts = str(stated.totals.get(wrong, 0)), str(ours.totals.get(wrong, 0))
            fault = Fault(position, stated.size - 1, problem, *counts)
        else:
            self.epoch.checkpoints += 1
            self.epoch.covered, self.epoch.origin, self.epoch.last = stated.size, str(stated.origin), point
            return
        self._blame(fault, point.where)

    def _close(self) -> None:
        """This epoch has ended: was more of it signed?"""
        while (due := self._due()) is not None:
            point = due.popleft()
            if self.epoch.fault is None:
                self._blame_missing(point)

    def _blame_missing(self, point: Point) -> None:
        epoch, size = point.at
        due = f"at least {size:,} entries of epoch {epoch}"
        found = f"{self.epoch.entries if epoch == self.epoch.number else 0:,}"
        problem = f"the chain ends before what was signed at size {size}"
        self._blame(Fault(self.epoch.entries, None, problem, due, found), point.where)

    def _repeated(self, last: Point, point: Point) -> None:
        epoch, size = point.at
        if point.at != last.at:
            problem = "a checkpoint was signed behind a later one: no worker of this chain does that"
            due = f"above size {last.at[1]} of epoch {last.at[0]}"
            self._blame(Fault(self.epoch.entries, None, problem, due, f"size {size} of epoch {epoch}"), point.where)
        elif point.checkpoint != last.checkpoint:
            problem = f"a fork: size {size} was signed twice and differently; keep both checkpoints"
            first, second = (one.checkpoint.root.hex()[:16] for one in (last, point))
            self._blame(Fault(self.epoch.entries, None, problem, first, second), point.where)

    def _blame(self, fault: Fault, where: str) -> None:
        if self.epoch.fault is None:
            self.epoch.fault, self.epoch.where = fault, where


def _first_difference(stated: Checkpoint, ours: Checkpoint) -> str:
    """The first total that differs; what states none at all is not held against them."""
    if not stated.totals:
        return ""
    names = sorted(stated.totals.keys() | ours.totals.keys())
    return next((one for one in names if stated.totals.get(one) != ours.totals.get(one)), "")
