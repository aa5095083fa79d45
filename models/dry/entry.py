"""The sealed records of a chain, field by field, in the order they stand on the topic.

    {"v":1,"seq":41,"prev":"9f…","kind":"decision",…,"hash":"4d…"}

An entry is one JSON object. Its last 75 bytes are `,"hash":"<64 hex>"}`; the hash is SHA-256 over everything before
them. `prev` is the hash of the entry before, so one altered byte breaks every later link. No entry holds a float:
numbers are integers, and integers have one spelling.
"""

from hashlib import sha256
from typing import Any, Final

import msgspec

VERSION: Final = 1
GENESIS: Final = "0" * 64  # `prev` of the first entry
SEAL_LENGTH: Final = 75  # len(',"hash":"' + 64 hex + '"}')

Next = dict[str, int]  # logical input topic -> 1 + the last offset that has an entry


class Decision(msgspec.Struct, frozen=True, gc=False):
    """One event, decided."""

    v: int
    seq: int
    prev: str
    kind: str
    id: str
    key: str
    at: int  # event time, ms
    source: tuple[str, int, int]  # logical topic, partition, offset
    digest: str  # SHA-256 of the input's bytes
    next: Next
    policy: str
    action: str
    tier: str
    trust_bp: int
    trust_inputs_bp: tuple[int, int, int]  # alignment, risk, band: what the gate was asked
    score_bp: int  # capped sum of the points of the rules that fired
    reasons: tuple[Any, ...]
    flags: tuple[str, ...]
    features: Any  # the policy's own struct: one integer or null each
    signals: Any  # the value used, or why there was none
    route: None
    budget: None


class Duplicate(msgspec.Struct, frozen=True):
    """An event whose id was decided before: it points there and decides nothing."""

    v: int
    seq: int
    prev: str
    kind: str
    id: str
    key: str
    at: int
    source: tuple[str, int, int]
    digest: str
    next: Next
    policy: str
    first: int  # seq of the decision that stands


class Rejected(msgspec.Struct, frozen=True):
    """An input that cannot be decided; its bytes went to the dead letters in the same transaction."""

    v: int
    seq: int
    prev: str
    kind: str
    id: None
    key: str | None  # the record's key where it is text
    at: None
    source: tuple[str, int, int]
    digest: str | None  # null only when the value itself is null
    next: Next
    policy: str
    reason: str  # one of parse.REASONS
    field: str | None  # the field at fault, where there is one
    length: int  # bytes of the value


class PolicyChange(msgspec.Struct, frozen=True):
    """From the next entry on, another policy decides."""

    v: int
    seq: int
    prev: str
    kind: str
    id: None
    key: str  # the policy's name
    at: int  # as the control record states it
    source: tuple[str, int, int]
    digest: str
    next: Next
    policy: str  # the one in force from here on
    previous: str
    by: str


Sealed = Decision | Duplicate | Rejected | PolicyChange

_encode = msgspec.json.Encoder().encode


def seal(entry: Sealed) -> tuple[bytes, str]:
    """The entry's bytes as they stand on the topic, and their hash."""
    body = _encode(entry)[:-1]
    digest = sha256(body).hexdigest()
    return b'%b,"hash":"%b"}' % (body, digest.encode()), digest


def body_and_hash(line: bytes) -> tuple[bytes, str] | None:
    """Split a sealed entry into the hashed bytes and the stated hash; None when the seal is not there."""
    if len(line) <= SEAL_LENGTH or line[-SEAL_LENGTH:-66] != b',"hash":"' or line[-2:] != b'"}':
        return None
    return line[:-SEAL_LENGTH], line[-66:-2].decode("ascii", "replace")
