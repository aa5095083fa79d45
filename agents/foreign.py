r"""Lines of an export for the records of a chain's topics, whoever wrote them.

    {"v":1,"seq":41,…,"hash":"4d…"}          what is right in its form stands as it is
    {"foreign":"not json"}                   anything else, as text
    {"foreign":{"base64":"/wA="}}            or so, where that is shorter, or it is no text
    {"foreign":null}                         a record without a value

A foreign record breaks its chain, and a person may have decided to go on behind it. Then the export must hold it: the
next epoch names what it stands behind.
"""

from base64 import b64decode, b64encode
from contextlib import suppress
from typing import Final

import msgspec

MARK: Final = b'{"foreign":'  # begins no line of ours but these


class Base64(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes that are no text, or longer as one."""

    base64: str


class _Foreign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    foreign: str | Base64 | None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Foreign).decode


def as_line(value: bytes | None, *, in_form: bool) -> bytes:
    """The line, without its end, that holds this value. `in_form`: it has the form of what belongs on its topic."""
    if value and in_form and b"\n" not in value and not value.endswith(b"\r") and not value.startswith(MARK):
        return value
    return _encode(_Foreign(None)) if value is None else min(_spellings(value), key=len)


def as_record(line: bytes) -> bytes:
    """The value a line holds; empty where the record had none."""
    if not line.startswith(MARK):
        return line
    try:
        found = _decode(line).foreign
        return b64decode(found.base64, validate=True) if isinstance(found, Base64) else (found or "").encode()
    except (ValueError, RecursionError):  # of no export: it stands for itself
        return line


def _spellings(value: bytes) -> list[bytes]:
    found = [_encode(_Foreign(Base64(b64encode(value).decode("ascii"))))]
    with suppress(UnicodeDecodeError):
        found.append(_encode(_Foreign(value.decode("utf-8"))))
    return found[::-1]  # text first: where both are as long, it is the one to read
