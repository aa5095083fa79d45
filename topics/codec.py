"""How every record of this folder becomes bytes: compact UTF-8 JSON, fields in the order of the struct.

Readers ignore fields they do not know, so a field may be added; none is removed or changes its meaning without a new
topic. `README.md` beside this file is the contract in words, and its examples are the test vectors of these records.
"""

from typing import Final

import msgspec

_encode: Final = msgspec.json.Encoder().encode


def encode(record: msgspec.Struct) -> bytes:
    """The record as it stands on its topic."""
    return _encode(record)
