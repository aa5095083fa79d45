"""`sidechain bench dry|latency|verify|stream`: figures with the machine they were measured on."""

import asyncio
from typing import Annotated, Any

import typer

from sidechain.agents.bench.latency import latency as measure_latency
from sidechain.agents.bench.stream import stream as measure_stream
from sidechain.agents.bench.throughput import throughput
from sidechain.agents.bench.verifying import verifying
from sidechain.agents.cli.output import Json, emit, say
from sidechain.agents.problems import AnswerIsNo


def dry(
    pack: Annotated[str, typer.Option(help="A pack with a sample.")] = "network",
    events: Annotated[int, typer.Option(min=1_000, help="Events each run decides.")] = 250_000,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; medians are reported.")] = 5,
    json: Json = False,
) -> None:
    """Sealed decisions a second of one worker, exactly once, beside a bare copy of the same records."""
    figures = asyncio.run(throughput(pack, events, rounds, say))
    if json:
        emit(figures, json)
        return
    emit(f"{figures['dry_events_per_s']:,} decisions/s, a bare copy {figures['copy_events_per_s']:,} records/s")
    emit(f"ratio {figures['ratio']:.3f} (medians of {rounds} rounds of {events:,} events, pack {figures['pack']})")
    emit(_machine(figures["machine"]))


def latency(
    rate: Annotated[float, typer.Option(min=1, help="Events a second.")] = 2_000,
    seconds: Annotated[float, typer.Option(min=1, help="How long, without warm-up.")] = 60,
    partitions: Annotated[str, typer.Option(help="Partition counts, with commas.")] = "4,1,16",
    pack: Annotated[str, typer.Option(help="A pack with a sample.")] = "network",
    json: Json = False,
) -> None:
    """Milliseconds from the intended send time of an event to a read_committed reader of its decision."""
    counts = [int(one) for one in partitions.split(",")]
    rows = asyncio.run(measure_latency(pack, rate, seconds, counts, say))
    if json:
        emit(rows, json)
        return
    for row in rows:
        emit(
            f"{row['partitions']:>3} partitions: p50 {row['p50_ms']} ms, p99 {row['p99_ms']} ms, "
            f"p999 {row['p999_ms']} ms, max {row['max_ms']} ms ({row['events']:,} events at {row['rate']:,.0f}/s)"
        )
    emit(_machine(rows[0]["machine"]))


def verify(
    pack: Annotated[str, typer.Option(help="A pack with a sample.")] = "network",
    entries: Annotated[int, typer.Option(min=1_000, help="Entries each pass checks.")] = 200_000,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; medians are reported.")] = 5,
    json: Json = False,
) -> None:
    """Entries checked a second from a file on one core, beside a plain SHA-256 pass over the same lines."""
    figures = verifying(pack, entries, rounds, say)
    if json:
        emit(figures, json)
        return
    emit(f"{figures['verify_entries_per_s']:,} entries/s, plain SHA-256 {figures['sha256_lines_per_s']:,} lines/s")
    emit(f"ratio {figures['ratio']:.3f} (medians of {rounds} rounds of {entries:,} entries, pack {figures['pack']})")
    emit(
        f"most memory {figures['rss_kib'] / 1024:.1f} MiB, "
        f"{figures['rss_kib_longer'] / 1024:.1f} MiB over {figures['longer']} times the entries"
    )
    emit(_machine(figures["machine"]))


def stream(
    entries: Annotated[int, typer.Option(min=1_000, help="Events decided, and entries verified.")] = 70_000_000,
    seed: Annotated[int, typer.Option(help="Of the events.")] = 1,
    json: Json = False,
) -> None:
    """Events through `sidechain decide | sidechain verify -`, nothing on disk; rate, head and the memory of both.

    Exit 1 when the chain is broken or an entry is missing. Memory is flat when the most a process ever held is within
    a tenth of the most it held over the first million events.
    """
    figures = measure_stream(entries, seed, say)
    if json:
        emit(figures, json)
    else:
        emit(
            f"{figures['entries']:,} entries in {figures['seconds']:,.0f} s, {figures['entries_per_s']:,}/s, "
            f"head {figures['head'][:16]}"
        )
        for name, held in figures["memory"].items():
            first, most = held["first_kib"] / 1024, held["most_kib"] / 1024
            emit(f"{name}: {most:.1f} MiB at most, {first:.1f} MiB over the first {figures['sampled_every']:,}")
        emit(_machine(figures["machine"]))
    if not figures["unbroken"]:
        raise AnswerIsNo(f"not {entries:,} unbroken entries")


def _machine(found: dict[str, Any]) -> str:
    return f"{found['cpu']}, {found['cores']} cores, Python {found['python']}, {found['system']}, {found['date']}"
