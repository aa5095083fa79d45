"""Text signed by one or more keys, as C2SP's signed-note writes it, and the keys that sign.

    This is an example message.

    — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=

The text ends with a newline; an empty line parts it from the signatures. A signature line is an em dash, the key's
name, and base64 of the key's id (4 bytes) and the signature (Ed25519: 64 bytes) over the text. The key that signed
is told to a verifier as one line:

    example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k

A note proves that the holder of a key signed this text, not when, and not that the text is true. Each note has one
form: whatever would be written otherwise than we write it is refused. Signatures by unknown keys are carried along
and mean nothing.
"""

from base64 import b64encode
from binascii import Error, a2b_base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_NOTE_BYTES: Final = 131_072  # room for 16 signatures of 5 kB, which every reader of notes must accept
MAX_SIGNATURES: Final = 32
MAX_NAME: Final = 128
KEY_LENGTH: Final = 32
ED25519: Final = b"\x01"  # the type of signature, first byte of a written key
DASH: Final = "\u2014 "


class Malformed(ValueError):  # noqa: N818 - reads as the sentence it makes
    """These bytes are no note, key or proof of ours: what they were taken for, the line (from 1), what is wrong."""

    def __init__(self, what: str, problem: str, line: int | None = None) -> None:
        where = what if line is None else f"{what}, line {line}"
        super().__init__(f"{where}: {problem}")


class NotProved(Exception):  # noqa: N818 - an answer, not a mistake
    """Well formed, and it does not prove what it should: the sentence says why."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half of a key, with the name it signs under."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if problem := _name_problem(self.name):
            raise Malformed("key", problem)
        if len(self.public) != KEY_LENGTH:
            raise Malformed("key", f"an Ed25519 public key has {KEY_LENGTH} bytes, not {len(self.public)}")

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """A key as one line, without the newline. Raises Malformed."""
        parts = text.split("+", 2)
        if len(parts) != 3:
            raise Malformed("key", "it reads <name>+<id>+<base64>, in one line")
        name, identifier, encoded = parts
        material = from_base64(encoded)
        if material is None:
            raise Malformed("key", "what follows the second + is not base64")
        if material[:1] != ED25519:
            raise Malformed("key", "it is not an Ed25519 key (type 01), and no other is known here")
        key = cls(name, material[1:])
        if key.id.hex() != identifier:
            raise Malformed("key", f"its id is {key.id.hex()}, and {identifier[:16]!r} is stated: a character is wrong")
        return key

    @property
    def id(self) -> bytes:
        """Four bytes that name the key; not a fingerprint, others can be made to match."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{to_base64(ED25519 + self.public)}"

    def signed(self, text: str, signature: bytes) -> bool:
        """Whether this key made the signature over the text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that can sign. Nothing prints its private half."""

    name: str
    private: Ed25519PrivateKey = field(repr=False)

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, self.private.public_key().public_bytes_raw())

    def sign(self, text: str) -> "Signature":
        """The signature over a note's text: the same one every time."""
        return Signature(self.name, self.verifier.id, self.private.sign(text.encode()))


class Signature(NamedTuple):
    """One signature line."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{DASH}{self.name} {to_base64(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text, its last newline included, and the signatures under it."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"

    @property
    def origin(self) -> str:
        """The first line, which says what kind of note this is."""
        return self.text.partition("\n")[0]

    def is_signed_by(self, key: VerifierKey) -> bool:
        """Whether `key` signed. Raises NotProved when a signature stands under its name and id and is false."""
        for one in self.signatures:
            if (one.name, one.key_id) == (key.name, key.id):
                if not key.signed(self.text, one.signature):
                    raise NotProved(f"the signature of {key.name} under {self.origin} is false: the text was changed")
                return True
        return False


def sign(text: str, keys: Iterable[SigningKey]) -> Note:
    """A note of this text. Raises Malformed when the text cannot be one."""
    note = Note(text, tuple(key.sign(text) for key in keys))
    if parse(str(note)) != note:
        raise Malformed("note", "the text would be read back as another")
    return note


def parse(data: str | bytes, what: str = "note") -> Note:
    """Read a note; no signature is checked. Raises Malformed, which calls it `what`."""
    whole = _characters(data, what)
    text, parted, below = whole.rpartition("\n\n")
    if not parted:
        raise Malformed(what, "no empty line parts a text from its signatures")
    text += "\n"
    first = text.count("\n") + 2
    if not below:
        raise Malformed(what, "no signature", first)
    if not below.endswith("\n"):
        raise Malformed(what, "the last line does not end with a newline", first + below.count("\n"))
    lines = below[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise Malformed(what, f"more than {MAX_SIGNATURES} signatures", first + MAX_SIGNATURES)
    signatures: list[Signature] = []
    for number, line in enumerate(lines, first):
        one = _signature(line, what, number)
        if any(one[:2] == other[:2] for other in signatures):
            raise Malformed(what, f"a second signature of {one.name}", number)
        signatures.append(one)
    return Note(text, tuple(signatures))


def to_base64(data: bytes) -> str:
    """Standard base64, padded."""
    return b64encode(data).decode("ascii")


def from_base64(text: str) -> bytes | None:
    """What `to_base64` made this of; None for anything it cannot have made."""
    try:
        data = a2b_base64(text, strict_mode=True)
    except (Error, ValueError):
        return None
    return data if to_base64(data) == text else None


def _characters(data: str | bytes, what: str) -> str:
    if len(data) > MAX_NOTE_BYTES:
        raise Malformed(what, f"longer than {MAX_NOTE_BYTES:,} bytes")
    try:
        whole = data.decode() if isinstance(data, bytes) else data.encode().decode()
    except UnicodeError:
        raise Malformed(what, "not UTF-8") from None
    for number, line in enumerate(whole.split("\n"), 1):
        if any(character < " " for character in line):
            raise Malformed(what, "a control character", number)
    return whole


def _signature(line: str, what: str, number: int) -> Signature:
    name, space, encoded = line.removeprefix(DASH).partition(" ")
    if not line.startswith(DASH) or not space:
        raise Malformed(what, "a signature line reads — <key name> <base64>", number)
    if problem := _name_problem(name):
        raise Malformed(what, problem, number)
    blob = from_base64(encoded)
    if blob is None:
        raise Malformed(what, "the signature is not base64", number)
    if len(blob) <= 4:
        raise Malformed(what, "the signature is shorter than a key's id and one byte", number)
    return Signature(name, blob[:4], blob[4:])


def _name_problem(name: str) -> str:
    if not name:
        return "the key's name is empty"
    if len(name) > MAX_NAME:
        return f"the key's name is longer than {MAX_NAME} characters"
    if "+" in name or any(one.isspace() or one < " " or "\ud800" <= one <= "\udfff" for one in name):
        return "the key's name contains a space, a plus or what is no character"
    return ""
