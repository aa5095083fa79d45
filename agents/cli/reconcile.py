"""`sidechain reconcile`: what was settled, held against what somebody else states."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from sidechain.agents.believing import UNTRUSTING
from sidechain.agents.chain_proofs import Place, Policies, check
from sidechain.agents.cli.connection import Connection, ExportFolder
from sidechain.agents.cli.output import Json, Progress, emit
from sidechain.agents.cli.period import Since, Until, period_of
from sidechain.agents.cli.proofs import must_be_right
from sidechain.agents.problems import AnswerIsNo, UsageProblem
from sidechain.agents.verify_files import blocks
from sidechain.models.amounts import DECIMALS_MAX
from sidechain.models.reconcile import COLUMNS, Mismatch, Reconciled, Settled, StatementError, read_statement, reconcile
from sidechain.models.report.costs import CostAsk, CostTally
from sidechain.models.report.tally import Period

SHOWN = 40  # mismatches told to a person; --json has all


def reconcile_(
    invoice: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The statement: CSV with a header, or NDJSON; - is standard input."),
    ],
    decisions: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Sealed entries of one partition, one a line; repeat. Else the topic."),
    ] = None,
    bundle: ExportFolder = None,
    since: Since = None,
    until: Until = None,
    unit: Annotated[
        str | None, typer.Option(metavar="UNIT", help="The unit of every settled cost, instead of what policies say.")
    ] = None,
    decimals: Annotated[
        int, typer.Option(min=0, max=DECIMALS_MAX, help="Of the statement's amounts: 2 for cents, 0 for counts.")
    ] = 2,
    columns: Annotated[
        str, typer.Option(metavar="ID,AMOUNT,UNIT", help="What the statement calls these three.")
    ] = ",".join(COLUMNS),
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Chains read at once, each in a process.")] = 1,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Hold every settled cost against a statement. Exit 1 when anything differs; each difference has line and entry.

    The chains are verified on the way, and nothing is compared with a broken one. A period (event time of outcomes)
    says which costs the statement should have. Amounts are exact: 12.505 with two decimals is told, not rounded.
    """
    if decisions and bundle:
        raise UsageProblem("name --decisions or --export, one of the two")
    if invoice == Path("-") and Path("-") in (decisions or ()):
        raise UsageProblem("--invoice and --decisions cannot both be standard input")
    period = period_of(since, until)
    place = Place(decisions or (), bundle, connection.settings, connection.policy_if_named, jobs=jobs)
    settled = _settled(place, period, unit)
    names = [one.strip() for one in columns.split(",")]
    try:
        lines = (line for _, block in blocks(invoice) for line in block)
        found = reconcile(settled, read_statement(lines, decimals=decimals, columns=names))
    except StatementError as fault:
        raise UsageProblem(f"{invoice}: {fault}") from None
    emit(_fields(found) if json else "\n".join(_lines(found, decimals)), json)
    if found.mismatches:
        raise AnswerIsNo(f"{len(found.mismatches):,} differences between what was settled and {invoice}")


def _settled(place: Place, period: Period, unit: str | None) -> list[Settled]:
    def asked(policies: Policies) -> CostAsk:
        return CostAsk(period=period, units=_units(policies), unit=unit)

    with Progress("entries read") as progress:
        found = check(place, UNTRUSTING, progress.advance, asked)
    must_be_right(found.proofs)
    tallies = [one.tally for one in found.proofs if isinstance(one.tally, CostTally)]
    if unreadable := sum(one.unreadable for one in tallies):
        raise AnswerIsNo(
            f"{unreadable:,} sealed records are no entries that this release can read; nothing is compared"
        )
    unknown: Counter[str] = sum((one.without_unit for one in tallies), Counter())
    if unknown:
        ref, count = min(unknown.items())
        raise UsageProblem(f"nobody here can say in which unit {count:,} costs under {ref} are; name it with --unit")
    return [cost for one in tallies for cost in one.costs]


def _units(policies: Policies) -> dict[str, str]:
    """Of the costs that outcomes state, by the policy that is in force."""
    return {ref: one.budgeting.cost_unit for ref, one in policies.items() if one.budgeting is not None}


def _fields(found: Reconciled) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(found)
    for told, one in zip(fields["mismatches"], found.mismatches, strict=True):
        told["entry"] = None if one.entry is None else one.entry._asdict()
    return {"kinds": dict(sorted(Counter(one.kind for one in found.mismatches).items())), **fields}


def _lines(found: Reconciled, decimals: int) -> Iterator[str]:
    yield f"{found.matches:,} lines are what was settled, {len(found.mismatches):,} differ"
    for unit in sorted({*found.settled, *found.stated}):
        ours, theirs = found.settled.get(unit, 0), found.stated.get(unit, 0)
        yield f"{unit}: settled {_amount(ours, decimals)}, stated {_amount(theirs, decimals)}"
    for one in found.mismatches[:SHOWN]:
        yield _line(one, decimals)
    if len(found.mismatches) > SHOWN:
        yield f"... and {len(found.mismatches) - SHOWN:,} more; --json has them"


def _line(one: Mismatch, decimals: int) -> str:
    places = [f"line {one.line:,}"] if one.line is not None else []
    places += [str(one.entry)] if one.entry is not None else []
    sides = {"settled": one.settled, "stated": one.stated}
    amounts = [f"{name} {_amount(value, decimals)}" for name, value in sides.items() if value is not None]
    said = f" ({', '.join(amounts)} {one.unit})" if amounts else ""
    return f"{one.kind:10} {one.id or '-'}: {', '.join(places)}: {one.why}{said}"


def _amount(minor: int, decimals: int) -> str:
    """As the statement writes it."""
    whole, rest = divmod(minor, 10**decimals)
    return f"{whole:,}.{rest:0{decimals}d}" if decimals else f"{whole:,}"
