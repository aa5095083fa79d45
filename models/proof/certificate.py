"""What the root key signs: this worker key may sign checkpoints of these chains.

    sidechain/key-certificate/v1
    serial=2
    previous=1
    key=web-worker+4c1f0a9e+AX…
    not-before=2026-11-01
    not-after=2027-11-01
    for=sidechain/web 0..
    for=sidechain/network/0/epoch-0 0..41000

The root key stays offline, so whoever has its public half can check a checkpoint of any worker that ever ran.

- `serial` is given once under one root key. `previous` is the serial this certificate follows, 0 for none.
- A certificate of another key that names a previous one records a rotation: the old one stays good within its bounds.
- A certificate of the same key replaces the one it names: this is how the root ends a key that fell into other hands,
  by stating the last size it believes of each chain.
- `for` names an origin or whole leading parts of one, and the sizes the key may sign, ends included, the last one open
  if not stated. The longest origin that fits decides.
- The dates are what a person stated. A checkpoint carries no time, so they say nothing about when it was signed; they
  are checked against the day the caller gives, if any.

A verifier that was not shown a newer certificate cannot know of it: a key in other hands still signs for everyone who
only has the old certificate, for the sizes it was given.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

from sidechain.models.proof import checkpoint as checkpoints
from sidechain.models.proof.checkpoint import Checkpoint, Origin, number
from sidechain.models.proof.merkle import MAX_SIZE
from sidechain.models.proof.note import Malformed, Note, NotProved, SigningKey, VerifierKey, sign

WHAT: Final = "certificate"
ORIGIN: Final = "sidechain/key-certificate/v1"
MAX_SCOPES: Final = 1_024
_PART: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}"
_SCOPE: Final = re.compile(rf"(sidechain(?:/{_PART}){{1,3}})(?: ([0-9]+)\.\.([0-9]*))?")


class Scope(NamedTuple):
    """The chains a key may sign for, and the sizes."""

    origin: str  # a whole origin, or its first parts
    first: int = 0
    last: int | None = None  # None: open

    @classmethod
    def parse(cls, text: str) -> "Scope | None":
        """`sidechain/web` or `sidechain/web/0/epoch-0 0..41000`; None when it reads otherwise."""
        match = _SCOPE.fullmatch(text)
        if match is None:
            return None
        first = number(match[2]) if match[2] else 0
        last = number(match[3]) if match[3] else None
        if first is None or (match[3] and last is None) or (last is not None and last < first):
            return None
        return cls(match[1], first, last)

    def __str__(self) -> str:
        return f"{self.origin} {self.first}..{'' if self.last is None else self.last}"

    def covers(self, origin: Origin) -> bool:
        """Whether the chain is one of these, whatever its size."""
        return f"{origin}/".startswith(f"{self.origin}/")

    def allows(self, size: int) -> bool:
        """Whether the key may sign this size."""
        return self.first <= size <= (MAX_SIZE if self.last is None else self.last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One worker key, and what it may sign."""

    serial: int
    previous: int = 0  # 0: it follows none
    key: VerifierKey
    not_before: date | None = None
    not_after: date | None = None
    scopes: tuple[Scope, ...]

    def text(self) -> str:
        """The text the root key signs. Raises Malformed when a field has no such form."""
        text = self._written()
        if parse(text) != self:
            raise Malformed(WHAT, "a field would be read back as another")
        return text

    def _written(self) -> str:
        lines = [ORIGIN, f"serial={self.serial}", f"previous={self.previous}", f"key={self.key}"]
        lines += [f"not-before={self.not_before}"] if self.not_before else []
        lines += [f"not-after={self.not_after}"] if self.not_after else []
        lines += [f"for={scope}" for scope in self.scopes]
        return "".join(f"{line}\n" for line in lines)

    def refusal(self, checkpoint: Checkpoint, on: date | None = None) -> str:
        """Why the key may not sign this checkpoint; empty when it may."""
        who = f"certificate {self.serial} of {self.key.name}"
        covering = [scope for scope in self.scopes if scope.covers(checkpoint.origin)]
        if not covering:
            return f"{who} is not for {checkpoint.origin}"
        scope = max(covering, key=lambda one: len(one.origin))
        if not scope.allows(checkpoint.size):
            return f"{who} allows {scope}, and the checkpoint's size is {checkpoint.size}"
        if on and self.not_before and on < self.not_before:
            return f"{who} begins on {self.not_before}"
        if on and self.not_after and on > self.not_after:
            return f"{who} ended on {self.not_after}"
        return ""


class Certified(NamedTuple):
    """A checkpoint, and the certificate of the key that signed it."""

    checkpoint: Checkpoint
    certificate: Certificate


def certify(certificate: Certificate, root: SigningKey) -> Note:
    """The certificate, signed by the root key. Raises Malformed."""
    if certificate.key.public == root.verifier.public:
        raise Malformed(WHAT, "the root key cannot be a worker's key: one stays offline, the other does not")
    return sign(certificate.text(), [root])


def parse(text: str) -> Certificate:
    """The certificate in a note's text. Raises Malformed with the line."""
    lines = text.split("\n")
    if lines[0] != ORIGIN:
        raise Malformed(WHAT, f"its first line is not {ORIGIN}", 1)
    if len(lines) > MAX_SCOPES + 7:
        raise Malformed(WHAT, f"more than {MAX_SCOPES} chains", MAX_SCOPES + 7)
    fields: dict[str, tuple[int, str]] = {}
    scopes = []
    for at, line in enumerate(lines[1:-1], 2):
        name, _, value = line.partition("=")
        if name == "for":
            scopes.append(_scope(value, at))
        elif name in fields or name not in ("serial", "previous", "key", "not-before", "not-after"):
            raise Malformed(WHAT, "no line of a certificate, or a second one of its name", at)
        else:
            fields[name] = at, value
    certificate = Certificate(
        serial=_serial(fields, "serial"),
        previous=_serial(fields, "previous"),
        key=_key(fields),
        not_before=_date(fields, "not-before"),
        not_after=_date(fields, "not-after"),
        scopes=tuple(scopes),
    )
    _check(certificate, text)
    return certificate


def verify(checkpoint: Note, certificates: Sequence[Note], root: VerifierKey, *, on: date | None = None) -> Certified:
    """The checkpoint in this note, signed by a key the root key certified for it.

    `on`: the day to hold the certificates' dates against; None: they are not looked at. Raises NotProved with the
    reason, Malformed when the checkpoint or a certificate that the root key signed is none.
    """
    return verify_by(checkpoint, in_force(certificates, root), root, on=on, given=len(certificates))


def verify_by(
    checkpoint: Note, valid: Sequence[Certificate], root: VerifierKey, *, on: date | None = None, given: int = 1
) -> Certified:
    """`verify` by certificates the root key is known to have signed: who checks many notes finds that out once.

    `given`: how many there were before those the root key did not sign were passed over.
    """
    parsed = checkpoints.parse(checkpoint.text)
    refusals = []
    for certificate in valid:
        if checkpoint.is_signed_by(certificate.key):
            refusal = certificate.refusal(parsed, on)
            if not refusal:
                return Certified(parsed, certificate)
            refusals.append(refusal)
    if refusals:
        raise NotProved(refusals[0])
    names = ", ".join(dict.fromkeys(one.name for one in checkpoint.signatures))
    raise NotProved(
        f"{parsed.origin} at size {parsed.size} is signed by {names}, and none of the {given} certificates "
        f"given is for such a key and signed by the root key {root.name} ({root.id.hex()})"
    )


def in_force(certificates: Iterable[Note], root: VerifierKey) -> list[Certificate]:
    """The certificates the root key signed, without those it replaced. What others signed is passed over."""
    found: dict[int, Certificate] = {}
    for note in certificates:
        if not note.is_signed_by(root):
            continue
        one = parse(note.text)
        if found.setdefault(one.serial, one) != one:
            raise NotProved(f"the root key gave serial {one.serial} to two certificates; have it sign another serial")
    replaced = {one.previous for one in found.values() if one.previous in found and found[one.previous].key == one.key}
    return [one for serial, one in found.items() if serial not in replaced]


def _check(certificate: Certificate, text: str) -> None:
    if certificate.serial == 0 or certificate.previous >= certificate.serial:
        raise Malformed(WHAT, "a serial is above 0 and above the previous one", 2)
    if not certificate.scopes:
        raise Malformed(WHAT, "it is for no chain")
    origins = [scope.origin for scope in certificate.scopes]
    if len(set(origins)) != len(origins):
        raise Malformed(WHAT, "two lines are for one origin")
    first, last = certificate.not_before, certificate.not_after
    if first and last and last < first:
        raise Malformed(WHAT, "it ends before it begins")
    written = certificate._written()  # noqa: SLF001 - the one form, ours
    if written != text:
        pairs = zip(written.split("\n"), text.split("\n"), strict=False)
        at = next((at for at, (ours, theirs) in enumerate(pairs, 1) if ours != theirs), None)
        raise Malformed(WHAT, "not written as it must be, or out of order", at)


def _scope(value: str, at: int) -> Scope:
    scope = Scope.parse(value)
    if scope is None:
        raise Malformed(WHAT, "it reads for=<origin> <first size>..<last size>", at)
    return scope


def _serial(fields: Mapping[str, tuple[int, str]], name: str) -> int:
    at, value = _stated(fields, name)
    serial = number(value)
    if serial is None:
        raise Malformed(WHAT, f"{name} is no whole number", at)
    return serial


def _key(fields: Mapping[str, tuple[int, str]]) -> VerifierKey:
    at, value = _stated(fields, "key")
    try:
        return VerifierKey.parse(value)
    except Malformed as fault:
        raise Malformed(WHAT, str(fault), at) from None


def _date(fields: Mapping[str, tuple[int, str]], name: str) -> date | None:
    if name not in fields:
        return None
    at, value = fields[name]
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise Malformed(WHAT, "a date reads 2026-11-01", at) from None


def _stated(fields: Mapping[str, tuple[int, str]], name: str) -> tuple[int, str]:
    if name not in fields:
        raise Malformed(WHAT, f"it has no line {name}=")
    return fields[name]
