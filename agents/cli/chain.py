"""`verify`, `replay`, `account` and `explain`: what a stranger can ask of a chain, in a file or on its topic."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from sidechain.agents.against_events import all_books
from sidechain.agents.believing import Trust
from sidechain.agents.bundle import Bundle, Inputs
from sidechain.agents.chain_proofs import Place, check
from sidechain.agents.cli.asking import ask
from sidechain.agents.cli.connection import Connection, ExportFolder
from sidechain.agents.cli.output import Json, Progress, emit
from sidechain.agents.cli.policies import ListFiles, lists_of, policy_of
from sidechain.agents.cli.proofs import (
    CertificateFiles,
    CheckpointRecords,
    Day,
    Entries,
    RootFile,
    answer_complete,
    answer_proof,
    answer_replayed,
    answer_verified,
    books_fields,
    books_line,
    has_transfers,
    repairs_fields,
    repairs_line,
)
from sidechain.agents.cli.report import answer_reported
from sidechain.agents.control_log import ControlLog
from sidechain.agents.explained import Found, events_of_file, find
from sidechain.agents.input_files import Beginnings, beginnings
from sidechain.agents.problems import AnswerIsNo, UsageProblem
from sidechain.agents.proof import Account, Proof, Topics
from sidechain.agents.replay_behind import replay_topics
from sidechain.agents.settings import Config
from sidechain.agents.snapshot import Snapshot
from sidechain.agents.verify_files import lines_of, partition_of, records_of
from sidechain.models.dry.replay import Replayer
from sidechain.models.explain import explain as sentences
from sidechain.models.list_file import offline_control
from sidechain.models.list_rows import ListRows
from sidechain.models.otherwise import otherwise
from sidechain.models.policy import Policy
from sidechain.models.proof.replay_check import ReplayCheck

TOLD_EVERY = 5_000


def verify(
    files: Entries = None,
    bundle: ExportFolder = None,
    root: RootFile = None,
    checkpoint: Annotated[
        list[Path] | None, typer.Option(metavar="NOTE", help="A checkpoint you kept; repeat for more.")
    ] = None,
    checkpoints: CheckpointRecords = None,
    certificate: CertificateFiles = None,
    on: Day = None,
    proof: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `sidechain prove` wrote, instead of a chain.")
    ] = None,
    against_events: Annotated[
        bool,
        typer.Option(
            "--against-events", help="Also: every event and outcome has exactly one entry, and it is its own."
        ),
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also: what this JSON report says is what the chains come to.")
    ] = None,
    epoch: Annotated[int | None, typer.Option(min=0, help="Answer for this epoch of each chain only.")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Files checked at once, each in a process.")] = 1,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Check every seal, every link, and what was signed. Exit 1 and the first bad entry when the chain is broken.

    With --root, the root's public key, every checkpoint must be signed by a key it certified, and each chain must have
    one; without it, checkpoints are compared with the entries and nobody's signature is checked.
    """
    if sum(map(bool, (files, bundle, proof))) > 1:
        raise UsageProblem("name files, --export or --proof, one of the three")
    if checkpoints and not files:
        raise UsageProblem("--checkpoints goes with files; the topics and an export have their own")
    if against_events and (files or proof):
        raise UsageProblem("--against-events needs events: leave the files away, or give --export")
    if report is not None and (proof or epoch is not None):
        raise UsageProblem("--report is about whole chains: leave --proof and --epoch away")
    trust = Trust.of(root, certificate or (), checkpoint or (), on.date() if on else None)
    if proof is not None:
        answer_proof(proof, trust, json)
        return
    place = Place(files or (), bundle, connection.settings, connection.policy_if_named, checkpoints or (), jobs)
    if report is not None:
        answer_reported(report, place, trust, json, must_be_signed=root is not None)
    else:
        with Progress("entries verified") as progress:
            found = check(place, trust, progress.advance)
        answer_verified(found.proofs, found.trust, json, must_be_signed=root is not None, epoch=epoch)
    if against_events:
        with Progress("entries compared with their events") as progress:
            books = ask(bundle, connection, lambda source: all_books(source, progress.advance))
        answer_complete(books, json)


def replay(
    events: Annotated[Path | None, typer.Option(help="Events of one partition, one a line.")] = None,
    decisions: Annotated[Path | None, typer.Option(help="The entries they were sealed as, one a line.")] = None,
    bundle: ExportFolder = None,
    outcomes: Annotated[
        Path | None, typer.Option(help="With --events: the outcomes they were decided with, one a line.")
    ] = None,
    snapshot: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Begin behind what `sidechain snapshot` wrote.")
    ] = None,
    lists: ListFiles = None,
    epoch: Annotated[int | None, typer.Option(min=0, help="Answer for this epoch of each chain only.")] = None,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Decide every entry anew from its input and compare bytes. Exit 1 and the first difference when they differ."""
    if (events is None) != (decisions is None):
        raise UsageProblem("--events and --decisions go together; without both, the topics are replayed")
    if events is not None and bundle is not None:
        raise UsageProblem("--export holds its own events; leave --events and --decisions away")
    if events is not None and snapshot is not None:
        raise UsageProblem("--snapshot goes with the topics or with --export; leave --events and --decisions away")
    if lists and events is None:
        raise UsageProblem("--lists goes with --events; topics and exports hold the lists they were decided with")
    if outcomes is not None and events is None:
        raise UsageProblem("--outcomes goes with --events; topics and exports hold their own")
    shot = Snapshot(snapshot) if snapshot is not None else None
    with Progress("entries replayed") as progress:
        if bundle is not None:
            proofs = Bundle(bundle).replay(connection.policy_if_named(), progress.advance, shot)
        elif events is not None and decisions is not None:
            inputs = beginnings(events, outcomes)
            proofs = [_replay_files(connection.named_policy(), inputs, decisions, progress.advance, lists)]
        else:
            settings = connection.settings()
            proofs = asyncio.run(_replay_topic(settings, progress.advance, shot))
    answer_replayed(proofs, json, epoch)


def account(
    connection: Connection,
    json: Json = False,
) -> None:
    """Count inputs against entries, partition by partition. Exit 1 when an event or outcome has no entry, or two."""
    accounts = asyncio.run(_account(connection.settings()))
    emit([account_fields(one) for one in accounts] if json else "\n".join(account_lines(accounts)), json)
    if not all(one.balanced for one in accounts):
        raise AnswerIsNo("the books do not balance; if the decider is still at work, ask again when its lag is 0")


def explain(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="The event's id.")],
    file: Annotated[Path | None, typer.Option(help="A file of entries instead of the topic.")] = None,
    events: Annotated[Path | None, typer.Option(help="With --file: the events they were made of, one a line.")] = None,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Say why one event was decided as it was, from the log alone; with --pack or --policy, in the policy's words.

    Where the event is at hand too: each rule's limits beside what was measured, and the smallest change of a single
    value that would have decided otherwise. With --json, for each entry: the entry, what is said of it, and for a
    decision the limits and the changes as data.
    """
    if events is not None and file is None:
        raise UsageProblem("--events goes with --file; the topics have their own")
    if file is not None:
        lines = [line for line in lines_of(file) if _names(line, identifier)]
        named = connection.policy_if_named()
        inputs = events_of_file(lines, events) if events is not None else {}
        found = Found(lines, inputs, {named.ref: named} if named else {}, {})
    else:
        settings = connection.settings()
        found = asyncio.run(find(settings, identifier, policy_of(settings.pack, settings.policy)))
    if not found.entries:
        raise AnswerIsNo(f"no entry names {identifier}; inputs without a readable id are in the dead letters")
    explained = [_explained(line, found) for line in found.entries]
    emit(explained if json else "\n\n".join("\n".join(one["says"]) for one in explained), json)


def _explained(line: bytes, found: Found) -> dict[str, Any]:
    entry = msgspec.json.decode(line)
    cited = {name: ref for name, ref in entry.get("lists", {}).items() if ref in found.lists}
    lists = {name: found.lists[ref] for name, ref in cited.items()}
    known = found.policies.get(entry["policy"]), found.events.get(line), lists
    asked = otherwise(entry, *known) if entry["kind"] == "decision" else None
    return {"entry": entry, "says": list(sentences(entry, *known)), "otherwise": asked}


def account_lines(accounts: list[Account]) -> Iterator[str]:
    """The books as a person reads them."""
    for one in accounts:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(one.kinds.items()))
        state = "balanced" if one.balanced else f"NOT balanced ({_at_fault(one)})"
        outcomes = f", {one.outcomes.events:,} outcomes" if one.outcomes.events else ""
        transfers = f", {one.transfers.events:,} transfers" if one.transfers.events else ""
        counts = f"{one.events:,} events{outcomes}{transfers}; {kinds or 'no entry'}; {one.dead_letters:,} dead letters"
        yield f"partition {one.partition}: {counts}: {state}{repairs_line(one)}"


def _at_fault(one: Account) -> str:
    named = {"missing": one.missing, "repeated": one.repeated, "extra": one.extra, "altered": one.altered}
    letters = one.letters_missing
    found = [f"{name} {offsets}" for name, offsets in named.items() if offsets]
    found += [f"the chain is broken: {one.broken}"] * bool(one.broken)
    if one.outcomes.waiting or not one.outcomes.is_complete:
        found.append(f"outcomes: {books_line(one.outcomes, 'outcomes')}")
    if one.transfers.waiting or not one.transfers.is_complete:
        found.append(f"transfers: {books_line(one.transfers, 'transfers')}")
    return ", ".join(found + ([f"{letters:+,} dead letters missing"] if letters else []))


def account_fields(one: Account) -> dict[str, Any]:
    """The books of one partition for --json."""
    return {
        "partition": one.partition,
        "events": one.events,
        "kinds": dict(sorted(one.kinds.items())),
        "actions": dict(sorted(one.actions.items())),
        "dead_letters": one.dead_letters,
        "missing": one.missing,
        "repeated": one.repeated,
        "extra": one.extra,
        "altered": one.altered,
        "outcomes": books_fields(one.outcomes),
        **({"transfers": books_fields(one.transfers)} if has_transfers(one.transfers) else {}),
        **repairs_fields(one),
        "balanced": one.balanced,
    }


def _replay_files(
    policy: Policy, begin: Beginnings, decisions: Path, advance: Any, lists: Sequence[str] | None = None
) -> Proof:
    control = ControlLog(offline_control(policy, lists_of(policy, lists)))
    inputs = Inputs(begin, control)
    partition = partition_of(decisions)
    check = ReplayCheck(Replayer(policy, partition, inputs.of, keyed=False, rows=ListRows(control).of))
    lines = records_of(decisions)
    while batch := list(islice(lines, TOLD_EVERY)):
        check.take(batch)
        advance(len(batch))
    found = check.finish()
    if not any(one.entries or one.fault for one in found):
        raise UsageProblem(f"{decisions} holds no entry")
    return Proof.replayed(partition, found)


async def _replay_topic(settings: Config, advance: Any, snapshot: Snapshot | None) -> list[Proof]:
    given = policy_of(settings.pack, settings.policy)
    async with Topics.of(settings) as topics:
        if snapshot is not None:
            return await replay_topics(topics, snapshot, given, advance)
        return await topics.replay(given, advance)


async def _account(settings: Config) -> list[Account]:
    async with Topics.of(settings) as topics:
        return await topics.account()


class _Identified(msgspec.Struct):
    id: str | None = None


def _names(line: bytes, identifier: str) -> bool:
    try:
        return msgspec.json.decode(line, type=_Identified).id == identifier
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
