"""Keys and certificates for the tests of proofs; anybody can make them."""

from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidechain.models.proof.certificate import Certificate, Scope, certify
from sidechain.models.proof.note import Note, SigningKey


def key(name: str, number: int = 0) -> SigningKey:
    """A key that is the same in every run."""
    return SigningKey(name, Ed25519PrivateKey.from_private_bytes(sha256(b"%d" % number).digest()))


ROOT, OTHER_ROOT = key("root", 10), key("root", 11)
OLD, NEW, STRANGER = key("worker", 12), key("worker", 13), key("worker", 14)


def certificate(serial: int = 1, previous: int = 0, signer: SigningKey = OLD, scopes: Any = None, **more: Any) -> Note:
    """One signed by the root."""
    parsed = [Scope.parse(one) for one in scopes or ["sidechain/web"]]
    found = tuple(one for one in parsed if one is not None)
    assert len(found) == len(parsed)
    return certify(Certificate(serial=serial, previous=previous, key=signer.verifier, scopes=found, **more), ROOT)
