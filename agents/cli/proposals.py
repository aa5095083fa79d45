"""`sidechain proposals new|list|show`: a change somebody asks for, with its reasons, for others to judge."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from sidechain.agents.cli.connection import Cluster, Connection
from sidechain.agents.cli.output import Json, emit, say
from sidechain.agents.cli.period import duration_ms
from sidechain.agents.problems import UsageProblem
from sidechain.agents.proposals import Proposed, find, in_force, now_ms, propose, proposed
from sidechain.agents.settings import Config
from sidechain.models import utc
from sidechain.models.pack_cases import run_cases
from sidechain.models.pack_file import load_file
from sidechain.models.policy import Policy
from sidechain.models.proposal import (
    BadProposal,
    Draft,
    Evidence,
    ListRows,
    PolicyText,
    Proposal,
    evidence_of,
    read,
    sealed,
    to_policy,
)

By = Annotated[str, typer.Option(help="Who asks for this.")]
Why = Annotated[str, typer.Option(help="What for, in a sentence.")]
Within = Annotated[str, typer.Option("--within", metavar="DURATION", help="How long it may be activated: 14d, 12h.")]
WITHIN: Final = "14d"


def new(
    file: Annotated[Path, typer.Argument(help="The pack file of the policy that is to be in force.")],
    by: By,
    why: Why,
    evidence: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="What `policy backtest --json` printed; repeat for more.")
    ] = None,
    within: Within = WITHIN,
    *,
    cluster: Cluster,
    json: Json = False,
) -> None:
    """Ask for a policy to be put in force. It changes nothing until somebody activates it.

    What changes against the policy in force now is written into it, in words.
    """
    settings = cluster.settings(policy=file)
    write(settings, policy_to_propose(file), by, why, [_evidence(one) for one in evidence or ()], within, json=json)


def policy_to_propose(file: Path) -> Policy:
    """The policy in a file. Raises `UsageProblem` where its own cases fail."""
    policy = load_file(file)
    failed = [one for one in run_cases(policy) if not one.passed]
    if failed:
        raise UsageProblem(f"{len(failed)} of the pack's own cases fail; `sidechain policy test {file}` shows them")
    return policy


def write(
    settings: Config, policy: Policy, by: str, why: str, evidence: Sequence[Evidence], within: str, *, json: bool
) -> None:
    """Propose a policy, and say the proposal's id. Raises `UsageProblem`."""
    duration_ms(within, "--within")
    replaces, before = asyncio.run(in_force(settings, policy))
    if replaces == policy.ref:
        raise UsageProblem(f"{policy.ref} is in force already; there is nothing to propose")
    write_change(settings, policy.name, to_policy(policy, before, replaces), by, why, evidence, within, json=json)


def write_change(
    settings: Config,
    pack: str,
    change: PolicyText | ListRows,
    by: str,
    why: str,
    evidence: Sequence[Evidence],
    within: str,
    *,
    json: bool,
) -> None:
    """Make a proposal, write it, and say its id. Raises `UsageProblem`."""
    lasts_ms = duration_ms(within, "--within")
    created = now_ms()
    draft = Draft(
        pack=pack,
        change=change,
        author=by.strip(),
        why=why.strip(),
        evidence=tuple(evidence),
        created=created,
        expires=created + lasts_ms,
    )
    try:
        value = sealed(draft)
    except BadProposal as fault:
        raise UsageProblem(f"this is no proposal anybody would take: {fault}") from None
    offset = asyncio.run(propose(settings, value))
    made = read(value)
    say(f"it stands on {settings.topic('human.proposals')} at offset {offset}")
    emit(_summary(Proposed(made, offset, None)) if json else "\n".join(_lines(Proposed(made, offset, None))), json)


def list_(connection: Connection, json: Json = False) -> None:
    """What was proposed, by whom, and what became of it."""
    found, unreadable = asyncio.run(proposed(connection.settings()))
    if json:
        others = [{"offset": one.offset, "why": one.why} for one in unreadable]
        emit({"proposals": [_summary(one) for one in found], "unreadable": others}, json)
        return
    for one in found:
        proposal = one.proposal
        until = utc.text(proposal.expires)
        emit(f"{proposal.id[:12]}  {one.state(now_ms()):10} {proposal.target:32} until {until}  by {proposal.author}")
    if not found:
        emit("nothing was proposed here")
    for other in unreadable:
        say(f"what stands at offset {other.offset} is no proposal: {other.why}")


def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="Its id, or the first digits of it.")],
    text: Annotated[bool, typer.Option("--text", help="Print the pack file it asks for, and nothing else.")] = False,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Say what one proposal changes, why, and on what evidence."""
    found = asyncio.run(find(connection.settings(), name))
    change = found.proposal.change
    if text:
        if not isinstance(change, PolicyText):
            raise UsageProblem(
                f"proposal {name} is about {found.proposal.kind} {found.proposal.target}; no text of it stands there"
            )
        emit({"text": change.text} if json else change.text.removesuffix("\n"), json)
    elif json:
        emit({**_summary(found), "record": msgspec.to_builtins(found.proposal)}, json)
    else:
        emit("\n".join(_lines(found)))


def _evidence(file: Path) -> Evidence:
    """What a back-test printed. Raises `UsageProblem`."""
    try:
        return evidence_of("backtest", msgspec.json.decode(file.read_bytes(), type=dict[str, Any]))
    except OSError as error:
        raise UsageProblem(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"{file} is no evidence: {error}") from None


def _summary(one: Proposed) -> dict[str, Any]:
    proposal: Proposal = one.proposal
    return {
        "id": proposal.id,
        "state": one.state(now_ms()),
        "kind": proposal.kind,
        "target": proposal.target,
        "replaces": proposal.change.replaces,
        "author": proposal.author,
        "created": proposal.created,
        "expires": proposal.expires,
        "offset": one.offset,
        "activated_at_offset": one.activated,
        "verdicts": [{"kind": piece.kind, "verdict": piece.verdict} for piece in proposal.evidence],
    }


def _lines(one: Proposed) -> Iterator[str]:
    proposal = one.proposal
    yield f"{proposal.id} ({one.state(now_ms())})"
    before = proposal.change.replaces or "nothing"
    yield f"{proposal.target} instead of {before}, proposed by {proposal.author} at {utc.text(proposal.created)}"
    yield f"it may be activated until {utc.text(proposal.expires)}"
    yield ""
    yield f"Why: {proposal.why}"
    yield ""
    yield "What changes"
    for words in proposal.change.words or ("nobody had the text of what it replaces",):
        yield f"  {words}"
    for piece in proposal.evidence:
        yield ""
        yield f"A {piece.kind} says {piece.verdict}: {'; '.join(piece.why)}"
        yield f"  {_figures(piece)}"
        for chain in piece.figures.get("entries", ()):
            yield f"  partition {chain['partition']}, entries {chain['from']} to {chain['to']}"
    if not proposal.evidence:
        yield ""
        yield "No evidence was given."


def _figures(piece: Evidence) -> str:
    told = piece.figures
    if piece.kind == "trial":
        return f"beside {told.get('beside')}; `sidechain models show` prints the card"
    if piece.kind == "snapshot":
        return f"{told.get('stage')}: {told.get('lag'):,} records wait, {told.get('lag_s')} s of work"
    stake = f", {told['stake']} {told.get('value', 0):,}" if told.get("stake") else ""
    return f"{told.get('inputs', 0):,} inputs, {told.get('flips', 0):,} flip{stake}"
