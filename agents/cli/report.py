"""`sidechain report`, and the part of `verify` that holds a report against the chains."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from aiokafka.errors import KafkaError

from sidechain.agents.believing import Trust
from sidechain.agents.chain_proofs import Found, Place, Policies, check
from sidechain.agents.cli.connection import Connection, ExportFolder
from sidechain.agents.cli.output import Json, Progress, emit, say
from sidechain.agents.cli.period import Last, Since, Until, duration_ms, moment_ms, period_of
from sidechain.agents.cli.proofs import (
    CertificateFiles,
    CheckpointRecords,
    Day,
    Entries,
    RootFile,
    must_be_right,
    verified_fields,
    verified_lines,
)
from sidechain.agents.problems import AnswerIsNo, Problem, UsageProblem
from sidechain.agents.proof import Proof
from sidechain.agents.proposals import Proposed, Unreadable, now_ms, proposed, waiting
from sidechain.agents.settings import Config
from sidechain.agents.verify_files import STDIN
from sidechain.models.report.compare import Difference, Stated
from sidechain.models.report.document import Chain, Known, document, seal
from sidechain.models.report.markdown import page
from sidechain.models.report.tally import Ask, Period
from sidechain.models.report.what_if import gates_of

PROPOSALS_S: Final = 20.0


def report(
    files: Entries = None,
    format: Annotated[Literal["json", "markdown"], typer.Option(help="How to write it.")] = "markdown",  # noqa: A002 - the option's name
    period: Last = None,
    since: Since = None,
    until: Until = None,
    bundle: ExportFolder = None,
    root: RootFile = None,
    checkpoints: CheckpointRecords = None,
    certificate: CertificateFiles = None,
    on: Day = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Say in the report that it was made then; else it has no time.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Files counted at once, each in a process.")] = 1,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Count what was decided in a period of event time, and verify the chains on the way. Exit 1 when one is broken.

    The JSON form carries a digest of itself, and `sidechain verify --report` comes to every number of it anew. Of files
    name the policy as well (--policy, --pack), or there is no what-if.
    """
    if files and bundle:
        raise UsageProblem("name files or --export, one of the two")
    if checkpoints and not files:
        raise UsageProblem("--checkpoints goes with files; the topics and an export have their own")
    asked_for = period_of(since, until)
    made_ms = moment_ms("--at", at) if at is not None else None
    trust = Trust.of(root, certificate or (), (), on.date() if on else None)
    place = Place(files or (), bundle, connection.settings, connection.policy_if_named, checkpoints or (), jobs)
    if period is not None:
        asked_for = _last(duration_ms(period), asked_for, place, trust)
    with Progress("entries counted") as progress:
        found = check(place, trust, progress.advance, lambda known: _ask(asked_for, known))
    made = document(_chains(found.proofs), _ask(asked_for, found.policies), _known(found, found.policies, made_ms))
    sealed = seal(made)
    if json or format == "json":
        emit_bytes(sealed)
    else:
        emit(page(made, sealed))
    _say_what_is_missing(made)
    if not files and not bundle:
        _say_what_waits(connection.settings())
    broken = [one["partition"] for one in made["chains"] if not one["unbroken"]]
    if broken:
        raise AnswerIsNo(
            f"the chain of partition {', '.join(map(str, broken))} is broken; the report counts what is right in "
            "itself, and `sidechain verify` says where it is not"
        )
    if made["totals"]["entries"]["unreadable"]:
        raise AnswerIsNo(
            "some sealed records are no entries that this release can read; the report does not count them"
        )


def answer_reported(file: Path, place: Place, trust: Trust, json: bool, *, must_be_signed: bool) -> None:
    """Print what verify found of the chains and of the report; raises `AnswerIsNo` when either is not right."""
    try:
        stated = Stated(file.read_bytes())
    except OSError as error:
        raise UsageProblem(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as fault:
        raise UsageProblem(f"{file} is no report: {fault}") from None
    trust = Trust(trust.root, trust.certificates, trust.on, (*trust.held, *stated.points))
    with Progress("entries counted") as progress:
        found = check(place, trust, progress.advance, lambda known: stated.ask(gates_of(known.values())))
    policies = {ref: one for ref, one in found.policies.items() if ref in stated.counted_with}
    again = document(_chains(found.proofs), stated.ask(gates_of(policies.values())), _known(found, policies, None))
    differences = stated.differences(again)
    later = sum(one.tally.later for one in found.proofs if one.tally is not None)
    for one in sorted(stated.counted_with - policies.keys()):
        say(f"policy {one}: nobody here has its text, so the what-if is counted with what the report says of it")
    if json:
        emit(
            {"chains": verified_fields(found.proofs, found.trust), "report": _fields(stated, differences, later)}, json
        )
    else:
        behind = f"; {later:,} entries came later" if later else ""
        emit("\n".join(verified_lines(found.proofs, found.trust)))
        emit("\n".join(map(str, differences)) or f"report: every number is what the chains come to{behind}")
    must_be_right(found.proofs, must_be_signed=must_be_signed)
    if differences:
        raise AnswerIsNo("the report is not what the chains come to")


def emit_bytes(data: bytes) -> None:
    """Print bytes as they stand, and the end of a line."""
    stream = typer.get_binary_stream("stdout")
    stream.write(data + b"\n")
    stream.flush()


def _last(duration: int, bounds: Period, place: Place, trust: Trust) -> Period:
    """The period of that length that ends behind the newest decision; reads everything once more."""
    if bounds != Period():
        raise UsageProblem("--period says how far back from the newest decision: leave --since and --until away")
    if STDIN in place.files:
        raise UsageProblem("--period looks for the newest decision first, and standard input can be read once only")
    with Progress("entries looked at for the newest") as progress:
        found = check(place, trust, progress.advance, lambda _: Ask())
    newest = max((one.tally.reaches[1] for one in found.proofs if one.tally and one.tally.reaches), default=None)
    if newest is None:
        raise AnswerIsNo("there is no decision yet, so there is no last period of them")
    return Period(newest + 1 - duration, newest + 1)


def _ask(period: Period, policies: Policies) -> Ask:
    return Ask(period, gates_of(policies.values()))


def _known(found: Found, policies: Policies, at_ms: int | None) -> Known:
    root = found.trust.root
    return Known(policies, at_ms, f"{root.name}+{root.id.hex()}" if root is not None else None)


def _chains(proofs: Iterable[Proof]) -> list[Chain]:
    return [Chain(one.partition, one.epochs, one.tally, one.fault, one.where) for one in proofs]


def _say_what_is_missing(made: dict[str, Any]) -> None:
    span, totals = made["period"], made["totals"]
    if not totals["decisions"]:
        if span["chains_first"] is None:
            say("the chains hold no decision")
        else:
            say(
                "no decision falls into this period; those of the chains have event times from "
                f"{span['chains_first']} to {span['chains_last']} ms"
            )
    for ref, count in totals["what_if"]["not_recomputed"].items():
        say(f"{count:,} decisions under {ref} have no what-if: nobody here has its text; name it with --policy")


def _say_what_waits(settings: Config) -> None:
    """Proposals nobody has activated yet. Beside the report: they stand in no chain."""
    try:
        told = waiting(asyncio.run(_proposed(settings))[0], now_ms())
    except (KafkaError, TimeoutError, Problem) as fault:
        say(f"proposals were not looked at ({type(fault).__name__})")
        return
    if told:
        say(
            "\n".join(
                [f"{len(told)} proposal{'' if len(told) == 1 else 's'} open, which the report does not count:", *told]
            )
        )


async def _proposed(settings: Config) -> tuple[list[Proposed], list[Unreadable]]:
    async with asyncio.timeout(PROPOSALS_S):
        return await proposed(settings)


def _fields(stated: Stated, differences: list[Difference], later: int) -> dict[str, Any]:
    return {"digest": stated.digests[0], "later": later, "differences": [one._asdict() for one in differences]}
