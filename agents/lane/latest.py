"""The latest record of each key, as the dry side reads what the wet side says: bounded, and never trusted.

A record that is not what it must be is passed over and counted: the wet side cannot stop a decision, and what it says
ends up inside sealed entries, so every length and every number is bounded where it is read.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from sidechain.models.dry import SignalValue

Read = Callable[
    [bytes, int], SignalValue | None
]  # value and offset; None: nothing is known. Raises msgspec.DecodeError


class LatestTable:
    """What stands under each key by now; counts what it read, could not read, and forgot."""

    def __init__(self, read: Read, max_keys: int, key_max_bytes: int) -> None:
        """Beyond `max_keys` the one heard of longest ago is forgotten first."""
        self.read = 0
        self.unreadable = 0
        self.forgotten = 0
        self._read = read
        self._max_keys = max_keys
        self._key_max_bytes = key_max_bytes
        self._latest: OrderedDict[bytes, SignalValue] = OrderedDict()

    def __len__(self) -> int:
        return len(self._latest)

    def clear(self) -> None:
        """Begin anew."""
        self._latest.clear()

    def take(self, records: Iterable[Any]) -> None:
        """Records of the topic, in order."""
        latest = self._latest
        for record in records:
            self.read += 1
            key, value = record.key, record.value
            if key is None or len(key) > self._key_max_bytes:
                self.unreadable += 1
                continue
            latest.pop(key, None)
            if value is None:
                continue
            try:
                said = self._read(value, record.offset)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self.unreadable += 1
                continue
            if said is None:
                continue
            latest[key] = said
            if len(latest) > self._max_keys:
                latest.popitem(last=False)
                self.forgotten += 1
