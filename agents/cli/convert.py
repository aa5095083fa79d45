"""`sidechain convert`: raw data to events, one JSON object a line."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from sidechain.agents.cli.output import say
from sidechain.agents.cli.policies import PolicyNamed
from sidechain.agents.problems import UsageProblem
from sidechain.models.sources import BadRow, SourceError
from sidechain.models.sources import convert as converted

SHOWN_PROBLEMS: Final = 5
MAX_LINE_BYTES: Final = 8_388_608
_GZIP_MAGIC: Final = b"\x1f\x8b"


def convert(
    file: Annotated[Path, typer.Argument(help="The raw data, plain or gzip; - is standard input.")],
    named: PolicyNamed,
    source: Annotated[str | None, typer.Option(help="Which of the pack's sources; found out when absent.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many events.")] = None,
) -> None:
    """Turn raw data into events, as the pack's sources say.

    Rows that are no events are left out and counted on standard error, the first few with their line and why.
    """
    loaded = named.named_policy()
    events = 0
    problems = 0
    output = sys.stdout.buffer
    try:
        for one in converted(loaded, source, raw_lines(file)):
            if isinstance(one, BadRow):
                problems += 1
                if problems <= SHOWN_PROBLEMS:
                    say(str(one))
                continue
            output.write(one + b"\n")
            events += 1
            if events == limit:
                break
        output.flush()
    except SourceError as error:
        raise UsageProblem(str(error)) from None
    if problems:
        say(f"events: {events}, rows left out: {problems}")
    if not events:
        raise UsageProblem(f"nothing in {file} could be read as an event of pack {loaded.name}")


def raw_lines(file: Path) -> Iterator[bytes]:
    """The lines of a plain or gzip file, or of standard input for `-`."""
    try:
        stream = sys.stdin.buffer if str(file) == "-" else file.open("rb")
    except OSError as error:
        raise UsageProblem(f"{file} cannot be read: {error.strerror}") from None
    try:
        with stream, gzip.open(stream) if _is_gzip(stream) else nullcontext(stream) as plain:
            number = 0
            while line := plain.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise UsageProblem(f"line {number} of {file} has more than {MAX_LINE_BYTES} bytes: no file of rows")
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise UsageProblem(f"{file} cannot be read to its end: {error}") from None


def _is_gzip(stream: BinaryIO) -> bool:
    assert isinstance(stream, io.BufferedReader)
    return stream.peek(2)[:2] == _GZIP_MAGIC
