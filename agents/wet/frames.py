"""Arrays between the wet worker and the process that fits: a length, then an .npz file of plain arrays.

<8 bytes, big endian: length><npz>
"""

import io
import struct
from typing import Any, Final

import numpy as np

HEAD: Final = struct.Struct(">Q")
MAX_BYTES: Final = 256 * 1024 * 1024


def pack(**arrays: Any) -> bytes:
    """One frame."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    body = file.getvalue()
    return HEAD.pack(len(body)) + body


def length(head: bytes) -> int:
    """How long the body after `head` is. Raises ValueError when that cannot be."""
    (stated,) = HEAD.unpack(head)
    if stated > MAX_BYTES:
        raise ValueError(f"a frame of {stated} bytes is no model")
    return int(stated)


def unpack(body: bytes) -> dict[str, Any]:
    """The arrays of a frame's body; only numbers and text, never objects."""
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        return dict(arrays)
