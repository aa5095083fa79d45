"""Where a chain stood when its state was written, and whether that is where the chain ends."""

import msgspec

from sidechain.models.dry.entry import Next
from sidechain.models.dry.state import HEAD_KEY


class StateMismatch(Exception):  # noqa: N818 - named for what it is
    """The changelog and the chain disagree; deciding on would fork the history."""


class Head(msgspec.Struct, frozen=True):
    """Where the chain stood when the state was written: the record `head` of the changelog."""

    seq: int
    hash: str
    partition: int
    policy: str
    watermark_ms: int
    next: Next
    epoch: int = 0  # of the chain: 0 until somebody began another with `sidechain repair`
    digest: str | None = None  # over all records of the state; None: written before there was one


class Tail(msgspec.Struct):
    """What the last entry of a chain says of where it stands."""

    seq: int
    policy: str
    next: Next
    hash: str


def read_head(partition: int, value: bytes | None) -> Head | None:
    """The record `head`; None where there is none. Raises StateMismatch."""
    try:
        return None if value is None else msgspec.json.decode(value, type=Head)
    except (ValueError, RecursionError) as fault:  # any bytes may stand there
        raise StateMismatch(f"partition {partition}: state record {HEAD_KEY!r} cannot be read: {fault}") from fault


def agreed(partition: int, head_entry: bytes, head: Head | None, policy: str) -> tuple[Tail, Head]:
    """The last entry and the head, when the state is the one behind that entry. Raises StateMismatch.

    `policy`: the one that was given to restore.
    """
    tail = msgspec.json.decode(head_entry, type=Tail)
    if head is not None and head.partition != partition:
        raise StateMismatch(f"partition {partition} holds the state of partition {head.partition}")
    if head is None or (head.seq, head.hash) != (tail.seq, tail.hash):
        written = "nothing" if head is None else f"entry {head.seq} ({head.hash[:12]})"
        raise StateMismatch(
            f"partition {partition}: the chain ends with entry {tail.seq} ({tail.hash[:12]}), "
            f"the state was written at {written}; deciding on would fork the history"
        )
    if tail.policy != policy:
        raise StateMismatch(f"partition {partition}: policy {tail.policy} is in force, {policy} was given to restore")
    return tail, head
