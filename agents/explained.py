"""Finding what an explanation needs: the entries that name an id, their policies, and the events they were made of."""

from collections.abc import Collection, Iterable
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from aiokafka.errors import TopicAuthorizationFailedError

from sidechain.agents.control_log import ControlLog
from sidechain.agents.problems import UsageProblem
from sidechain.agents.proof import Topics
from sidechain.agents.settings import Config
from sidechain.agents.verify_files import lines_of
from sidechain.models.dry.lists import read_activation
from sidechain.models.list_rows import ListRows
from sidechain.models.policy import Policy


class Found(NamedTuple):
    """Sealed entries, the event of each where it is still there, and every policy known by reference."""

    entries: list[bytes]
    events: dict[bytes, bytes]
    policies: dict[str, Policy]
    lists: dict[str, Collection[Any]]  # as entries cite them: `blocked@3:5d41402abc4b` -> the rows


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
        cited = {ref for _, one in read for ref in one.lists.values() if ref is not None}
        lists = _lists(await topics.control(), cited) if cited else {}
        return Found([line for line, _ in found], events, policies, lists)


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
    lists: dict[str, str | None] = {}

    @classmethod
    def of(cls, line: bytes) -> "_Made":
        return msgspec.json.decode(line, type=cls)


def _lists(control: ControlLog, cited: set[str]) -> dict[str, Collection[Any]]:
    """The rows of the lists that entries cite, where `control` still has them."""
    rows, found = ListRows(control), dict[str, Collection[Any]]()
    for offset, record in control.items():
        activation = read_activation(record.value)
        if activation is not None and activation.ref in cited and activation.ref not in found:
            table = rows.of(offset, activation)
            found |= {} if table is None else {activation.ref: table.rows}
    return found


async def _event(topics: Topics, made: _Made) -> bytes | None:
    """The event an entry was made of; None where it is no longer there, or is not for us to read."""
    if made.source is None or made.source[0] != "events":
        return None
    _, partition, offset = made.source
    reader = await topics.reader("events")
    try:
        if not await reader.exists():
            return None
        async for records in reader.to_end([partition], start={partition: offset}):
            first = records[0]
            value: bytes = first.value or b""
            return value if first.offset == offset and sha256(value).hexdigest() == made.digest else None
    except TopicAuthorizationFailedError:  # who may read decisions need not be one who may read events
        return None
    return None
