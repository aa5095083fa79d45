"""`produce` and `tail`: events in, records out."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from aiokafka import ConsumerRecord

from sidechain.agents.cli.connection import Connection
from sidechain.agents.cli.convert import raw_lines
from sidechain.agents.cli.output import Json, Progress, emit, say
from sidechain.agents.cli.policies import policy_of
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import UsageProblem
from sidechain.agents.produce import keyed
from sidechain.agents.produce import produce as send
from sidechain.agents.reader import Reader
from sidechain.agents.settings import Config
from sidechain.topics.catalog import catalog


def produce(
    file: Annotated[Path, typer.Argument(help="Events, one JSON object a line, plain or gzip; - is standard input.")],
    rate: Annotated[float | None, typer.Option(min=0.001, help="Events a second.")] = None,
    speed: Annotated[float | None, typer.Option(min=0.001, help="Seconds of event time a second.")] = None,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Send events to the input topic, each under its own key; without --rate and --speed as fast as it goes."""
    if rate is not None and speed is not None:
        raise UsageProblem("--rate and --speed answer the same question; give one")
    if str(file) != "-" and not file.is_file():
        raise UsageProblem(f"{file} cannot be read: there is no such file")
    settings = connection.settings()
    schema = policy_of(settings.pack, settings.policy).event
    topic = settings.topic("events")
    with Progress("events sent") as progress:
        events = keyed(lines_in(file), schema)
        sending = send(kafka_options(settings), topic, events, rate=rate, speed=speed, progress=progress.advance)
        count = asyncio.run(sending)
    emit({"topic": topic, "sent": count} if json else f"{count:,} events sent to {topic}", json)


def tail(
    topic: Annotated[str, typer.Argument(help="Its name here, such as dry.decisions.")],
    start: Annotated[bool, typer.Option("--from-start", help="From the first record on, not only what comes.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many records.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop at the end instead of waiting for more.")] = False,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Print the values of a topic, one a line; with --json the key, partition, offset and headers beside them."""
    if topic not in catalog():
        raise UsageProblem(f"unknown topic {topic}; there are {', '.join(catalog())}")
    settings = connection.settings()
    asyncio.run(_tail(settings, topic, from_start=start or once, limit=limit, once=once, json=json))


async def _tail(settings: Config, topic: str, *, from_start: bool, limit: int | None, once: bool, json: bool) -> None:
    async with Reader(kafka_options(settings), settings.topic(topic)) as reader:
        partitions = await reader.partitions()
        if not once:
            say(f"reading {reader.topic}, {len(partitions)} partitions; Ctrl-C ends it")
        batches = reader.to_end(partitions) if once else reader.follow(partitions, from_end=not from_start)
        shown = 0
        async for records in batches:
            for one in records:
                emit(_record(one) if json else _text(one.value), json)
                shown += 1
                if shown == limit:
                    return


def lines_in(file: Path) -> Iterator[bytes]:
    """The lines of a file, or of standard input, that are not empty."""
    for line in raw_lines(file):
        if value := line.rstrip(b"\r\n"):
            yield value


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("utf-8", "backslashreplace")


def _record(one: ConsumerRecord) -> dict[str, object]:
    try:
        value = msgspec.json.decode(one.value) if one.value else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = _text(one.value)
    return {
        "partition": one.partition,
        "offset": one.offset,
        "key": None if one.key is None else _text(one.key),
        "headers": {name: _text(content) for name, content in one.headers},
        "value": value,
    }
