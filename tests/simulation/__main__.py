"""Play many seeds: `python -m tests.simulation --seeds 10000 --jobs 2`, or one with a trace: `--seed N --trace`."""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from multiprocessing import get_context
from typing import Any, Final

from tests.simulation.chunk import play
from tests.simulation.planted import PLANTED, planted
from tests.simulation.schedule import Result, run, simulated

CHUNK: Final = 100


def main() -> int:
    """Exit code 0: every seed kept every promise; 1: one did not, and the last line repeats it."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, help="play this one only")
    parser.add_argument("--trace", action="store_true", help="say what happened, with --seed")
    parser.add_argument("--plant", choices=sorted(PLANTED), help="with a bug planted on purpose")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.seed is not None:
        return _one(asked)
    return _many(asked)


def _one(asked: Any) -> int:
    with simulated(is_tracing=asked.trace), planted(asked.plant) if asked.plant else nullcontext():
        result = run(asked.seed, is_tracing=asked.trace)
    for line in result.trace:
        print(line)
    print(f"seed {asked.seed}: {result.problem or 'every promise kept'}")
    print(f"faults {' '.join(result.faults)}; {result.entries} entries, {result.steps} steps, {result.digest[:16]}")
    return 1 if result.problem else 0


def _many(asked: Any) -> int:
    began, cpu_s = time.perf_counter(), 0.0
    done = entries = steps = 0
    faults: Counter[str] = Counter()
    for results, took_s in _chunks(asked):
        cpu_s += took_s
        for one in results:
            done, entries, steps = done + 1, entries + one.entries, steps + one.steps
            faults.update(one.faults)
            if one.problem is not None:
                plant = f" --plant {asked.plant}" if asked.plant else ""
                print(f"seed {one.seed} of {done} so far: {one.problem}")
                print(f"again: python -m tests.simulation --seed {one.seed} --trace{plant}")
                return 1
        per_minute = done / (time.perf_counter() - began) * 60
        print(f"\r{done} of {asked.seeds} schedules, {per_minute:,.0f} a minute ", end="", file=sys.stderr, flush=True)
    took = time.perf_counter() - began
    print(file=sys.stderr)
    told = {
        "schedules": done,
        "per_minute": round(done / took * 60),
        "per_core_minute": round(done / cpu_s * 60),
        "entries": entries,
        "steps": steps,
        "faults": sum(faults.values()),
        "by_fault": dict(sorted(faults.items())),
    }
    if asked.json:
        print(json.dumps(told))
    else:
        print(f"{done} schedules, every promise kept: {entries} entries under {sum(faults.values())} faults")
        print(f"{told['per_minute']:,} schedules a minute, {told['per_core_minute']:,} a minute of one core")
        print(" ".join(f"{name} {times}" for name, times in sorted(faults.items())))
    return 0


def _chunks(asked: Any) -> Iterator[tuple[list[Result], float]]:
    last = asked.first + asked.seeds
    spans = [(at, min(at + CHUNK, last), asked.plant) for at in range(asked.first, last, CHUNK)]
    if asked.jobs == 1:
        yield from map(play, spans)
        return
    with get_context("spawn").Pool(asked.jobs) as pool:
        yield from pool.imap(play, spans)


if __name__ == "__main__":
    sys.exit(main())
