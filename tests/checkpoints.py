"""Checkpoints for the tests: keys in files, and every record on the topic checked from nothing but the root's key."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import ConsumerRecord

from sidechain.agents import keys
from sidechain.agents.settings import Config
from sidechain.models.proof import certificate as certificates
from sidechain.models.proof import note as notes
from sidechain.models.proof.certificate import Certificate, Scope
from sidechain.models.proof.checkpoint import Checkpoint
from sidechain.models.proof.merkle import Frontier, leaves_of
from sidechain.models.proof.note import SigningKey, VerifierKey
from tests.lanes import visible
from tests.proofs import OLD, ROOT


def key_files(
    folder: Path,
    log: str,
    *,
    worker: SigningKey = OLD,
    root: SigningKey = ROOT,
    serial: int = 1,
    previous: int = 0,
    not_after: date | None = None,
) -> dict[str, Any]:
    """The settings of a worker that signs for every chain of `log`, with the files they name."""
    folder.mkdir(parents=True, exist_ok=True)
    scope = Scope.parse(f"sidechain/{log}")
    assert scope is not None
    certificate = Certificate(
        serial=serial, previous=previous, key=worker.verifier, not_after=not_after, scopes=(scope,)
    )
    private, certified, public = (folder / name for name in ("worker.key", "worker.cert", "root.pub"))
    keys.write_new(private, f"{worker.verifier}\n{keys._pem(worker, None)}".encode(), keys.PRIVATE_MODE)
    keys.write_new(certified, str(certificates.certify(certificate, root)).encode())
    keys.write_new(public, f"{root.verifier}\n".encode())
    return {
        "checkpoint_key_file": private,
        "checkpoint_certificate_file": certified,
        "checkpoint_root_file": public,
        "checkpoint_every_s": 0.2,
    }


def believed(record: ConsumerRecord, root: VerifierKey = ROOT.verifier) -> Checkpoint:
    """The checkpoint in a record, by somebody who has the root's public key and nothing else."""
    fields = msgspec.json.decode(record.value)
    certified = [notes.parse(fields["certificate"])]
    checkpoint = certificates.verify(notes.parse(fields["note"]), certified, root).checkpoint
    assert record.key == str(checkpoint.origin.partition).encode()
    assert record.partition == checkpoint.origin.partition
    Frontier.load(checkpoint.size, fields["peaks"], checkpoint.root)
    return checkpoint


def checkpoints(config: Config) -> dict[int, list[Checkpoint]]:
    """Every visible checkpoint, in order, checked."""
    return {
        one: [believed(record) for record in records] for one, records in visible(config, "dry.checkpoints").items()
    }


def recounted(lines: Sequence[bytes], at: Checkpoint) -> Checkpoint:
    """The same checkpoint made from scratch, from the entries alone, by a dumber program."""
    lines = lines[: at.size]
    assert len(lines) == at.size
    tree = Frontier()
    tree.extend(leaves_of(lines))
    totals: dict[str, int] = {}
    for line in lines:
        kind = msgspec.json.decode(line)["kind"]
        totals[kind] = totals.get(kind, 0) + 1
    last = msgspec.json.decode(lines[-1])
    totals |= {f"next.{name}": offset for name, offset in last["next"].items()}
    return Checkpoint(origin=at.origin, size=at.size, root=tree.root(), head=last["hash"], totals=totals)


def assert_rooted(config: Config) -> dict[int, list[Checkpoint]]:
    """Every checkpoint states what the chain holds; sizes only grow, so none has two roots. Returns them."""
    found = checkpoints(config)
    chains = visible(config, "dry.decisions")
    for partition, signed in found.items():
        lines = [record.value for record in chains[partition]]
        sizes = [one.size for one in signed]
        assert sizes == sorted(set(sizes)), f"partition {partition}: {sizes}"
        for one in signed:
            assert one == recounted(lines, one)
    return found


def is_covered(config: Config) -> bool:
    """Whether the last checkpoint of every chain reaches its last entry."""
    sizes = {one: found[-1].size if found else 0 for one, found in checkpoints(config).items()}
    return sizes == {one: len(records) for one, records in visible(config, "dry.decisions").items()}
