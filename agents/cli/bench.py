"""`sidechain bench …`: figures with the machine they were measured on."""

import asyncio
from typing import Annotated, Any

import typer

from sidechain.agents.bench.backtesting import backtesting as measure_backtest
from sidechain.agents.bench.kernel import kernel as measure_kernel
from sidechain.agents.bench.latency import latency as measure_latency
from sidechain.agents.bench.stream import stream as measure_stream
from sidechain.agents.bench.takeover import takeover as measure_takeover
from sidechain.agents.bench.throughput import throughput
from sidechain.agents.bench.verifying import verifying
from sidechain.agents.bench.wet import P99_RATIO, THROUGHPUT_RATIO, modes
from sidechain.agents.bench.wet import wet as measure_wet
from sidechain.agents.cli.output import Json, emit, say
from sidechain.agents.problems import AnswerIsNo


def dry(
    pack: Annotated[str, typer.Option(help="A pack with a sample.")] = "network",
    events: Annotated[int, typer.Option(min=1_000, help="Events each run decides.")] = 250_000,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; medians are reported.")] = 5,
    json: Json = False,
) -> None:
    """Sealed decisions a second of one worker, exactly once, beside a bare copy of the same records.

    The figure and its ratio to the copy are without checkpoints; beside it the same worker signs them.
    """
    figures = asyncio.run(throughput(pack, events, rounds, say))
    if json:
        emit(figures, json)
        return
    emit(f"{figures['dry_events_per_s']:,} decisions/s, a bare copy {figures['copy_events_per_s']:,} records/s")
    emit(f"ratio {figures['ratio']:.3f} (medians of {rounds} rounds of {events:,} events, pack {figures['pack']})")
    emit(
        f"with checkpoints {figures['checkpoints_events_per_s']:,} decisions/s, "
        f"{figures['checkpoints_ratio']:.3f} of those without"
    )
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


def wet(
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved pairs; medians of their ratios are reported.")] = 5,
    rate: Annotated[float, typer.Option(min=1, help="Events a second, for the latency.")] = 2_000,
    seconds: Annotated[float, typer.Option(min=1, help="Of each latency, without warm-up.")] = 20,
    events: Annotated[int, typer.Option(min=1_000, help="Events of each throughput.")] = 200_000,
    nice: Annotated[int, typer.Option(min=0, max=19, help="How far tap and wet worker step back.")] = 10,
    only: Annotated[str, typer.Option(metavar="WAYS", help="Ways to go wrong, with commas: a round each [all].")] = "",
    minutes: Annotated[float, typer.Option(min=1, help="Given up when it is not over by then.")] = 60,
    pack: Annotated[str, typer.Option(help="A pack with a sample, and with something wet in it.")] = "network",
    json: Json = False,
) -> None:
    """Throughput and latency of the dry side with the wet side on, of those without it, and with one that goes wrong:
    slow, lying, killed, and a model that is nan, raising, hanging, certain, or takes everything for critical.

    A minute a round, two rounds a pair, one for each way to go wrong. Exit 1 when the wet side costs more than a tenth
    of the throughput or a quarter of the p99, or one that goes wrong costs that much beside one at work; when a model
    that fails is not left alone, or another is; or when more compensations go out in a minute than the pack allows.
    """
    unruly = modes(only)
    figures = asyncio.run(
        measure_wet(pack, rate, seconds, events, rounds, nice, say, unruly=unruly, within_s=minutes * 60)
    )
    if json:
        emit(figures, json)
    else:
        for mode, row in figures["modes"].items():
            emit(
                f"wet {mode + ':':<10}{row['events_per_s']:>9,.0f} decisions/s, p50 {row['p50_ms']:.1f} ms, "
                f"p99 {row['p99_ms']:.1f} ms; of off {row['throughput_of_off']:.2f} and {row['p99_of_off']:.2f}"
                + (
                    ""
                    if mode == "off"
                    else f", of on {row['throughput_of_on']:.2f} and {row['p99_of_on']:.2f}{_did(row)}"
                )
            )
        emit(
            f"with, of without, medians of {rounds} pairs: throughput {figures['throughput_ratio']:.3f} "
            f"(at least {THROUGHPUT_RATIO}), p99 {figures['p99_ratio']:.3f} (at most {P99_RATIO})"
        )
        emit(f"compensations a partition may send within a minute: {figures['compensations_per_minute']}")
        emit(_machine(figures["machine"]))
    if not figures["is_met"]:
        raise AnswerIsNo("; ".join(figures["broken"]))


def _did(row: dict[str, Any]) -> str:
    """What a wet side did: turns that failed and how often experts were left alone, compensations and breakers."""
    failed, left = sum(row["faults"].values()), sum(row["trips"].values())
    return (
        f"; {failed} turns failed, {left} times left alone; {row['compensations']:,} compensations, "
        f"{row['most_in_a_minute']} within a minute at most, {row['held_back']:,} held back, "
        f"{row['breaker_trips']} breaker trips"
    )


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
        f"with every checkpoint checked {figures['signed_entries_per_s']:,} entries/s, ratio "
        f"{figures['signed_ratio']:.3f} (a checkpoint every {figures['entries_per_checkpoint']:,} entries)"
    )
    emit(
        f"most memory {figures['rss_kib'] / 1024:.1f} MiB, "
        f"{figures['rss_kib_longer'] / 1024:.1f} MiB over {figures['longer']} times the entries"
    )
    emit(_machine(figures["machine"]))


def backtest(
    pack: Annotated[str, typer.Option(help="A pack with a sample.")] = "network",
    events: Annotated[int, typer.Option(min=1_000, help="Events of all chains together.")] = 400_000,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Chains, each in a process.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; medians are reported.")] = 3,
    json: Json = False,
) -> None:
    """Events a second that `policy backtest` holds a candidate against, and how many times real time that is."""
    figures = measure_backtest(pack, events, jobs, rounds, say)
    if json:
        emit(figures, json)
        return
    emit(
        f"{figures['events_per_s']:,} events/s in {jobs} processes, {figures['times_real_time']} times real time at "
        f"10,000 events/s; {figures['events_per_cpu_s']:,} a second of a core"
    )
    emit(
        f"medians of {rounds} rounds of {figures['events']:,} events, {figures['flips']:,} of which flip, "
        f"pack {figures['pack']}, load {figures['load'][0]}"
    )
    emit(_machine(figures["machine"]))


def kernel(
    pack: Annotated[str, typer.Option(help="A pack with a sample.")] = "payments",
    events: Annotated[
        int, typer.Option(min=1_000, help="Events each round decides under each of the policies.")
    ] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; medians are reported.")] = 7,
    rows: Annotated[int, typer.Option(min=1, max=1_000_000, help="Rows on each list.")] = 1_000,
    json: Json = False,
) -> None:
    """Microseconds of the dry kernel for an event with budgets, lists and typologies, beside the same without them.

    One process, no broker: folding a batch, and what is to be written down of it.
    """
    figures = measure_kernel(pack, events, rounds, rows, say)
    if json:
        emit(figures, json)
        return
    emit("\n".join(f"{name}: {spent} microseconds an event" for name, spent in figures["us_per_event"].items()))
    apart = ", ".join(f"{name} {ratio:.3f}" for name, ratio in figures["ratios"].items())
    emit(f"all on, of all off: {figures['ratio']:.3f}; of all but one: {apart}")
    emit(f"medians of {rounds} rounds of {events:,} events, {rows:,} rows on each list, pack {figures['pack']}")
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


def takeover(
    keys: Annotated[int, typer.Option(min=100, help="Live keys of the shard.")] = 1_000_000,
    updates: Annotated[int, typer.Option(min=1_000, help="Updates its state has seen.")] = 20_000_000,
    partitions: Annotated[int, typer.Option(min=1, max=16, help="Partitions of the shard.")] = 4,
    pack: Annotated[str, typer.Option(help="A pack with a sample.")] = "web",
    cleaned: Annotated[bool, typer.Option(help="Measure again after the cleaner had time.")] = True,
    json: Json = False,
) -> None:
    """Seconds a worker needs to take over a shard, with the changelog as the catalogue sets it."""
    figures = asyncio.run(measure_takeover(pack, keys, updates, partitions, say, cleaned=cleaned))
    if json:
        emit(figures, json)
        return
    for row in figures["takeovers"]:
        emit(
            f"{row['when']}: {row['seconds']:.1f} s; {row['records_read']:,} state records read, "
            f"{row['live_records']:,} live, {row['bytes_on_disk'] / 1e6:,.0f} MB on the disk; "
            f"memory {row['rss_kib'] / 1024:,.0f} MiB, {row['rss_most_kib'] / 1024:,.0f} MiB at most"
        )
    emit(f"{keys:,} keys, {updates:,} updates, {partitions} partitions, pack {figures['pack']}")
    emit(_machine(figures["machine"]))


def _machine(found: dict[str, Any]) -> str:
    return f"{found['cpu']}, {found['cores']} cores, Python {found['python']}, {found['system']}, {found['date']}"
