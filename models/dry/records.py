"""What a fold reads, and what becomes of an input that cannot be decided."""

from typing import Final, NamedTuple, Protocol

from sidechain.models.dry.entry import TOPICS
from sidechain.models.dry.parse import Rejection

DEAD_LETTER_MAX_BYTES: Final = 900_000  # a longer value is cut to this prefix; digest and length tell the rest
KEY_MAX_BYTES: Final = 1_024  # of the record key an entry or a dead letter repeats


class InputRecord(Protocol):
    """What the fold reads of a Kafka record."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class Line(NamedTuple):
    """One input outside Kafka: a line of a file, at the offset the topic would give it."""

    offset: int
    key: bytes | None
    value: bytes | None


class DeadLetter(NamedTuple):
    """An input that cannot be decided: its bytes, and headers that say why and where it stood."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Misplaced(NamedTuple):
    """An outcome that names another partition: whoever writes entries may send it there, once."""

    partition: int
    record: InputRecord


def text_of(key: bytes | None) -> str | None:
    """A record's key where it is text of a reasonable length."""
    if key is None or len(key) > KEY_MAX_BYTES:
        return None
    try:
        return key.decode("utf-8")
    except UnicodeDecodeError:
        return None


def cut(value: bytes | None, limit: int) -> bytes | None:
    """The first `limit` bytes."""
    return value if value is None or len(value) <= limit else value[:limit]


def dead_letter(record: InputRecord, topic: str, partition: int, why: Rejection, digest: str | None) -> DeadLetter:
    """The record, at most a prefix of it, with why it cannot be decided and where it stood in the input `topic`."""
    value = record.value
    length = len(value or b"")
    headers = {
        "dlq.reason": why.reason,
        "dlq.field": why.field or "",
        "dlq.topic": TOPICS.get(topic, topic),
        "dlq.partition": str(partition),
        "dlq.offset": str(record.offset),
        "dlq.digest": digest or "",
        "dlq.length": str(length),
        "dlq.truncated": "true" if length > DEAD_LETTER_MAX_BYTES else "false",
    }
    return DeadLetter(
        cut(record.key, KEY_MAX_BYTES),
        cut(value, DEAD_LETTER_MAX_BYTES),
        tuple((name, text.encode()) for name, text in headers.items()),
    )
