"""Records as what they should be; what is none is skipped, counted and named, because nothing can be made of it."""

import logging
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import msgspec
from aiokafka import ConsumerRecord

from sidechain.agents.wet.feed import UNREADABLE

log = logging.getLogger(__name__)

Kind = TypeVar("Kind", bound=msgspec.Struct)


class Legible(Generic[Kind]):
    """Reads one kind of record. `unreadable`: how many were none."""

    def __init__(self, kind: type[Kind], what: str) -> None:
        """`what`: a word for the log."""
        self.unreadable = 0
        self._decode: Final = msgspec.json.Decoder(kind).decode
        self._what = what

    def read(self, records: Sequence[ConsumerRecord]) -> list[Kind]:
        """Those that can be read, in order."""
        try:
            return [self._decode(one.value or b"") for one in records]
        except UNREADABLE:  # one of them at least: once more, each for itself
            return [found for one in records if (found := self.one(one)) is not None]

    def one(self, record: ConsumerRecord) -> Kind | None:
        """What one record says, or None."""
        try:
            return self._decode(record.value or b"")
        except UNREADABLE as fault:
            self.unreadable += 1
            where = f"{record.topic}/{record.partition}@{record.offset}"
            log.warning("%s is no %s: %s", where, self._what, fault)
            return None
