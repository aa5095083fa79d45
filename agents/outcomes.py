"""Sending outcomes to the partitions of the decisions they are about.

Where each goes, the first that is known:

    partition   what the line states
    key         where the event's key, as the line states it, leads
    the chain   where the decision of its id stands, looked up once for all lines of a file
    anywhere    else; the decider refuses it with the reason

A line is sent as it stands, also when it is no valid outcome: judging is the decider's work.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from sidechain.agents.produce import Keyed
from sidechain.agents.proof import Topics

SOUGHT_MAX: Final = 1_000_000  # ids looked up in one run: about 150 bytes each


class Stated(msgspec.Struct):
    """What a line says about where it belongs."""

    id: str
    at: int | None = None
    key: str | None = None
    partition: int | None = None

    @property
    def is_placed(self) -> bool:
        """Whether the line itself says where it belongs."""
        return self.partition is not None or self.key is not None


_stated: Final = msgspec.json.Decoder(Stated).decode


def read(line: bytes) -> Stated | None:
    """What a line says; None where it cannot be read."""
    try:
        return _stated(line)
    except (ValueError, RecursionError):
        return None


def sought(lines: Iterable[bytes]) -> set[str]:
    """The ids of lines that do not say where they belong; the first SOUGHT_MAX of them."""
    found: set[str] = set()
    for line in lines:
        told = read(line)
        if told is not None and not told.is_placed and len(found) < SOUGHT_MAX:
            found.add(told.id)
    return found


class Router:
    """Gives each line its key and partition."""

    def __init__(self, partitions: int, decided: Mapping[str, int]) -> None:
        """`partitions`: how many there are. `decided`: id -> partition, as looked up."""
        self.unplaced = 0  # lines that go anywhere
        self._partitions = partitions
        self._decided = decided

    def keyed(self, lines: Iterable[bytes]) -> Iterator[Keyed]:
        """The lines, to be sent."""
        for line in lines:
            told = read(line)
            partition = None if told is None else told.partition
            if told is not None and not told.is_placed:
                partition = self._decided.get(told.id)
            if partition is not None and not 0 <= partition < self._partitions:
                partition = None
            key = told.key.encode() if told is not None and told.key is not None else None
            self.unplaced += partition is None and key is None
            yield Keyed(key, line, None if told is None else told.at, partition)


class _Decided(msgspec.Struct):
    kind: str
    id: str | None = None


_decided: Final = msgspec.json.Decoder(_Decided).decode


async def look_up(topics: Topics, ids: set[str], told: Callable[[int], None]) -> dict[str, int]:
    """The partition of the last decision of each of these ids; ids nobody decided are missing from the answer."""
    found: dict[str, int] = {}
    if not ids:
        return found
    reader = await topics.reader("dry.decisions")
    for partition in await reader.partitions():
        async for records in reader.to_end([partition]):
            for one in records:
                try:
                    entry = _decided(one.value or b"")
                except (ValueError, RecursionError):  # none of ours: `verify` says so
                    continue
                if entry.kind == "decision" and entry.id in ids:
                    found[entry.id] = partition
            told(len(records))
    return found
