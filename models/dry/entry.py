"""The sealed records of a chain, field by field, in the order they stand on the topic.

    {"v":1,"seq":41,"prev":"9f…","kind":"decision",…,"hash":"4d…"}

An entry is one JSON object. Its last 75 bytes are `,"hash":"<64 hex>"}`; the hash is SHA-256 over everything before
them. `prev` is the hash of the entry before, so one altered byte breaks every later link. No entry holds a float:
numbers are integers, and integers have one spelling.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any, Final, Literal

import msgspec

from sidechain.models.dry.budget.records import Spending, Transfer

VERSION: Final = 1
GENESIS: Final = "0" * 64  # `prev` of the first entry
SEAL_LENGTH: Final = 75  # len(',"hash":"' + 64 hex + '"}')

_HASH: Final = re.compile("[0-9a-f]{64}")

Next = dict[str, int]  # logical input topic -> 1 + the last offset that has an entry
Input = Literal["events", "outcomes", "transfers"]
# Inputs whose records stand on the partition of the chain.
CO_PARTITIONED: Final[tuple[Input, ...]] = ("events", "outcomes", "transfers")
TRANSFERS: Final[Input] = "transfers"  # in `next` from the first entry on whose policy shares accounts among partitions
TOPICS: Final[Mapping[str, str]] = {"events": "events", "outcomes": "outcomes", TRANSFERS: "dry.transfers"}


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
    budget: Spending | None  # null: nothing was reserved or refused, and nothing expired
    lists: Mapping[str, str | None] | msgspec.UnsetType = msgspec.UNSET  # list -> version in force; where there are any


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


class Settlement(msgspec.Struct, frozen=True):
    """An outcome that settles a decision: what really happened, what it cost, or both."""

    v: int
    seq: int
    prev: str
    kind: str
    id: str  # the event's
    key: str | None  # as the outcome states it, else the record's key where it is text
    at: int  # event time of the outcome, ms
    source: tuple[str, int, int]
    digest: str
    next: Next
    policy: str
    settles: int  # seq of the decision
    label: str | None  # "good" or "bad"; null: not settled by this one
    cost_minor: int | None  # in minor units; null: not settled by this one
    by: str | None  # who says so, where the outcome states it
    budget: Spending | None  # null: no cost, or nothing was reserved; else what it cost each account, or why it did not


class RefusedOutcome(msgspec.Struct, frozen=True):
    """An outcome that settles nothing. What it says stands here; if it cannot be read, in the dead letters."""

    v: int
    seq: int
    prev: str
    kind: str
    id: str | None  # null: it cannot be read, and its bytes went to the dead letters in the same transaction
    key: str | None
    at: int | None
    source: tuple[str, int, int]
    digest: str | None
    next: Next
    policy: str
    reason: str  # one of settling.VERDICTS, or of parse.REASONS where it cannot be read
    field: str | None  # the field at fault, where there is one
    length: int  # bytes of the value
    named: tuple[int | None, int | None]  # partition and seq of the decision, where the outcome names them
    label: str | None
    cost_minor: int | None
    by: str | None


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
    proposal: str | msgspec.UnsetType = (
        msgspec.UNSET
    )  # the id of the one it follows, where the control record names one


class ListChange(msgspec.Struct, frozen=True, rename={"list_ref": "list"}):
    """From the next entry on, other rows of a list are asked."""

    v: int
    seq: int
    prev: str
    kind: str
    id: None
    key: str  # `<pack>/<list>`
    at: int  # as the control record states it
    source: tuple[str, int, int]
    digest: str
    next: Next
    policy: str
    list_ref: str  # the version in force from here on: `blocked@3:5d41402abc4b`
    content: str  # SHA-256 of its rows
    rows: int
    replaces: str | None  # the version in force until here
    by: str
    proposal: str | msgspec.UnsetType = msgspec.UNSET  # the id of the one it follows, as for a policy


class Debited(msgspec.Struct, frozen=True):
    """Another partition asked for a part of an account; what it was given, which may be nothing.

    With the entry goes a `grant` of `amount`, also of 0, unless the question was answered before or nobody asks.
    """

    v: int
    seq: int
    prev: str
    kind: str
    id: None
    key: str | None  # the record's key where it is text
    at: None
    source: tuple[str, int, int]
    digest: str
    next: Next
    policy: str
    partitions: int  # that the account is shared among
    transfer: Transfer  # the question, as it was read
    amount: int  # in the account's unit
    reason: str | None  # one of budget.REASONS: why not all that was asked for


class Credited(msgspec.Struct, frozen=True):
    """Another partition gave a part of an account; from here on it can be spent here."""

    v: int
    seq: int
    prev: str
    kind: str
    id: None
    key: str | None
    at: None
    source: tuple[str, int, int]
    digest: str
    next: Next
    policy: str
    partitions: int  # that the account is shared among
    transfer: Transfer  # the grant, as it was read
    amount: int  # what was added, in the account's unit
    lapsed: int  # what came and can be spent by nobody any more
    reason: str | None  # one of budget.REASONS: why it was not added


class Gap(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """A person decided to go on although inputs are gone; the state stays as it is. Written by `sidechain repair`."""

    v: int
    seq: int
    prev: str
    kind: str
    id: None
    key: None
    at: int  # when, by the deciding person's clock
    source: None
    digest: None
    next: Next
    policy: str
    topic: str  # the logical input that moves
    from_: int  # the offset that was due
    to: int  # the offset the chain goes on with; below `from` where the topic was replaced or has lost its end
    by: str
    why: str


class Broken(msgspec.Struct, frozen=True):
    """The last record of the epoch before, as it stands there, right or wrong."""

    seq: int | None  # as it states; null where it states none
    hash: str | None  # as it states; null where it has no seal
    offset: int | None  # null where the log held no record any more


class Epoch(msgspec.Struct, frozen=True):
    """A person decided to begin the chain anew, with an empty state. Written by `sidechain repair`."""

    v: int
    seq: int  # 0
    prev: str  # 64 zeros
    kind: str
    id: None
    key: None
    at: int  # when, by the deciding person's clock
    source: None
    digest: None
    next: Next
    policy: str
    epoch: int  # 1 more than that of the last epoch anybody knows of, also where its records are lost
    broken: Broken
    by: str
    why: str
    # In periods that began before this event time accounts have nothing. Absent: before `at`, or there are no accounts.
    accounts_from: int | msgspec.UnsetType = msgspec.UNSET


Sealed = (
    Decision
    | Duplicate
    | Rejected
    | Settlement
    | RefusedOutcome
    | PolicyChange
    | ListChange
    | Debited
    | Credited
    | Gap
    | Epoch
)

_encode = msgspec.json.Encoder().encode


def seal(entry: Sealed) -> tuple[bytes, str]:
    """The entry's bytes as they stand on the topic, and their hash."""
    body = _encode(entry)[:-1]
    digest = sha256(body).hexdigest()
    return b'%b,"hash":"%b"}' % (body, digest.encode()), digest


def is_epoch(line: bytes) -> bool:
    """Whether this is, rightly sealed, the first entry of an epoch that a person began."""
    if b'"kind":"epoch"' not in line[:192]:  # nothing but fixed fields stands before it, so nearly all lines end here
        return False
    split = body_and_hash(line)
    if split is None or sha256(split[0]).hexdigest() != split[1]:
        return False
    try:
        opening = msgspec.json.decode(line, type=Epoch)
    except (ValueError, RecursionError):
        return False
    return (opening.v, opening.seq, opening.prev, opening.kind) == (VERSION, 0, GENESIS, "epoch")


def stated(line: bytes, offset: int | None = None) -> Broken:
    """What any bytes say of themselves: seq and hash, each where it can be read."""
    split = body_and_hash(line)
    try:
        seq: int | None = msgspec.json.decode(line, type=_Numbered).seq
    except (ValueError, RecursionError):
        seq = None
    return Broken(seq, split[1] if split is not None and _HASH.fullmatch(split[1]) else None, offset)


class _Numbered(msgspec.Struct):
    seq: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


def body_and_hash(line: bytes) -> tuple[bytes, str] | None:
    """Split a sealed entry into the hashed bytes and the stated hash; None when the seal is not there."""
    if len(line) <= SEAL_LENGTH or line[-SEAL_LENGTH:-66] != b',"hash":"' or line[-2:] != b'"}':
        return None
    return line[:-SEAL_LENGTH], line[-66:-2].decode("ascii", "replace")
