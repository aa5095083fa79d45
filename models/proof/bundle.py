"""One file that proves something to a stranger who has the root's public key and nothing else.

    {"kind":"inclusion","v":1,"entry":"{\\"v\\":1,\\"seq\\":41,…}","index":41,"size":100,"path":["<base64>",…],
     "checkpoint":"sidechain/web/3/epoch-0\\n100\\n…","certificates":["sidechain/key-certificate/v1\\n…"]}

    {"kind":"consistency","v":1,"old":"<note>","new":"<note>","path":["<base64>",…],"certificates":[…]}

An inclusion proves: this entry, to the byte, stands at this place of the history the checkpoint covers, and a key the
root certified signed that history. A consistency proves: the newer checkpoint's history begins with all of the older
one's. Neither proves that an entry is right, that nothing else happened, or that everybody is shown the same history:
for that, compare the checkpoint with one that somebody else holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Final, Literal, NamedTuple

import msgspec

from sidechain.models.dry.entry import CO_PARTITIONED, body_and_hash
from sidechain.models.proof import certificate as certificates
from sidechain.models.proof import checkpoint as checkpoints
from sidechain.models.proof.certificate import Certificate, Certified
from sidechain.models.proof.checkpoint import Checkpoint
from sidechain.models.proof.merkle import extends, includes
from sidechain.models.proof.note import Malformed, Note, NotProved, VerifierKey, from_base64, parse, to_base64

WHAT: Final = "proof"
MAX_BYTES: Final = 8 * 1024 * 1024
MAX_CERTIFICATES: Final = 256


class Inclusion(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="inclusion", forbid_unknown_fields=True
):
    """One entry, and the way from it to a signed root."""

    v: Literal[1] = 1
    entry: str  # the sealed bytes as they stand on the topic
    index: int  # its place in the chain, from 0
    size: int  # the checkpoint's
    path: tuple[str, ...]  # base64, the entry's own neighbour first
    checkpoint: str
    certificates: tuple[str, ...]


class Consistency(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="consistency", forbid_unknown_fields=True
):
    """Two checkpoints of one chain, and the way from one root to the other."""

    v: Literal[1] = 1
    old: str
    new: str
    path: tuple[str, ...]
    certificates: tuple[str, ...]


Document = Inclusion | Consistency


@dataclass(frozen=True, slots=True)
class Included:
    """What an inclusion proved."""

    entry: bytes
    index: int
    checkpoint: Checkpoint
    certificate: Certificate


class Extended(NamedTuple):
    """What a consistency proved; each checkpoint with the certificate of the key that signed it."""

    old: Certified
    new: Certified


def inclusion(entry: bytes, index: int, path: Sequence[bytes], checkpoint: Note, given: Sequence[Note]) -> Inclusion:
    """The document that proves `entry`. `path` is of the checkpoint's tree. Raises Malformed, checks nothing else."""
    size = checkpoints.parse(checkpoint.text).size
    try:
        text = entry.decode()
    except UnicodeError:
        raise Malformed(WHAT, "the entry is not UTF-8") from None
    return Inclusion(
        entry=text,
        index=index,
        size=size,
        path=_written(path),
        checkpoint=str(checkpoint),
        certificates=tuple(map(str, given)),
    )


def consistency(old: Note, new: Note, path: Sequence[bytes], given: Sequence[Note]) -> Consistency:
    """The document that proves that `new` continues `old`. Checks nothing."""
    return Consistency(old=str(old), new=str(new), path=_written(path), certificates=tuple(map(str, given)))


def encode(document: Document) -> bytes:
    """The document as a file holds it: one line of JSON."""
    return msgspec.json.encode(document) + b"\n"


def decode(data: bytes) -> Document:
    """Read a document; nothing is proved by it yet. Raises Malformed."""
    if len(data) > MAX_BYTES:
        raise Malformed(WHAT, f"longer than {MAX_BYTES:,} bytes")
    try:
        document: Document = msgspec.json.decode(data, type=Document)
    except (ValueError, RecursionError) as error:
        raise Malformed(WHAT, f"not a document of this form ({error})") from None
    if len(document.certificates) > MAX_CERTIFICATES:
        raise Malformed(WHAT, f"more than {MAX_CERTIFICATES} certificates")
    return document


def verify_bundle(data: bytes | Document, root_key: VerifierKey, *, on: date | None = None) -> Included | Extended:
    """What the document proves to the holder of the root's public key.

    `on`: the day to hold the certificates' dates against; None: they are not looked at. Raises NotProved with the
    reason, Malformed when it is no such document.
    """
    document = decode(data) if isinstance(data, bytes) else data
    if isinstance(document, Inclusion):
        return verify_inclusion(document, root_key, on=on)
    return verify_consistency(document, root_key, on=on)


def verify_inclusion(document: Inclusion, root_key: VerifierKey, *, on: date | None = None) -> Included:
    """That the entry stands in the history its checkpoint covers. Raises NotProved, Malformed."""
    entry = document.entry.encode()
    hashed = _sealed(entry)
    certified = certificates.verify(parse(document.checkpoint, "checkpoint"), _certificates(document), root_key, on=on)
    checkpoint = certified.checkpoint
    if document.size != checkpoint.size:
        raise NotProved(f"the document states size {document.size}, its checkpoint {checkpoint.size}")
    _check_place(entry, document.index, checkpoint)
    if not includes(checkpoint.root, checkpoint.size, hashed, document.index, _path(document)):
        raise NotProved(
            f"the path does not lead from this entry at {document.index} to the root of {checkpoint.origin} at size "
            f"{checkpoint.size}: the entry, its place or the path is not of this history"
        )
    if checkpoint.head is not None and document.index == checkpoint.size - 1 and checkpoint.head != hashed.hex():
        raise NotProved("the checkpoint names another head than the entry that stands last in its tree")
    return Included(entry, document.index, checkpoint, certified.certificate)


def verify_consistency(
    document: Consistency, root_key: VerifierKey, *, held: Note | None = None, on: date | None = None
) -> Extended:
    """That the newer checkpoint's history begins with the older one's.

    `held`: the checkpoint the caller kept, which must be the older one. Raises NotProved, Malformed.
    """
    given = _certificates(document)
    old_note = parse(document.old, "older checkpoint")
    if held is not None and held.text != old_note.text:
        raise NotProved(f"the older checkpoint is not the one you hold ({held.origin}, {old_note.origin})")
    old = certificates.verify(old_note, given, root_key, on=on)
    new = certificates.verify(parse(document.new, "newer checkpoint"), given, root_key, on=on)
    _check_order(old.checkpoint, new.checkpoint)
    if not extends(old.checkpoint.root, old.checkpoint.size, new.checkpoint.root, new.checkpoint.size, _path(document)):
        raise NotProved(
            f"the path does not lead from size {old.checkpoint.size} to size {new.checkpoint.size} of "
            f"{new.checkpoint.origin}: it is wrong, or the history was changed in between"
        )
    return Extended(old, new)


class _Opening(msgspec.Struct):
    seq: int
    source: tuple[str, int, int] | None = None


def _sealed(entry: bytes) -> bytes:
    """The entry's hash, which its bytes must come to."""
    split = body_and_hash(entry)
    if split is None:
        raise NotProved("the entry does not end with a seal")
    hashed = sha256(split[0]).digest()
    if hashed.hex() != split[1]:
        raise NotProved("the entry's bytes are not those that were sealed")
    return hashed


def _check_place(entry: bytes, index: int, checkpoint: Checkpoint) -> None:
    try:
        opening = msgspec.json.decode(entry, type=_Opening)
    except (ValueError, RecursionError):
        raise NotProved("the entry cannot be read as one") from None
    if opening.seq != index:
        raise NotProved(f"the entry states seq {opening.seq}, and index {index} of the tree is proved")
    # Events and outcomes lie on the chain's own partition; a control record, for one, is always of partition 0.
    partition = checkpoint.origin.partition
    if opening.source is not None and opening.source[0] in CO_PARTITIONED and opening.source[1] != partition:
        raise NotProved(f"the entry is of partition {opening.source[1]}, the checkpoint of {checkpoint.origin}")


def _check_order(old: Checkpoint, new: Checkpoint) -> None:
    if old.origin != new.origin:
        raise NotProved(f"two chains: {old.origin} and {new.origin}")
    if old.size > new.size:
        raise NotProved(f"the older checkpoint has size {old.size}, the newer one {new.size}")
    if old.size == new.size and old.root != new.root:
        raise NotProved(f"a fork: {old.origin} was signed at size {old.size} with two roots; keep both checkpoints")
    if old.size == new.size and None not in (old.head, new.head) and old.head != new.head:
        raise NotProved(f"{old.origin} was signed at size {old.size} with two heads; keep both checkpoints")
    for name, count in old.totals.items():
        if new.totals.get(name, count) < count:
            raise NotProved(
                f"{name} fell from {count} to {new.totals[name]} between the checkpoints: a count never falls"
            )


def _certificates(document: Document) -> list[Note]:
    return [parse(text, f"certificate {at}") for at, text in enumerate(document.certificates, 1)]


def _path(document: Document) -> list[bytes]:
    path = []
    for at, text in enumerate(document.path, 1):
        step = from_base64(text)
        if step is None:
            raise Malformed(WHAT, f"step {at} of the path is not base64")
        path.append(step)
    return path


def _written(path: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(map(to_base64, path))
