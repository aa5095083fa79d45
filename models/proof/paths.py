"""Making proofs: one pass over the leaves of a log yields every path that is asked for, and the root.

A step of a path is the root of a range of leaves. Every range is a row of complete subtrees, so the pass only has to
remember those when they come by: a few dozen hashes for each path, whatever the size of the log.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
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


def prove(
    leaves: Iterable[bytes], size: int, *, inclusion: Iterable[int] = (), consistency: Iterable[int] = ()
) -> Paths:
    """The paths to these leaves, and from these older sizes, in the tree of the first `size` leaves.

    Raises ValueError when there are fewer leaves, or no such index or older size.
    """
    within = {index: inclusion_ranges(index, size) for index in inclusion}
    since = {old: consistency_ranges(old, size) for old in consistency}
    ranges = [one for path in (*within.values(), *since.values()) for one in path]
    root, found = _survey(leaves, size, {node for one in ranges for node in _cover(one)})

    def path(steps: list[range]) -> list[bytes]:
        return [joined([found[node] for node in _cover(step)]) for step in steps]

    return Paths(
        root,
        {index: path(steps) for index, steps in within.items()},
        {old: path(steps) for old, steps in since.items()},
    )


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


def _survey(leaves: Iterable[bytes], size: int, wanted: Iterable[Node]) -> tuple[bytes, dict[Node, bytes]]:
    """The root of the first `size` leaves, and the wanted nodes."""
    positions = defaultdict(list)
    for node in wanted:
        positions[node.height].append(node.position)
    found: dict[Node, bytes] = {}

    def seen(height: int, first: int, nodes: list[bytes]) -> None:
        for position in positions.get(height, ()):
            if first <= position < first + len(nodes):
                found[Node(height, position)] = nodes[position - first]

    frontier = Frontier()
    source = islice(leaves, size)
    while batch := list(islice(source, BATCH)):
        frontier.extend(batch, seen)
    if frontier.size != size:
        raise ValueError(f"the log holds {frontier.size} entries, and a tree of {size} was asked for")
    return frontier.root(), found
