"""Checking files of sealed entries: one after the other or several at once, in memory that does not grow.

A file is read in blocks and taken apart into lines. A line that has no end is refused before it is held whole, so a
file of any kind and size can be given.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, Final

import msgspec

from sidechain.agents.problems import UsageProblem
from sidechain.agents.proof import Proof
from sidechain.models.dry.chain import Verifier

BLOCK_BYTES: Final = 1024 * 1024  # read at once
LINE_MAX_BYTES: Final = 8 * 1024 * 1024  # no topic of ours takes a record of this size
TOLD_S: Final = 0.5  # between two looks at how far the processes are

Told = Callable[[int], None]  # told how many lines were looked at since the last call


def verify_files(files: Sequence[Path], jobs: int, told: Told) -> list[Proof]:
    """Check each file as one partition's chain from its first entry on, in up to `jobs` processes.

    Raises `UsageProblem` for a file that cannot be read or holds no entry.
    """
    if min(jobs, len(files)) <= 1:
        return [verify_file(one, told) for one in files]
    # A fresh interpreter for each process: nothing of this one's threads or connections is copied.
    context = multiprocessing.get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    seen = 0
    with ProcessPoolExecutor(min(jobs, len(files)), context, _share, (done, stop)) as pool:
        try:
            tasks = [pool.submit(_verify_shared, one) for one in files]
            waiting = set(tasks)
            while waiting:
                _, waiting = wait(waiting, TOLD_S, FIRST_COMPLETED)
                told(done.value - seen)
                seen = done.value
            return [one.result() for one in tasks]
        finally:
            stop.set()


def verify_file(path: Path, told: Told) -> Proof:
    """Check one file; the proof names the line and the byte where the first fault stands."""
    verifier = Verifier()
    partition, number = None, 0
    for start, block in blocks(path):
        for index, line in enumerate(block):
            entry = line.rstrip(b"\r")
            if not entry:
                continue
            if fault := verifier.take(entry):
                byte = start + sum(len(one) + 1 for one in block[:index])
                where = f"{path.name}, line {number + index + 1:,}, byte {byte:,}"
                return Proof(partition or 0, verifier.count, verifier.head, fault, where)
            if partition is None:
                partition = _partition(entry)
        number += len(block)
        told(len(block))
    if not verifier.count:
        raise UsageProblem(f"{path} holds no entry")
    return Proof(partition or 0, verifier.count, verifier.head)


def blocks(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """The lines of a file, many at a time, without their ends; with each list the byte its first line begins at.

    Raises `UsageProblem` when the file cannot be read, and for a line above `LINE_MAX_BYTES`.
    """
    start, rest = 0, b""
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                held = len(rest) + len(block)
                *lines, rest = (rest + block).split(b"\n")
                if lines:
                    yield start, lines
                    start += held - len(rest)
                if len(rest) > LINE_MAX_BYTES:
                    raise UsageProblem(f"{path}: the line at byte {start:,} has more than {LINE_MAX_BYTES:,} bytes")
    except OSError as error:
        raise UsageProblem(f"{path} cannot be read: {error.strerror}") from None
    if rest:
        yield start, [rest]


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file that are not empty, without their ends; raises as `blocks` does."""
    for _, block in blocks(path):
        for line in block:
            if value := line.rstrip(b"\r"):
                yield value


class _Source(msgspec.Struct):
    source: tuple[str, int, int]


def _partition(entry: bytes) -> int | None:
    """The partition an entry is of: an event's entry says so; control records all come from one partition."""
    try:
        topic, partition, _ = msgspec.json.decode(entry, type=_Source).source
    except (ValueError, RecursionError):  # sealed, but by somebody else
        return None
    return partition if topic == "events" else None


def partition_of(path: Path) -> int:
    """The partition a file of entries is of; 0 where no entry of an event says so."""
    return next((found for one in lines_of(path) if (found := _partition(one)) is not None), 0)


_shared: Any = None  # how many lines all processes have looked at, and whether they are to end


def _share(done: Any, stop: Any) -> None:
    global _shared  # noqa: PLW0603 - a pool's processes are given such objects only when they start
    _shared = done, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the first one ends the others


def _verify_shared(path: Path) -> Proof:
    done, stop = _shared

    def told(count: int) -> None:
        with done.get_lock():
            done.value += count
        if stop.is_set():
            raise KeyboardInterrupt

    return verify_file(path, told)
