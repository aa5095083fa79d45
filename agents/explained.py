"""Finding what an explanation needs: the entries that name an id, their policies, and the events they were made of."""

from collections.abc import Iterable
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from sidechain.agents.problems import UsageProblem
from sidechain.agents.proof import Topics
from sidechain.agents.settings import Config
from sidechain.agents.verify_files import lines_of
from sidechain.models.policy import Policy


class Found(NamedTuple):
    """Sealed entries, the event of each where it is still there, and every policy known by reference."""

    entries: list[bytes]
    events: dict[bytes, bytes]
    policies: dict[str, Policy]


async def find(config: Config, identifier: str, given: Policy) -> Found:
    """Everything about one id that the topics hold. `given`: the policy of the workers."""
    async with Topics.of(config) as topics:
        found = [(line, partition) async for line, partition in topics.entries_of(identifier)]
        read = [(line, _Made.of(line)) for line, _ in found]
        policies = await topics.policies(given, [one.policy for _, one in read])
        events: dict[bytes, bytes] = {}
        for line, made in read:
            value = await _event(topics, made)
            if value is not None:
                events[line] = value
        return Found([line for line, _ in found], events, policies)


def events_of_file(entries: Iterable[bytes], path: Path) -> dict[bytes, bytes]:
    """The events of some entries in a file that holds one a line. Raises `UsageProblem` when it holds others."""
    wanted = {
        made.source[2]: line for line in entries if (made := _Made.of(line)).source and made.source[0] == "events"
    }
    if not wanted:
        return {}
    found = {}
    for at, value in enumerate(islice(lines_of(path), max(wanted) + 1)):
        if (line := wanted.get(at)) is None:
            continue
        if sha256(value).hexdigest() != _Made.of(line).digest:
            raise UsageProblem(f"{path}: event {at:,} is not the one the entry was made of, by its SHA-256")
        found[line] = value
    return found


class _Made(msgspec.Struct):
    """What an entry says of its input."""

    policy: str
    source: tuple[str, int, int] | None
    digest: str | None

    @classmethod
    def of(cls, line: bytes) -> "_Made":
        return msgspec.json.decode(line, type=cls)


async def _event(topics: Topics, made: _Made) -> bytes | None:
    """The event an entry was made of; None where it is no longer there, or another stands in its place."""
    if made.source is None or made.source[0] != "events":
        return None
    _, partition, offset = made.source
    reader = await topics.reader("events")
    async for records in reader.to_end([partition], start={partition: offset}):
        first = records[0]
        value: bytes = first.value or b""
        return value if first.offset == offset and sha256(value).hexdigest() == made.digest else None
    return None
