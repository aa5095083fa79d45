"""`sidechain export`: the chains as files, to be verified and replayed by whoever has no access to the cluster."""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from sidechain.agents import parquet as tables
from sidechain.agents.bundle_files import Manifest
from sidechain.agents.checkpoints import origin_of
from sidechain.agents.cli.asking import ask
from sidechain.agents.cli.connection import Connection
from sidechain.agents.cli.output import Json, Progress, emit, say
from sidechain.agents.cli.policies import policy_of
from sidechain.agents.export import Told
from sidechain.agents.export import export as write
from sidechain.agents.problems import UsageProblem
from sidechain.agents.proof import Topics
from sidechain.agents.settings import Config
from sidechain.agents.whole_folder import swept


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is not there yet.")],
    with_events: Annotated[
        bool, typer.Option("--with-events", help="Also what was decided, so that it can be replayed.")
    ] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Tables for analysts instead: a Parquet file for each partition.")
    ] = False,
    bundle: Annotated[
        Path | None, typer.Option("--export", metavar="DIR", help="With --parquet: an export, instead of the topics.")
    ] = None,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Write every chain to a file, with a manifest. The folder is there in full at the end, or not at all.

    `sidechain verify --export DIR` and, with --with-events, `sidechain replay --export DIR` need nothing else. With
    --parquet the entries become rows with a column for each feature and signal: nothing that the chain does not hold.
    """
    if with_events and parquet:
        raise UsageProblem("Parquet files hold entries only: leave --with-events away")
    if bundle is not None and not parquet:
        raise UsageProblem("--export goes with --parquet; an export need not be exported again")
    if parquet:
        _tables(folder, bundle, connection, json)
        return
    settings = connection.settings()
    for left in swept(folder.parent):
        say(f"{left} was left by a command that was killed; it is removed")
    with Progress("records exported") as progress:
        manifest = asyncio.run(_export(settings, folder, progress.advance, with_events=with_events))
    for ref in manifest.lacking:
        say(f"policy {ref}, which entries cite, is not among the files: nobody here has its text")
    if foreign := sum(one.foreign for one in manifest.files):
        say(f"{foreign:,} records there belong to no chain; they are in the files as they stand, marked as foreign")
    if json:
        emit({"folder": str(folder), **msgspec.to_builtins(manifest)}, json)
        return
    for one in manifest.files:
        if one.kind == "decisions":
            emit(f"partition {one.partition}: {one.records - one.foreign:,} entries, head {(one.head or '-')[:16]}")
    emit(f"{len(manifest.files)} files and their manifest are in {folder}")


def _tables(folder: Path, bundle: Path | None, connection: Connection, json: bool) -> None:
    tables.needs_pyarrow()
    for left in swept(folder.parent):
        say(f"{left} was left by a command that was killed; it is removed")
    with Progress("entries read, and read again to be written") as progress:
        files = ask(bundle, connection, lambda source: tables.write(source, folder, progress.advance))
    if foreign := sum(one.foreign for one in files):
        say(f"{foreign:,} records there are no entries and have no row")
    if json:
        emit({"folder": str(folder), "files": [one._asdict() for one in files]}, json)
        return
    for one in files:
        emit(f"partition {one.partition}: {one.rows:,} rows in {one.name}")
    emit(f"{len(files)} files are in {folder}")


async def _export(settings: Config, folder: Path, told: Told, *, with_events: bool) -> Manifest:
    given = policy_of(settings.pack, settings.policy)
    async with Topics.of(settings) as topics:
        log = origin_of(settings, 0, 0).log
        return await write(topics, given, folder, told, with_events=with_events, log=log)
