"""`sidechain repair`: what a person decides about a partition no worker may go on with."""

import asyncio
import time
from typing import Annotated

import msgspec
import typer
from aiokafka.errors import KafkaError

from sidechain.agents.cli.connection import Connection
from sidechain.agents.cli.output import Json, Progress, emit, say
from sidechain.agents.lane.problems import Remedy
from sidechain.agents.problems import EnvironmentProblem, UsageProblem
from sidechain.agents.repair import repair as mend
from sidechain.agents.repair_plan import Deed

WORDS_MAX = 2_000  # characters of --by and of --why: they are sealed into the chain for good


def repair(
    partition: Annotated[int, typer.Option(min=0, help="The partition whose lane stands still.")],
    by: Annotated[str, typer.Option(help="Who decides this; it is sealed into the chain.")] = "",
    why: Annotated[str, typer.Option(help="Why; it is sealed into the chain.")] = "",
    gap: Annotated[bool, typer.Option("--gap", help="Go on although inputs are gone; the state stays.")] = False,
    epoch: Annotated[bool, typer.Option("--epoch", help="Begin a new chain with an empty state.")] = False,
    resume_at: Annotated[
        int | None, typer.Option(min=0, metavar="OFFSET", help="Where the input goes on, where no log can say.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write it; without this it is only shown.")] = False,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Say what a worker would refuse about a partition, and with --yes seal a person's decision to go on.

    Nothing that stands in a log is edited: the decision is one entry more, with who and why. Stop all workers first.
    Restoring what was lost is always better, and possible until this is done.
    """
    if gap and epoch:
        raise UsageProblem("--gap or --epoch, one of the two; without either it is said which one helps")
    remedy: Remedy | None = "gap" if gap else "epoch" if epoch else None
    deed = _deed(by, why, remedy) if yes else None
    settings = connection.settings()
    with Progress("entries verified") as progress:
        try:
            found = asyncio.run(mend(settings, partition, remedy, deed, resume_at, progress.advance))
        except KafkaError as fault:
            raise EnvironmentProblem(f"Kafka at {settings.bootstrap} does not do it: {fault!r}") from fault
    entry = msgspec.json.decode(found.plan.entry) if yes else None
    if json:
        fields = {"partition": partition, "problem": found.problem, "remedy": found.plan.remedy}
        emit({**fields, "says": found.plan.says, "written": yes, "entry": entry}, json)
    else:
        emit("\n".join([f"partition {partition}: {found.problem}", *(f"  {one}" for one in found.plan.says)]))
    if not yes:
        say(f"nothing was written; to write it: --{found.plan.remedy} --by NAME --why TEXT --yes")
    elif entry is not None and not json:
        say(f"sealed as entry {entry['seq']} with hash {entry['hash']}; the workers may start")


def _deed(by: str, why: str, remedy: Remedy | None) -> Deed:
    if remedy is None:
        raise UsageProblem("--yes writes only what was named: --gap or --epoch; without --yes it is said which helps")
    for name, text in (("--by", by), ("--why", why)):
        if not text.strip():
            raise UsageProblem(f"{name} is missing: who decides and why is sealed into the chain")
        if len(text) > WORDS_MAX or not text.isprintable():
            raise UsageProblem(f"{name} is one line of up to {WORDS_MAX:,} printable characters")
    return Deed(by, why, time.time_ns() // 1_000_000)
