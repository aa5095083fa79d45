"""`sidechain generate`: made-up events of a pack, and what becomes known of them; the same seed, the same bytes."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from sidechain.agents.cli.output import Json, Progress, emit, say
from sidechain.agents.cli.policies import policy_of
from sidechain.agents.problems import EnvironmentProblem, UsageProblem
from sidechain.models import utc
from sidechain.models.packs.generators import GENERATORS, Generator, Item
from sidechain.models.policy import EventSchema

_SEED_MAX: Final = 2**64 - 1
_KEYS_MAX: Final = 1_000_000  # a kilobyte and a half each
_STDOUT: Final = "-"


def generate(
    events: Annotated[int, typer.Option(min=1, help="How many.")],
    pack: Annotated[str, typer.Option(help="A pack that has a generator.")],
    seed: Annotated[int, typer.Option(min=0, max=_SEED_MAX, help="Which of the possible streams.")] = 1,
    out: Annotated[Path, typer.Option(help="Where the events go; - is standard output.")] = Path(_STDOUT),
    outcomes: Annotated[Path | None, typer.Option(help="Where what became known of each goes.")] = None,
    truth: Annotated[Path | None, typer.Option(help="Where each id's kind goes, for tests.")] = None,
    start: Annotated[str | None, typer.Option(help="When it begins, such as 2018-04-01T00:00:00Z.")] = None,
    keys: Annotated[int | None, typer.Option(min=10, max=_KEYS_MAX, help="Another size of the world.")] = None,
    json: Json = False,
) -> None:
    """Make events in order of event time, one JSON object a line, and their outcomes beside them.

    The same pack, seed, start and keys give the same bytes on any machine; fewer events are the beginning of more.
    Memory depends on the keys alone.
    """
    if pack not in GENERATORS:
        raise UsageProblem(f"pack {pack} has no generator; there is one for {', '.join(GENERATORS)}")
    to_stdout = str(out) == _STDOUT
    if json and to_stdout:
        raise UsageProblem("with --json name a file with --out: the events take standard output")
    files = [one.resolve() for one in (None if to_stdout else out, outcomes, truth) if one is not None]
    if len(set(files)) < len(files):
        raise UsageProblem("--out, --outcomes and --truth need a file each")
    schema = policy_of(pack, None).event
    made = GENERATORS[pack](seed, keys, None if start is None else _start(start, schema))
    told = _Told(made)
    with ExitStack() as stack:
        events_to = sys.stdout.buffer if to_stdout else stack.enter_context(_writing(out))
        outcomes_to = stack.enter_context(_writing(outcomes)) if outcomes else None
        truth_to = stack.enter_context(_writing(truth)) if truth else None
        progress = stack.enter_context(Progress("events made", events))
        try:
            for some in _first(made, events, schema):
                lines = b"".join([made.event(one) + b"\n" for one in some])
                events_to.write(lines)
                if outcomes_to:
                    outcomes_to.write(b"".join([made.outcome(one) + b"\n" for one in some]))
                if truth_to:
                    truth_to.write(b"".join([made.truth(one) + b"\n" for one in some]))
                told.add(some, lines)
                progress.advance(len(some))
            for one in (events_to, outcomes_to, truth_to):
                if one:
                    one.flush()
        except BrokenPipeError:  # whoever reads has seen enough
            raise
        except OSError as error:
            raise EnvironmentProblem(f"the output cannot be written to its end: {error.strerror}") from None
    if json:
        emit({"pack": pack, "seed": seed, **told.fields()}, json)
    else:
        say(told.sentence())


class _Told:
    """What there is to say of a run."""

    def __init__(self, made: Generator) -> None:
        self._names = made.kinds
        self._kinds: Counter[int] = Counter()
        self._digest = sha256()
        self._first_ms = self._last_ms = 0

    def add(self, some: list[Item], lines: bytes) -> None:
        if not self._kinds:
            self._first_ms = some[0][0]
        self._last_ms = some[-1][0]
        self._kinds.update([one[1] for one in some])
        self._digest.update(lines)

    def fields(self) -> dict[str, object]:
        kinds = {name: self._kinds[at] for at, name in enumerate(self._names)}
        return {
            "events": self._kinds.total(),
            "from": _shown(self._first_ms),
            "to": _shown(self._last_ms),
            "bad": self._kinds.total() - self._kinds[0],
            "kinds": kinds,
            "sha256": self._digest.hexdigest(),
        }

    def sentence(self) -> str:
        bad = ", ".join(f"{name} {self._kinds[at]:,}" for at, name in enumerate(self._names) if at)
        return (
            f"{self._kinds.total():,} events from {_shown(self._first_ms)} to {_shown(self._last_ms)}; bad: {bad}; "
            f"SHA-256 {self._digest.hexdigest()}"
        )


def _first(made: Generator, count: int, schema: EventSchema) -> Iterator[list[Item]]:
    """The first `count` items; the pack would refuse what lies beyond its latest time."""
    for some in made.slices():
        taken = list(some[:count])
        if not taken:
            continue
        if taken[-1][0] > schema.latest_ms:
            raise UsageProblem(
                f"the events would pass {_shown(schema.latest_ms)}, the pack's latest; make fewer, or start earlier"
            )
        yield taken
        count -= len(taken)
        if not count:
            return


def _start(text: str, schema: EventSchema) -> int:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise UsageProblem(f"--start must be a time such as 2018-04-01T00:00:00Z, with its offset, not {text}")
    at_ms = utc.ms(parsed)
    if not schema.earliest_ms <= at_ms <= schema.latest_ms:
        raise UsageProblem(
            f"--start must lie between {_shown(schema.earliest_ms)} and {_shown(schema.latest_ms)}, or the pack "
            "refuses the events"
        )
    return at_ms


def _shown(at_ms: int) -> str:
    return utc.text(at_ms, "auto")


def _writing(file: Path) -> BinaryIO:
    try:
        return file.open("wb")
    except OSError as error:
        raise UsageProblem(f"{file} cannot be written: {error.strerror}") from None
