"""Signing checkpoints and reading what an earlier owner signed: the keys of one worker, the names of its chains."""

import logging
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import msgspec

from sidechain.agents.keys import read_note, read_private, read_public
from sidechain.agents.problems import UsageProblem
from sidechain.agents.settings import Config
from sidechain.models.proof import certificate as certificates
from sidechain.models.proof import note as notes
from sidechain.models.proof.certificate import Certificate
from sidechain.models.proof.checkpoint import Checkpoint, Origin
from sidechain.models.proof.ledger import Ledger
from sidechain.models.proof.merkle import EMPTY_ROOT
from sidechain.models.proof.note import Malformed, Note, NotProved, SigningKey, VerifierKey
from sidechain.topics.codec import encode
from sidechain.topics.dry import CheckpointRecord

log = logging.getLogger(__name__)


def origin_of(config: Config, partition: int, epoch: int) -> Origin:
    """Which chain: named by the prefix of its topics without the last dot, or by the pack where there is none."""
    log_name = config.topic_prefix.removesuffix(".") or config.pack_name
    origin = Origin(log_name, partition, epoch)
    try:
        return Origin.parse(str(origin))
    except Malformed:
        raise UsageProblem(
            f"the prefix {config.topic_prefix!r} cannot name a chain in a checkpoint: it may hold letters, digits, "
            "dots, underscores and hyphens, and begins with a letter or digit"
        ) from None


class Seen(NamedTuple):
    """One record of `dry.checkpoints`, read and believed."""

    checkpoint: Checkpoint
    peaks: Sequence[str]


class Keys(NamedTuple):
    """What a worker signs with, and what it believes others by."""

    signing: SigningKey
    certificate: Certificate
    note: Note  # the certificate as the root signed it
    root: VerifierKey

    def refusal(self, origin: Origin, size: int) -> str:
        """Why this key may not sign that chain at that size; empty when it may."""
        return self.certificate.refusal(Checkpoint(origin=origin, size=size, root=EMPTY_ROOT))

    def record(self, origin: Origin, ledger: Ledger) -> bytes:
        """The books, signed, as they stand on the topic."""
        note = notes.sign(ledger.checkpoint(origin).text(), [self.signing])
        peaks = tuple(ledger.frontier.dump())
        return encode(CheckpointRecord(note=str(note), peaks=peaks, certificate=str(self.note)))

    def believed(self, record: CheckpointRecord) -> Seen:
        """The checkpoint in a record, signed by any key the root certified. Raises NotProved or Malformed."""
        theirs = notes.parse(record.certificate, "the certificate beside it")
        found = certificates.verify(notes.parse(record.note, "its note"), [theirs, self.note], self.root)
        return Seen(found.checkpoint, record.peaks)


def read_record(value: bytes | None) -> CheckpointRecord:
    """A record of `dry.checkpoints`; nothing is believed yet. Raises ValueError."""
    try:
        record = msgspec.json.decode(value or b"", type=CheckpointRecord)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if record.v != 1:
        raise ValueError(f"version {record.v} is not known to this release")
    return record


def load_keys(config: Config) -> Keys | None:
    """The keys the settings name; None when they name none. Raises UsageProblem when they do not fit together."""
    named = {
        "checkpoint_key_file": config.checkpoint_key_file,
        "checkpoint_certificate_file": config.checkpoint_certificate_file,
        "checkpoint_root_file": config.checkpoint_root_file,
    }
    key, certificate, root = named.values()
    if key is None and certificate is None:
        return None
    if key is None or certificate is None or root is None:
        lacking = " and ".join(name for name, value in named.items() if value is None)
        raise UsageProblem(f"checkpoints need a key, its certificate and the root's public key: {lacking} not set")
    return _fitting(key, certificate, root)


def check_scope(keys: Keys, config: Config, partitions: Iterable[int]) -> None:
    """Raises UsageProblem when the certificate is for none of the epochs of one of these chains."""
    for one in partitions:
        origin = origin_of(config, one, 0)
        chain = f"sidechain/{origin.log}/{one}/"
        if not any(scope.covers(origin) or scope.origin.startswith(chain) for scope in keys.certificate.scopes):
            raise UsageProblem(
                f"certificate {keys.certificate.serial} of {keys.certificate.key.name} is not for {origin}; have the "
                f"root certify it for sidechain/{origin.log}: `sidechain keys certify`"
            )


def ends_in_days(keys: Keys, today: date) -> int | None:
    """In how many days the certificate ends; below 0 when it has; None when it does not say."""
    ends = keys.certificate.not_after
    return None if ends is None else (ends - today).days


def _fitting(key: Path, certificate: Path, root: Path) -> Keys:
    signing, note, believed = read_private(key), read_note(certificate), read_public(root)
    try:
        found = certificates.in_force([note], believed)
    except (Malformed, NotProved) as fault:
        raise UsageProblem(f"{certificate} is no certificate to sign with: {fault}") from None
    if not found:
        raise UsageProblem(f"{certificate} is not signed by the root key {believed.name} in {root}")
    if found[0].key != signing.verifier:
        raise UsageProblem(
            f"{certificate} is for another key, {found[0].key.name} ({found[0].key.id.hex()}), than the one in {key}"
        )
    return Keys(signing, found[0], note, believed)
