"""A snapshot: what each partition remembered behind one entry of its chain, as files.

    state-0.ndjson   {"offset":0,"key":"k:a.example","value":"[…]"}   the records of `dry.state`, by name
    entry-0.json     the entry they were written with, byte for byte
    manifest.json    what should be there, and the SHA-256 of each file and of itself

Workers may be at work while it is made: state and entry are written in one transaction, and the head of the state sums
up its records. What was read while the log was compacted under our hands does not sum up, and is read again.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from sidechain.agents.bundle_files import PartFile, read, written
from sidechain.agents.known_policies import policies_in_state
from sidechain.agents.lane.layout import LAYOUT_KEY
from sidechain.agents.problems import AnswerIsNo, UsageProblem
from sidechain.agents.proof import Topics
from sidechain.agents.reader import Reader
from sidechain.agents.verify_files import lines_of
from sidechain.agents.whole_folder import whole_folder
from sidechain.models.dry import Fold, Line, StateMismatch
from sidechain.models.dry.head import Head
from sidechain.models.dry.replay import InputOf, Replayer
from sidechain.models.dry.state import HEAD_KEY, POLICY_PREFIX
from sidechain.models.list_rows import ListRows
from sidechain.models.pack_file import load
from sidechain.models.policy import Policy

MANIFEST: Final = "manifest.json"
VERSION: Final = 1
SEAL: Final = 78  # bytes of `,"sha256":"<64 hex>"}` and the end of the line, with which the manifest ends
TRIES: Final = 20
PAUSE_S: Final = 0.25  # a state may be visible a moment before its entry is
WIDTH: Final = 1_024  # offsets of the chain looked at first; wider each time the entry is not among them
WIDER: Final = 16

State = dict[bytes, bytes]
Told = Callable[[int], None]


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a snapshot."""

    name: str
    records: int
    sha256: str


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where one partition stood."""

    partition: int
    seq: int
    epoch: int
    hash: str
    offset: int  # of the entry on dry.decisions
    policy: str
    state: File
    entry: File


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot consists of."""

    v: int
    topics: dict[str, str]  # logical name -> the topic it was read from
    partitions: list[Place]


@dataclass(frozen=True)
class Standing:
    """One partition of a snapshot, to go on from."""

    place: Place
    entry: bytes
    state: State

    def replayer(self, input_of: InputOf, rows: ListRows, given: Sequence[Policy] = ()) -> Replayer:
        """A replay that goes on behind the entry, with the lists that were in force there.

        Raises `AnswerIsNo` when the state does not belong to it.
        """
        known = {one.ref: one for one in (*given, *policies_in_state(self.state))}
        try:
            policy, tables = known[self.place.policy], rows.standing(self.state)
            fold = Fold.restore(self.place.partition, self.entry, self.state.items(), policy, tables)
        except KeyError:
            raise UsageProblem(
                f"the snapshot holds no text of {self.place.policy}; name its file with --policy"
            ) from None
        except StateMismatch as fault:
            raise AnswerIsNo(f"this is no snapshot that was made here: {fault}") from None
        return Replayer.behind(
            fold, input_of, load=lambda text: load(text, name="control"), known=known.values(), rows=rows.of
        )


class Snapshot:
    """The folder a snapshot is in."""

    def __init__(self, folder: Path) -> None:
        """Raises `UsageProblem` for a folder that is none, `AnswerIsNo` for one that was altered."""
        self.folder = folder
        try:
            content = (folder / MANIFEST).read_bytes()
        except OSError as error:
            raise UsageProblem(f"{folder} is no snapshot: {MANIFEST} cannot be read: {error.strerror}") from None
        if _sealed(content[:-SEAL]) != content:
            raise AnswerIsNo(f"{MANIFEST} of {folder} is not what was written: its SHA-256 is another")
        self.manifest = msgspec.json.decode(content, type=Manifest)
        if self.manifest.v != VERSION:
            raise UsageProblem(f"{folder} is a snapshot of version {self.manifest.v}; {VERSION} is known here")

    def standings(self, partitions: Collection[int]) -> Iterator[Standing]:
        """Each partition, its files checked. Raises `UsageProblem` for one that is not among `partitions`."""
        for place in self.manifest.partitions:
            if place.partition not in partitions:
                raise UsageProblem(f"{self.folder} is of another chain: there is no partition {place.partition} here")
            entry = self._content(place.entry).removesuffix(b"\n")
            self._content(place.state)
            lines = (read(line) for line in lines_of(self.folder / place.state.name))
            yield Standing(place, entry, {one.key or b"": one.value or b"" for one in lines})

    def _content(self, file: File) -> bytes:
        try:
            content = (self.folder / file.name).read_bytes()
        except OSError as error:
            raise UsageProblem(f"{self.folder / file.name} cannot be read: {error.strerror}") from None
        if (digest := sha256(content).hexdigest()) != file.sha256:
            raise AnswerIsNo(f"{file.name} is not the file that was written: its SHA-256 is {digest[:16]}…")
        return content


async def snapshot(topics: Topics, given: Policy, target: Path, told: Told) -> Manifest:
    """Write what the partitions remember now into the folder `target`, which must not be there yet.

    Raises `AnswerIsNo` when a state and its chain do not belong together.
    """
    states, entries = await topics.reader("dry.state"), await topics.reader("dry.decisions")
    policies = await topics.policies(given)
    with whole_folder(target) as folder:
        places = []
        for partition in await entries.partitions():
            place = await _write(states, entries, partition, policies, folder, told)
            if place is not None:
                places.append(place)
        if not places:
            raise UsageProblem(f"no partition of {entries.topic} has an entry; there is nothing to keep")
        read_from = {"dry.state": states.topic, "dry.decisions": entries.topic}
        manifest = Manifest(v=VERSION, topics=read_from, partitions=places)
        with closing(PartFile(folder, MANIFEST)) as file:
            file.write(_sealed(msgspec.json.encode(manifest)[:-1]))
            file.finish("policy", 0)
    return manifest


async def _write(
    states: Reader, entries: Reader, partition: int, policies: dict[str, Policy], folder: Path, told: Told
) -> Place | None:
    found = await _consistent(states, entries, partition, policies, told)
    if found is None:
        return None
    head, offset, entry, state = found
    with closing(PartFile(folder, f"state-{partition}.ndjson")) as file:
        for number, name in enumerate(sorted(state)):
            file.write(written(Line(number, name, state[name])) + b"\n")
        of_state = file.finish("policy", partition)
    with closing(PartFile(folder, f"entry-{partition}.json")) as file:
        file.write(entry + b"\n")
        of_entry = file.finish("policy", partition)
    return Place(
        partition=partition,
        seq=head.seq,
        epoch=head.epoch,
        hash=head.hash,
        offset=offset,
        policy=head.policy,
        state=File(name=of_state.name, records=of_state.records, sha256=of_state.sha256),
        entry=File(name=of_entry.name, records=1, sha256=of_entry.sha256),
    )


async def _consistent(
    states: Reader, entries: Reader, partition: int, policies: dict[str, Policy], told: Told
) -> tuple[Head, int, bytes, State] | None:
    """A state, its head, and the entry it was written with; None where no chain has begun."""
    problem = ""
    for _ in range(TRIES):
        state = await _state(states, partition, told)
        if HEAD_KEY not in state:
            return None
        try:
            head = msgspec.json.decode(state[HEAD_KEY], type=Head)
            known = {**policies, **{one.ref: one for one in policies_in_state(state)}}
            if head.policy not in known:
                raise UsageProblem(f"partition {partition} is under {head.policy}, and nobody has its text")
            if (found := await _entry(entries, partition, head)) is not None:
                Fold.restore(partition, found[1], state.items(), known[head.policy])
                policy = known[head.policy]
                state.setdefault(POLICY_PREFIX + policy.digest.encode(), policy.text.encode())
                return head, *found, state
            problem = f"entry {head.seq} ({head.hash[:12]}), which its state names, is not in {entries.topic}"
        except (StateMismatch, ValueError) as fault:  # compacted while we read; or it is wrong, and stays so
            problem = str(fault)
        await asyncio.sleep(PAUSE_S)
    raise AnswerIsNo(f"partition {partition}: state and chain do not belong together: {problem}")


async def _state(reader: Reader, partition: int, told: Told) -> State:
    state: State = {}
    async for records in reader.to_end([partition]):
        for one in records:
            if one.value is None:
                state.pop(one.key, None)
            else:
                state[one.key] = one.value
        told(len(records))
    state.pop(LAYOUT_KEY, None)
    return state


async def _entry(reader: Reader, partition: int, head: Head) -> tuple[int, bytes] | None:
    """The entry a head names, and its offset; looked for from the end of the chain on."""
    end = (await reader.ends([partition]))[partition]
    seal = b',"hash":"%b"}' % head.hash.encode()
    width = WIDTH
    while True:
        start = max(0, end - width)
        async for records in reader.to_end([partition], start={partition: start}):
            for one in records:
                if one.value is not None and one.value.endswith(seal):
                    return one.offset, one.value
        if start == 0:
            return None
        width *= WIDER


def _sealed(body: bytes) -> bytes:
    """A manifest without its last brace, and the digest that ends it."""
    return b'%b,"sha256":"%b"}\n' % (body, sha256(body).hexdigest().encode())
