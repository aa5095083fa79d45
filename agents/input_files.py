"""The inputs of one partition in files, one a line; offsets count the lines that are not empty."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from sidechain.agents.verify_files import lines_of
from sidechain.models.dry import Line

Beginnings = Mapping[str, Callable[[], Iterator[Line]]]  # by logical topic, reads an input from its beginning


def beginnings(events: Path, outcomes: Path | None = None) -> Beginnings:
    """How these are read. The records carry no keys."""
    files = {"events": events, "outcomes": outcomes}
    return {topic: partial(_records, file) for topic, file in files.items() if file is not None}


def _records(file: Path) -> Iterator[Line]:
    for offset, value in enumerate(lines_of(file)):
        yield Line(offset, None, value)
