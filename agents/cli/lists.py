"""`sidechain lists check|propose|activate|show`: the rows that rules ask for, from a file to in force."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from sidechain.agents.activate import sealed_everywhere
from sidechain.agents.activate_list import activate_list, activations, last_cited, ref_of, standing
from sidechain.agents.cli.connection import Connection
from sidechain.agents.cli.output import Json, Progress, emit, say
from sidechain.agents.cli.policies import PolicyNamed, policy_of
from sidechain.agents.cli.proposals import WITHIN, By, Why, Within, write_change
from sidechain.agents.problems import AnswerIsNo, UsageProblem
from sidechain.agents.proposals import find, must_allow_list, now_ms, rows_in_force
from sidechain.agents.settings import Config
from sidechain.models.dry.lists import Table
from sidechain.models.list_file import Format, ListError, ListText, declared_as, read_list
from sidechain.models.policy import Policy
from sidechain.models.proposal import to_list

File = Annotated[Path, typer.Argument(help="One row a line, CSV or NDJSON: a key, or a key and its value.")]
Listed = Annotated[str, typer.Option("--list", metavar="NAME", help="The list, as the pack declares it.")]
Written = Annotated[str | None, typer.Option("--format", help="lines, csv or ndjson; else what the name ends in says.")]
Header = Annotated[bool, typer.Option("--header", help="The first line is no row.")]
Empty = Annotated[bool, typer.Option("--may-be-empty", help="A list without rows is meant so.")]


def check(
    file: File,
    name: Listed,
    written: Written = None,
    header: Header = False,
    may_be_empty: Empty = False,
    *,
    named: PolicyNamed,
    json: Json = False,
) -> None:
    """Read a list's rows as a pack declares it, and say its digest. Every mistake comes with its line.

    The digest is that of the rows in the order of their bytes: for a file of one row a line,
    `LC_ALL=C sort FILE | sha256sum` says the same.
    """
    policy = named.named_policy()
    try:
        text = _read(file, policy, name, written, header=header, may_be_empty=may_be_empty)
    except ListError as error:
        if json:
            emit({"ok": False, "problems": [one._asdict() for one in error.problems]}, json)
        else:
            say(str(error))
        raise AnswerIsNo(f"{file.name} is refused as list {name} of {policy.ref}") from None
    found = text.content._asdict()
    if json:
        emit({"ok": True, "list": name, **found}, json)
    else:
        emit(f"{name}: ok, {text.content.rows:,} rows, SHA-256 {text.content.digest}")


def activate(
    file: File,
    name: Listed,
    version: Annotated[int, typer.Option(min=1, help="The number of this version; one number has one content.")],
    by: Annotated[str, typer.Option(help="Who decided this; it is sealed into every chain.")],
    written: Written = None,
    header: Header = False,
    may_be_empty: Empty = False,
    proposal: Annotated[
        str | None, typer.Option(metavar="ID", help="The proposal this follows; it is sealed into every chain.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also where it was in force last: a repaired chain begins without lists.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for every partition's seal; 0: not at all.")] = 60,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Put the rows of a list in force on every partition, from a point in the stream that each chain records.

    Workers go on deciding meanwhile. What is in force already is not written again; with --again it is, and takes
    effect wherever it is not in force, which is not waited for. With --proposal the rows must be those it asks for.
    """
    if not by.strip():
        raise UsageProblem("--by names the person who decided this; it may not be empty")
    settings = connection.settings()
    policy = policy_of(settings.pack, settings.policy)
    try:
        text = _read(file, policy, name, written, header=header, may_be_empty=may_be_empty)
    except ListError as error:
        raise UsageProblem(str(error)) from None
    ref, is_new, offset = ref_of(name, version, text), True, 0
    follows = None if proposal is None else asyncio.run(_allowed(settings, proposal, ref, text))
    with Progress("rows written", total=text.content.rows) as progress:
        is_new, offset = asyncio.run(
            _write(settings, policy, name, version, by.strip(), text, progress.advance, again=again, proposal=follows)
        )
    already = "" if is_new else " already, and nothing came after it"
    say(f"{ref} stands on {settings.topic('control')} at offset {offset}{already}")
    at: dict[int, int] = {}
    if wait and not again:
        asyncio.run(sealed_everywhere(settings, offset, wait, at.__setitem__, f"list {ref}"))
    if json:
        found = {"list": ref, "digest": text.content.digest, "rows": text.content.rows, "proposal": follows}
        emit({**found, "offset": offset, "new": is_new, "sealed_at_seq": at}, json)
    else:
        where = ", ".join(f"partition {one} as entry {seq}" for one, seq in sorted(at.items()))
        emit(f"{ref} is in force" + (f": sealed by {where}" if where else " once the deciders read it"))


def propose(
    file: File,
    name: Listed,
    version: Annotated[int, typer.Option(min=1, help="The number this version is to have.")],
    by: By,
    why: Why,
    written: Written = None,
    header: Header = False,
    may_be_empty: Empty = False,
    within: Within = WITHIN,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Ask for the rows of a list to be put in force. It changes nothing until somebody activates them.

    The proposal says how many rows come and go against those in force, and the digest of all; the rows stay in
    the file.
    """
    settings = connection.settings()
    policy = policy_of(settings.pack, settings.policy)
    try:
        text = _read(file, policy, name, written, header=header, may_be_empty=may_be_empty)
    except ListError as error:
        raise UsageProblem(str(error)) from None
    ref = ref_of(name, version, text)
    replaces, before, taken = asyncio.run(rows_in_force(settings, policy.name, name))
    if replaces == ref:
        raise UsageProblem(f"{ref} is in force already; there is nothing to propose")
    standing(taken, name, version, text)  # a number that stands for other rows is refused now, not at its activation
    change = to_list(ref, Table(text.content, text.chunks), before, replaces)
    write_change(settings, policy.name, change, by, why, (), within, json=json)


def show(connection: Connection, json: Json = False) -> None:
    """Which versions of each list were activated, by whom, and which each partition last decided with."""
    settings = connection.settings()
    policy = policy_of(settings.pack, settings.policy)
    found, cited = asyncio.run(_found(settings, policy))
    if json:
        emit({"activated": found, "cited": {str(one): refs for one, refs in sorted(cited.items())}}, json)
        return
    for one in found:
        emit(f"{one['list']:40} {one['rows']:>10,} rows  offset {one['offset']:<8} by {one['by']}")
    declared = [one.name for one in policy.lists]
    for name in declared:
        where: dict[str, list[int]] = {}
        for partition, refs in sorted(cited.items()):
            where.setdefault(refs.get(name) or "none", []).append(partition)
        shown = "; ".join(f"{ref} on partitions {', '.join(map(str, on))}" for ref, on in where.items())
        emit(f"{name}: last decided with {shown or 'nothing: there is no decision yet'}")
    if not declared:
        emit(f"{policy.ref} declares no list")


async def _write(
    settings: Config,
    policy: Policy,
    name: str,
    version: int,
    by: str,
    text: ListText,
    told: Any,
    *,
    again: bool,
    proposal: str | None,
) -> tuple[bool, int]:
    """Whether it was written now, and its offset."""
    found = await activations(settings, policy.name)
    if (there := standing(found, name, version, text)) is not None and not again:
        return False, there.offset
    return True, await activate_list(settings, policy.name, name, version, by, text, found, told, proposal)


async def _allowed(settings: Config, proposal: str, ref: str, text: ListText) -> str:
    """The id of the proposal that asks for these rows. Raises `UsageProblem`."""
    named = await find(settings, proposal)
    must_allow_list(named, ref, text.content, now_ms())
    return named.proposal.id


async def _found(settings: Config, policy: Policy) -> tuple[list[dict[str, Any]], dict[int, dict[str, str | None]]]:
    found = [
        {
            "list": one.wanted.ref,
            "offset": one.offset,
            "rows": one.wanted.rows,
            "by": one.wanted.by,
            "at": one.wanted.at,
        }
        for one in await activations(settings, policy.name)
    ]
    return found, await last_cited(settings)


def _read(file: Path, policy: Policy, name: str, written: str | None, *, header: bool, may_be_empty: bool) -> ListText:
    if written is not None and written not in get_args(Format):
        raise UsageProblem(f"--format is lines, csv or ndjson, not {written}")
    format_: Any = written
    return read_list(file, declared_as(policy, name), format_, header=header, may_be_empty=may_be_empty)
