"""Chains decided a second time under a candidate policy: from files, from an export, from the topics.

One chain is walked from its first entry to its last, because what it remembers cannot be known otherwise; several are
walked at once, each in a process, and their sums are added.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final, Protocol

import msgspec

from sidechain.agents.bundle import Bundle, Inputs
from sidechain.agents.control_log import ControlLog
from sidechain.agents.input_files import beginnings
from sidechain.agents.jobs import Told, in_processes
from sidechain.agents.problems import EnvironmentProblem, UsageProblem
from sidechain.agents.proof import Topics
from sidechain.agents.settings import Config
from sidechain.agents.topic_inputs import TopicInputs
from sidechain.agents.verify_files import blocks, lines_of, partition_of, records_of
from sidechain.models.candidate import Candidate, InputOf, Mismatch
from sidechain.models.compare import Comparison
from sidechain.models.dry import Line
from sidechain.models.late_labels import LateLabels
from sidechain.models.pack_file import load
from sidechain.models.policy import ACTIONS, Policy

TOLD_EVERY: Final = 2_000
LABELS_AT_MOST: Final = 20_000_000  # held in memory, in each process
GOOD: Final = ("good", "0", "false")
BAD: Final = ("bad", "1", "true")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of every chain. Times are event time, ms."""

    policy: bytes  # the candidate's text
    stake: str | None = None  # the event's int field that says what is at stake
    since_ms: int | None = None  # inclusive
    until_ms: int | None = None  # exclusive
    labels: Path | None = None  # None: those of the chains' own settlements
    examples: int = 3
    partitions: int | None = None  # that share the accounts of budgets; None: as many as there are chains


class Chain(Protocol):
    """Entries with their inputs. It is sent to the process that walks it."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def entries(self) -> int | None:
        """How many there are to walk, where that is quickly known."""
        ...

    def walk(self, begin: "Begin") -> None:
        """Begin, and give every entry. Raises `Mismatch` where entries or inputs are cut short."""
        ...


Take = Callable[[bytes], None]
Begin = Callable[[int, InputOf, bool], Take]  # partition, its inputs, whether their records carry keys


@dataclass(frozen=True)
class FileChain:
    """One partition in two files: events one a line, as `decide` reads them, and the entries made of them."""

    events: Path
    decisions: Path
    outcomes: Path | None = None
    control: Sequence[Line] = ()  # the lists that were in force, as `offline_control` makes them

    @property
    def name(self) -> str:
        return str(self.decisions)

    def entries(self) -> int | None:
        return sum(len(lines) for _, lines in blocks(self.decisions))

    def walk(self, begin: Begin) -> None:
        inputs = Inputs(beginnings(self.events, self.outcomes), ControlLog(self.control))
        take = begin(partition_of(self.decisions), inputs.of, False)
        last = b""
        for last in lines_of(self.decisions):
            take(last)
        following = _next_event(last)
        if following is not None and inputs.of("events", following) is not None:
            raise Mismatch(
                f"the events go on behind offset {following - 1}, which the last entry is of: the decisions were cut "
                "short, or are of fewer events"
            )


@dataclass(frozen=True)
class ExportChain:
    """One partition of what `sidechain export --with-events` wrote."""

    folder: Path
    partition: int

    @property
    def name(self) -> str:
        return f"{self.folder}, partition {self.partition}"

    def entries(self) -> int | None:
        parts = Bundle(self.folder).manifest.files
        return next(one.records for one in parts if one.kind == "decisions" and one.partition == self.partition)

    def walk(self, begin: Begin) -> None:
        bundle = Bundle(self.folder)
        control = ControlLog(one for file in bundle.files("control").values() for one in bundle.records(file))
        take = begin(self.partition, Inputs(bundle.beginnings(self.partition), control).of, True)
        count = 0
        for line in records_of(bundle.files("decisions")[self.partition]):
            take(line)
            count += 1
        if count != (stated := self.entries()):
            raise Mismatch(f"the manifest states {stated:,} entries and there are {count:,}: the export was cut short")


@dataclass(frozen=True)
class TopicChain:
    """One partition of a running system, as far as it is now."""

    config: Config
    partition: int

    @property
    def name(self) -> str:
        return f"{self.config.topic('dry.decisions')}, partition {self.partition}"

    def entries(self) -> int | None:
        return None

    def walk(self, begin: Begin) -> None:
        asyncio.run(self._walk(begin))

    async def _walk(self, begin: Begin) -> None:
        async with Topics.of(self.config) as topics:
            control = await topics.control()
            entries, inputs_read = await topics.reader("dry.decisions"), await topics.inputs_read()
            inputs = TopicInputs(inputs_read, self.partition, control)
            take = begin(self.partition, inputs.of, True)
            async for lines in inputs.beside(entries):
                for line in lines:
                    take(line)


class _Next(msgspec.Struct):
    next: dict[str, int] = {}


def _next_event(line: bytes) -> int | None:
    """The offset of the event after the one this entry is of."""
    try:
        return msgspec.json.decode(line, type=_Next).next.get("events")
    except (ValueError, RecursionError):
        return None


def chains_of_export(folder: Path) -> list[ExportChain]:
    """The chains of an export. Raises `UsageProblem` when it holds no events."""
    bundle = Bundle(folder)
    chains = bundle.files("decisions")
    if not bundle.files("events").keys() >= chains.keys():
        raise UsageProblem(f"{folder} holds no events; `sidechain export --with-events` writes them")
    return [ExportChain(folder, one) for one in sorted(chains)]


async def chains_of_topics(config: Config) -> list[TopicChain]:
    """The chains of a running system."""
    async with Topics.of(config) as topics:
        return [TopicChain(config, one) for one in await (await topics.reader("dry.decisions")).partitions()]


def backtest(
    chains: Iterable[Chain], asked: Asked, told: Told, *, jobs: int = 1, flips: Path | None = None
) -> Comparison:
    """The candidate held against what was sealed, over all chains, in up to `jobs` processes.

    `flips`: where every flip is written, one a line, chain by chain. Raises `UsageProblem` for what does not belong
    together, and where the period holds nothing.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(dir=flips.parent))) if flips is not None else None
        numbered = [(one, folder / str(at) if folder else None) for at, one in enumerate(chains)]
        if asked.partitions is None:
            asked = replace(asked, partitions=len(numbered))
        whole = Comparison(examples=asked.examples)
        for one in in_processes(partial(_walked, asked), numbered, jobs, told):
            whole.merge(one)
        _must_tell(whole)
        if flips is not None:
            _join((part for _, part in numbered if part), flips)
    return whole


def labels_of(path: Path) -> dict[str, bool]:
    """id -> whether it was bad, of lines `id,label` or outcomes as JSON; the last of an id counts.

    Raises `UsageProblem`.
    """
    found: dict[str, bool] = {}
    for number, line in enumerate(lines_of(path), 1):
        try:
            read = _label(line)
        except ValueError:
            known = f"{' '.join(BAD)} or {' '.join(GOOD)}"
            raise UsageProblem(f"{path}, line {number:,} is no label: `id,label`, the label one of {known}") from None
        if read is None:  # an outcome may state a cost alone
            continue
        found[read[0]] = read[1]
        if len(found) > LABELS_AT_MOST:
            raise UsageProblem(f"{path} holds more than {LABELS_AT_MOST:,} labels; give those of the period only")
    if not found:
        raise UsageProblem(f"{path} holds no label")
    return found


class _Labelled(msgspec.Struct):
    id: str
    label: str | None = None


def _label(line: bytes) -> tuple[str, bool] | None:
    if line.startswith(b"{"):
        read = msgspec.json.decode(line, type=_Labelled)
        if read.label is None:
            return None
        name, label = read.id, read.label
    else:
        name, _, label = line.decode("utf-8").rpartition(",")
    label = label.strip().lower()
    if not name or label not in (*GOOD, *BAD):
        raise ValueError(label)
    return name, label in BAD


def _walked(asked: Asked, numbered: tuple[Chain, Path | None], told: Told) -> Comparison:
    """One chain, in a process of its own."""
    chain, flips = numbered
    with ExitStack() as stack:
        file = stack.enter_context(flips.open("wb")) if flips is not None else None
        walk = _Walk(asked, told, file)
        try:
            chain.walk(walk.begin)
            walk.finish()
        except Mismatch as fault:
            raise UsageProblem(f"{chain.name}: {fault}") from None
        told(walk.taken % TOLD_EVERY)
        if not walk.taken and isinstance(chain, FileChain):
            raise UsageProblem(f"{chain.name} holds no entry")
        return walk.found


class _Walk:
    """The way along one chain, and what was counted so far."""

    def __init__(self, asked: Asked, told: Told, flips: IO[bytes] | None) -> None:
        self.found = Comparison(examples=asked.examples)
        self.taken = 0
        self._policy = load(asked.policy, name="the candidate")
        self._stake_of = stake_of(asked.stake)
        self._partitions = asked.partitions
        self._since, self._until = asked.since_ms, asked.until_ms
        self._labels: Mapping[str, bool] = labels_of(asked.labels) if asked.labels is not None else {}
        self._late = LateLabels(self.found) if asked.labels is None else None
        self._begun = 0
        self._told = told
        self._flips = flips
        self._candidate: Candidate | None = None

    def begin(self, partition: int, input_of: InputOf, keyed: bool) -> Take:
        self._candidate = candidate = Candidate(
            self._policy, partition, input_of, partitions=self._partitions, keyed=keyed
        )

        def take(line: bytes) -> None:
            self._take(candidate, line)

        return take

    def finish(self) -> None:
        """The chain is at its end. Raises `Mismatch` where it is broken and nobody began it anew."""
        if self._candidate is not None:
            self._candidate.finish()

    def _take(self, candidate: Candidate, line: bytes) -> None:
        self.taken += 1
        if not self.taken % TOLD_EVERY:
            self._told(TOLD_EVERY)
        pair = candidate.take(line)
        if pair is None:
            self._hear(candidate)
            return
        if not self._is_inside(pair.at_ms):
            self.found.pass_over(pair.at_ms)
            return
        is_flip = pair.before.verdict != pair.after.verdict
        stake = self._stake_of(candidate.record.value) if is_flip and candidate.record else None
        flip = self.found.add(pair, stake, self._labels.get(pair.id) if pair.id is not None else None)
        if self._late is not None and pair.before.verdict in ACTIONS:  # nothing else can be settled
            self._late.wait(pair, stake)
        if flip is not None and self._flips is not None:
            self._flips.write(msgspec.json.encode(flip._asdict()) + b"\n")

    def _hear(self, candidate: Candidate) -> None:
        """What an entry that is of no event says of those before."""
        if self._late is None:
            return
        if candidate.begun != self._begun:
            self._begun = candidate.begun
            self._late.begin()
        if candidate.told is not None:
            self._late.told(candidate.told)

    def _is_inside(self, at_ms: int | None) -> bool:
        if self._since is None and self._until is None:
            return True
        if at_ms is None:
            return False
        return (self._since is None or at_ms >= self._since) and (self._until is None or at_ms < self._until)


def stake_of(field: str | None) -> Callable[[bytes | None], int | None]:
    """What an event's bytes say is at stake; None where they do not."""
    if field is None:
        return lambda _value: None
    decode = msgspec.json.Decoder(msgspec.defstruct("Stake", [(field, int | None, None)])).decode

    def read(value: bytes | None) -> int | None:
        try:
            found: int | None = getattr(decode(value or b""), field)
        except (ValueError, RecursionError):  # such an event was rejected, or will be
            return None
        return found

    return read


def stake_field(policy: Policy, given: str | None) -> str | None:
    """The field that says what is at stake: the one given, else the pack's. Raises `UsageProblem`."""
    if given is None:
        return policy.event.stake
    ints = [one.name for one in policy.event.fields if one.type == "int" and one.role is None]
    if given not in ints:
        listed = ", ".join(ints) or "none"
        raise UsageProblem(f"--value names an int field of the event, and {given} is none; there are: {listed}")
    return given


def _must_tell(found: Comparison) -> None:
    """Raises `UsageProblem` for a comparison that says nothing, or only that the candidate is of other events."""
    if not found.sums.inputs:
        if found.earliest_ms is None:
            raise UsageProblem("these chains hold no event, so there is nothing to compare")
        raise UsageProblem(
            f"none of {found.outside:,} inputs lies in the period; their event times reach from {found.earliest_ms} to "
            f"{found.latest_ms} (ms)"
        )
    decided = sum(found.verdicts_before[one] for one in ACTIONS)
    if decided and not any(found.verdicts_after[one] for one in ACTIONS):
        (_, reason), count = max(found.rejections.items(), key=lambda one: (one[1], one[0]))
        raise UsageProblem(
            f"the candidate decides none of {found.sums.inputs:,} inputs ({count:,} of them: {reason}): its event is "
            "another than the one these were sealed as"
        )


def _join(parts: Iterator[Path], target: Path) -> None:
    try:
        with target.open("wb") as whole:
            for part in parts:
                with part.open("rb") as file:
                    while block := file.read(1 << 20):
                        whole.write(block)
    except OSError as error:
        raise EnvironmentProblem(f"{target} cannot be written: {error.strerror}") from None
