"""`sidechain keys new|certify|show`: the root key that stays offline, the workers' keys it certifies.

sidechain keys new --root safe --passphrase-file phrase      on the machine that is never online
sidechain keys new --worker keys                             where the worker runs
sidechain keys certify --root-key safe/root.key --worker-key keys/worker.pub --for sidechain/web --out worker.cert
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from sidechain.agents import keys
from sidechain.agents.cli.output import Json, emit, say
from sidechain.agents.problems import AnswerIsNo, UsageProblem
from sidechain.models.proof import certificate as certificates
from sidechain.models.proof import checkpoint as checkpoints
from sidechain.models.proof.certificate import Certificate, Scope
from sidechain.models.proof.note import Malformed, Note, NotProved, VerifierKey

Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="DATE")]
PassphraseFile = Annotated[Path | None, typer.Option(help="A file with the passphrase of the private key.")]


def new(
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="Make a root key here: root.key, root.pub.")] = None,
    worker: Annotated[Path | None, typer.Option(metavar="DIR", help="Make a worker's: worker.key, worker.pub.")] = None,
    name: Annotated[str | None, typer.Option(help="The name it signs under; else sidechain-root or -worker.")] = None,
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    """Make a key. Nothing is overwritten; the private half is in a file of mode 0600 and nowhere else.

    A root key signs nothing but certificates: make it, and keep it, on a machine that is never online. Whoever checks a
    proof needs its public half and nothing else.
    """
    if (root is None) == (worker is None):
        raise UsageProblem("name the folder with --root DIR or --worker DIR, one of the two")
    phrase = keys.read_passphrase(passphrase_file) if passphrase_file else None
    if root is not None:
        made = keys.create(root, "root", name or "sidechain-root", phrase)
    else:
        made = keys.create(Path(str(worker)), "worker", name or "sidechain-worker", phrase)
    if json:
        emit({"key": str(made.key), "private": made.private, "public": made.public, "encrypted": bool(phrase)}, json)
        return
    emit(str(made.key))
    say(f"private half in {made.private}{'' if phrase else ', without a passphrase'}; public half in {made.public}")


def certify(
    root_key: Annotated[Path, typer.Option(metavar="FILE", help="The root's private key.")],
    worker_key: Annotated[Path, typer.Option(metavar="FILE", help="The worker's public key.")],
    for_: Annotated[
        list[str],
        typer.Option(
            "--for",
            metavar="ORIGIN[:FIRST..[LAST]]",
            help="Chains it may sign for, such as sidechain/web, and the sizes; repeat for more.",
        ),
    ],
    previous: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate this one follows.")] = None,
    serial: Annotated[int | None, typer.Option(min=1, help="Else one above the previous certificate's.")] = None,
    not_before: Day = None,
    not_after: Day = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it to a new file, not to the screen.")] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Sign a certificate: this worker key may sign checkpoints of these chains.

    With --previous, another key is a rotation: the old certificate stays good for what it allows. The same key again
    replaces the previous certificate: to end a key that fell into other hands, state the last size you believe of each
    chain. Dates are recorded as you state them; a checkpoint carries no time they could be held against.
    """
    root = keys.read_private(root_key, keys.read_passphrase(passphrase_file) if passphrase_file else None)
    before = _certificate(previous, root.verifier) if previous is not None else None
    last = before.serial if before else 0
    made = Certificate(
        serial=last + 1 if serial is None else serial,
        previous=last,
        key=keys.read_public(worker_key),
        not_before=not_before.date() if not_before else None,
        not_after=not_after.date() if not_after else None,
        scopes=tuple(map(_scope, for_)),
    )
    try:
        note = certificates.certify(made, root)
    except Malformed as fault:
        raise UsageProblem(str(fault)) from None
    if out is None:
        print(note, end="")
        return
    keys.write_new(out, str(note).encode())
    say(f"certificate {made.serial} of {made.key.name} ({made.key.id.hex()}) in {out}")


def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A key, public or private, or a certificate.")],
    root: Annotated[Path | None, typer.Option(metavar="FILE", help="The root's public key, to check it with.")] = None,
    json: Json = False,
) -> None:
    """Say what a key file or a certificate holds; the private half of a key is not read.

    With --root, exit 1 when the certificate is not signed by that key.
    """
    if _is_note(file):
        note = keys.read_note(file)
        fields = _note_fields(note, keys.read_public(root) if root else None)
    elif root is not None:
        raise UsageProblem(f"{file} is a key: nothing signs it; --root is for certificates")
    else:
        key = keys.read_public(file)
        kind = {None: "public key", False: "private key", True: "private key, encrypted"}[keys.is_encrypted(file)]
        fields = {"kind": kind, "name": key.name, "id": key.id.hex(), "key": str(key)}
    if json:
        emit(fields, json)
        return
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            emit(f"{name:12} {one}")


def _is_note(file: Path) -> bool:
    """A note has an empty line, a key file has none."""
    try:
        with file.open("rb") as opened:
            return b"\n\n" in opened.read(keys.MAX_KEY_BYTES * 8)
    except OSError as fault:
        raise UsageProblem(f"{file} cannot be read ({fault.strerror})") from None


def _note_fields(note: Note, root: VerifierKey | None) -> dict[str, Any]:
    if note.origin != certificates.ORIGIN:
        return _checkpoint_fields(note, root)
    try:
        one = certificates.parse(note.text)
    except Malformed as fault:
        raise UsageProblem(str(fault)) from None
    fields = {
        "kind": "certificate",
        "serial": one.serial,
        "previous": one.previous or None,
        "key": str(one.key),
        "not before": one.not_before and str(one.not_before),
        "not after": one.not_after and str(one.not_after),
        "for": [str(scope) for scope in one.scopes],
        "signed by": [f"{signed.name} ({signed.key_id.hex()})" for signed in note.signatures],
    }
    if root is not None:
        _require(note, root)
        fields["checked"] = f"signed by {root}"
    return {name: value for name, value in fields.items() if value is not None}


def _checkpoint_fields(note: Note, root: VerifierKey | None) -> dict[str, Any]:
    if root is not None:
        raise UsageProblem(f"{note.origin} is no certificate: the root key signs nothing else")
    try:
        one = checkpoints.parse(note.text)
    except Malformed as fault:
        raise UsageProblem(f"neither a certificate nor a checkpoint: {fault}") from None
    return {
        "kind": "checkpoint",
        "origin": str(one.origin),
        "size": one.size,
        "root": one.root.hex(),
        **({"head": one.head} if one.head else {}),
        **one.totals,
        "signed by": [f"{signed.name} ({signed.key_id.hex()})" for signed in note.signatures],
    }


def _certificate(file: Path, root: VerifierKey) -> Certificate:
    note = keys.read_note(file)
    _require(note, root)
    try:
        return certificates.parse(note.text)
    except Malformed as fault:
        raise UsageProblem(f"{file}: {fault}") from None


def _require(note: Note, root: VerifierKey) -> None:
    try:
        is_signed = note.is_signed_by(root)
    except NotProved as fault:
        raise AnswerIsNo(str(fault)) from None
    if not is_signed:
        raise AnswerIsNo(f"it is not signed by {root.name} ({root.id.hex()})")


def _scope(text: str) -> Scope:
    origin, _, sizes = text.partition(":")
    scope = Scope.parse(f"{origin} {sizes}" if sizes else origin)
    if scope is None:
        raise UsageProblem(f"--for {text}: it reads sidechain/web, or sidechain/web/0/epoch-0:0..41000 with sizes")
    return scope
