"""`outcomes`: what really happened, sent to where it was decided."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from sidechain.agents.cli.connection import Connection
from sidechain.agents.cli.output import Json, Progress, emit, say
from sidechain.agents.cli.stream import lines_in
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.outcomes import Router, look_up, sought
from sidechain.agents.problems import UsageProblem
from sidechain.agents.produce import produce as send
from sidechain.agents.proof import Topics
from sidechain.agents.settings import Config


def outcomes(
    file: Annotated[Path, typer.Argument(help="Outcomes, one JSON object a line, plain or gzip; - is standard input.")],
    rate: Annotated[float | None, typer.Option(min=0.001, help="Outcomes a second.")] = None,
    speed: Annotated[float | None, typer.Option(min=0.001, help="Seconds of event time a second.")] = None,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Send outcomes, each to the partition of its decision: the one it states, or its key leads to, or the chain names.

    The chain is read once for all lines of a file that state neither; lines of standard input are sent as they come.
    """
    if rate is not None and speed is not None:
        raise UsageProblem("--rate and --speed answer the same question; give one")
    if str(file) != "-" and not file.is_file():
        raise UsageProblem(f"{file} cannot be read: there is no such file")
    settings = connection.settings()
    ids = set() if str(file) == "-" else sought(lines_in(file))
    with Progress("entries looked at") as progress:
        router = asyncio.run(_router(settings, ids, progress.advance))
    topic = settings.topic("outcomes")
    with Progress("outcomes sent") as progress:
        lines = router.keyed(lines_in(file))
        sending = send(kafka_options(settings), topic, lines, rate=rate, speed=speed, progress=progress.advance)
        count = asyncio.run(sending)
    if router.unplaced:
        say(f"{router.unplaced:,} of them name no decision that could be found; those are refused, with the reason")
    if json:
        emit({"topic": topic, "sent": count, "unplaced": router.unplaced}, json)
    else:
        emit(f"{count:,} outcomes sent to {topic}")


async def _router(settings: Config, ids: set[str], told: Callable[[int], None]) -> Router:
    async with Topics.of(settings) as topics:
        partitions = await (await topics.reader("outcomes")).partitions()
        return Router(len(partitions), await look_up(topics, ids, told))
