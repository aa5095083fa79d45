"""As much of the protocol buffers' wire format as an ONNX file takes: fields, numbers, and rows of them.

    text(2, "sidechain") + whole(1, 8)      a message of two fields
    for number, value in fields(data): …    int, or bytes of a length, as it was written

Written in full here so that a model can be read where the format's own library is not installed; a test reads what is
written with that library. Source: the wire format's description at protobuf.dev, and onnx.proto.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
MORE: Final = 0x80
WIDEST: Final = 10  # bytes of a varint


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; a negative number as its 64-bit two's complement."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    made = bytearray()
    while value >= MORE:
        made.append(value & 0x7F | MORE)
        value >>= 7
    made.append(value)
    return bytes(made)


def whole(number: int, value: int) -> bytes:
    """A field that is a whole number."""
    return varint(number << 3 | VARINT) + varint(value)


def content(number: int, value: bytes) -> bytes:
    """A field that is a message, or bytes."""
    return varint(number << 3 | LENGTH) + varint(len(value)) + value


def text(number: int, value: str) -> bytes:
    """A field that is text."""
    return content(number, value.encode())


def wholes(number: int, values: Iterable[int]) -> bytes:
    """A field that is a row of whole numbers, packed."""
    return content(number, b"".join(map(varint, values)))


def singles(number: int, values: NDArray[np.float32]) -> bytes:
    """A field that is a row of float32, packed."""
    return content(number, values.astype("<f4").tobytes())


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Each field of a message: its number and its value. ValueError where the bytes are no message."""
    at = 0
    while at < len(data):
        tag, at = _read(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _read(data, at)
            yield number, value
            continue
        if kind == LENGTH:
            size, at = _read(data, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"a field of kind {kind} is not known")
        if at + size > len(data):
            raise ValueError("a field is longer than the message it stands in")
        yield number, data[at : at + size]
        at += size


def read_wholes(data: bytes) -> list[int]:
    """A packed row of whole numbers."""
    found, at = [], 0
    while at < len(data):
        value, at = _read(data, at)
        found.append(value)
    return found


def read_singles(data: bytes) -> NDArray[np.float32]:
    """A packed row of float32."""
    if len(data) % struct.calcsize("<f"):
        raise ValueError("a row of float32 ends within a number")
    return np.frombuffer(data, dtype="<f4").astype(np.float32)


def _read(data: bytes, at: int) -> tuple[int, int]:
    """The varint at a place, and where it ends."""
    value = 0
    for shift in range(WIDEST):
        if at >= len(data):
            break
        one = data[at]
        at += 1
        value |= (one & 0x7F) << (7 * shift)
        if one < MORE:
            return value, at
    raise ValueError("a number does not end")
