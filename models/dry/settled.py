"""Which decisions are settled, and of what: two bits for each entry, in the blocks of the ids.

    settled:12   [12,"10c"]   block 12: of its entry 1 the label and the cost, of its entry 4 the label

The text is a number in hexadecimal; bit 2i says that the label of the block's entry i is settled, bit 2i + 1 its cost.
A record of its own beside `ids:12`: outcomes come late and scattered, and each would write a whole block of ids anew.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from sidechain.models.dry.shares import share

SETTLED_PREFIX: Final = b"settled:"
LABEL: Final = 1
COST: Final = 2
_BITS: Final = 2

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[int, str]).decode


class Settled:
    """What was settled of the entries of each block that is remembered; `Ids` says which those are."""

    def __init__(self) -> None:
        self.total = 0  # of the shares of all records, as of the last `changes`
        self._blocks: dict[int, int] = {}
        self._shares: dict[int, int] = {}
        self._dirty: dict[int, None] = {}

    def facts(self, block: int, place: int) -> int:
        """What is settled of the entry at this place of the block: LABEL, COST, both or neither."""
        return self._blocks.get(block, 0) >> _BITS * place & (LABEL | COST)

    def add(self, block: int, place: int, facts: int) -> None:
        """These are settled from now on."""
        self._blocks[block] = self._blocks.get(block, 0) | facts << _BITS * place
        self._dirty[block] = None

    def forget(self, block: int) -> None:
        """The block has fallen out of the horizon."""
        if self._blocks.pop(block, None) is not None:
            self._dirty[block] = None

    def changes(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The records that changed since the last call."""
        for block in self._dirty:
            name = SETTLED_PREFIX + b"%d" % block
            self.total -= self._shares.pop(block, 0)
            bits = self._blocks.get(block)
            if bits is None:
                yield name, None
                continue
            value = _encode([block, f"{bits:x}"])
            self._shares[block] = share(name, value)
            self.total += self._shares[block]
            yield name, value
        self._dirty.clear()

    def forget_changes(self) -> None:
        """As if `changes` had been asked and its answer thrown away."""
        self._dirty.clear()

    def restore(self, record: bytes, value: bytes) -> None:
        """One block read back from the changelog. Raises ValueError when it cannot be read."""
        block, bits = _decode(value)
        if record != SETTLED_PREFIX + b"%d" % block:
            raise ValueError(f"it holds block {block}")
        if (found := int(bits, 16)) < 0:
            raise ValueError("a negative number")
        self._blocks[block] = found
        self._shares[block] = share(record, value)
        self.total += self._shares[block]
