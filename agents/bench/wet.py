"""`bench wet`: what the wet side costs the dry side, with both on one machine.

Interleaved pairs, without the wet side and with it, and between them rounds of a wet side that goes wrong in one of the
ways of `unruly`, or is killed over and over. A round has topics of its own and two parts:

latency      an open loop at a steady rate, from intended send time to a read_committed reader, as `bench latency`
throughput   the worker stopped, events preloaded, the worker started again: its rate from outside, as `bench dry`

A round that is thrown away comes first, or the broker would compile during the first that counts. With the wet side on,
a forest is learned and advice has reached wet.metadata before anything is measured. Tap and wet worker are the
processes `sidechain worker` starts, as nice as `wet_nice` makes them; their share of the machine's processor time is
reported for each part.

What is asked of it: with the wet side on the dry side keeps so much of what it does without. A wet side that goes wrong
costs it no more than one at work may cost beside none. Every expert that fails is counted and left alone, and no other;
when everything looks critical the breaker trips; and no minute has more compensations than the pack allows.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from sidechain.agents.bench import advised
from sidechain.agents.bench.place import machine, place
from sidechain.agents.bench.unruly import PLANTED
from sidechain.agents.bench.wet_round import UNRULY, Round, Row
from sidechain.agents.problems import EnvironmentProblem, UsageProblem
from sidechain.models.pack_file import load_pack

THROUGHPUT_RATIO: Final = 0.9  # with the wet side, of without: at least
P99_RATIO: Final = 1.25  # with the wet side, of without: at most
FAILING: Final = ("nan", "raising", "hanging")  # ways to go wrong in which an expert fails, and must be left alone
Told = Callable[[str], None]


def modes(only: str) -> tuple[str, ...]:
    """The ways to go wrong that a list with commas names; all of them where it is empty. Raises UsageProblem."""
    named = tuple(one.strip() for one in only.split(",") if one.strip())
    for one in named:
        if one not in UNRULY:
            raise UsageProblem(f"--only: {one} is no way to go wrong; there are {', '.join(UNRULY)}")
    return tuple(one for one in UNRULY if one in named or not named)


async def wet(
    pack: str,
    rate: float,
    seconds: float,
    events: int,
    rounds: int,
    nice: int,
    told: Told,
    *,
    unruly: Sequence[str] = UNRULY,
    within_s: float = 3_600.0,
) -> Row:
    """Run the measurement and return its figures. `unruly`: ways to go wrong, one round of each.

    Raises EnvironmentProblem when it is not over within so many seconds.
    """
    told("starting a broker")
    rows: list[Row] = []
    planned = list(plan(rounds, unruly))
    limit = asyncio.timeout(within_s)
    try:
        async with limit, place(pack) as here:
            await Round(here, "warm", "on", nice).measure(rate, seconds, events)
            for number, mode in enumerate(planned, 1):
                rows.append(await Round(here, f"{mode}{number}", mode, nice).measure(rate, seconds, events))
                told(f"{number} of {len(planned)}: {line(rows[-1])}")
    except TimeoutError:
        if not limit.expired():
            raise
        raise EnvironmentProblem(
            f"{len(rows)} of {len(planned)} rounds were measured within {within_s:,.0f} s; ask for fewer or more time"
        ) from None
    figures = summary(rows, load_pack(pack).wet.compensations_per_minute)
    return {**figures, "rounds": rounds, "nice": nice, "all": rows, "pack": pack, "machine": machine()}


def plan(rounds: int, unruly: Sequence[str]) -> Iterator[str]:
    """The modes in order: pairs, and between them what goes wrong, so that each stands near both."""
    for turn in range(rounds):
        yield from ("off", "on") if turn % 2 == 0 else ("on", "off")
        yield from unruly[turn * len(unruly) // rounds : (turn + 1) * len(unruly) // rounds]


def line(row: Row) -> str:
    """One round in a line."""
    shares = ", ".join(f"{name} {share:.0%}" for name, share in row["cpu_at_rate"].items())
    return (
        f"wet {row['mode']}: {row['events_per_s']:,} decisions/s, p50 {row['p50_ms']} ms, p99 {row['p99_ms']} ms; "
        f"processor at the steady rate: {shares}"
    )


def summary(rows: Sequence[Row], allowed: int) -> Row:
    """What the rounds come to, and which bounds they break. `allowed`: compensations of a partition within a minute."""
    by_mode: dict[str, list[Row]] = {}
    for row in rows:
        by_mode.setdefault(row["mode"], []).append(row)
    # The n-th round without stands beside the n-th with, minutes apart at most: what drifts, drifts for both.
    pairs = list(zip(by_mode["off"], by_mode["on"], strict=True))
    throughputs = [on["events_per_s"] / off["events_per_s"] for off, on in pairs]
    p99s = [on["p99_ms"] / off["p99_ms"] for off, on in pairs]
    middle: dict[str, Row] = {
        mode: {name: median(one[name] for one in found) for name in ("events_per_s", "p50_ms", "p99_ms")}
        for mode, found in by_mode.items()
    }
    for mode, figures in middle.items():
        for beside in ("off", "on"):
            figures[f"throughput_of_{beside}"] = round(figures["events_per_s"] / middle[beside]["events_per_s"], 3)
            figures[f"p99_of_{beside}"] = round(figures["p99_ms"] / middle[beside]["p99_ms"], 3)
        if mode != "off":
            figures.update(advised.summed(by_mode[mode]))
    broken = [
        *_costs("the wet side", "none", median(throughputs), median(p99s)),
        *(one for mode, figures in middle.items() if mode != "off" for one in _broken(mode, figures, allowed)),
    ]
    return {
        "throughput_ratio": round(median(throughputs), 3),
        "p99_ratio": round(median(p99s), 3),
        "is_met": not broken,
        "broken": broken,
        "throughput_ratios": [round(one, 3) for one in throughputs],
        "p99_ratios": [round(one, 3) for one in p99s],
        "compensations_per_minute": allowed,
        "modes": middle,
    }


def _broken(mode: str, figures: Mapping[str, Any], allowed: int) -> Iterator[str]:
    """In sentences."""
    if (most := figures["most_in_a_minute"]) > allowed:
        yield f"{mode}: one partition has {most} compensations within a minute, {allowed} are allowed"
    if mode != "on":
        yield from _costs(f"{mode}: the wet side", "one at work", figures["throughput_of_on"], figures["p99_of_on"])
    failed = {one for one, count in figures["faults"].items() if count}
    if failed != ({PLANTED} if mode in FAILING else set()):
        yield f"{mode}: faults were counted of {', '.join(sorted(failed)) or 'nobody'}"
    if mode in FAILING and not figures["trips"].get(PLANTED):
        yield f"{mode}: {PLANTED} went on failing and was asked all the same"
    if mode == "critical" and not figures["breaker_trips"]:
        yield "critical: no breaker tripped"


def _costs(what: str, beside: str, throughput: float, p99: float) -> Iterator[str]:
    if throughput < THROUGHPUT_RATIO:
        yield f"{what} leaves {throughput:.3f} of the throughput with {beside}; {THROUGHPUT_RATIO} are asked for"
    if p99 > P99_RATIO:
        yield f"{what} makes p99 {p99:.3f} times that with {beside}; {P99_RATIO} are allowed"
