"""`sidechain policy activate`: the step from a file to a policy in force."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from sidechain.agents.activate import BEGINNING, sealed_everywhere, standing
from sidechain.agents.activate import activate as write
from sidechain.agents.activate_list import lists_unlike
from sidechain.agents.cli.connection import Cluster
from sidechain.agents.cli.output import Json, emit, say
from sidechain.agents.problems import UsageProblem
from sidechain.agents.proposals import find, must_allow, now_ms
from sidechain.models.pack_cases import run_cases
from sidechain.models.pack_file import load_file


def activate(
    file: Annotated[Path, typer.Argument(help="The pack file.")],
    by: Annotated[str, typer.Option(help="Who decided this; it is sealed into every chain.")],
    proposal: Annotated[
        str | None, typer.Option(metavar="ID", help="The proposal this follows; it is sealed into every chain.")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for every partition's seal; 0: not at all.")] = 30,
    *,
    cluster: Cluster,
    json: Json = False,
) -> None:
    """Put a policy in force on every partition, from a point in the stream that each chain records.

    One that is in force already is not written again. With --proposal it must be what that proposal asks for, and in
    its time. Said beforehand: which lists it declares with other types than those in force have, because to this policy
    they are unknown.
    """
    if not by.strip():
        raise UsageProblem("--by names the person who decided this; it may not be empty")
    policy = load_file(file)
    failed = [one for one in run_cases(policy) if not one.passed]
    if failed:
        raise UsageProblem(f"{len(failed)} of the pack's own cases fail; `sidechain policy test {file}` shows them")
    settings = cluster.settings(policy=file)
    named = None if proposal is None else asyncio.run(find(settings, proposal))
    follows = None if named is None else named.proposal.id
    unknown = asyncio.run(lists_unlike(settings, policy))
    for one in unknown:
        say(str(one))
    offset = asyncio.run(standing(settings, policy, follows))
    if is_new := offset is None:
        if named is not None:
            must_allow(named, policy, now_ms())
        offset = asyncio.run(write(settings, policy, by.strip(), follows))
    if offset != BEGINNING:
        already = "" if is_new else " already, and nothing came after it"
        say(f"{policy.ref} stands on {settings.topic('control')} at offset {offset}{already}")
    at: dict[int, int] = {}
    if wait and offset != BEGINNING:
        asyncio.run(sealed_everywhere(settings, offset, wait, at.__setitem__))
    if json:
        found = {"offset": None if offset == BEGINNING else offset, "new": is_new, "sealed_at_seq": at}
        of = {"policy": policy.ref, "digest": policy.digest, "proposal": follows}
        emit({**of, **found, "unknown_lists": unknown}, json)
    elif offset == BEGINNING:
        emit(f"{policy.ref} is in force: the chains began under it, and nothing was activated since")
    else:
        where = ", ".join(f"partition {one} as entry {seq}" for one, seq in sorted(at.items()))
        emit(f"{policy.ref} is in force" + (f": sealed by {where}" if where else " once the deciders read it"), json)
