"""Making proofs: one pass over the leaves of a log yields every path that is asked for, and the root.

A step of a path is the root of a range of leaves. Every range is a row of complete subtrees, so the pass only has to
remember those when they come by: a few dozen hashes for each path, whatever the size of the log.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

from sidechain.models.proof.merkle import Frontier, joined

BATCH: Final = 4_096  # leaves hashed at a time


class Node(NamedTuple):
    """A complete subtree: the 2**height leaves from position * 2**height on."""

    height: int
    position: int


class Paths(NamedTuple):
    """What one pass found."""

    root: bytes
    inclusion: Mapping[int, list[bytes]]  # by index of the leaf
    consistency: Mapping[int, list[bytes]]  # by size of the older tree


class Prover:
    """Takes the leaves of a log as they come, and has the paths in the end.

    prover = Prover(size, inclusion=[41])
    prover.take(leaves)          # as often as there are more, until `missing` is 0
    prover.paths().inclusion[41]
    """

    def __init__(self, size: int, *, inclusion: Iterable[int] = (), consistency: Iterable[int] = ()) -> None:
        """For paths to these leaves, and from these older sizes, in the tree of the first `size` leaves.

        Raises ValueError when there is no such leaf or older size.
        """
        self._size = size
        self._within = {index: inclusion_ranges(index, size) for index in inclusion}
        self._since = {old: consistency_ranges(old, size) for old in consistency}
        self._wanted: defaultdict[int, set[int]] = defaultdict(set)  # positions, by height
        for steps in (*self._within.values(), *self._since.values()):
            for node in (node for step in steps for node in _cover(step)):
                self._wanted[node.height].add(node.position)
        self._found: dict[Node, bytes] = {}
        self._frontier = Frontier()

    @property
    def missing(self) -> int:
        """How many leaves are still to be taken."""
        return self._size - self._frontier.size

    def take(self, leaves: Sequence[bytes]) -> None:
        """The next leaves, a few thousand at a time at best; what lies beyond the tree is left aside."""
        self._frontier.extend(leaves[: self.missing], self._seen)

    def paths(self) -> Paths:
        """What was asked for. Raises ValueError while leaves are missing."""
        if self.missing:
            raise ValueError(f"the log holds {self._frontier.size} entries, and a tree of {self._size} was asked for")
        return Paths(
            self._frontier.root(),
            {index: self._path(steps) for index, steps in self._within.items()},
            {old: self._path(steps) for old, steps in self._since.items()},
        )

    def _path(self, steps: list[range]) -> list[bytes]:
        return [joined([self._found[node] for node in _cover(step)]) for step in steps]

    def _seen(self, height: int, first: int, nodes: list[bytes]) -> None:
        for position in self._wanted.get(height, ()):
            if first <= position < first + len(nodes):
                self._found[Node(height, position)] = nodes[position - first]


def prove(
    leaves: Iterable[bytes], size: int, *, inclusion: Iterable[int] = (), consistency: Iterable[int] = ()
) -> Paths:
    """The paths of a `Prover` that is given these leaves, and no more of them than it needs. Raises ValueError."""
    prover = Prover(size, inclusion=inclusion, consistency=consistency)
    source = islice(leaves, size)
    while batch := list(islice(source, BATCH)):
        prover.take(batch)
    return prover.paths()


def inclusion_ranges(index: int, size: int) -> list[range]:
    """The leaves under each step of the path to `index`, the leaf's own neighbour first (RFC 9162, 2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    found = []
    start, end = 0, size
    while end - start > 1:
        middle = _split(start, end)
        if index < middle:
            found.append(range(middle, end))
            end = middle
        else:
            found.append(range(start, middle))
            start = middle
    return found[::-1]


def consistency_ranges(old: int, size: int) -> list[range]:
    """The leaves under each step of the path from the tree of the first `old` leaves (RFC 9162, 2.1.4.1)."""
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {size} leaves was never one of {old}")
    if old == 0:
        return []
    found = []
    start, end = 0, size
    while end != old:
        middle = _split(start, end)
        if old <= middle:
            found.append(range(middle, end))
            end = middle
        else:
            found.append(range(start, middle))
            start = middle
    if start:  # at the left edge what is left is the old tree itself, whose root everyone knows
        found.append(range(start, end))
    return found[::-1]


def _split(start: int, end: int) -> int:
    """Where a range of two leaves or more falls apart: its left half is the largest power of two below its length."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def _cover(leaves: range) -> Iterator[Node]:
    """The complete subtrees a step consists of, the largest first; its start is a multiple of the largest."""
    start = leaves.start
    while start < leaves.stop:
        height = (leaves.stop - start).bit_length() - 1
        yield Node(height, start >> height)
        start += 1 << height
