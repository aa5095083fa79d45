"""`sidechain decide`: the dry kernel alone, no broker. Standard input is one partition, its output one chain."""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer

from sidechain.agents.cli.policies import policy_of
from sidechain.agents.problems import UsageProblem
from sidechain.models.decider import Decider
from sidechain.models.dry import DeadLetter

BATCH = 2_000  # lines folded between two writes; any number gives the same bytes


def decide(
    pack: Annotated[str | None, typer.Option(help="A pack that comes with Sidechain.")] = None,
    policy: Annotated[Path | None, typer.Option(help="A pack file of your own.")] = None,
    partition: Annotated[int, typer.Option(min=0, help="The partition this input stands for.")] = 0,
    dead_letters: Annotated[Path | None, typer.Option(help="Where undecidable lines go, with the reason.")] = None,
    events: Annotated[Path | None, typer.Argument(help="A file of events; standard input when absent or -.")] = None,
) -> None:
    """Decide events (one JSON object a line) and print their sealed entries, one a line.

    The bytes are those a topic would hold if the same lines were the partition's records: the same chain, the same
    hashes. `sidechain verify` and `sidechain replay` read the output. Empty lines are passed over.
    """
    decider = Decider(policy_of(pack, policy), partition=partition)
    source = sys.stdin.buffer if events is None or str(events) == "-" else _opened(events, "rb")
    rejected = 0
    letters = _opened(dead_letters, "wb") if dead_letters else None
    try:
        lines = _lines(source)
        while batch := list(islice(lines, BATCH)):
            sys.stdout.buffer.write(b"".join(one + b"\n" for one in decider.lines(batch)))
            rejected += len(decider.dead_letters)
            if letters:
                letters.writelines(_letter(one) for one in decider.dead_letters)
        sys.stdout.buffer.flush()
    finally:
        if letters:
            letters.close()
    if rejected:
        where = f"see {dead_letters}" if dead_letters else "--dead-letters FILE keeps them"
        print(f"{rejected} of {decider.fold.seq} events could not be decided ({where})", file=sys.stderr)


def _opened(file: Path, mode: Literal["rb", "wb"]) -> BinaryIO:
    try:
        return file.open(mode)
    except OSError as error:
        raise UsageProblem(f"{file} cannot be {'read' if mode == 'rb' else 'written'}: {error.strerror}") from None


def _lines(source: BinaryIO) -> Iterator[bytes]:
    for line in source:
        if value := line.rstrip(b"\r\n"):
            yield value


def _letter(letter: DeadLetter) -> bytes:
    """One dead letter as a line: its headers, then its value with bytes that are not UTF-8 escaped."""
    import orjson

    fields = {name: value.decode() for name, value in letter.headers}
    fields["value"] = (letter.value or b"").decode("utf-8", "backslashreplace")
    return orjson.dumps(fields) + b"\n"
