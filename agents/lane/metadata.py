"""The latest the wet side said about each entity, as the dry side will read it: bounded, and never trusted.

A record that is not what it must be is passed over and counted: the wet side cannot stop a decision, and what it says
ends up inside sealed entries, so every length and every number is bounded here. How old is too old, and which values
count, is the policy's business.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from sidechain.models.dry import Latest, SignalValue

MAX_KEYS: Final = 1_000_000  # per partition; the one heard of longest ago is forgotten first
KEY_MAX_BYTES: Final = 1_024

_Integer = Annotated[int, Meta(ge=-(2**53), le=2**53)]


class _Said(msgspec.Struct):
    risk_bp: _Integer
    model: Annotated[str, Meta(max_length=128)]
    as_of: _Integer


_decode: Final = msgspec.json.Decoder(_Said).decode


class MetadataTable:
    """What one partition's metadata says by now."""

    def __init__(self, name: Callable[[str], str], max_keys: int = MAX_KEYS) -> None:
        """`name`: an event's key -> the key its metadata stands under (a pseudonym, where the key is personal)."""
        self.read = 0
        self.unreadable = 0
        self._name = name
        self._max_keys = max_keys
        self._latest: OrderedDict[bytes, SignalValue] = OrderedDict()

    def __len__(self) -> int:
        return len(self._latest)

    def take(self, records: Iterable[Any]) -> None:
        """Records of the metadata topic, in order."""
        latest = self._latest
        for record in records:
            self.read += 1
            key, value = record.key, record.value
            if key is None or len(key) > KEY_MAX_BYTES:
                self.unreadable += 1
                continue
            latest.pop(key, None)
            if value is None:
                continue
            try:
                said = _decode(value)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self.unreadable += 1
                continue
            latest[key] = SignalValue(said.risk_bp, said.model, said.as_of, record.offset)
            if len(latest) > self._max_keys:
                latest.popitem(last=False)

    @property
    def latest(self) -> Latest:
        """The question the kernel asks."""
        get, name = self._latest.get, self._name
        return lambda key: get(name(key).encode())
