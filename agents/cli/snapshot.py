"""`sidechain snapshot`: what every partition remembers, as files a replay can begin at."""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from sidechain.agents.cli.connection import Connection
from sidechain.agents.cli.output import Json, Progress, emit, say
from sidechain.agents.cli.policies import policy_of
from sidechain.agents.proof import Topics
from sidechain.agents.settings import Config
from sidechain.agents.snapshot import Manifest, Told
from sidechain.agents.snapshot import snapshot as write
from sidechain.agents.whole_folder import swept


def snapshot(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is not there yet.")],
    connection: Connection,
    json: Json = False,
) -> None:
    """Write what every partition remembers behind its last entry; workers may go on. All of it is there, or nothing.

    `sidechain replay --snapshot DIR` begins there, on the topics or, with --export, on an export.
    """
    settings = connection.settings()
    for left in swept(folder.parent):
        say(f"{left} was left by a command that was killed; it is removed")
    with Progress("state records read") as progress:
        manifest = asyncio.run(_snapshot(settings, folder, progress.advance))
    if json:
        emit({"folder": str(folder), **msgspec.to_builtins(manifest)}, json)
        return
    for one in manifest.partitions:
        emit(f"partition {one.partition}: {one.state.records:,} records behind entry {one.seq:,}, hash {one.hash[:16]}")
    emit(f"the snapshot is in {folder}")


async def _snapshot(settings: Config, folder: Path, told: Told) -> Manifest:
    async with Topics.of(settings) as topics:
        return await write(topics, policy_of(settings.pack, settings.policy), folder, told)
