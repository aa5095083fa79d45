"""`sidechain policy measure`: precision and recall of a policy against labelled data."""

from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from sidechain.agents.cli.convert import raw_lines
from sidechain.agents.cli.output import Json, Progress, emit, say
from sidechain.agents.cli.policies import ListFiles, PolicyNamed, lists_of
from sidechain.agents.problems import UsageProblem
from sidechain.models.decider import Decider
from sidechain.models.measure import Measure, Measured
from sidechain.models.sources import BadRow, SourceError, rows

SLICE: Final = 2_000


def measure(
    file: Annotated[Path, typer.Argument(help="Labelled raw data, plain or gzip; - is standard input.")],
    named: PolicyNamed,
    source: Annotated[str | None, typer.Option(help="Which of the pack's sources; found out when absent.")] = None,
    lists: ListFiles = None,
    json: Json = False,
) -> None:
    """Decide labelled rows and print precision and recall per rule, per typology and for the whole."""
    loaded = named.named_policy()
    decider, measured, bad_rows = Decider(loaded, lists=lists_of(loaded, lists)), Measured(), 0
    try:
        converted = rows(loaded, source, (line.rstrip(b"\r\n") for line in raw_lines(file)))
        with Progress("rows decided") as progress:
            while taken := list(islice(converted, SLICE)):
                labelled = [one for one in taken if not isinstance(one, BadRow)]
                bad_rows += len(taken) - len(labelled)
                if any(one.is_normal is None for one in labelled):
                    raise UsageProblem(f"this source of pack {loaded.name} names no label; nothing to measure against")
                for one, entry in zip(labelled, decider.lines([one.event for one in labelled]), strict=True):
                    measured.add(msgspec.json.decode(entry), not one.is_normal)
                progress.advance(len(taken))
    except SourceError as error:
        raise UsageProblem(str(error)) from None
    if not measured.events:
        raise UsageProblem(f"nothing in {file} could be read as an event of pack {loaded.name}")
    if bad_rows:
        say(f"{bad_rows} rows are no events and were left out")
    table = list(measured.table(loaded))
    if json:
        emit({"events": measured.events, "bad": measured.bad, "measures": [_fields(one) for one in table]}, json)
    else:
        emit("\n".join(_line(one) for one in table), json)
        emit(f"{measured.events:,} events, {measured.bad:,} of them bad, {measured.undecided:,} undecided")


def _fields(one: Measure) -> dict[str, object]:
    return {**one._asdict(), "precision": one.precision, "recall": one.recall}


def _line(one: Measure) -> str:
    def shown(ratio: float | None) -> str:
        return "     -" if ratio is None else f"{ratio:6.4f}"

    return (
        f"{one.scope:9} {one.id:28} {one.named:>9,} named  precision {shown(one.precision)}  recall {shown(one.recall)}"
    )
