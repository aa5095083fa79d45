"""`sidechain prove` and `sidechain checkpoints`: what a third party needs, and nothing else."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sidechain.agents.chain_sources import ChainSource
from sidechain.agents.cli.asking import ask
from sidechain.agents.cli.connection import Connection, ExportFolder
from sidechain.agents.cli.output import Json, emit, say
from sidechain.agents.cli.proofs import CertificateFiles
from sidechain.agents.keys import read_note, write_new
from sidechain.agents.problems import AnswerIsNo, UsageProblem
from sidechain.agents.proving import Signed, Wanted, consistency, inclusions, latest
from sidechain.models.proof import bundle
from sidechain.models.proof import checkpoint as checkpoints
from sidechain.models.proof.note import Malformed, Note


def prove(
    identifier: Annotated[str | None, typer.Argument(metavar="[ID]", help="The event's id.")] = None,
    partition: Annotated[int | None, typer.Option(min=0, help="Only there; with --seq, the entry's.")] = None,
    seq: Annotated[int | None, typer.Option(min=0, help="The entry at this place, instead of an id.")] = None,
    epoch: Annotated[int | None, typer.Option(min=0, help="Only in this epoch of the chain.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="NOTE", help="Prove it under this checkpoint, not under the latest.")
    ] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="NOTE", help="Prove that history continues this checkpoint.")
    ] = None,
    to: Annotated[Path | None, typer.Option(metavar="NOTE", help="With --from: up to here, not to the latest.")] = None,
    certificate: CertificateFiles = None,
    bundle_: ExportFolder = None,
    *,
    connection: Connection,
) -> None:
    """Print a proof that a third party checks with the root's public key and nothing else: `sidechain verify --proof`.

    One line of JSON for each entry that names the id. With --from, that nothing before a checkpoint was changed since.
    """
    more = [read_note(one) for one in certificate or ()]
    if from_ is not None:
        if identifier is not None or seq is not None or checkpoint is not None:
            raise UsageProblem("--from compares checkpoints; name an entry without it")
        old, new = _checkpoint(from_), _checkpoint(to) if to is not None else None
        _write(ask(bundle_, connection, lambda source: consistency(source, old, new, more)))
        return
    if (identifier is None) == (seq is None) or (seq is not None and partition is None):
        raise UsageProblem("name the event's ID, or one entry with --partition and --seq")
    if to is not None:
        raise UsageProblem("--to goes with --from")
    wanted = Wanted(identifier, partition, seq, epoch)
    given = _checkpoint(checkpoint) if checkpoint is not None else None
    _write(*ask(bundle_, connection, lambda source: inclusions(source, wanted, given, more)))


def checkpoints_(
    partition: Annotated[int | None, typer.Option(min=0, help="Only of this partition.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep each in a file of its own, here.")] = None,
    bundle_: ExportFolder = None,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Print the latest checkpoint of each chain. Keep it where nobody who can write to the log can reach.

    `sidechain verify --checkpoint FILE` shows later that nothing it covers was changed; `sidechain keys show FILE`
    says what it states.
    """
    found = ask(bundle_, connection, lambda one: _latest(one, partition))
    if not found:
        raise AnswerIsNo("nothing was signed yet; workers sign once `checkpoint_key_file` is set")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for one in found:
            _keep(out, one)
    if json:
        emit([_fields(one) for one in found], json)
    elif out is None:
        emit("\n".join(str(one.note) for one in found))


async def _latest(source: ChainSource, partition: int | None) -> list[Signed]:
    """The latest epoch's checkpoint of each partition."""
    wanted = [one for one in await source.partitions() if partition in (None, one)]
    by_epoch = [await latest(source, one) for one in wanted]
    return [one[max(one)] for one in by_epoch if one]


def _keep(folder: Path, signed: Signed) -> None:
    origin = signed.checkpoint.origin
    path = folder / f"{origin.log}-{origin.partition}-epoch-{origin.epoch}-{signed.checkpoint.size}.note"
    if path.exists() and path.read_bytes() == str(signed.note).encode():
        return
    write_new(path, str(signed.note).encode())
    say(f"{origin} at size {signed.checkpoint.size:,} in {path}")


def _fields(signed: Signed) -> dict[str, Any]:
    stated = signed.checkpoint
    return {
        "origin": str(stated.origin),
        "size": stated.size,
        "root": stated.root.hex(),
        "head": stated.head,
        "totals": dict(stated.totals),
        "note": str(signed.note),
    }


def _checkpoint(path: Path) -> Note:
    note = read_note(path)
    try:
        checkpoints.parse(note.text)
    except Malformed as fault:
        raise UsageProblem(f"{path} holds no checkpoint: {fault}") from None
    return note


def _write(*documents: bundle.Document) -> None:
    for one in documents:
        sys.stdout.buffer.write(bundle.encode(one))
    sys.stdout.buffer.flush()
