"""The inputs of a partition's entries, read along with them: both logs are in the order of the offsets."""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec
from aiokafka import ConsumerRecord

from sidechain.agents.reader import Reader
from sidechain.models.dry.records import InputRecord


class TopicInputs:
    """The inputs of one partition; no more than one batch of events is held."""

    def __init__(self, events: Reader, partition: int, control: Mapping[int, InputRecord]) -> None:
        self._events = events
        self._partition = partition
        self._control = control
        self._held: dict[int, InputRecord] = {}
        self._reached = -1
        self._batches = self._from(0)

    def of(self, topic: str, offset: int) -> InputRecord | None:
        return self._control.get(offset) if topic == "control" else self._held.pop(offset, None)

    async def beside(self, entries: Reader, *, entry: int = 0, event: int = 0) -> AsyncIterator[Sequence[bytes]]:
        """Batches of sealed entries whose inputs are at hand. `entry`, `event`: offsets to begin at.

        An entry that consumes no event stands first in its batch. No more than one batch of events is held.
        """
        self._batches = self._from(event)
        async for records in entries.to_end([self._partition], start={self._partition: entry}):
            ready: list[bytes] = []
            for one in records:
                line = one.value or b""
                at = _read(line)
                needed = at.event()
                if ready and (needed is None or needed > self._reached):
                    yield ready
                    ready = []
                if needed is not None:
                    await self._reach(needed)
                elif (goes_on := at.goes_on()) is not None:
                    self._batches = self._from(goes_on)
                ready.append(line)
            yield ready

    def _from(self, offset: int) -> AsyncIterator[Sequence[ConsumerRecord]]:
        self._held, self._reached = {}, -1
        return self._events.to_end([self._partition], start={self._partition: offset})

    async def _reach(self, offset: int) -> None:
        while self._reached < offset and (batch := await anext(self._batches, None)) is not None:
            self._held = {one.offset: one for one in batch if one.offset >= offset}
            self._reached = batch[-1].offset


class _Entry(msgspec.Struct, rename={"next_": "next"}):
    kind: str = ""
    source: tuple[str, int, int] | None = None
    topic: str = ""
    next_: dict[str, int] = {}

    def event(self) -> int | None:
        """Offset of the event it is the entry of."""
        return self.source[2] if self.source is not None and self.source[0] == "events" else None

    def goes_on(self) -> int | None:
        """The event offset a person's decision leads to."""
        decided = self.kind == "epoch" or (self.kind == "gap" and self.topic == "events")
        return max(0, self.next_.get("events", 0)) if decided else None


def _read(line: bytes) -> _Entry:
    """What can be read of a record, which may be no entry at all."""
    try:
        return msgspec.json.decode(line, type=_Entry)
    except (ValueError, RecursionError):
        return _Entry()
