"""`sidechain decide`: the dry kernel alone, no broker. Standard input is one partition, its output one chain."""

import sys
from collections.abc import Iterable, Iterator
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from sidechain.agents.cli.policies import ListFiles, PolicyNamed, lists_of
from sidechain.agents.problems import UsageProblem
from sidechain.agents.verify_files import lines_of
from sidechain.models.decider import Decider
from sidechain.models.dry import DeadLetter
from sidechain.models.interleaved import Outcomes

BLOCK_BYTES: Final = 1024 * 1024  # read at once, at most; how lines are grouped changes no byte
LINE_MAX_BYTES: Final = 8 * 1024 * 1024  # a longer line is held by nobody, so no entry could say what it was


def decide(
    named: PolicyNamed,
    partition: Annotated[int, typer.Option(min=0, help="The partition this input stands for.")] = 0,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="How many partitions share the accounts of budgets; 1 for partition 0.")
    ] = None,
    lists: ListFiles = None,
    outcomes: Annotated[
        Path | None, typer.Option(help="What became of them: each is taken before the first event later than it.")
    ] = None,
    dead_letters: Annotated[Path | None, typer.Option(help="Where undecidable lines go, with the reason.")] = None,
    events: Annotated[Path | None, typer.Argument(help="A file of events; standard input when absent or -.")] = None,
) -> None:
    """Decide events (one JSON object a line) and print their sealed entries, one a line.

    The bytes are those a topic would hold if the same lines were the partition's records: the same chain, the same
    hashes. `sidechain verify` and `sidechain replay` read the output. Empty lines are passed over. Lists are activated
    before the first event, and have their entries there; `sidechain replay` needs the same files, and --outcomes too.
    """
    policy = named.named_policy()
    if partitions is not None and partition >= partitions:
        raise UsageProblem(f"--partition {partition} is none of {partitions}: the first is 0")
    if policy.budgeting is not None and partitions is None and partition:
        raise UsageProblem(
            f"policy {policy.ref} has budgets, and each partition has its part of them: --partitions says how many "
            "there are"
        )
    decider = Decider(policy, partition=partition, partitions=partitions, lists=lists_of(policy, lists))
    waiting = Outcomes(lines_of(outcomes) if outcomes else (), policy.event.role("time").name)
    sys.stdout.buffer.write(b"".join(one + b"\n" for one in decider.opening))
    source = cast("BufferedReader", sys.stdin.buffer) if events is None or str(events) == "-" else reading(events)
    letters = _writing(dead_letters) if dead_letters else None
    rejected = 0
    try:
        for sealed in sealed_lines(decider, blocks(source), waiting):
            sys.stdout.buffer.write(b"\n".join([*sealed, b""]))
            sys.stdout.buffer.flush()  # whoever follows a slow input sees each entry at once
            rejected += len(decider.dead_letters)
            if letters:
                letters.writelines(_letter(one) for one in decider.dead_letters)
    finally:
        if letters:
            letters.close()
    if rejected:
        inputs = "events and outcomes could not be read" if outcomes else "events could not be decided"
        where = f"see {dead_letters}" if dead_letters else "--dead-letters FILE keeps them"
        print(
            f"{rejected} of {decider.fold.seq - len(decider.opening)} {inputs} ({where})",
            file=sys.stderr,
        )


def sealed_lines(
    decider: Decider, blocks: Iterable[list[bytes]], waiting: Outcomes, *, rest: bool = True
) -> Iterator[list[bytes]]:
    """The entries of the events, and of each outcome in its place; after each list `dead_letters` is of that one.

    `rest`: outcomes later than the last event come behind it; else they wait for whatever comes next.
    """
    for lines in blocks:
        if not waiting.are_left:
            yield decider.lines(lines)
            continue
        run: list[bytes] = []
        for event in lines:
            if due := waiting.before(event):
                if run:
                    yield decider.lines(run)
                    run = []
                yield decider.outcome_lines(due)
            run.append(event)
        if run:
            yield decider.lines(run)
    for due in waiting.rest() if rest else ():
        yield decider.outcome_lines(due)


def reading(file: Path) -> BufferedReader:
    """A file of events, to be read. Raises `UsageProblem`."""
    try:
        return file.open("rb")
    except OSError as error:
        raise UsageProblem(f"{file} cannot be read: {error.strerror}") from None


def _writing(file: Path) -> BufferedWriter:
    try:
        return file.open("wb")
    except OSError as error:
        raise UsageProblem(f"{file} cannot be written: {error.strerror}") from None


def blocks(source: BufferedReader) -> Iterator[list[bytes]]:
    """The lines that have come, without their ends and without empty ones, as soon as any have."""
    rest = b""
    while block := source.read1(BLOCK_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > LINE_MAX_BYTES:
            raise UsageProblem(
                f"a line has more than {LINE_MAX_BYTES:,} bytes; no topic takes such a record. Is it one event a line?"
            )
        if found := [value for one in lines if (value := one.rstrip(b"\r"))]:
            yield found
    if value := rest.rstrip(b"\r"):
        yield [value]


def _letter(letter: DeadLetter) -> bytes:
    """One dead letter as a line: its headers, then its value with bytes that are not UTF-8 escaped."""
    import orjson

    fields = {name: value.decode() for name, value in letter.headers}
    fields["value"] = (letter.value or b"").decode("utf-8", "backslashreplace")
    return orjson.dumps(fields) + b"\n"
