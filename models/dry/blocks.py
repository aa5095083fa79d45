"""What is remembered of entries, in blocks of 256: one record of the changelog for each block.

A block that changed is written anew, whole, when the changes are asked for; one that fell out of the horizon is
forgotten. Each record carries the number of its block, so that none can be read under another one's name.
"""

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

from sidechain.models.dry.shares import share

BLOCK: Final = 256  # entries that one block spans

Kept = TypeVar("Kept")


class Blocks(Generic[Kept]):
    """The blocks of one kind. Who derives from it says what a block is, and marks in `_dirty` which ones changed."""

    def __init__(self, prefix: bytes) -> None:
        """`prefix`: how the records of this kind are named."""
        self.total = 0  # of the shares of all records, as of the last `changes`
        self._prefix = prefix
        self._blocks: dict[int, Kept] = {}
        self._shares: dict[int, int] = {}
        self._dirty: dict[int, None] = {}

    def changes(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The records that changed since the last call, and those that fell out of the horizon."""
        for block in self._dirty:
            name = self._name(block)
            self.total -= self._shares.pop(block, 0)
            kept = self._blocks.get(block)
            if kept is None:
                yield name, None
                continue
            value = self._encoded(block, kept)
            self._count(block, name, value)
            yield name, value
        self._dirty.clear()

    def forget_changes(self) -> None:
        """As if `changes` had been asked and its answer thrown away."""
        self._dirty.clear()

    def _encoded(self, block: int, kept: Kept) -> bytes:
        raise NotImplementedError

    def _restored(self, record: bytes, value: bytes, block: int, kept: Kept) -> None:
        """One block was read back from this record. Raises ValueError when it is another block's."""
        if record != self._name(block):
            raise ValueError(f"it holds block {block}")
        self._blocks[block] = kept
        self._count(block, record, value)

    def _name(self, block: int) -> bytes:
        return self._prefix + b"%d" % block

    def _count(self, block: int, name: bytes, value: bytes) -> None:
        self._shares[block] = written = share(name, value)
        self.total += written
