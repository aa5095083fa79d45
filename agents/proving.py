"""Making proofs out of a log: two passes over its entries, and a few hashes in memory for each proof.

The first pass finds the entries and the checkpoints over them, the second the paths. Both are over a fixed part of the
log, so a running decider disturbs neither. What is written has been checked against the signed root before.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from sidechain.agents.chain_sources import ChainSource
from sidechain.agents.checkpoints import read_record
from sidechain.agents.problems import AnswerIsNo
from sidechain.models.dry.entry import is_epoch
from sidechain.models.proof import bundle
from sidechain.models.proof import certificate as certificates
from sidechain.models.proof import checkpoint as checkpoints
from sidechain.models.proof import note as notes
from sidechain.models.proof.bundle import Consistency, Inclusion
from sidechain.models.proof.checkpoint import Checkpoint
from sidechain.models.proof.merkle import leaves_of
from sidechain.models.proof.note import Malformed, Note
from sidechain.models.proof.paths import Paths, Prover

MAX_ENTRIES: Final = 10_000  # of one id; more are no proof anybody reads


class Wanted(NamedTuple):
    """Which entries are to be proved: those that name an event id, or the one at a place."""

    id: str | None = None
    partition: int | None = None
    seq: int | None = None
    epoch: int | None = None


@dataclass(frozen=True)
class Found:
    """An entry, and where it stands."""

    partition: int
    epoch: int
    index: int
    line: bytes


@dataclass
class Signed:
    """What was signed of one epoch of one chain."""

    note: Note
    checkpoint: Checkpoint
    certificates: dict[str, Note] = field(default_factory=dict)

    def of(self, *signed: Note) -> list[Note]:
        """The certificates of the keys that signed these notes."""
        names = {(one.name, one.key_id) for note in signed for one in note.signatures}
        return [one for one in self.certificates.values() if _certified(one) in names]


async def inclusions(source: ChainSource, wanted: Wanted, given: Note | None, more: Sequence[Note]) -> list[Inclusion]:
    """A document for every entry that is wanted, under its chain's latest checkpoint or under the one `given`.

    `more`: certificates beside those in the log. Raises `AnswerIsNo`.
    """
    signed = {one: await latest(source, one) for one in await _partitions(source, wanted)}
    found = [one async for one in _entries(source, wanted, sorted(signed))]
    if not found:
        raise AnswerIsNo(f"no entry {_said(wanted)}; inputs without a readable id are in the dead letters")
    documents = []
    for chain in sorted({(one.partition, one.epoch) for one in found}):
        entries = [one for one in found if (one.partition, one.epoch) == chain]
        over = _covering(signed[chain[0]].get(chain[1]), entries, given, more)
        if over is None:
            continue
        entries = [one for one in entries if one.index < over.checkpoint.size]
        paths = await _paths(source, over.checkpoint, inclusion=[one.index for one in entries])
        made = over.of(over.note)
        documents += [bundle.inclusion(e.line, e.index, paths.inclusion[e.index], over.note, made) for e in entries]
    if not documents:
        raise AnswerIsNo(_not_covered(found, signed, given))
    return documents


async def consistency(source: ChainSource, old: Note, new: Note | None, more: Sequence[Note]) -> Consistency:
    """The proof that the latest checkpoint of the chain, or `new`, continues `old`. Raises `AnswerIsNo`."""
    before = checkpoints.parse(old.text)
    partition, epoch = before.origin.partition, before.origin.epoch
    signed = (await latest(source, partition)).get(epoch) if partition in await source.partitions() else None
    if signed is None or signed.checkpoint.origin != before.origin:
        raise AnswerIsNo(f"there is no checkpoint of {before.origin} here")
    over = _over(signed, new, more)
    after = over.checkpoint
    if after.origin != before.origin:
        raise AnswerIsNo(f"two chains: {before.origin} and {after.origin}")
    if before.size > after.size:
        raise AnswerIsNo(f"the older checkpoint has size {before.size}, the newer one {after.size}")
    paths = await _paths(source, after, consistency=[before.size])
    return bundle.consistency(old, over.note, paths.consistency[before.size], over.of(old, over.note))


async def latest(source: ChainSource, partition: int) -> dict[int, Signed]:
    """By epoch, the largest that was signed, with every certificate beside one. Nothing is believed by it.

    Raises `AnswerIsNo` for a record that is no checkpoint.
    """
    found: dict[int, Signed] = {}
    given: dict[str, Note] = {}
    async for value in source.checkpoints(partition):
        try:
            record = read_record(value)
            note = notes.parse(record.note, "its note")
            stated = checkpoints.parse(note.text)
            if record.certificate not in given:
                given[record.certificate] = notes.parse(record.certificate, "the certificate beside it")
        except ValueError as fault:
            problem = f"a record of dry.checkpoints, partition {partition}, is no checkpoint: {fault}"
            raise AnswerIsNo(problem) from None
        epoch = stated.origin.epoch
        if epoch not in found or stated.size > found[epoch].checkpoint.size:
            found[epoch] = Signed(note, stated, given)
    return found


async def _partitions(source: ChainSource, wanted: Wanted) -> list[int]:
    there = await source.partitions()
    if wanted.partition is None:
        return there
    if wanted.partition not in there:
        raise AnswerIsNo(f"there is no partition {wanted.partition} here")
    return [wanted.partition]


async def _entries(source: ChainSource, wanted: Wanted, partitions: Iterable[int]) -> AsyncIterator[Found]:
    count = 0
    needle = b"" if wanted.id is None else b'"id":' + msgspec.json.encode(wanted.id)
    for partition in partitions:
        epoch, index = 0, 0
        async for lines in source.entries(partition):
            for line in lines:
                if is_epoch(line):
                    epoch, index = _epoch(line), 0
                if wanted.epoch in (None, epoch) and _is_wanted(line, index, wanted, needle):
                    count += 1
                    if count > MAX_ENTRIES:
                        raise AnswerIsNo(f"more than {MAX_ENTRIES:,} entries name {wanted.id}; name one with --seq")
                    yield Found(partition, epoch, index, line)
                index += 1


class _Named(msgspec.Struct):
    id: str | None = None


class _Begun(msgspec.Struct):
    epoch: int


def _epoch(line: bytes) -> int:
    return msgspec.json.decode(line, type=_Begun).epoch


def _is_wanted(line: bytes, index: int, wanted: Wanted, needle: bytes) -> bool:
    if wanted.id is None:
        return index == wanted.seq
    if needle not in line:
        return False
    try:
        return msgspec.json.decode(line, type=_Named).id == wanted.id
    except (ValueError, RecursionError):
        return False


async def _paths(
    source: ChainSource, over: Checkpoint, *, inclusion: Sequence[int] = (), consistency: Sequence[int] = ()
) -> Paths:
    """The paths to a checkpoint's root, which the log's entries must come to."""
    prover = Prover(over.size, inclusion=inclusion, consistency=consistency)
    epoch = 0
    async for lines in source.entries(over.origin.partition):
        mine = []
        for line in lines:
            if is_epoch(line):
                epoch = _epoch(line)
            if epoch == over.origin.epoch:
                mine.append(line)
        try:
            prover.take(leaves_of(mine))
        except ValueError:
            raise _another(over) from None
        if not prover.missing:
            break
    if prover.missing or (paths := prover.paths()).root != over.root:
        raise _another(over)
    return paths


def _another(over: Checkpoint) -> AnswerIsNo:
    return AnswerIsNo(
        f"nothing can be proved: the entries here are not those that were signed as {over.origin} at size {over.size}; "
        "`sidechain verify` says where they differ"
    )


def _covering(signed: Signed | None, entries: list[Found], given: Note | None, more: Sequence[Note]) -> Signed | None:
    """The checkpoint to prove these entries under, if it covers one of them."""
    if signed is None:
        return None
    over = _over(signed, given, more)
    at = over.checkpoint.origin.partition, over.checkpoint.origin.epoch
    is_theirs = at == (entries[0].partition, entries[0].epoch)
    return over if is_theirs and any(one.index < over.checkpoint.size for one in entries) else None


def _over(signed: Signed, given: Note | None, more: Sequence[Note]) -> Signed:
    known = {**signed.certificates, **{str(one): one for one in more}}
    if given is None:
        return Signed(signed.note, signed.checkpoint, known)
    return Signed(given, checkpoints.parse(given.text), known)


def _certified(certificate: Note) -> tuple[str, bytes] | None:
    """Name and id of the key a certificate is for."""
    try:
        key = certificates.parse(certificate.text).key
    except Malformed:
        return None
    return key.name, key.id


def _said(wanted: Wanted) -> str:
    if wanted.id is not None:
        return f"names {wanted.id}"
    return f"has seq {wanted.seq} in partition {wanted.partition}"


def _not_covered(found: list[Found], signed: dict[int, dict[int, Signed]], given: Note | None) -> str:
    one = found[0]
    place = f"entry {one.index} of partition {one.partition}" + (f", epoch {one.epoch}" if one.epoch else "")
    if given is not None:
        stated = checkpoints.parse(given.text)
        return f"the checkpoint given is of {stated.origin} at size {stated.size}, which does not cover {place}"
    last = signed[one.partition].get(one.epoch)
    if last is None:
        return f"nothing was signed of {place}: the workers have no checkpoint key, or have not signed yet"
    return f"{place} is not signed yet: the last checkpoint has size {last.checkpoint.size}; ask again in a moment"
