"""Doors that badges open: how the small policies of tests begin, and a list of badges as it stands on `control`."""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

DOORS = """\
pack: doors
version: 1
event:
  fields:
    id: {type: string, role: id}
    badge: {type: string, role: key}
    at: {type: int, role: time}
"""


def doors(rest: str) -> str:
    """A policy that goes on so."""
    return DOORS + rest


LOST = "  lost: {type: string}\n"
LOST_RULE = "  - {id: lost, when: event.badge in lists.lost, then: block, reason: Lost.}\n"
LISTED = doors(f"lists:\n{LOST}rules:\n{LOST_RULE}")


def chunk(text: str, name: str = "doors", listed: str = "lost") -> bytes:
    """Rows of a list, as they stand on `control`."""
    return msgspec.json.encode({"kind": "rows", "name": name, "list": listed, "rows": text})


def activation(text: str, chunks: Sequence[int] = (0,), **fields: object) -> bytes:
    """The record behind them that puts them in force. `chunks`: the offsets of the rows."""
    asked = {"kind": "list", "name": "doors", "list": "lost", "version": 1, "digest": sha256(text.encode()).hexdigest()}
    asked |= {"rows": text.count("\n"), "type": "string", "value": None, "by": "anna", "at": 5, "chunks": list(chunks)}
    return msgspec.json.encode(asked | fields)
