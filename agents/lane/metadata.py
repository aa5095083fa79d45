"""The latest the wet side said of each entity. How old is too old, and which values count, is the policy's business."""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from sidechain.agents.lane.latest import LatestTable
from sidechain.models.dry import Latest, SignalValue

MAX_KEYS: Final = 1_000_000  # per partition; the one heard of longest ago is forgotten first
KEY_MAX_BYTES: Final = 1_024

_Integer = Annotated[int, Meta(ge=-(2**53), le=2**53)]


class _Said(msgspec.Struct):
    risk_bp: _Integer
    model: Annotated[str, Meta(max_length=128)]
    as_of: _Integer


_decode: Final = msgspec.json.Decoder(_Said).decode


def _read(value: bytes, offset: int) -> SignalValue:
    said = _decode(value)
    return SignalValue(said.risk_bp, said.model, said.as_of, offset)


class MetadataTable(LatestTable):
    """What one partition's metadata says by now."""

    def __init__(self, name: Callable[[str], str], max_keys: int = MAX_KEYS) -> None:
        """`name`: an event's key -> the key its metadata stands under (a pseudonym, where the key is personal)."""
        super().__init__(_read, max_keys, KEY_MAX_BYTES)
        self._name = name

    @property
    def latest(self) -> Latest:
        """The question the kernel asks."""
        get, name = self._latest.get, self._name
        return lambda key: get(name(key).encode())
