"""Keys for an installation that lives as long as one command: root and worker, in a folder each."""

from pathlib import Path
from typing import NamedTuple

from sidechain.agents import keys
from sidechain.models.proof.certificate import Certificate, Scope, certify
from sidechain.models.proof.note import VerifierKey


class OwnKeys(NamedTuple):
    """What the installation signs with, and the root key that vouches for it."""

    settings: dict[str, str]  # a worker's; it never sees the root's private half
    root: VerifierKey
    root_folder: Path


def own_keys(folder: Path, log: str) -> OwnKeys:
    """Make both keys and the certificate for every chain of `log`."""
    root = keys.create(folder / "root-key", "root", "sidechain-root")
    worker = keys.create(folder / "worker-key", "worker", "sidechain-worker")
    made = Certificate(serial=1, key=worker.key, scopes=(Scope(f"sidechain/{log}"),))
    certificate = worker.private.with_suffix(".cert")
    keys.write_new(certificate, str(certify(made, keys.read_private(root.private))).encode())
    named = {"key": worker.private, "certificate": certificate, "root": root.public}
    return OwnKeys(
        {f"checkpoint_{name}_file": str(path) for name, path in named.items()}, root.key, folder / "root-key"
    )
