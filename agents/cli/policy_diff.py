"""`sidechain policy diff`: what changed between two policies, in words."""

import asyncio
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from sidechain.agents.bundle import Bundle
from sidechain.agents.cli.connection import Connection, ExportFolder
from sidechain.agents.cli.output import Json, emit
from sidechain.agents.known_policies import policies_by_digest, policies_in_state, policy_in
from sidechain.agents.problems import UsageProblem
from sidechain.agents.proof import Topics
from sidechain.models.dry.state import POLICY_PREFIX
from sidechain.models.pack_file import PACKS, load_file, load_pack
from sidechain.models.policy import Policy
from sidechain.models.policy_diff import EFFECTS, Change, changes

REFERENCE: Final = re.compile(r"[a-z][a-z0-9_]*@[0-9]+:[0-9a-f]{12}")


def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A pack file, a pack's name, or name@version:digest.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Likewise.")],
    bundle: ExportFolder = None,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Say what changed from policy A to policy B, by what it can do to decisions.

    A reference as entries cite it is found in --export, else on `control` and `dry.state`.
    """
    known: dict[str, Policy] = {}
    if any(REFERENCE.fullmatch(one) for one in (before, after)):
        known = _of_export(bundle) if bundle is not None else asyncio.run(_of_topics(connection))
    old, new = (_meant(one, known) for one in (before, after))
    found = changes(old, new)
    if json:
        shown = [{**one._asdict(), "words": str(one)} for one in found]
        emit({"before": old.ref, "after": new.ref, "is_same": old.digest == new.digest, "changes": shown}, json)
    else:
        emit("\n".join(lines(old, new, found)), json)


def lines(old: Policy, new: Policy, found: Iterable[Change]) -> Iterator[str]:
    """The changes as a person reads them."""
    yield f"from {old.ref} to {new.ref}"
    if old.name != new.name:
        yield f"they are of different packs, {old.name} and {new.name}: no chain goes from one to the other"
    found = list(found)
    if not found:
        yield "the files are the same" if old.digest == new.digest else "only comments and layout changed"
    for effect, title in EFFECTS.items():
        of_it = [one for one in found if one.effect == effect]
        if of_it:
            yield ""
            yield title
        for one in of_it:
            yield f"  {one}"


def _meant(text: str, known: dict[str, Policy]) -> Policy:
    path = Path(text)
    if REFERENCE.fullmatch(text) and not path.is_file():
        if text not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise UsageProblem(f"nobody here has the text of {text}; there are: {listed}")
        return known[text]
    if path.is_file() or text not in PACKS:
        if not path.is_file():
            raise UsageProblem(f"{text} is no file, and no pack: those are {', '.join(PACKS)}")
        return load_file(path)
    return load_pack(text)


def _of_export(folder: Path) -> dict[str, Policy]:
    bundle = Bundle(folder)
    texts = [folder / one.name for one in bundle.manifest.files if one.kind == "policy"]
    on_control = (policy_in(one) for file in bundle.files("control").values() for one in bundle.records(file))
    found = policies_by_digest(path.read_bytes() for path in texts if path.is_file())
    return found | {one.ref: one for one in on_control if one is not None}


async def _of_topics(connection: Connection) -> dict[str, Policy]:
    async with Topics.of(connection.settings()) as topics:
        found = {one.ref: one for record in (await topics.control()).values() if (one := policy_in(record))}
        states = await topics.reader("dry.state")
        if await states.exists():
            async for records in states.to_end(await states.partitions()):
                kept = {one.key: one.value for one in records if one.value and one.key.startswith(POLICY_PREFIX)}
                found |= {one.ref: one for one in policies_in_state(kept)}
    return found
