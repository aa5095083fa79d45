"""`sidechain rekey`: an input topic keyed otherwise, copied to one keyed as the pack needs it."""

import asyncio
import signal
from typing import Annotated

import typer

from sidechain.agents.cli.connection import Connection
from sidechain.agents.cli.output import Json, Progress, emit
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.rekey import Copied, Rekey
from sidechain.agents.settings import Config


def rekey(
    source: Annotated[str, typer.Option("--from", metavar="TOPIC", help="The topic as it is; its full name.")],
    target: Annotated[str | None, typer.Option("--to", metavar="TOPIC", help="Else the pack's input topic.")] = None,
    field: Annotated[str | None, typer.Option(help="The field that becomes the key; else the pack's.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop at the end as it stands now.")] = False,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Copy a topic to one keyed by a field of its records, each record exactly once.

    A key's records keep their order where they stood on one partition. Goes on where it stopped; runs until SIGTERM
    or Ctrl-C, or with --once to the end. What has no such field is copied without a key: the decider rejects it with
    a reason.
    """
    settings = connection.settings()
    field = field or settings.loaded_policy.event.role("key").name
    copied = asyncio.run(_run(settings, source, target or settings.topic("events"), field, once))
    text = f"{copied.records:,} records copied, {copied.without_key:,} of them without a key"
    emit({"records": copied.records, "without_key": copied.without_key} if json else text, json)


async def _run(settings: Config, source: str, target: str, field: str, once: bool) -> Copied:
    copier = Rekey(kafka_options(settings), source, target, field)
    for one in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(one, copier.stop)
    with Progress("records copied") as shown:

        def progress(done: int, left: int) -> None:
            shown.total = shown.done + left
            shown.advance(done)

        return await copier.run(once=once, progress=progress)
