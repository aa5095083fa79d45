"""Writing a running system's chains to files that can be verified, and replayed, without it.

Entries are read first and events after them, so the input of every exported entry is there unless it has expired.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, Literal

import msgspec

from sidechain.agents.bundle_files import MANIFEST, MANIFEST_VERSIONS, Kind, Manifest, Part, PartFile, written
from sidechain.agents.known_policies import policies_of
from sidechain.agents.proof import Topics
from sidechain.agents.reader import Reader
from sidechain.agents.whole_folder import whole_folder
from sidechain.models.dry.entry import TOPICS, body_and_hash
from sidechain.models.policy import Policy

# The version of an export is the lowest that can say what is in it, so that earlier releases read it too.
WITHOUT_FOREIGN: Final = 2
WITHOUT_OUTCOMES: Final = 3
WITHOUT_TRANSFERS: Final = 4

Told = Callable[[int], None]  # told how many records were written since the last call


async def export(
    topics: Topics, given: Policy, target: Path, told: Told, *, with_events: bool, log: str | None = None
) -> Manifest:
    """Write what the topics hold now into the folder `target`, which must not be there yet."""
    with whole_folder(target) as folder:
        entries, signed = await topics.reader("dry.decisions"), await topics.reader("dry.checkpoints")
        read = {"dry.decisions": entries.topic}
        parts = []
        if await signed.exists():  # before the entries: what is signed by now is in the log by then
            read["dry.checkpoints"] = signed.topic
            parts = [await _checkpoints(signed, one, folder, told) for one in await signed.partitions()]
        cited: set[str] = set()
        parts += [await _decisions(entries, one, folder, told, cited) for one in await entries.partitions()]
        if with_events:
            events, control = await topics.reader("events"), await topics.reader("control")
            read |= {"events": events.topic, "control": control.topic}
            numbers = await events.partitions()
            parts += [await _records(events, one, folder, f"events-{one}.ndjson", "events", told) for one in numbers]
            parts += await _beside(topics, "outcomes", folder, told, read)
            parts += await _beside(topics, "transfers", folder, told, read)
            parts.append(await _records(control, 0, folder, "control.ndjson", "control", told))
        parts.append(_content(folder, "policy.yaml", given.text.encode("utf-8")))
        known = await topics.policies(given, cited)
        found = [known[one] for one in sorted(cited) if one in known]
        parts += [_content(folder, f"policy-{one.digest[:12]}.yaml", one.text.encode("utf-8")) for one in found]
        manifest = Manifest(
            v=_version(parts),
            policy=given.ref,
            topics=read,
            files=parts,
            log=log,
            lacking=sorted(cited - known.keys()),
        )
        _content(folder, MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return manifest


async def _beside(
    topics: Topics, kind: Literal["outcomes", "transfers"], folder: Path, told: Told, read: dict[str, str]
) -> list[Part]:
    """An input that not every chain has: the partitions that hold something of it. Adds its topic to `read`."""
    logical = TOPICS[kind]
    reader = await topics.reader(logical)
    if not await reader.exists():
        return []
    ends = await reader.ends(await reader.partitions())
    held = [one for one, end in ends.items() if end]
    if held or kind == "outcomes":
        read[logical] = reader.topic
    return [await _records(reader, one, folder, f"{kind}-{one}.ndjson", kind, told) for one in held]


async def _decisions(reader: Reader, partition: int, folder: Path, told: Told, cited: set[str]) -> Part:
    """The entries as they stand; whether they are right is for `verify` to say. Adds the policies they cite."""
    first = last = head = None
    with closing(PartFile(folder, f"decisions-{partition}.ndjson")) as file:
        async for records in reader.to_end([partition]):
            for one in records:
                split = body_and_hash(one.value or b"")
                file.keep(one.value, in_form=split is not None)
                if split is not None:
                    cited.update(policies_of(one.value))
                    first, last, head = one.value if first is None else first, one.value, split[1]
            told(len(records))
        return file.finish("decisions", partition, _seq(first), _seq(last), head)


async def _checkpoints(reader: Reader, partition: int, folder: Path, told: Told) -> Part:
    """The records' values as they stand; whether they are right is for `verify` to say."""
    first = last = None
    with closing(PartFile(folder, f"checkpoints-{partition}.ndjson")) as file:
        async for records in reader.to_end([partition]):
            for one in records:
                file.keep(one.value, in_form=True)
            first, last = records[0].offset if first is None else first, records[-1].offset
            told(len(records))
        return file.finish("checkpoints", partition, first, last)


async def _records(reader: Reader, partition: int, folder: Path, name: str, kind: Kind, told: Told) -> Part:
    first = last = None
    with closing(PartFile(folder, name)) as file:
        async for records in reader.to_end([partition]):
            for one in records:
                file.write(written(one) + b"\n")
            first, last = records[0].offset if first is None else first, records[-1].offset
            told(len(records))
        return file.finish(kind, partition, first, last)


def _version(parts: Sequence[Part]) -> int:
    kinds = {one.kind for one in parts}
    if "transfers" in kinds:
        return MANIFEST_VERSIONS[-1]
    if "outcomes" in kinds:
        return WITHOUT_TRANSFERS
    return WITHOUT_OUTCOMES if any(one.foreign for one in parts) else WITHOUT_FOREIGN


def _content(folder: Path, name: str, content: bytes) -> Part:
    with closing(PartFile(folder, name)) as file:
        file.write(content)
        return file.finish("policy", 0)


class _Numbered(msgspec.Struct):
    seq: int


def _seq(entry: bytes | None) -> int | None:
    if entry is None:
        return None
    try:
        return msgspec.json.decode(entry, type=_Numbered).seq
    except (ValueError, RecursionError):  # sealed, but by somebody else
        return None
