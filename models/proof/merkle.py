"""The Merkle tree of one chain (RFC 9162, SHA-256), kept as its frontier; and the checking of paths.

    leaf  SHA-256(0x00 || the 32 bytes of an entry's hash)
    node  SHA-256(0x01 || left || right)

A tree of n leaves is at most 63 complete subtrees, one for each bit set in n. Their roots, largest first, are the
peaks: all it takes to append and to compute the root, so a new owner goes on without rereading the log. Leaves and
roots are 32 bytes each.
"""

from binascii import unhexlify
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final, Self

HASH_LENGTH: Final = 32
MAX_SIZE: Final = 2**63 - 1
EMPTY_ROOT: Final = sha256().digest()

Seen = Callable[[int, int, list[bytes]], None]  # height, position of the first node there, the nodes


def leaf_hash(leaf: bytes) -> bytes:
    """The tree's hash of a leaf."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The tree's hash of two subtrees side by side."""
    return sha256(b"\x01" + left + right).digest()


def leaves_of(lines: Iterable[bytes]) -> list[bytes]:
    """The leaves of sealed entries: the hash each one states. The caller has made or checked the seals."""
    return [unhexlify(line[-66:-2]) for line in lines]


class Frontier:
    """A tree that grows at its right edge and remembers nothing but its peaks.

    frontier.extend(leaves_of(lines))
    frontier.size, frontier.root()
    """

    __slots__ = ("_peaks", "_size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        """A tree of no leaves; `from_peaks` and `copy` know others."""
        self._size = size
        self._peaks = list(peaks)  # largest subtree first

    @classmethod
    def from_peaks(cls, size: int, peaks: Sequence[bytes], root: bytes) -> Self:
        """The tree of `size` leaves with these peaks. Raises ValueError unless they come to `root`."""
        if not 0 <= size <= MAX_SIZE:
            raise ValueError(f"a tree has between 0 and {MAX_SIZE} leaves, not {size}")
        if len(peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks, not {len(peaks)}")
        if any(len(peak) != HASH_LENGTH for peak in peaks):
            raise ValueError("a peak is 32 bytes long")
        self = cls(size, peaks)
        if self.root() != root:
            raise ValueError(f"the peaks come to the root {self.root().hex()}, not to {root.hex()}")
        return self

    @property
    def size(self) -> int:
        """How many leaves."""
        return self._size

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The roots of the complete subtrees, largest first."""
        return tuple(self._peaks)

    def dump(self) -> list[str]:
        """The peaks as a record carries them: hexadecimal, largest subtree first, at most 63."""
        return [peak.hex() for peak in self._peaks]

    @classmethod
    def load(cls, size: int, peaks: Sequence[str], root: bytes) -> Self:
        """What `dump` wrote, with the size and the root of the checkpoint beside it. Raises ValueError."""
        found = [bytes.fromhex(peak) for peak in peaks]
        if [peak.hex() for peak in found] != list(peaks):
            raise ValueError("a peak is written as 64 digits, 0-9 and a-f")
        return cls.from_peaks(size, found, root)

    def copy(self) -> Self:
        """The same tree, to grow apart from this one."""
        return type(self)(self._size, self._peaks)

    def append(self, leaf: bytes) -> None:
        """Add one leaf. Raises ValueError unless it is 32 bytes long."""
        self._check([leaf])
        node, rest = leaf_hash(leaf), self._size
        while rest & 1:
            node = node_hash(self._peaks.pop(), node)
            rest >>= 1
        self._peaks.append(node)
        self._size += 1

    def extend(self, leaves: Iterable[bytes], seen: Seen | None = None) -> None:
        """Add leaves from left to right; all of them, or on ValueError none.

        `seen` is shown every node as it comes to be, height by height; a node may be shown twice.
        """
        leaves = list(leaves)
        self._check(leaves)
        self._grow([sha256(b"\x00" + leaf).digest() for leaf in leaves], seen)

    def extend_sealed(self, lines: Sequence[bytes]) -> None:
        """`extend(leaves_of(lines))`, in one step: whoever decides has to wait for it."""
        self._check_size(len(lines))
        self._grow([sha256(b"\x00" + unhexlify(line[-66:-2])).digest() for line in lines], None)

    def root(self) -> bytes:
        """The root hash of the tree as it is; of no leaves, SHA-256 of nothing."""
        return joined(self._peaks)

    def _grow(self, level: list[bytes], seen: Seen | None) -> None:
        added, grown = len(level), []
        height, rest = 0, self._size
        # `rest` counts the complete subtrees of this height that stood here before. An odd one out was a peak: it is
        # the left neighbour of what is new. Where nothing is new, the higher peaks stay as they are.
        while level:
            if rest & 1:
                level.insert(0, self._peaks.pop())
            if seen is not None:
                seen(height, rest & ~1, level)
            if len(level) & 1:
                grown.append(level.pop())
            pairs = iter(level)
            level = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
            height += 1
            rest >>= 1
        self._peaks += reversed(grown)
        self._size += added

    def _check(self, leaves: list[bytes]) -> None:
        if set(map(len, leaves)) - {HASH_LENGTH}:
            raise ValueError("a leaf is 32 bytes long: the hash of an entry, as bytes")
        self._check_size(len(leaves))

    def _check_size(self, added: int) -> None:
        if self._size + added > MAX_SIZE:
            raise ValueError(f"a tree has at most {MAX_SIZE} leaves")


def joined(subtrees: Sequence[bytes]) -> bytes:
    """The root above neighbouring subtrees of falling size, the largest first."""
    if not subtrees:
        return EMPTY_ROOT
    root = subtrees[-1]
    for left in reversed(subtrees[:-1]):
        root = node_hash(left, root)
    return root


def includes(root: bytes, size: int, leaf: bytes, index: int, path: Sequence[bytes]) -> bool:
    """Whether `path` leads from `leaf` at `index` to the root of a tree of `size` leaves (RFC 9162, 2.1.3.2).

    Size and root belong together and come from one checkpoint: a path alone fits several sizes.
    """
    return len(leaf) == HASH_LENGTH and root_above(leaf_hash(leaf), index, size, path) == root


def root_above(node: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Where `path` leads from a leaf's hash; None when a tree of `size` leaves has no such path."""
    if not 0 <= index < size <= MAX_SIZE or not _well_formed(path):
        return None
    here, last = index, size - 1
    for sibling in path:
        if last == 0:
            return None
        if here & 1 or here == last:
            node = node_hash(sibling, node)
            while here and not here & 1:
                here >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        here >>= 1
        last >>= 1
    return node if last == 0 else None


def extends(old_root: bytes, old_size: int, root: bytes, size: int, path: Sequence[bytes]) -> bool:
    """Whether the tree of `size` leaves begins with all leaves of the older one (RFC 9162, 2.1.4.2).

    Everything begins with the empty tree, and a tree with itself: there the path is empty.
    """
    if not 0 <= old_size <= size <= MAX_SIZE or not _well_formed(path):
        return False
    if old_size == 0:
        return not path and old_root == EMPTY_ROOT
    if old_size == size:
        return not path and old_root == root
    if not path:
        return False
    # Where the old tree is one complete subtree its root is part of the path, and everyone knows it already.
    steps = iter(path if old_size & (old_size - 1) else (old_root, *path))
    here, last = old_size - 1, size - 1
    while here & 1:
        here >>= 1
        last >>= 1
    old_found = found = next(steps)
    for sibling in steps:
        if last == 0:
            return False
        if here & 1 or here == last:
            old_found = node_hash(sibling, old_found)
            found = node_hash(sibling, found)
            while here and not here & 1:
                here >>= 1
                last >>= 1
        else:
            found = node_hash(found, sibling)
        here >>= 1
        last >>= 1
    return last == 0 and old_found == old_root and found == root


def _well_formed(path: Sequence[bytes]) -> bool:
    return all(len(step) == HASH_LENGTH for step in path)
