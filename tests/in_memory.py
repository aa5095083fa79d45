"""An installation's topics as lists of records: for what reads topics and needs no broker to be tested."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from sidechain.agents.proof import Topics
from sidechain.models.dry import Line


class _Reader:
    """The records of one topic."""

    def __init__(self, topic: str, held: Mapping[int, Sequence[Line]]) -> None:
        self.topic = topic
        self._held = held

    async def exists(self) -> bool:
        return bool(self._held)

    async def partitions(self) -> list[int]:
        return sorted(self._held)

    async def to_end(
        self, partitions: Sequence[int], *, start: Mapping[int, int] | None = None
    ) -> AsyncIterator[Sequence[Line]]:
        for one in partitions:
            if found := [record for record in self._held[one] if record.offset >= (start or {}).get(one, 0)]:
                yield found


class MemoryTopics(Topics):
    """Topics by logical name and partition; one that is not named does not exist."""

    def __init__(self, held: Mapping[str, Mapping[int, Sequence[Line]]]) -> None:
        self._held = held

    async def reader(self, topic: str) -> Any:
        return _Reader(topic, self._held.get(topic, {}))
