"""`sidechain shadow show|propose`: what candidate policies would have decided, as far as their shadow is."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from sidechain.agents.cli.backtest import lines
from sidechain.agents.cli.connection import Cluster, Connection
from sidechain.agents.cli.output import Json, emit
from sidechain.agents.cli.proposals import WITHIN, By, Why, Within, policy_to_propose, write
from sidechain.agents.problems import AnswerIsNo, UsageProblem
from sidechain.agents.shadowed import Shadowed, shadowed
from sidechain.models.proposal import evidence_of


def show(
    candidate: Annotated[
        str | None, typer.Option(metavar="POLICY", help="Only this one: a reference or its beginning, like web@2.")
    ] = None,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Say who would have been decided otherwise under each candidate, as far as its shadow is.

    PROMOTE, REVIEW or REJECT says what that gives by the thresholds of `policy backtest`; a person decides.
    """
    found = asyncio.run(shadowed(connection.settings()))
    if candidate is not None:
        found = [one for one in found if one.policy.startswith(candidate)]
    if json:
        emit({"candidates": [one.fields() for one in found]}, json)
    else:
        emit("\n\n".join("\n".join(_lines(one)) for one in found) or "no candidate was shadowed here", json)
    if not found and candidate is not None:
        raise AnswerIsNo(f"no candidate that begins with {candidate} was shadowed here (`sidechain worker shadow`)")


def propose(
    file: Annotated[Path, typer.Argument(help="The pack file of the candidate.")],
    by: By,
    why: Why,
    within: Within = WITHIN,
    *,
    cluster: Cluster,
    json: Json = False,
) -> None:
    """Ask for a candidate to be put in force, with what its shadow found so far as evidence.

    It changes nothing until somebody activates it.
    """
    settings = cluster.settings(policy=file)
    policy = policy_to_propose(file)
    found = [one for one in asyncio.run(shadowed(settings)) if one.digest == policy.digest]
    if not found:
        raise UsageProblem(f"no shadow has reported of {policy.ref}; `sidechain worker shadow --candidate` runs one")
    write(settings, policy, by, why, [evidence_of("shadow", found[0].fields())], within, json=json)


def _lines(one: Shadowed) -> Iterator[str]:
    yield from lines(one.found, one.policy, one.said, one.stake)
    yield ""
    for chain in one.chains:
        place = "no entry that counts" if chain.seq is None else f"up to entry {chain.seq} ({(chain.head or '')[:12]})"
        broken = f"; nothing counts behind that: {chain.broken}" if chain.broken else ""
        yield f"partition {chain.partition}: {place}{broken}"
