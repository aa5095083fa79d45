"""What of `dry.checkpoints` is believed: a checkpoint that a key signed which the root certified for this chain.

Without the root's public key nothing is known about signatures. What a record states is compared with the chain all
the same, and the answer says that nobody's signature was checked. A checkpoint somebody kept needs no signature: they
know where they have it from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

from sidechain.agents.checkpoints import read_record
from sidechain.agents.keys import read_note, read_public
from sidechain.agents.problems import UsageProblem
from sidechain.models.proof import certificate as certificates
from sidechain.models.proof import checkpoint as checkpoints
from sidechain.models.proof import note as notes
from sidechain.models.proof.certificate import Certificate
from sidechain.models.proof.chain_check import ChainCheck, Point
from sidechain.models.proof.note import Malformed, Note, NotProved, VerifierKey


@dataclass(frozen=True)
class Trust:
    """What the person who checks brings along."""

    root: VerifierKey | None = None
    certificates: tuple[Note, ...] = ()  # beside those in the records: a newer one may end a key
    on: date | None = None  # the day to hold certificates' dates against
    held: tuple[Point, ...] = field(default=())  # checkpoints they kept

    @classmethod
    def of(
        cls,
        root: Path | None = None,
        given: Sequence[Path] = (),
        held: Sequence[Path] = (),
        on: date | None = None,
    ) -> "Trust":
        """What is in these files. Raises UsageProblem."""
        return cls(
            root=read_public(root) if root is not None else None,
            certificates=tuple(map(read_note, given)),
            on=on,
            held=tuple(_held(one) for one in held),
        )


UNTRUSTING: Final = Trust()  # nobody's signature is checked


class Believer:
    """Reads the checkpoint records of one partition."""

    def __init__(self, trust: Trust, partition: int, log: str | None = None) -> None:
        """`log`: how the chain's origins name it; None where that is not known."""
        self._trust = trust
        self._partition = partition
        self._log = log
        self._in_force: dict[str, list[Certificate]] = {}  # by the certificate beside a checkpoint; they are few

    def tell(self, check: ChainCheck, value: bytes | None, where: str) -> None:
        """Give the checkpoint in a record to the check, or the reason why it is none."""
        try:
            check.point(self._point(value, where))
        except (NotProved, ValueError) as fault:
            check.refuse(str(fault), where)

    def _point(self, value: bytes | None, where: str) -> Point:
        """The checkpoint in a record. Raises NotProved or ValueError (Malformed is one)."""
        record = read_record(value)
        note = notes.parse(record.note, "its note")
        if self._trust.root is None:
            found = checkpoints.parse(note.text)
            signers = tuple(f"{one.name}+{one.key_id.hex()}" for one in note.signatures)
        else:
            valid = self._certificates(record.certificate, self._trust.root)
            certified = certificates.verify_by(note, valid, self._trust.root, on=self._trust.on)
            found, key = certified.checkpoint, certified.certificate.key
            signers = (f"{key.name}+{key.id.hex()}",)
        if found.origin.partition != self._partition or found.origin.log != (self._log or found.origin.log):
            due = f"sidechain/{self._log or found.origin.log}/{self._partition}"
            raise NotProved(f"a checkpoint of another chain, {found.origin}, among those of {due}")
        return Point(found, where, signers)

    def _certificates(self, text: str, root: VerifierKey) -> list[Certificate]:
        if text not in self._in_force:
            if len(self._in_force) > 256:
                self._in_force.clear()
            theirs = notes.parse(text, "the certificate beside it")
            self._in_force[text] = certificates.in_force([theirs, *self._trust.certificates], root)
        return self._in_force[text]


def _held(path: Path) -> Point:
    try:
        return Point(checkpoints.parse(read_note(path).text), str(path))
    except Malformed as fault:
        raise UsageProblem(f"{path} holds no checkpoint: {fault}") from None
