"""Chains with checkpoints as files, made without a broker: what an export holds, signed with the tests' keys."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from sidechain.agents.bundle_files import MANIFEST, MANIFEST_VERSIONS, Manifest, Part
from sidechain.models import Decider, samples
from sidechain.models.pack_file import load_pack
from sidechain.models.proof.checkpoint import Checkpoint, Origin
from sidechain.models.proof.ledger import Ledger
from sidechain.models.proof.note import Note, SigningKey, sign
from sidechain.topics.codec import encode
from sidechain.topics.dry import CheckpointRecord
from tests.proofs import OLD, ROOT, certificate

POLICY = load_pack("web")
EVENTS = samples.events(POLICY)[:120]
CERTIFICATE = certificate()


def chain(partition: int = 0, events: Sequence[bytes] = EVENTS) -> list[bytes]:
    """The entries of these events."""
    return list(Decider(POLICY, partition=partition).lines(events))


def stated(lines: Sequence[bytes], size: int, origin: Origin, **other: Any) -> Checkpoint:
    """What a worker signs of the first `size` entries."""
    ledger = Ledger()
    ledger.extend(lines[:size])
    right = ledger.checkpoint(origin)
    fields = {"origin": origin, "size": size, "root": right.root, "head": right.head, "totals": right.totals}
    return Checkpoint(**{**fields, **other})


def note(
    lines: Sequence[bytes], size: int, partition: int = 0, *, signer: SigningKey = OLD, log: str = "web", **other: Any
) -> Note:
    """A signed checkpoint of epoch 0."""
    return sign(stated(lines, size, Origin(log, partition, 0), **other).text(), [signer])


def record(signed: Note, certified: Note = CERTIFICATE) -> bytes:
    """A record of `dry.checkpoints`."""
    return encode(CheckpointRecord(note=str(signed), peaks=(), certificate=str(certified)))


def ndjson(lines: Iterable[bytes]) -> bytes:
    return b"".join(one + b"\n" for one in lines)


def root_file(folder: Path) -> Path:
    """The root's public key."""
    path = folder / "root.pub"
    path.write_text(f"{ROOT.verifier}\n", encoding="ascii")
    return path


def exported(folder: Path, chains: dict[int, list[bytes]], sizes: Sequence[int] = (40, 80, 110)) -> Path:
    """An export of these chains, with checkpoints of these sizes."""
    folder.mkdir()
    parts = []
    for partition, lines in chains.items():
        head = msgspec.json.decode(lines[-1])["hash"]
        parts.append(_part(folder, "decisions", partition, lines, head))
        records = [record(note(lines, size, partition)) for size in sizes]
        parts.append(_part(folder, "checkpoints", partition, records, None))
    manifest = Manifest(v=MANIFEST_VERSIONS[-1], policy=POLICY.ref, topics={}, files=parts, log="web")
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return folder


def _part(folder: Path, kind: Any, partition: int, lines: list[bytes], head: str | None) -> Part:
    data = ndjson(lines)
    name = f"{kind}-{partition}.ndjson"
    (folder / name).write_bytes(data)
    return Part(
        name=name,
        kind=kind,
        partition=partition,
        records=len(lines),
        first=0,
        last=len(lines) - 1,
        head=head,
        bytes=len(data),
        sha256=sha256(data).hexdigest(),
    )
