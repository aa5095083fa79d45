"""`sidechain policy backtest`: what another policy would have made of what was already decided."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from sidechain.agents.backtest import (
    Asked,
    Chain,
    FileChain,
    backtest,
    chains_of_export,
    chains_of_topics,
    stake_field,
)
from sidechain.agents.cli.connection import Cluster, ExportFolder
from sidechain.agents.cli.output import Json, Progress, emit
from sidechain.agents.cli.period import Since, Until, period_of
from sidechain.agents.cli.policies import ListFiles, lists_of
from sidechain.agents.problems import AnswerIsNo, UsageProblem
from sidechain.models import utc
from sidechain.models.compare import VERDICTS, Comparison, Flip, Flips, Hits, Share, share_bp
from sidechain.models.compare_fields import fields
from sidechain.models.dry import Line
from sidechain.models.list_file import offline_control
from sidechain.models.pack_file import load_file
from sidechain.models.verdict import Verdict, verdict

ROWS = 12  # of a table for people; --json has all


def backtest_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The pack file of the candidate.")],
    events: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Events of one partition, one a line; repeat for more.")
    ] = None,
    decisions: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="The entries they were sealed as; once for each --events.")
    ] = None,
    outcomes: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="The outcomes they were decided with; once for each --events."),
    ] = None,
    lists: ListFiles = None,
    bundle: ExportFolder = None,
    since: Since = None,
    until: Until = None,
    value: Annotated[
        str | None, typer.Option(metavar="FIELD", help="The event's int field that is at stake; else the pack's.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What was bad in truth: lines `id,bad`, or outcomes; else settlements."),
    ] = None,
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many partitions share the accounts of budgets; else as many as there are chains."
        ),
    ] = None,
    examples: Annotated[int, typer.Option(min=0, max=1_000, help="Shown of each kind of flip.")] = 3,
    flips: Annotated[Path | None, typer.Option(metavar="FILE", help="Write every flip there, one a line.")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Chains walked at once, each in a process.")] = 1,
    fail_on_flips: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Exit 1 when more than so many flip.")
    ] = None,
    *,
    cluster: Cluster,
    json: Json = False,
) -> None:
    """Say who would have been decided otherwise under the policy in FILE: by rule, by week, and what is at stake.

    Every input of the chains is decided anew, in their order, with the signals that were sealed, as if the candidate
    had been in force from the first entry on. It is held against what was sealed, under whichever policies. PROMOTE,
    REVIEW or REJECT says what that gives by stated thresholds; a person decides.
    """
    period = period_of(since, until)
    candidate = load_file(file)
    chains: Sequence[Chain]
    if lists and not events:
        raise UsageProblem("--lists goes with --events; topics and exports hold the lists they were decided with")
    if outcomes and not events:
        raise UsageProblem("--outcomes goes with --events; topics and exports hold their own")
    if events or decisions:
        control = offline_control(candidate, lists_of(candidate, lists))
        chains = _of_files(events or [], decisions or [], outcomes or [], bundle, control)
    elif bundle is not None:
        chains = chains_of_export(bundle)
    else:
        chains = asyncio.run(chains_of_topics(cluster.settings(policy=file)))
    stake = stake_field(candidate, value)
    asked = Asked(
        policy=candidate.text.encode(),
        stake=stake,
        since_ms=period.since,
        until_ms=period.until,
        labels=labels,
        examples=examples,
        partitions=partitions,
    )
    sizes = [one.entries() for one in chains]
    total = None if None in sizes else sum(one or 0 for one in sizes)
    with Progress("entries compared", total) as progress:
        found = backtest(chains, asked, progress.advance, jobs=jobs, flips=flips)
    said = verdict(found)
    emit(
        fields(found, candidate.ref, said, stake) if json else "\n".join(lines(found, candidate.ref, said, stake)), json
    )
    if fail_on_flips is not None and found.sums.flips.count > fail_on_flips:
        raise AnswerIsNo(f"{found.sums.flips.count:,} inputs flip, and --fail-on-flips allows {fail_on_flips:,}")


def lines(found: Comparison, candidate: str, said: Verdict, stake: str | None) -> Iterator[str]:
    """The comparison as a person reads it, the answer first."""
    sums = found.sums
    yield f"{said.word}: {'; '.join(said.why)}"
    yield ""
    under = ", ".join(f"{ref} ({count:,})" for ref, count in sorted(found.policies.items()))
    yield f"{candidate} against what was sealed under {under}"
    yield (
        f"{sums.inputs:,} inputs{f' and {found.outside:,} outside the period' if found.outside else ''}, "
        f"event times {_time(found.earliest_ms)} to {_time(found.latest_ms)}"
    )
    yield (
        f"{sums.flips.count:,} flip ({_percent(sums.flips.count, sums.inputs)}): {sums.stricter:,} stricter, "
        f"{sums.milder:,} milder{_value(sums.flips, stake)}"
    )
    for move, flips, shown in found.listed():
        yield f"  {move[0]} -> {move[1]}: {flips.count:,}{_value(flips, stake)}"
        for one in shown:
            yield f"    {_example(one, stake)}"
    yield ""
    yield f"{'':28}{'before':>10}{'after':>10}"
    for name in VERDICTS:
        if found.verdicts_before[name] or found.verdicts_after[name]:
            yield f"{name:28}{found.verdicts_before[name]:>10,}{found.verdicts_after[name]:>10,}"
    for title, table in (("Rules", found.rules), ("Typologies", found.typologies)):
        yield from _table(title, table, stake)
    if found.without_rules.count:
        yield f"{found.without_rules.count:,} flip although the same rules fire{_value(found.without_rules, stake)}"
    yield from _weeks(found, stake)
    yield from _labels(found)
    yield from _others(found)


def _table(title: str, table: dict[str, Share], stake: str | None) -> Iterator[str]:
    rows = sorted(table.items(), key=lambda one: (-one[1].flips.count, one[0]))
    if not rows:
        return
    yield ""
    yield f"{title:28}{'before':>10}{'after':>10}{'flips':>10}{'began':>8}{'ended':>8}"
    for name, one in rows[:ROWS]:
        counts = f"{one.before:>10,}{one.after:>10,}{one.flips.count:>10,}{one.began:>8,}{one.ended:>8,}"
        yield f"{name:28}{counts}{_value(one.flips, stake) if one.flips.count else ''}"
    if len(rows) > ROWS:
        yield f"... and {len(rows) - ROWS:,} more, which flip less; --json has them"


def _weeks(found: Comparison, stake: str | None) -> Iterator[str]:
    yield ""
    yield f"{'Weeks':28}{'inputs':>10}{'flips':>10}{'stricter':>10}{'milder':>10}"
    weeks = sorted(found.weeks.items())
    for week, one in weeks[-ROWS:]:
        counts = f"{one.inputs:>10,}{one.flips.count:>10,}{one.stricter:>10,}{one.milder:>10,}"
        yield f"{week:28}{counts}{_value(one.flips, stake) if one.flips.count else ''}"
    if len(weeks) > ROWS:
        yield f"... and {len(weeks) - ROWS:,} before; --json has them"


def _labels(found: Comparison) -> Iterator[str]:
    sums = found.sums
    if not sums.labelled:
        return
    yield ""
    yield f"of {sums.labelled:,} labelled: {sums.caught:,} bad stopped that went, {sums.missed:,} gone that did not"
    for name, hits in (("before", sums.hits_before), ("after", sums.hits_after)):
        yield f"  {name:8} {_hits(hits)}"


def _others(found: Comparison) -> Iterator[str]:
    told = [
        *_changed("without a value of signal", found.unknown_before, found.unknown_after),
        *_changed("with flag", found.flags_before, found.flags_after),
    ]
    for (before, after), count in sorted(found.rejections.items()):
        told.append(f"rejected for {before or 'nothing'}, then for {after or 'nothing'}: {count:,}")
    if told:
        yield ""
        yield from told


def _changed(what: str, before: dict[str, int], after: dict[str, int]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        if before.get(name, 0) != after.get(name, 0):
            yield f"{what} {name}: {before.get(name, 0):,}, then {after.get(name, 0):,}"


def _hits(hits: Hits) -> str:
    return (
        f"stopped {hits.named:,}, precision {_percent(hits.named_bad, hits.named)}, "
        f"recall {_percent(hits.named_bad, hits.bad)}"
    )


def _example(one: Flip, stake: str | None) -> str:
    rules = [f"{name} fires" for name in one.began] + [f"{name} no longer" for name in one.ended]
    at_stake = "" if stake is None else f", {stake} {'unknown' if one.stake is None else one.stake}"
    return (
        f"{one.id or 'no id'} (partition {one.partition}, entry {one.seq}, {_time(one.at_ms)}{at_stake})"
        f"{': ' if rules else ''}{', '.join(rules)}"
    )


def _value(flips: Flips, stake: str | None) -> str:
    if stake is None:
        return ""
    unknown = f" and {flips.unknown_stake:,} unknown" if flips.unknown_stake else ""
    return f"  {stake} {flips.stake:,}{unknown}"


def _percent(part: int, whole: int) -> str:
    share = share_bp(part, whole)
    return "-" if share is None else f"{share // 100}.{share % 100:02} %"


def _time(at_ms: int | None) -> str:
    return "-" if at_ms is None else utc.text(at_ms)


def _of_files(
    events: Sequence[Path],
    decisions: Sequence[Path],
    outcomes: Sequence[Path],
    bundle: Path | None,
    control: Sequence[Line],
) -> list[Chain]:
    if bundle is not None:
        raise UsageProblem("--export holds its own events; leave --events and --decisions away")
    if len(events) != len(decisions):
        raise UsageProblem(
            f"--events and --decisions go together, once each for a partition; there are {len(events)} and "
            f"{len(decisions)}"
        )
    if outcomes and len(outcomes) != len(events):
        raise UsageProblem(f"--outcomes goes with --events, once each; there are {len(outcomes)} and {len(events)}")
    for one in (*events, *decisions, *outcomes):
        if not one.is_file():
            raise UsageProblem(f"{one} is no file")
    beside: Sequence[Path | None] = outcomes or [None] * len(events)
    return [FileChain(*one, control) for one in zip(events, decisions, beside, strict=True)]
