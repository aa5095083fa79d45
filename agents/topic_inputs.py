"""The inputs of a partition's entries, read along with them: each log is in the order of its offsets."""

from collections.abc import AsyncGenerator, Mapping, Sequence

import msgspec

from sidechain.agents.reader import Reader
from sidechain.models.dry.entry import CO_PARTITIONED
from sidechain.models.dry.records import InputRecord


class TopicInputs:
    """The inputs of one partition, read along with its entries."""

    def __init__(self, readers: Mapping[str, Reader], partition: int, control: Mapping[int, InputRecord]) -> None:
        """`readers`: one for each co-partitioned input, by logical name."""
        self._control = control
        self._streams = {name: _Stream(one, partition) for name, one in readers.items()}
        self._partition = partition
        self.behind = 0  # offset behind the last entry handed over

    def of(self, topic: str, offset: int) -> InputRecord | None:
        if topic == "control":
            return self._control.get(offset)
        stream = self._streams.get(topic)
        return None if stream is None else stream.held.pop(offset, None)

    async def beside(
        self, entries: Reader, *, entry: int = 0, begin: Mapping[str, int] | None = None
    ) -> AsyncGenerator[Sequence[bytes], None]:
        """Batches of sealed entries whose inputs are at hand. `entry`, `begin`: offsets to begin at.

        An entry that consumes none of these inputs stands first in its batch. No more than one batch of each input is
        held.
        """
        for topic, reading in self._streams.items():
            reading.begin((begin or {}).get(topic, 0))
        async for records in entries.to_end([self._partition], start={self._partition: entry}):
            ready: list[bytes] = []
            for one in records:
                line = one.value or b""
                at = _read(line)
                needed = at.needed()
                stream = None if needed is None else self._streams.get(needed[0])
                if ready and (needed is None or stream is None or needed[1] > stream.reached):
                    yield ready
                    ready = []
                self.behind = one.offset + 1
                if needed is not None and stream is not None:
                    await stream.reach(needed[1])
                elif needed is None:
                    for topic, offset in at.goes_on().items():
                        if topic in self._streams:
                            self._streams[topic].begin(offset)
                ready.append(line)
            yield ready


class _Stream:
    """One input of one partition: a batch of it is held."""

    def __init__(self, reader: Reader, partition: int) -> None:
        self.held: dict[int, InputRecord] = {}
        self.reached = -1
        self._reader = reader
        self._partition = partition
        self.begin(0)

    def begin(self, offset: int) -> None:
        """Read from this offset on."""
        self.held, self.reached = {}, -1
        self._batches = self._reader.to_end([self._partition], start={self._partition: offset})

    async def reach(self, offset: int) -> None:
        """Hold the record at this offset, if it is there."""
        while self.reached < offset and (batch := await anext(self._batches, None)) is not None:
            self.held = {one.offset: one for one in batch if one.offset >= offset}
            self.reached = batch[-1].offset


class _Entry(msgspec.Struct, rename={"next_": "next"}):
    kind: str = ""
    source: tuple[str, int, int] | None = None
    topic: str = ""
    next_: dict[str, int] = {}

    def needed(self) -> tuple[str, int] | None:
        """The record it is the entry of: logical topic and offset; None for one of control, or of none."""
        if self.source is None or self.source[0] not in CO_PARTITIONED:
            return None
        return self.source[0], self.source[2]

    def goes_on(self) -> Mapping[str, int]:
        """Where a person's decision leads, by logical topic."""
        if self.kind == "epoch":
            return {one: max(0, self.next_.get(one, 0)) for one in CO_PARTITIONED}
        return {self.topic: max(0, self.next_.get(self.topic, 0))} if self.kind == "gap" else {}


def _read(line: bytes) -> _Entry:
    """What can be read of a record, which may be no entry at all."""
    try:
        return msgspec.json.decode(line, type=_Entry)
    except (ValueError, RecursionError):
        return _Entry()
