"""`sidechain topics apply|show`: the catalogue and the cluster."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer
from aiokafka.errors import KafkaConnectionError

from sidechain.agents.admin import Existing, Step, applied, commands, existing, planned
from sidechain.agents.cli.connection import Connection
from sidechain.agents.cli.output import Json, emit, say
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import AnswerIsNo
from sidechain.agents.settings import Config
from sidechain.topics.catalog import catalog

Partitions = Annotated[int | None, typer.Option(min=1, help="Of each co-partitioned topic; 4 otherwise.")]


def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands instead of doing it.")] = False,
    partitions: Partitions = None,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Create the topics that are missing and set right what differs.

    A partition count that differs is refused, and then nothing is done: every partition has its own chain.
    With --dry-run the commands are printed for whoever may create topics; that works without a cluster, too.
    """
    settings = connection.settings(partitions=partitions)
    if dry_run:
        plan = _plan_or_all(settings)
        lines = commands(settings, plan)
        emit({"commands": lines, "steps": plan} if json else "\n".join(lines) or "# nothing to do", json)
        return
    plan = planned(settings, asyncio.run(_have(settings)))
    asyncio.run(applied(kafka_options(settings), plan))
    emit({"steps": plan} if json else _done(plan), json)


def show(
    partitions: Partitions = None,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Compare the catalogue with the cluster. Exit 1 when a topic is missing or differs."""
    settings = connection.settings(partitions=partitions)
    have = asyncio.run(_have(settings))
    plan = planned(settings, have)
    emit([_fields(step, have.get(step.name)) for step in plan] if json else "\n".join(_table(plan, have)), json)
    if open_steps := [step for step in plan if step.action != "none"]:
        raise AnswerIsNo(f"{len(open_steps)} of {len(plan)} topics are not as they should be; see `topics apply`")


async def _have(settings: Config) -> dict[str, Existing]:
    return await existing(kafka_options(settings), {settings.topic(one) for one in catalog()})


def _plan_or_all(settings: Config) -> list[Step]:
    try:
        return planned(settings, asyncio.run(_have(settings)))
    except KafkaConnectionError:
        say(f"no Kafka answers at {settings.bootstrap}; these are the commands for an empty cluster")
        return planned(settings, {})


def _done(plan: list[Step]) -> str:
    words = {"create": "created", "change": "changed", "none": "unchanged"}
    lines = [f"{words[step.action]:8} {step.name}{f': {step.why}' if step.why else ''}" for step in plan]
    counts = Counter(words[step.action] for step in plan)
    return "\n".join([*lines, ", ".join(f"{count} {word}" for word, count in counts.items())])


def _table(plan: list[Step], have: dict[str, Existing]) -> Iterator[str]:
    width = max(len(step.name) for step in plan)
    yield f"{'topic':{width}}  {'partitions':>10}  {'replicas':>8}  {'kept':16}  state"
    for step in plan:
        one = have.get(step.name)
        partitions, replicas = (str(one.partitions), str(one.replication)) if one else ("-", "-")
        topic = catalog()[step.logical]
        kept = "compacted" if topic.cleanup == "compact" else topic.retention
        state = {"none": "ok", "create": "missing", "change": "differs", "refuse": "REFUSED"}[step.action]
        yield f"{step.name:{width}}  {partitions:>10}  {replicas:>8}  {kept:16}  {state}{_because(step)}"


def _because(step: Step) -> str:
    return f": {step.why}" if step.why else ""


def _fields(step: Step, have: Existing | None) -> dict[str, Any]:
    topic = catalog()[step.logical]
    return {
        **msgspec.structs.asdict(step),
        "says": topic.says,
        "key": topic.key,
        "writers": topic.writers,
        "readers": topic.readers,
        "exists": have is not None,
    }
