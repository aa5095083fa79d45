"""Where a chain is read from: its topics, or the folder an export wrote. Both answer alike.

    async for batch in source.entries(3): …       sealed entries, many at a time
    async for value in source.checkpoints(3): …   records of `dry.checkpoints`
    async for batch in source.events(3, 57): …    input records from an offset on

Each has a fixed end, and checkpoints are asked for first: what is signed by then is in the log.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from sidechain.agents.bundle import Bundle
from sidechain.agents.foreign import as_record
from sidechain.agents.problems import UsageProblem
from sidechain.agents.proof import Topics
from sidechain.agents.verify_files import blocks, records_of
from sidechain.models.dry.entry import TOPICS, TRANSFERS, Input
from sidechain.models.dry.records import InputRecord

BATCH: Final = 2_000


class ChainSource(Protocol):
    """Entries, and what belongs to them."""

    async def partitions(self) -> list[int]:
        """The partitions there are chains of."""
        ...

    def entries(self, partition: int) -> AsyncIterator[Sequence[bytes]]:
        """The sealed entries, many at a time."""
        ...

    def checkpoints(self, partition: int) -> AsyncIterator[bytes]:
        """The records of `dry.checkpoints`."""
        ...

    def events(self, partition: int, start: int) -> AsyncIterator[Sequence[InputRecord]]:
        """The records of `events` from this offset on."""
        ...

    def outcomes(self, partition: int, start: int) -> AsyncIterator[Sequence[InputRecord]]:
        """The records of `outcomes` from this offset on; none where there is no such topic."""
        ...

    def transfers(self, partition: int, start: int) -> AsyncIterator[Sequence[InputRecord]]:
        """The records of `dry.transfers` from this offset on; none where there is no such topic."""
        ...

    def control(self) -> AsyncIterator[InputRecord]:
        """The records of `control`."""
        ...


class TopicSource:
    """The topics of a running system."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    async def partitions(self) -> list[int]:
        return await (await self._topics.reader("dry.decisions")).partitions()

    async def entries(self, partition: int) -> AsyncIterator[Sequence[bytes]]:
        reader = await self._topics.reader("dry.decisions")
        async for records in reader.to_end([partition]):
            yield [one.value or b"" for one in records]

    async def checkpoints(self, partition: int) -> AsyncIterator[bytes]:
        reader = await self._topics.reader("dry.checkpoints")
        if await reader.exists():
            async for records in reader.to_end([partition]):
                for one in records:
                    yield one.value or b""

    async def events(self, partition: int, start: int) -> AsyncIterator[Sequence[InputRecord]]:
        reader = await self._topics.reader("events")
        async for records in reader.to_end([partition], start={partition: start}):
            yield records

    def outcomes(self, partition: int, start: int) -> AsyncIterator[Sequence[InputRecord]]:
        return self._beside("outcomes", partition, start)

    def transfers(self, partition: int, start: int) -> AsyncIterator[Sequence[InputRecord]]:
        return self._beside(TOPICS[TRANSFERS], partition, start)

    async def _beside(self, topic: str, partition: int, start: int) -> AsyncIterator[Sequence[InputRecord]]:
        reader = await self._topics.reader(topic)
        if await reader.exists():
            async for records in reader.to_end([partition], start={partition: start}):
                yield records

    async def control(self) -> AsyncIterator[InputRecord]:
        reader = await self._topics.reader("control")
        async for records in reader.to_end([0]):
            for one in records:
                yield one


class FolderSource:
    """What `sidechain export` wrote."""

    def __init__(self, folder: Path) -> None:
        self._bundle = Bundle(folder)

    async def partitions(self) -> list[int]:
        return sorted(self._bundle.files("decisions"))

    async def entries(self, partition: int) -> AsyncIterator[Sequence[bytes]]:
        for _, lines in blocks(self._bundle.files("decisions")[partition]):
            yield [as_record(line) for one in lines if (line := one.rstrip(b"\r"))]

    async def checkpoints(self, partition: int) -> AsyncIterator[bytes]:
        file = self._bundle.files("checkpoints").get(partition)
        for line in records_of(file) if file is not None else ():
            yield line

    async def events(self, partition: int, start: int) -> AsyncIterator[Sequence[InputRecord]]:
        file = self._bundle.files("events").get(partition)
        if file is None:
            raise UsageProblem(f"{self._bundle.folder} holds no events; `sidechain export --with-events` writes them")
        for batch in self._records(file, start):
            yield batch

    def outcomes(self, partition: int, start: int) -> AsyncIterator[Sequence[InputRecord]]:
        return self._beside("outcomes", partition, start)

    def transfers(self, partition: int, start: int) -> AsyncIterator[Sequence[InputRecord]]:
        return self._beside(TRANSFERS, partition, start)

    async def _beside(self, kind: Input, partition: int, start: int) -> AsyncIterator[Sequence[InputRecord]]:
        file = self._bundle.files(kind).get(partition)
        for batch in () if file is None else self._records(file, start):
            yield batch

    def _records(self, file: Path, start: int) -> Iterator[Sequence[InputRecord]]:
        records = (one for one in self._bundle.records(file) if one.offset >= start)
        while batch := list(islice(records, BATCH)):
            yield batch

    async def control(self) -> AsyncIterator[InputRecord]:
        for file in self._bundle.files("control").values():
            for one in self._bundle.records(file):
                yield one
