"""What commands print: data to standard output, everything else to standard error."""

import os
import sys
import time
from typing import Annotated, Any, Final, Self

import msgspec
import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]

PLAIN_EVERY_S: Final = 2.0  # between two lines of progress where there is no terminal


def emit(data: Any, json: bool = False) -> None:
    """Print a command's answer: as one line of JSON, or the text as it stands."""
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(data, enc_hook=str) + b"\n")
        sys.stdout.buffer.flush()
    else:
        print(data, flush=True)


def say(text: str) -> None:
    """Tell the person at the keyboard; whoever reads our output does not see it."""
    print(text, file=sys.stderr, flush=True)


def fail(text: str, code: int) -> typer.Exit:
    """One sentence on standard error, and the exit to raise."""
    say(f"sidechain: {text}")
    return typer.Exit(code)


class Progress:
    """How far a command is: a bar on a terminal, a line now and then elsewhere.

    with Progress("events sent", total=30_969) as progress:
        progress.advance(500)
    """

    def __init__(self, what: str, total: int | None = None) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self._told_at = time.monotonic()
        self._told = 0
        self._bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(self.what, total=self.total)
        return self

    def advance(self, count: int) -> None:
        """So many more are done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)
        elif time.monotonic() - self._told_at > PLAIN_EVERY_S:
            self._tell()

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self.done != self._told:
            self._tell()

    def _tell(self) -> None:
        self._told_at = time.monotonic()
        self._told = self.done
        say(f"{self.done:,}{f' of {self.total:,}' if self.total else ''} {self.what}")


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
    )
    return Bar(*columns, console=Console(stderr=True), transient=False)
