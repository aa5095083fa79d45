"""Which decisions are settled, and of what: two bits for each entry, in the blocks of the ids.

    settled:12   [12,"10c"]   block 12: of its entry 1 the label and the cost, of its entry 4 the label

The text is a number in hexadecimal; bit 2i says that the label of the block's entry i is settled, bit 2i + 1 its cost.
A record of its own beside `ids:12`: outcomes come late and scattered, and each would write a whole block of ids anew.
"""

from typing import Final

import msgspec

from sidechain.models.dry.blocks import Blocks

SETTLED_PREFIX: Final = b"settled:"
LABEL: Final = 1
COST: Final = 2
_BITS: Final = 2

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[int, str]).decode


class Settled(Blocks[int]):
    """What was settled of the entries of each block that is remembered; `Ids` says which those are."""

    def __init__(self) -> None:
        super().__init__(SETTLED_PREFIX)

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

    def restore(self, record: bytes, value: bytes) -> None:
        """One block read back from the changelog. Raises ValueError when it cannot be read."""
        block, bits = _decode(value)
        if (found := int(bits, 16)) < 0:
            raise ValueError("a negative number")
        self._restored(record, value, block, found)

    def _encoded(self, block: int, kept: int) -> bytes:
        return _encode([block, f"{kept:x}"])
