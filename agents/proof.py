"""The proofs a stranger can repeat over a running system's topics: verify, replay, account, compare.

verify    every entry's seal and link
replay    every entry decided anew from its input, byte for byte
account   every visible event has exactly one entry, every rejected one a dead letter
compare   the same chain without what the wet side said: which decisions would differ
"""

from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiokafka import ConsumerRecord

from sidechain.agents.believing import UNTRUSTING, Believer, Trust
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.known_policies import genesis_policy, policy_in
from sidechain.agents.problems import UsageProblem
from sidechain.agents.reader import Reader
from sidechain.agents.settings import Config
from sidechain.models.dry.chain import Fault, Replayer
from sidechain.models.dry.fold import InputRecord
from sidechain.models.pack_file import load
from sidechain.models.policy import Policy
from sidechain.models.proof.chain_check import ChainCheck, EpochCheck

Name = Callable[[str], str]  # logical topic -> the topic's name on this cluster
Progress = Callable[[int], None]  # told how many entries were looked at since the last call


def _ignored(_count: int) -> None:
    """Nobody watches."""


@dataclass
class Proof:
    """What a pass over one partition's chain found."""

    partition: int
    entries: int = 0
    head: str = ""
    fault: Fault | None = None
    where: str = ""  # where the fault stands: an offset of the topic, a line of a file
    epochs: list[EpochCheck] = field(default_factory=list)  # where the chain was verified

    @classmethod
    def of(cls, partition: int, check: ChainCheck) -> "Proof":
        """What a finished check found; its fault is the first one of any epoch."""
        broken = next((one for one in check.epochs if one.fault), None)
        fault, where = (broken.fault, broken.where) if broken else (None, "")
        return cls(partition, check.entries, check.head, fault, where, check.epochs)


@dataclass
class Account:
    """The books of one partition."""

    partition: int
    events: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    dead_letters: int = 0
    missing: list[int] = field(default_factory=list)  # event offsets without an entry (the first few)
    repeated: list[int] = field(default_factory=list)  # event offsets with more than one
    extra: list[int] = field(default_factory=list)  # offsets entries name, at which there is no event
    altered: list[int] = field(default_factory=list)  # offsets of events that are not what their entries say

    @property
    def balanced(self) -> bool:
        """Every visible event has exactly one entry, and rejected inputs and dead letters are as many."""
        at_fault = self.missing or self.repeated or self.extra or self.altered
        return not at_fault and self.kinds["rejected"] == self.dead_letters


@dataclass
class Difference:
    """One decision that would have been another without what the wet side said."""

    id: str
    key: str
    partition: int
    seq: int
    action: str
    without_signals: str
    signals: Mapping[str, Any]


class Topics:
    """The topics of one installation, to be read. Use as an async context manager."""

    def __init__(self, options: Mapping[str, Any], name: Name) -> None:
        self._options = options
        self._name = name
        self._stack = AsyncExitStack()

    @classmethod
    def of(cls, config: Config) -> "Topics":
        """The topics a configuration names."""
        return cls(kafka_options(config), config.topic)

    async def __aenter__(self) -> "Topics":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def reader(self, topic: str) -> Reader:
        """A reader of the topic with this logical name, closed with this object."""
        return await self._stack.enter_async_context(Reader(self._options, self._name(topic)))

    async def verify(
        self, progress: Progress = _ignored, trust: Trust = UNTRUSTING, log: str | None = None
    ) -> list[Proof]:
        """Check every partition's chain from its first entry, beside what `dry.checkpoints` says of it."""
        entries = await self.reader("dry.decisions")
        signed = await self.reader("dry.checkpoints")
        is_there = await signed.exists()
        proofs = []
        for partition in await entries.partitions():
            held = [one for one in trust.held if one.checkpoint.origin.partition == partition]
            check = ChainCheck(held, with_points=is_there)
            points = _Points(signed, partition, Believer(trust, partition, log)) if is_there else None
            if points is not None:
                await points.begin()  # before the entries: what is signed by now is in the log by then
            async for records in entries.to_end([partition]):
                await _take(check, records, points)
                progress(len(records))
            if points is not None:
                await points.reach(check, 0)
            check.finish()
            proofs.append(Proof.of(partition, check))
        return proofs

    async def replay(self, policy: Policy, progress: Progress | None = None) -> list[Proof]:
        """Decide every entry anew and compare bytes. `policy`: the one given to the workers."""
        proofs = []
        async for partition, replayer, batches in self._replayers(policy, use_signals=True):
            proof = Proof(partition)
            async for lines in batches:
                proof.fault = next((found for line in lines if (found := replayer.take(line))), None)
                if progress:
                    progress(len(lines))
                if proof.fault:
                    break
            proof.entries, proof.head = replayer.fold.seq, replayer.fold.head_hash
            proofs.append(proof)
        return proofs

    async def differences(self, policy: Policy) -> AsyncIterator[Difference]:
        """Decisions whose action differs when the same inputs are decided without any signal."""
        async for partition, replayer, batches in self._replayers(policy, use_signals=False):
            async for lines in batches:
                for line in lines:
                    again = replayer.again(line)
                    if isinstance(again, Fault):
                        raise UsageProblem(f"partition {partition}: {again}")
                    live, silent = msgspec.json.decode(line), msgspec.json.decode(again)
                    if live["kind"] == "decision" and live["action"] != silent["action"]:
                        yield Difference(
                            live["id"],
                            live["key"],
                            partition,
                            live["seq"],
                            live["action"],
                            silent["action"],
                            live["signals"],
                        )

    async def entries_of(self, identifier: str) -> AsyncIterator[tuple[bytes, int]]:
        """Every entry that names an event id, and its partition."""
        reader = await self.reader("dry.decisions")
        wanted = b'"id":' + msgspec.json.encode(identifier)
        for partition in await reader.partitions():
            async for records in reader.to_end([partition]):
                for one in records:
                    if wanted in one.value and msgspec.json.decode(one.value)["id"] == identifier:
                        yield one.value, partition

    async def decisions(self) -> AsyncIterator[dict[str, Any]]:
        """Every entry of kind decision, decoded."""
        reader = await self.reader("dry.decisions")
        for partition in await reader.partitions():
            async for records in reader.to_end([partition]):
                for one in records:
                    entry = msgspec.json.decode(one.value)
                    if entry["kind"] == "decision":
                        yield entry

    async def policies(self, given: Policy) -> dict[str, Policy]:
        """Every policy known here, by reference: the given one and those on `control`."""
        known = {given.ref: given}
        for record in (await self.control()).values():
            if (policy := policy_in(record)) is not None:
                known[policy.ref] = policy
        return known

    async def account(self) -> list[Account]:
        """The books of every partition, as of now."""
        from sidechain.agents.against_events import books_of
        from sidechain.agents.chain_sources import TopicSource  # which reads through this class

        source, letters = TopicSource(self), await self.reader("dry.deadletters")
        accounts = []
        for partition in await source.partitions():
            books = await books_of(source, partition, _ignored)
            waiting = [] if books.first_waiting is None else [books.first_waiting]
            account = Account(
                partition,
                events=books.events,
                kinds=books.kinds,
                actions=books.actions,
                missing=[*books.missing, *waiting],
                repeated=books.repeated,
                extra=books.extra,
                altered=books.altered,
            )
            async for records in letters.to_end([partition]):
                account.dead_letters += len(records)
            accounts.append(account)
        return accounts

    async def _replayers(
        self, policy: Policy, *, use_signals: bool
    ) -> AsyncIterator[tuple[int, Replayer, AsyncIterator[Sequence[bytes]]]]:
        control = await self.control()
        entries, events = await self.reader("dry.decisions"), await self.reader("events")
        for partition in await entries.partitions():
            inputs = TopicInputs(events, partition, control)
            genesis = await self._genesis(entries, partition, policy, control)
            replayer = Replayer(
                genesis, partition, inputs.of, load=lambda text: load(text, name="control"), use_signals=use_signals
            )
            yield partition, replayer, inputs.beside(entries)

    async def control(self) -> dict[int, InputRecord]:
        """Every control record, by offset."""
        reader = await self.reader("control")
        return {one.offset: one async for records in reader.to_end([0]) for one in records}

    async def _genesis(
        self, entries: Reader, partition: int, given: Policy, control: Mapping[int, InputRecord]
    ) -> Policy:
        """The policy the first entry was decided under."""
        async for records in entries.to_end([partition]):
            return genesis_policy(records[0].value, given, control)
        return given


class _Points:
    """The checkpoints of one partition, read along with its entries."""

    def __init__(self, reader: Reader, partition: int, believer: Believer) -> None:
        self._batches = reader.to_end([partition])
        self._believer = believer
        self._held: deque[ConsumerRecord] = deque()

    async def begin(self) -> None:
        """Fix the end; nothing written later is looked at."""
        self._held.extend(await anext(self._batches, None) or ())

    async def reach(self, check: ChainCheck, lines: int) -> None:
        """Give the check all it needs to take so many lines."""
        while check.wants(lines):
            if not self._held:
                self._held.extend(await anext(self._batches, None) or ())
                if not self._held:
                    return
            one = self._held.popleft()
            self._believer.tell(check, one.value, f"dry.checkpoints, offset {one.offset:,}")


async def _take(check: ChainCheck, records: Sequence[ConsumerRecord], points: _Points | None) -> None:
    lines = [one.value or b"" for one in records]
    done = 0
    while done < len(lines):
        if points is not None:
            await points.reach(check, len(lines) - done)
        step = check.take(lines[done:] if done else lines)
        done += step.taken
        if step.fault:
            check.epoch.where = f"offset {records[done - 1].offset:,}"


class TopicInputs:
    """The inputs of one partition, read along with its entries."""

    def __init__(self, events: Reader, partition: int, control: Mapping[int, InputRecord]) -> None:
        self._events = events
        self._partition = partition
        self._control = control
        self._held: dict[int, InputRecord] = {}

    def of(self, topic: str, offset: int) -> InputRecord | None:
        return self._control.get(offset) if topic == "control" else self._held.pop(offset, None)

    async def beside(self, entries: Reader, *, entry: int = 0, event: int = 0) -> AsyncIterator[Sequence[bytes]]:
        """Batches of sealed entries whose inputs are at hand. `entry`, `event`: offsets to begin at."""
        events = self._events.to_end([self._partition], start={self._partition: event})
        reached = -1
        async for records in entries.to_end([self._partition], start={self._partition: entry}):
            lines = [one.value or b"" for one in records]
            needed = _last_event(lines)
            while reached < needed and (batch := await anext(events, None)) is not None:
                self._held.update((one.offset, one) for one in batch)
                reached = batch[-1].offset
            yield lines


class _Source(msgspec.Struct):
    source: tuple[str, int, int] | None = None


def _last_event(lines: Sequence[bytes]) -> int:
    for line in reversed(lines):
        source = msgspec.json.decode(line, type=_Source).source
        if source is not None and source[0] == "events":
            return source[2]
    return -1
