"""How the answers of verify and replay read, and the options of what a person who checks brings along."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from sidechain.agents.against_events import BooksOf
from sidechain.agents.believing import Trust
from sidechain.agents.cli.output import emit
from sidechain.agents.problems import AnswerIsNo, UsageProblem
from sidechain.agents.proof import Account, Proof
from sidechain.models.dry.completeness import Completeness
from sidechain.models.proof import bundle
from sidechain.models.proof.bundle import Extended, Included
from sidechain.models.proof.certificate import Certificate
from sidechain.models.proof.chain_check import EpochCheck
from sidechain.models.proof.note import Malformed, NotProved

RootFile = Annotated[Path | None, typer.Option(metavar="FILE", help="The root's public key, to check signatures with.")]
Entries = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[FILE]...",
        help="Sealed entries of one partition each, one a line; - for standard input. Else the topic.",
    ),
]
CheckpointRecords = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="With files: their records of dry.checkpoints, one a line; repeat."),
]
CertificateFiles = Annotated[
    list[Path] | None, typer.Option(metavar="FILE", help="A certificate beside those that come with checkpoints.")
]
Day = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="Hold certificates' dates against it.")
]


def answer_verified(
    proofs: list[Proof], trust: Trust, json: bool, *, must_be_signed: bool = False, epoch: int | None = None
) -> None:
    """Print what verify found; raises `AnswerIsNo` when a chain is broken, or not signed although it must be."""
    if json:
        _asked(proofs, epoch)
        emit(verified_fields(proofs, trust), json)
    else:
        emit("\n".join(verified_lines(proofs, trust, epoch)), json)
    must_be_right(proofs, must_be_signed=must_be_signed, epoch=epoch)


def verified_fields(proofs: list[Proof], trust: Trust) -> list[dict[str, Any]]:
    """What verify found, for --json."""
    return [_fields(one, trust) for one in proofs]


def verified_lines(proofs: list[Proof], trust: Trust, epoch: int | None = None) -> Iterator[str]:
    """What verify found, as a person reads it."""
    return _lines(proofs, trust, epoch)


def must_be_right(proofs: list[Proof], *, must_be_signed: bool = False, epoch: int | None = None) -> None:
    """Raises `AnswerIsNo` when a chain is broken, or not signed although it must be."""
    checked = _asked(proofs, epoch)
    _no_fault(proofs, epoch, "unbroken")
    unsigned = [proof.partition for proof, one in checked if one.entries and not one.checkpoints]
    if must_be_signed and unsigned:
        which = ", ".join(map(str, sorted(set(unsigned))))
        raise AnswerIsNo(f"no signed checkpoint covers anything of partition {which}: nothing but its links is shown")


def answer_replayed(proofs: list[Proof], json: bool, epoch: int | None = None) -> None:
    """Print what replay found; raises `AnswerIsNo` when an entry is not the one its input yields."""
    _asked(proofs, epoch)
    if json:
        emit([{**proof_fields(one), "epochs": [_epoch_fields(found) for found in one.epochs]} for one in proofs], json)
    else:
        emit("\n".join(_lines(proofs, None, epoch, "identical")), json)
    _no_fault(proofs, epoch, "identical")


def _asked(proofs: list[Proof], epoch: int | None) -> list[tuple[Proof, EpochCheck]]:
    asked = [(proof, one) for proof in proofs for one in proof.epochs if epoch in (None, one.number)]
    if epoch is not None and not asked:
        raise AnswerIsNo(f"no chain has an epoch {epoch}")
    return asked


def _no_fault(proofs: list[Proof], epoch: int | None, word: str) -> None:
    asked = any(one.fault for _, one in _asked(proofs, epoch))
    if asked or (epoch is None and any(one.fault for one in proofs)):
        raise AnswerIsNo(f"not {word}")


def _lines(proofs: list[Proof], trust: Trust | None, epoch: int | None, word: str = "unbroken") -> Iterator[str]:
    for proof in proofs:
        if not proof.epochs:
            alone = EpochCheck(0, proof.entries, proof.head, fault=proof.fault, where=proof.where)
            yield _line(proof.partition, alone, trust, word)
        for one in proof.epochs:
            if epoch in (None, one.number):
                yield _line(proof.partition, one, trust, word)
        if proof.epochs and proof.fault and not any(one.fault for one in proof.epochs):
            yield f"partition {proof.partition}: BROKEN at {proof.fault} ({proof.where})"


def _line(partition: int, one: EpochCheck, trust: Trust | None, word: str) -> str:
    name = f"partition {partition}" + (f", epoch {one.number}" if one.number else "")
    begun = f"; begun by {one.begun.by}: {one.begun.why}" if one.begun else ""
    if one.fault:
        where = f" ({one.where})" if one.where else ""
        return f"{name}: BROKEN at {one.fault}{where}{begun}"
    covered = ""
    if one.checkpoints:
        signed = "signed" if trust and trust.root is not None else "signatures not checked: give --root"
        behind = one.entries - one.covered
        covered = (
            f"; {one.checkpoints:,} checkpoints, the last at {one.covered:,} ({signed}), {behind:,} entries behind it"
        )
    return f"{name}: {one.entries:,} entries, {word}, head {one.head[:16]}{covered}{begun}"


def proof_lines(proofs: list[Proof], word: str) -> Iterator[str]:
    """A proof as a person reads it."""
    for one in proofs:
        if one.fault:
            where = f" ({one.where})" if one.where else ""
            yield f"partition {one.partition}: BROKEN at {one.fault}{where}"
        else:
            yield f"partition {one.partition}: {one.entries:,} entries, {word}, head {one.head[:16]}"


def proof_fields(proof: Proof) -> dict[str, Any]:
    """A proof for --json."""
    return {
        "partition": proof.partition,
        "entries": proof.entries,
        "head": proof.head,
        "fault": proof.fault and {**proof.fault._asdict(), "where": proof.where},
    }


def _epoch_fields(one: EpochCheck) -> dict[str, Any]:
    return {
        "epoch": one.number,
        "entries": one.entries,
        "head": one.head,
        "fault": one.fault and {**one.fault._asdict(), "where": one.where},
        "begun": one.begun and {"by": one.begun.by, "why": one.begun.why},
    }


def _fields(proof: Proof, trust: Trust) -> dict[str, Any]:
    return {
        **proof_fields(proof),
        "epochs": [
            {
                **_epoch_fields(one),
                "origin": one.origin or None,
                "checkpoints": one.checkpoints,
                "signatures_checked": bool(one.checkpoints) and trust.root is not None,
                "covered": one.covered,
                "behind": one.entries - one.covered if one.checkpoints else None,
            }
            for one in proof.epochs
        ],
    }


def answer_complete(books: Mapping[int, BooksOf], json: bool) -> None:
    """Print whether every input has its entry; raises `AnswerIsNo` when one has none, two, or another's."""
    if json:
        emit([{"partition": partition, **_input_fields(one)} for partition, one in books.items()], json)
    else:
        emit("\n".join(line for partition, one in books.items() for line in _input_lines(partition, one)))
    if not all(one.is_complete for one in books.values()):
        raise AnswerIsNo("the entries are not those of the inputs that are there")


def _input_lines(partition: int, books: BooksOf) -> Iterator[str]:
    yield f"partition {partition}: {books_line(books.events, 'events')}"
    outcomes = books.outcomes
    if outcomes.events or outcomes.kinds["settlement"] or outcomes.kinds["refused-outcome"] or outcomes.extra:
        yield f"partition {partition}: {books_line(outcomes, 'outcomes')}"
    if has_transfers(books.transfers):
        yield f"partition {partition}: {books_line(books.transfers, 'transfers')}"


def _input_fields(books: BooksOf) -> dict[str, Any]:
    beside = {"outcomes": books_fields(books.outcomes)}
    if has_transfers(books.transfers):
        beside["transfers"] = books_fields(books.transfers)
    return {**books_fields(books.events), **beside, "complete": books.is_complete}


def has_transfers(one: Completeness) -> bool:
    """Whether these books of transfers have anything in them; most installations share no account."""
    return bool(one.events or one.kinds["debit"] or one.kinds["credit"] or one.extra)


def books_line(one: Completeness, inputs: str) -> str:
    """The books of one input in words. `inputs`: what its records are called."""
    faults = {
        "without an entry": one.missing,
        "with more than one": one.repeated,
        "that nobody can see": one.extra,
        "that are not what their entry says": one.altered,
    }
    found = [f"{inputs} {what}: offset {offsets[0]:,} first" for what, offsets in faults.items() if offsets]
    found += [f"control records that are not what their entry says: {one.altered_control}"] * bool(one.altered_control)
    found += [f"control records without an entry: {one.missing_control}"] * bool(one.missing_control)
    found += [f"the chain is broken: {one.broken}"] * bool(one.broken)
    each = f"each but {one.explained:,}" if one.explained else "each"
    state = "; ".join(found) if found else f"{each} has exactly one entry"
    gone = f"; {one.expired:,} entries whose {inputs[:-1]} has expired" if one.expired else ""
    behind = f"; {one.waiting:,} {inputs} behind the last entry" if one.waiting else ""
    return f"{one.events:,} {inputs}: {state}{gone}{behind}{repairs_line(one, inputs)}"


def books_fields(one: Completeness) -> dict[str, Any]:
    """The books of one input for --json."""
    names = ("events", "missing", "repeated", "extra", "altered", "altered_control", "missing_control")
    found = {name: getattr(one, name) for name in (*names, "expired", "waiting")}
    return {**found, **repairs_fields(one), "complete": one.is_complete}


def repairs_line(one: Completeness | Account, inputs: str = "events") -> str:
    """What people decided about these books, and what counts for nothing because of it; empty where nothing."""
    counts = [f"; {one.passed_over:,} records of the chain count for nothing"] if one.passed_over else []
    counts += [f"; {one.explained:,} {inputs} lie behind a repair"] if one.explained else []
    named = [
        f"; {it.what} goes on at {inputs[:-1]} {it.to:,} where {it.due:,} was due ({it.by})" for it in one.passages
    ]
    return "".join(counts + named)


def repairs_fields(one: Completeness | Account) -> dict[str, Any]:
    """The same for --json."""
    return {
        "explained": one.explained,
        "passed_over": one.passed_over,
        "passages": [it._asdict() for it in one.passages],
        "broken": one.broken or None,
    }


def answer_proof(file: Path, trust: Trust, json: bool) -> None:
    """Say what a document proves to the holder of the root's public key; raises `AnswerIsNo` when it does not."""
    if trust.root is None:
        raise UsageProblem("a proof is checked with the root's public key: --root FILE")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageProblem(f"{file} cannot be read: {error.strerror}") from None
    documents = [one for one in data.split(b"\n") if one] or [b""]
    try:
        found = [_proved(one, trust) for one in documents]
    except Malformed as fault:
        raise UsageProblem(f"{file} holds no proof: {fault}") from None
    except NotProved as fault:
        raise AnswerIsNo(f"not proved: {fault}") from None
    emit(
        found if json else "\n\n".join("\n".join(f"{name:12} {value}" for name, value in one.items()) for one in found),
        json,
    )


def _proved(data: bytes, trust: Trust) -> dict[str, Any]:
    assert trust.root is not None
    document = bundle.decode(data)
    found = bundle.verify_bundle(document, trust.root, on=trust.on)
    stated = found.checkpoint if isinstance(found, Included) else found.old.checkpoint
    for held in trust.held:
        if held.checkpoint != stated:
            if held.checkpoint.origin != stated.origin:
                raise NotProved(
                    f"it is a proof for another log: {stated.origin}, and {held.where} is of {held.checkpoint.origin}"
                )
            raise NotProved(
                f"its checkpoint, of size {stated.size}, is not the one in {held.where}, of size {held.checkpoint.size}"
            )
    return _included(found) if isinstance(found, Included) else _extended(found)


class _Shown(msgspec.Struct):
    kind: str
    id: str | None = None
    key: str | None = None
    policy: str | None = None
    action: str | None = None
    reasons: list[Any] = []


def _included(found: Included) -> dict[str, Any]:
    entry = msgspec.json.decode(found.entry, type=_Shown)
    return {
        "proved": f"this entry is number {found.index} of {found.checkpoint.origin}",
        "id": entry.id,
        "kind": entry.kind,
        "key": entry.key,
        "action": entry.action,
        "reasons": entry.reasons,
        "policy": entry.policy,
        "hash": found.entry[-66:-2].decode(),
        **_signed(found.checkpoint.size, found.checkpoint.root, found.certificate),
    }


def _extended(found: Extended) -> dict[str, Any]:
    old, new = found.old.checkpoint, found.new.checkpoint
    return {
        "proved": f"{new.origin} at size {new.size} begins with all {old.size} entries of the older checkpoint",
        "older root": old.root.hex(),
        **_signed(new.size, new.root, found.new.certificate),
    }


def _signed(size: int, root: bytes, certificate: Certificate) -> dict[str, Any]:
    key = certificate.key
    return {
        "size": size,
        "root": root.hex(),
        "signed by": f"{key.name} ({key.id.hex()})",
        "certificate": certificate.serial,
    }
