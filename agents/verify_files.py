"""Checking files of sealed entries: one after the other or several at once, in memory that does not grow.

A file is read in blocks and taken apart into lines. A line that has no end is refused before it is held whole, so a
file of any kind and size can be given.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Final, NamedTuple

import msgspec

from sidechain.agents.believing import UNTRUSTING, Believer, Trust
from sidechain.agents.checkpoints import read_record
from sidechain.agents.foreign import MARK, as_record
from sidechain.agents.jobs import Told, in_processes
from sidechain.agents.problems import UsageProblem
from sidechain.agents.proof import Proof
from sidechain.models.dry.chain import Fault
from sidechain.models.dry.entry import CO_PARTITIONED
from sidechain.models.proof import checkpoint as checkpoints
from sidechain.models.proof import note as notes
from sidechain.models.proof.chain_check import ChainCheck
from sidechain.models.report.tally import Ask, Tally

BLOCK_BYTES: Final = 1024 * 1024  # read at once
LINE_MAX_BYTES: Final = 8 * 1024 * 1024  # no topic of ours takes a record of this size
STDIN: Final = Path("-")


@dataclass(frozen=True)
class Beside:
    """What the entries of files are held against."""

    trust: Trust = UNTRUSTING
    records: Mapping[int, Path] = field(default_factory=dict)  # partition -> its records of dry.checkpoints, one a line
    log: str | None = None  # how checkpoints name these chains; None: not known


NOTHING: Final = Beside()


def verify_files(
    files: Sequence[Path],
    jobs: int,
    told: Told,
    beside: Beside = NOTHING,
    partitions: Sequence[int] | None = None,
    ask: Ask | None = None,
) -> list[Proof]:
    """Check each file as one partition's chain from its first entry on, in up to `jobs` processes.

    `partitions`: of which each is; else its entries say so. With `ask`, each proof brings along what they come to.

    Raises `UsageProblem` for a file that cannot be read or holds no entry.
    """
    numbers: Sequence[int | None] = partitions or [None] * len(files)
    each = list(zip(files, numbers, strict=True))
    return in_processes(partial(_verify_one, beside, ask), each, 1 if STDIN in files else jobs, told)


def records_by_partition(files: Iterable[Path]) -> dict[int, Path]:
    """Which partition each file of checkpoint records is of, as its first record says. Raises `UsageProblem`."""
    found: dict[int, Path] = {}
    for path in files:
        try:
            record = read_record(next(lines_of(path), None))
            origin = checkpoints.parse(notes.parse(record.note, "its note").text).origin
        except ValueError as fault:
            raise UsageProblem(f"{path} begins with no record of dry.checkpoints: {fault}") from None
        if found.setdefault(origin.partition, path) != path:
            raise UsageProblem(f"{path} and {found[origin.partition]} are both of partition {origin.partition}")
    return found


def unmatched(proofs: Sequence[Proof], beside: Beside) -> list[Proof]:
    """Chains of which only checkpoints are here: whoever leaves a chain away has not shown that it is right."""
    named = {one: path.name for one, path in beside.records.items()}
    named |= {one.checkpoint.origin.partition: one.where for one in beside.trust.held}
    problem = "checkpoints were given of a chain that is not here"
    return [
        Proof(partition, fault=Fault(0, None, problem, "its entries", "none"), where=where)
        for partition, where in sorted(named.items())
        if partition not in {one.partition for one in proofs}
    ]


def verify_file(
    path: Path, told: Told, beside: Beside = NOTHING, partition: int | None = None, ask: Ask | None = None
) -> Proof:
    """Check one file; the proof names the line and the byte where the first fault stands."""
    source = blocks(path)
    first = next(source, None)
    if partition is None:
        partition = next((found for one in (first[1] if first else ()) if (found := _partition(one)) is not None), 0)
    tally = ask.tally(partition) if ask is not None else None
    check, points = _check(partition, beside, tally)
    number = 1
    for start, block in chain([first] if first else [], source):
        _take(check, points, block, _Place(path.name, number, start))
        number += len(block)
        told(len(block))
    if not check.entries and check.epoch.fault is None:
        raise UsageProblem(f"{_named(path)} holds no entry")
    points.reach(check, 0)
    check.finish()
    return Proof.of(partition, check, tally)


def _check(partition: int, beside: Beside, tally: Tally | None) -> tuple[ChainCheck, "_Points"]:
    held = [one for one in beside.trust.held if one.checkpoint.origin.partition == partition]
    records = beside.records.get(partition)
    check = ChainCheck(held, with_points=records is not None, seen=None if tally is None else tally.take)
    return check, _Points(records, Believer(beside.trust, partition, beside.log))


def _take(check: ChainCheck, points: "_Points", block: list[bytes], at: "_Place") -> None:
    """The lines of a block; those that are empty say nothing."""
    lines = [one.rstrip(b"\r") for one in block]
    places = [place for place, one in enumerate(lines) if one]
    if len(places) < len(lines):
        lines = [lines[place] for place in places]
    lines = [as_record(one) if one.startswith(MARK) else one for one in lines]
    done = 0
    while done < len(lines):
        points.reach(check, len(lines) - done)
        step = check.take(lines[done:] if done else lines)
        done += step.taken
        if step.fault:
            check.epoch.where = at.of(block, places[done - 1])


class _Place(NamedTuple):
    """Where a block begins."""

    name: str
    line: int
    byte: int

    def of(self, block: list[bytes], index: int) -> str:
        """The line and byte an editor can be sent to."""
        byte = self.byte + sum(len(one) + 1 for one in block[:index])
        return f"{self.name}, line {self.line + index:,}, byte {byte:,}"


class _Points:
    """Records of `dry.checkpoints` in a file, read along with the entries."""

    def __init__(self, path: Path | None, believer: Believer) -> None:
        self._records = enumerate(lines_of(path), 1) if path is not None else iter(())
        self._name = path.name if path is not None else ""
        self._believer = believer

    def reach(self, check: ChainCheck, lines: int) -> None:
        """Give the check all it needs to take so many lines."""
        while check.wants(lines) and (record := next(self._records, None)) is not None:
            self._believer.tell(check, as_record(record[1]), f"{self._name}, line {record[0]:,}")


def blocks(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """The lines of a file, many at a time, without their ends; with each list the byte its first line begins at.

    Raises `UsageProblem` when the file cannot be read, and for a line above `LINE_MAX_BYTES`.
    """
    start, rest = 0, b""
    try:
        with _opened(path) as file:
            while block := file.read(BLOCK_BYTES):
                held = len(rest) + len(block)
                *lines, rest = (rest + block).split(b"\n")
                if lines:
                    yield start, lines
                    start += held - len(rest)
                if len(rest) > LINE_MAX_BYTES:
                    raise UsageProblem(
                        f"{_named(path)}: the line at byte {start:,} has more than {LINE_MAX_BYTES:,} bytes"
                    )
    except OSError as error:
        raise UsageProblem(f"{_named(path)} cannot be read: {error.strerror}") from None
    if rest:
        yield start, [rest]


def _opened(path: Path) -> AbstractContextManager[IO[bytes]]:
    return nullcontext(sys.stdin.buffer) if path == STDIN else path.open("rb")


def _named(path: Path) -> str:
    return "standard input" if path == STDIN else str(path)


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file that are not empty, without their ends; raises as `blocks` does."""
    for _, block in blocks(path):
        for line in block:
            if value := line.rstrip(b"\r"):
                yield value


def records_of(path: Path) -> Iterator[bytes]:
    """The records a file of a chain's topic holds; raises as `blocks` does."""
    return map(as_record, lines_of(path))


class _Source(msgspec.Struct):
    source: tuple[str, int, int] | None = None


def _partition(entry: bytes) -> int | None:
    """The partition an entry is of: that of an event or outcome says so; control records all come from one."""
    try:
        source = msgspec.json.decode(entry, type=_Source).source
    except (ValueError, RecursionError):  # sealed, but by somebody else
        return None
    return source[1] if source is not None and source[0] in CO_PARTITIONED else None


def partition_of(path: Path) -> int:
    """The partition a file of entries is of; 0 where no entry says so."""
    return next((found for one in lines_of(path) if (found := _partition(one)) is not None), 0)


def _verify_one(beside: Beside, ask: Ask | None, one: tuple[Path, int | None], told: Told) -> Proof:
    return verify_file(one[0], told, beside, one[1], ask)
