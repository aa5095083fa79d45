"""Flip one bit of a large export, again and again, and have `verify` look for it.

    python -m tests.bench.flip_bits --entries 1000000 --flips 50 --jobs 2 --seed 1

The file is made once. A flip in each place that is special (first byte, a seal, the end of a line, first and last
line), the others anywhere, by the seed that is printed. Each flip is written, looked for, and taken back. Exit 1 and
the bit when one is not found at the entry it belongs to.
"""

import argparse
import os
import random
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

from sidechain.agents.bench.load import numbered
from sidechain.agents.bench.place import machine
from sidechain.agents.verify_files import verify_file
from sidechain.models.decider import Decider
from sidechain.models.pack_file import load_pack

SEAL = 75


def made(path: Path, entries: int, pack: str = "web") -> list[int]:
    """Write a chain; returns the byte each entry begins at, and the file's size."""
    policy = load_pack(pack)
    decider, events = Decider(policy), numbered(policy, entries)
    starts = [0]
    with path.open("wb") as file:
        while batch := list(islice(events, 2_000)):
            for line in decider.lines(batch):
                file.write(line + b"\n")
                starts.append(starts[-1] + len(line) + 1)
    return starts


def bits(starts: Sequence[int], flips: int, seed: int) -> Iterator[tuple[int, int]]:
    """Entry and bit of the file: first the special places, then any."""
    chance = random.Random(seed)
    size, last = starts[-1], len(starts) - 2
    some = chance.randrange(1, last)
    places = [0, 1, starts[1] - 1, starts[1] - 2, starts[1] - SEAL - 1, starts[some + 1] - 1, starts[some + 1] - SEAL]
    places += [starts[last], size - 1, size - 2, size - SEAL - 1]
    for number in range(flips):
        byte = places[number] if number < len(places) else chance.randrange(size)
        yield byte, chance.randrange(8)


def found(path: Path, byte: int, bit: int) -> tuple[int, int, int | None]:
    """Flip it, verify, flip it back: byte, bit, and how many entries were found right before the fault."""
    _flip(path, byte, bit)
    try:
        proof = verify_file(path, lambda _count: None)
    finally:
        _flip(path, byte, bit)
    return byte, bit, proof.fault.position if proof.fault else None


def _flip(path: Path, byte: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(byte)
        (value,) = file.read(1)
        file.seek(byte)
        file.write(bytes([value ^ 1 << bit]))


def _of_this_process(original: str, byte: int, bit: int) -> tuple[int, int, int | None]:
    """Every process has a copy of its own."""
    own = Path(f"{original}.{os.getpid()}")
    if not own.exists():
        copyfile(original, own)
    return found(own, byte, bit)


def search(entries: int, flips: int, jobs: int, seed: int, folder: Path) -> list[tuple[int, int, int | None, int]]:
    """Byte, bit, the entry it was found at, the entry it is of."""
    path = folder / "decisions-0.ndjson"
    starts = made(path, entries)
    assert verify_file(path, lambda _count: None).fault is None
    chosen = list(bits(starts, flips, seed))
    with ProcessPoolExecutor(jobs) as pool:
        answers = [one.result() for one in [pool.submit(_of_this_process, str(path), *each) for each in chosen]]
    return [(byte, bit, at, _entry(starts, byte)) for byte, bit, at in answers]


def _entry(starts: Sequence[int], byte: int) -> int:
    return bisect_right(starts, byte) - 1


def main() -> None:
    """Run it and report."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("entries", 1_000_000), ("flips", 50), ("jobs", 2), ("seed", 1)):
        options.add_argument(f"--{name}", type=int, default=default)
    given = options.parse_args()
    began = time.monotonic()
    with TemporaryDirectory(prefix="sidechain-flips-") as folder:
        rows = search(given.entries, given.flips, given.jobs, given.seed, Path(folder))
    wrong = [one for one in rows if one[2] != one[3]]
    print(f"{len(rows)} flips in {given.entries:,} entries, seed {given.seed}: {len(rows) - len(wrong)} found")
    for byte, bit, at, entry in wrong:
        print(
            f"byte {byte:,}, bit {bit}, of entry {entry:,}: {'NOT FOUND' if at is None else f'found at entry {at:,}'}"
        )
    print(f"{time.monotonic() - began:.0f} s; {machine()}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
