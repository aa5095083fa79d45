"""Many chains in several processes: how far they are, what became of every input, and a file for what is found."""

import multiprocessing
import signal
import sys
import time
import traceback
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.fuzz.chain import FATES, LENGTH, Finding, inputs_of, pack_and_mode, run, shrunk
from tests.fuzz.inputs import Given

CHUNK: Final = 10  # chains handed to a process at once
STALL_S: Final = 120.0  # for a chunk; it takes a few seconds
TOLD_S: Final = 5.0


def fuzz(inputs: int, seed: int, jobs: int) -> int:
    """Say what became of so many inputs; returns the exit code."""
    print(f"seed {seed}", flush=True)
    began = told = time.monotonic()
    counts: Counter[str] = Counter()
    for number, found in _chunks(inputs, seed, jobs):
        if isinstance(found, str):
            return _report(seed, number, found)
        counts += found
        if time.monotonic() - told > TOLD_S:
            told = time.monotonic()
            done = _accounted(counts)
            print(f"{done:,} of {inputs:,} inputs, {done / (told - began):,.0f}/s", file=sys.stderr, flush=True)
    seconds = time.monotonic() - began
    for name, count in sorted(counts.items(), key=lambda one: -one[1]):
        print(f"{count:>12,} {name}")
    accounted = _accounted(counts)
    print(f"{inputs:,} inputs, {accounted:,} accounted for, 0 exceptions; {seconds:.0f} s, {inputs / seconds:,.0f}/s")
    return 0 if accounted == inputs else 1


def _accounted(counts: Counter[str]) -> int:
    return sum(counts[one] for one in FATES)


def _chunks(inputs: int, seed: int, jobs: int) -> Iterator[tuple[int, Counter[str] | str]]:
    """Counts of each chunk of chains as it is done, or the chain that must not be and why."""
    lengths = [LENGTH] * (inputs // LENGTH) + [inputs % LENGTH] * (inputs % LENGTH > 0)
    ahead = iter(range(0, len(lengths), CHUNK))
    # Ctrl-C reaches every process; the first one ends the others.
    ignoring = (signal.SIGINT, signal.SIG_IGN)
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), signal.signal, ignoring)
    begun: dict[Future[Any], tuple[int, float]] = {}
    try:
        while True:
            while len(begun) < 2 * jobs and (first := next(ahead, None)) is not None:
                begun[pool.submit(_chains, seed, first, lengths[first : first + CHUNK])] = first, time.monotonic()
            if not begun:
                return
            done, _ = wait(begun, STALL_S, FIRST_COMPLETED)
            if not done:
                yield min(begun.values())[0], f"none of the chains from here on ended within {STALL_S:.0f} s"
                return
            for one in done:
                first, _ = begun.pop(one)
                try:
                    yield one.result()
                except BrokenProcessPool:
                    yield first, "a process died in one of the chains from here on"
                    return
    finally:
        for process in (pool._processes or {}).values():
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)


def _chains(seed: int, first: int, lengths: Sequence[int]) -> tuple[int, Counter[str] | str]:
    counts: Counter[str] = Counter()
    for number, length in enumerate(lengths, first):
        try:
            counts += run(number, inputs_of(seed, number, length))
        except Finding as finding:
            return number, str(finding)
    return first, counts


def _report(seed: int, number: int, found: str) -> int:
    pack, keyed = pack_and_mode(number)
    print(f"FOUND in chain {number} (pack {pack}, {'keyed' if keyed else 'without keys'}): {found}")
    inputs = shrunk(number, inputs_of(seed, number))
    path = Path(f"fuzz-{seed}-{number}.ndjson")
    path.write_bytes(b"".join(_line(number, one) for one in inputs))
    print(f"{len(inputs)} inputs show it: python -m tests.fuzz --repeat {path}")
    return 1


def _line(number: int, one: Given) -> bytes:
    parts = {name: part and b64encode(part).decode() for name, part in (("key", one.key), ("value", one.value))}
    return msgspec.json.encode({"chain": number, **one._asdict(), **parts}) + b"\n"


def saved(path: Path) -> tuple[int, list[Given]]:
    """The chain's number and the inputs of a file written by `_report`."""
    lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    inputs = []
    for one in lines:
        key, value = (one[name] if one[name] is None else b64decode(one[name]) for name in ("key", "value"))
        inputs.append(Given(one["topic"], one["offset"], key, value, one["is_sound"]))
    return lines[0]["chain"], inputs


def repeat(path: Path) -> int:
    """Run a finding's file again; returns the exit code."""
    number, inputs = saved(path)
    try:
        print(run(number, inputs))
    except Finding as finding:
        print(f"FOUND again: {finding}")
        traceback.print_exception(finding)
        return 1
    print("nothing is found any more")
    return 0
