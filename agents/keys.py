"""Keys in files: made once, never overwritten, the private half never shown.

    <folder>/root.key    the private half: the public key on the first line, then PEM (PKCS #8), mode 0600
    <folder>/root.pub    the public half, one line: <name>+<id>+<base64>

A file somebody can take is a key somebody can use: a passphrase is worth its trouble for the root key, which is needed
once a year, and a file mounted by whatever keeps secrets is the usual form of a worker's.
"""

import os
from pathlib import Path
from typing import Final, Literal, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sidechain.agents.problems import EnvironmentProblem, UsageProblem
from sidechain.models.proof import note
from sidechain.models.proof.note import Malformed, Note, SigningKey, VerifierKey

Kind = Literal["root", "worker"]

PRIVATE_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
FOLDER_MODE: Final = 0o700
MIN_PASSPHRASE: Final = 16
MAX_KEY_BYTES: Final = 16_384
_BEGIN: Final = "-----BEGIN "
_ENCRYPTED: Final = "-----BEGIN ENCRYPTED PRIVATE KEY-----"


class KeyFiles(NamedTuple):
    """A new key and where its halves are."""

    key: VerifierKey
    private: Path
    public: Path


def create(folder: Path, kind: Kind, name: str, passphrase: bytes | None = None) -> KeyFiles:
    """Make a key of this name in `folder`. Raises UsageProblem, and changes nothing, where one stands already."""
    files = folder / f"{kind}.key", folder / f"{kind}.pub"
    for path in files:
        if path.exists() or path.is_symlink():
            raise UsageProblem(f"{path} exists and is not overwritten; name another folder or move it away")
    key = SigningKey(name, Ed25519PrivateKey.generate())
    try:
        verifier = key.verifier
    except Malformed as fault:
        raise UsageProblem(str(fault)) from None
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    except OSError as fault:
        raise EnvironmentProblem(f"{folder} cannot be made ({fault.strerror})") from None
    write_new(files[0], f"{verifier}\n{_pem(key, passphrase)}".encode(), PRIVATE_MODE)
    try:
        write_new(files[1], f"{verifier}\n".encode(), PUBLIC_MODE)
    except Exception:
        files[0].unlink()  # nobody has it yet, and alone it would stand in the way of the next attempt
        raise
    return KeyFiles(verifier, *files)


def write_new(path: Path, data: bytes, mode: int = PUBLIC_MODE) -> None:
    """Write a file that does not exist yet, and bring it to the disk. Raises UsageProblem where one stands."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except FileExistsError:
        raise UsageProblem(f"{path} exists and is not overwritten; name another or move it away") from None
    except OSError as fault:
        raise EnvironmentProblem(f"{path} cannot be written ({fault.strerror})") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as fault:
        path.unlink(missing_ok=True)  # half a key is no key
        raise EnvironmentProblem(f"{path} cannot be written ({fault.strerror})") from None


def read_private(path: Path, passphrase: bytes | None = None) -> SigningKey:
    """The key in a `.key` file. Raises UsageProblem when it is none, open to everybody, or the passphrase is wrong."""
    text = _text(path)
    if path.stat().st_mode & 0o007:
        raise UsageProblem(f"{path} is a private key and open to everybody here; `chmod 600 {path}`")
    public, pem = _halves(path, text)
    if _ENCRYPTED in pem and passphrase is None:
        raise UsageProblem(f"{path} needs a passphrase; name the file that holds it with --passphrase-file")
    try:
        private = load_pem_private_key(pem.encode(), passphrase if _ENCRYPTED in pem else None)
    except (ValueError, TypeError):
        why = "the passphrase is wrong, or the file is damaged" if _ENCRYPTED in pem else "the file is damaged"
        raise UsageProblem(f"{path} cannot be opened: {why}") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageProblem(f"{path} holds another kind of key; `sidechain keys new` makes the kind used here (Ed25519)")
    key = SigningKey(public.name, private)
    if key.verifier != public:
        raise UsageProblem(f"{path}: its first line is the public half of another key")
    return key


def read_public(path: Path) -> VerifierKey:
    """The public half in a `.pub` or a `.key` file; the private half is not looked at. Raises UsageProblem."""
    text = _text(path)
    return _halves(path, text)[0] if _BEGIN in text else _public(path, text.removesuffix("\n"))


def read_note(path: Path) -> Note:
    """The note in a file: a certificate, a checkpoint. Raises UsageProblem."""
    try:
        return note.parse(_bytes(path, note.MAX_NOTE_BYTES), str(path))
    except Malformed as fault:
        raise UsageProblem(str(fault)) from None


def read_passphrase(path: Path) -> bytes:
    """The passphrase in a file, without the newline at its end. Raises UsageProblem."""
    passphrase = _bytes(path, MAX_KEY_BYTES).rstrip(b"\r\n")
    if len(passphrase) < MIN_PASSPHRASE:
        raise UsageProblem(
            f"the passphrase in {path} has {len(passphrase)} bytes; at least {MIN_PASSPHRASE} are needed"
        )
    return passphrase


def is_encrypted(path: Path) -> bool | None:
    """Whether a key file needs a passphrase; None when it holds no private key."""
    text = _text(path)
    return _ENCRYPTED in text if _BEGIN in text else None


def _pem(key: SigningKey, passphrase: bytes | None) -> str:
    sealed: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed).decode("ascii")


def _halves(path: Path, text: str) -> tuple[VerifierKey, str]:
    public, newline, pem = text.partition("\n")
    if not newline or not pem.startswith(_BEGIN):
        raise UsageProblem(f"{path} is no key file: the public key stands on the first line, the private one below")
    return _public(path, public), pem


def _public(path: Path, line: str) -> VerifierKey:
    try:
        return VerifierKey.parse(line)
    except Malformed as fault:
        raise UsageProblem(f"{path} holds no key: {fault}") from None


def _text(path: Path) -> str:
    try:
        return _bytes(path, MAX_KEY_BYTES).decode()
    except UnicodeDecodeError:
        raise UsageProblem(f"{path} holds no key: it is not text") from None


def _bytes(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as fault:
        raise UsageProblem(f"{path} cannot be read ({fault.strerror})") from None
    if len(data) > most:
        raise UsageProblem(f"{path} is longer than {most:,} bytes: no key or note")
    return data
