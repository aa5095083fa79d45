"""`sidechain metrics send`: the values of a metric to the topic where they are scored as they come."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sidechain.agents.cli.connection import Connection
from sidechain.agents.cli.metrics import SHOWN_PROBLEMS, rows_of
from sidechain.agents.cli.output import Json, Progress, emit, say
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import UsageProblem
from sidechain.agents.produce import Keyed, produce
from sidechain.topics.codec import encode
from sidechain.topics.metrics import MetricValueError, metric_value


def send(
    file: Annotated[Path, typer.Argument(help="CSV with columns timestamp and value, plain or gzip; - is stdin.")],
    metric: Annotated[str, typer.Option("--metric", metavar="NAME", help="What these are values of.")],
    rate: Annotated[float | None, typer.Option(min=0.001, help="Values a second; else as fast as it goes.")] = None,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Send the values of a metric to the topic `metrics`, where `sidechain worker drift` scores them as they come.

    A time without an offset is in UTC. A row without a time or a number is left out, and counted on standard error.
    """
    settings = connection.settings()
    topic, left = settings.topic("metrics"), Left()
    with Progress("values sent") as progress:
        sending = produce(
            kafka_options(settings), topic, _values(file, metric, left), rate=rate, progress=progress.advance
        )
        count = asyncio.run(sending)
    if left.out:
        say(f"{left.out:,} rows without a time or a number")
    if not count:
        raise UsageProblem(f"{file} holds no row with a time and a number")
    emit({"topic": topic, "sent": count, "left_out": left.out} if json else f"{count:,} values sent to {topic}", json)


@dataclass
class Left:
    """Rows that were left out."""

    out: int = 0


def _values(file: Path, metric: str, left: Left) -> Iterator[Keyed]:
    for row in rows_of(file):
        try:
            one = metric_value(metric.encode(), f"{row.timestamp},{row.text}".encode())
        except MetricValueError as fault:
            left.out += 1
            if left.out <= SHOWN_PROBLEMS:
                say(f"line {row.line}: {fault}")
            continue
        yield Keyed(metric.encode(), encode(one), one.at)
