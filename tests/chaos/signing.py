"""Keys for an installation under test: a root, a worker's key and the certificate between them, all in its folder."""

from pathlib import Path

from sidechain.agents.keys import create, read_private, write_new
from sidechain.models.proof.certificate import Certificate, Scope, certify


def keys_for(folder: Path, prefix: str) -> dict[str, Path]:
    """The settings by which workers of this prefix sign checkpoints."""
    root = create(folder / "root", "root", "chaos-root")
    worker = create(folder / "worker", "worker", "chaos-worker")
    scope = Scope.parse(f"sidechain/{prefix.removesuffix('.')}")
    assert scope is not None
    made = certify(Certificate(serial=1, previous=0, key=worker.key, scopes=(scope,)), read_private(root.private))
    certificate = folder / "worker" / "certificate"
    write_new(certificate, str(made).encode())
    return {
        "checkpoint_key_file": worker.private,
        "checkpoint_certificate_file": certificate,
        "checkpoint_root_file": root.public,
    }
