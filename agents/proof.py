"""The proofs a stranger can repeat over a running system's topics: verify, replay, account.

verify    every entry's seal and link
replay    every entry decided anew from its input, byte for byte
account   every visible event has exactly one entry, every rejected one a dead letter
"""

from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from aiokafka import ConsumerRecord

from sidechain.agents.believing import UNTRUSTING, Believer, Trust
from sidechain.agents.control_log import ControlLog
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.known_policies import (
    begun_under,
    cited_by,
    genesis_ref,
    must_be_known,
    policies_by_digest,
    policy_in,
)
from sidechain.agents.reader import Reader
from sidechain.agents.settings import Config
from sidechain.agents.topic_inputs import TopicInputs
from sidechain.models.dry.chain import Fault
from sidechain.models.dry.completeness import Completeness, Passage
from sidechain.models.dry.entry import CO_PARTITIONED, TOPICS, TRANSFERS
from sidechain.models.dry.replay import Replayer
from sidechain.models.dry.state import POLICY_PREFIX
from sidechain.models.list_rows import ListRows
from sidechain.models.pack_file import load
from sidechain.models.policy import Policy
from sidechain.models.proof.chain_check import ChainCheck, EpochCheck
from sidechain.models.proof.replay_check import ReplayCheck
from sidechain.models.report.tally import Ask, Tally

Name = Callable[[str], str]  # logical topic -> the topic's name on this cluster
Progress = Callable[[int], None]  # told how many entries were looked at since the last call

SOUGHT_MAX: Final = 16  # policies a chain cites and nobody has: for so many the state is searched


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
    epochs: list[EpochCheck] = field(default_factory=list)
    tally: Tally | None = None  # what its entries come to, where that was asked

    @classmethod
    def of(cls, partition: int, check: ChainCheck, tally: Tally | None = None) -> "Proof":
        """What a finished check found; its fault is the first one of any epoch."""
        if tally is not None:
            tally.finish()
        broken = next((one for one in check.epochs if one.fault), None)
        fault, where = (broken.fault, broken.where) if broken else (None, "")
        return cls(partition, check.entries, check.head, fault, where, check.epochs, tally)

    @classmethod
    def replayed(cls, partition: int, epochs: list[EpochCheck]) -> "Proof":
        """What a replay found."""
        fault = next((one.fault for one in epochs if one.fault), None)
        return cls(partition, sum(one.entries for one in epochs), epochs[-1].head, fault, epochs=epochs)


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
    explained: int = 0  # events without an entry, because a person went on behind them
    passed_over: int = 0  # records of the chain that count for nothing
    rejected_passed_over: int = 0  # of them rejections: they may have dead letters
    passages: list[Passage] = field(default_factory=list)  # a person's decisions to go on elsewhere
    broken: str = ""  # why the end of the chain counts for nothing, where it does
    letters_due: int = 0  # dead letters the entries speak of
    outcomes: Completeness = field(default_factory=lambda: Completeness(topic="outcomes"))
    transfers: Completeness = field(default_factory=lambda: Completeness(topic=TRANSFERS))

    @property
    def balanced(self) -> bool:
        """Every visible event, outcome and transfer has exactly one entry, and there are the dead letters there should
        be."""
        at_fault = self.missing or self.repeated or self.extra or self.altered or self.broken
        is_settled = all(one.is_complete and not one.waiting for one in (self.outcomes, self.transfers))
        return not at_fault and not self.letters_missing and is_settled

    @property
    def letters_missing(self) -> int:
        """Dead letters there should be and are not; below 0: that are too many."""
        due = self.letters_due
        if due <= self.dead_letters <= due + self.rejected_passed_over:
            return 0
        return due - self.dead_letters


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
        self,
        progress: Progress = _ignored,
        trust: Trust = UNTRUSTING,
        log: str | None = None,
        ask: Ask | None = None,
    ) -> list[Proof]:
        """Check every partition's chain from its first entry, beside what `dry.checkpoints` says of it.

        With `ask`, each proof brings along what the entries come to.
        """
        entries = await self.reader("dry.decisions")
        signed = await self.reader("dry.checkpoints")
        is_there = await signed.exists()
        proofs = []
        for partition in await entries.partitions():
            held = [one for one in trust.held if one.checkpoint.origin.partition == partition]
            tally = ask.tally(partition) if ask is not None else None
            check = ChainCheck(held, with_points=is_there, seen=None if tally is None else tally.take)
            points = _Points(signed, partition, Believer(trust, partition, log)) if is_there else None
            if points is not None:
                await points.begin()  # before the entries: what is signed by now is in the log by then
            async for records in entries.to_end([partition]):
                await _take(check, records, points)
                progress(len(records))
            if points is not None:
                await points.reach(check, 0)
            check.finish()
            proofs.append(Proof.of(partition, check, tally))
        return proofs

    async def replay(self, policy: Policy, progress: Progress = _ignored) -> list[Proof]:
        """Decide every entry anew and compare bytes. `policy`: the one given to the workers."""
        proofs = []
        async for partition, check, batches in self._checks(policy):
            async for lines in batches:
                check.take(lines)
                progress(len(lines))
            must_be_known(check.finish())
            proofs.append(Proof.replayed(partition, check.epochs))
        return proofs

    async def entries_of(self, identifier: str) -> AsyncIterator[tuple[bytes, int]]:
        """Every entry that names an event id, and its partition."""
        reader = await self.reader("dry.decisions")
        wanted = b'"id":' + msgspec.json.encode(identifier)
        for partition in await reader.partitions():
            async for records in reader.to_end([partition]):
                for one in records:
                    if wanted in one.value and msgspec.json.decode(one.value)["id"] == identifier:
                        yield one.value, partition

    async def entries(self) -> AsyncIterator[tuple[int, dict[str, Any]]]:
        """Every entry with its partition, decoded; the chains one after another."""
        reader = await self.reader("dry.decisions")
        for partition in await reader.partitions():
            async for records in reader.to_end([partition]):
                for one in records:
                    yield partition, msgspec.json.decode(one.value)

    async def policies(self, given: Policy, cited: Iterable[str] = ()) -> dict[str, Policy]:
        """Every policy known here, by reference: the given one and those on `control`.

        Where that leaves one of `cited` unknown, also those that `dry.state` keeps, which is longer to read.
        """
        known = {given.ref: given}
        for record in (await self.control()).values():
            if (policy := policy_in(record)) is not None:
                known[policy.ref] = policy
        if known.keys() >= set(cited):
            return known
        states = await self.reader("dry.state")
        if await states.exists():
            async for records in states.to_end(await states.partitions()):
                kept = (one.value for one in records if (one.key or b"").startswith(POLICY_PREFIX) and one.value)
                known = policies_by_digest(kept) | known
        return known

    async def account(self) -> list[Account]:
        """The books of every partition, as of now."""
        from sidechain.agents.against_events import books_of
        from sidechain.agents.chain_sources import TopicSource  # which reads through this class

        source, letters = TopicSource(self), await self.reader("dry.deadletters")
        accounts = []
        for partition in await source.partitions():
            all_inputs = await books_of(source, partition, _ignored)
            books = all_inputs.events
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
                explained=books.explained,
                passed_over=books.passed_over,
                rejected_passed_over=books.rejected_passed_over,
                passages=books.passages,
                broken=books.broken,
                letters_due=all_inputs.letters_due,
                outcomes=all_inputs.outcomes,
                transfers=all_inputs.transfers,
            )
            async for records in letters.to_end([partition]):
                account.dead_letters += len(records)
            accounts.append(account)
        return accounts

    async def _checks(self, policy: Policy) -> AsyncIterator[tuple[int, ReplayCheck, AsyncIterator[Sequence[bytes]]]]:
        async for partition, replayer, fault, batches in self.replayers(policy, use_signals=True):
            yield partition, ReplayCheck(replayer, fault), batches

    async def replayers(
        self, policy: Policy, *, use_signals: bool
    ) -> AsyncIterator[tuple[int, Replayer, Fault | None, AsyncIterator[Sequence[bytes]]]]:
        """Per partition: a replayer, why the first entry's epoch cannot be replayed, and the entries."""
        control = await self.control()
        rows = ListRows(control)
        entries, inputs_read = await self.reader("dry.decisions"), await self.inputs_read()
        known, sought = await self.policies(policy), set[str]()
        partitions = await entries.partitions()
        for partition in partitions:
            inputs = TopicInputs(inputs_read, partition, control)
            first = await self._first(entries, partition)
            ref = genesis_ref(first)
            if ref is not None and ref not in known and ref not in sought and len(sought) < SOUGHT_MAX:
                sought.add(ref)
                known = await self.policies(policy, [ref])
            genesis, fault = begun_under(first, policy, known)
            replayer = Replayer(
                genesis,
                partition,
                inputs.of,
                partitions=len(partitions),
                rows=rows.of,
                load=lambda text: load(text, name="control"),
                use_signals=use_signals,
                known=known.values(),
            )
            yield partition, replayer, fault, self.knowing(replayer, inputs.beside(entries), policy, known)

    async def knowing(
        self, replayer: Replayer, batches: AsyncIterator[Sequence[bytes]], given: Policy, known: dict[str, Policy]
    ) -> AsyncIterator[Sequence[bytes]]:
        """The same batches; before one whose first entry cites a policy, the replayer knows it if anybody does."""
        sought: set[str] = set()
        async for lines in batches:
            ref = cited_by(lines[0])
            if ref is not None and ref not in known and ref not in sought and len(sought) < SOUGHT_MAX:
                sought.add(ref)
                known |= await self.policies(given, [ref])
                replayer.know(known.values())
            yield lines

    async def inputs_read(self) -> dict[str, Reader]:
        """A reader of each co-partitioned input there is a topic of."""
        readers = {one: await self.reader(TOPICS[one]) for one in CO_PARTITIONED}
        return {name: one for name, one in readers.items() if name == "events" or await one.exists()}

    async def control(self) -> ControlLog:
        """Every control record, by offset."""
        reader, log = await self.reader("control"), ControlLog()
        async for records in reader.to_end([0]):
            log.extend(records)
        return log

    async def firsts(self) -> list[bytes]:
        """The first entry of each chain that has one."""
        entries = await self.reader("dry.decisions")
        return [first for one in await entries.partitions() if (first := await self._first(entries, one))]

    async def _first(self, entries: Reader, partition: int) -> bytes:
        async for records in entries.to_end([partition]):
            return records[0].value or b""
        return b""


class _Points:
    """The checkpoints of one partition, read along with its entries."""

    def __init__(self, reader: Reader, partition: int, believer: Believer) -> None:
        self._batches = reader.to_end([partition])
        self._believer = believer
        self._held: deque[ConsumerRecord] = deque()

    async def begin(self) -> None:
        """Fix the end; nothing written later is looked at."""
        await self._read()

    async def reach(self, check: ChainCheck, lines: int) -> None:
        """Give the check all it needs to take so many lines."""
        while check.wants(lines):
            if not self._held:
                await self._read()
                if not self._held:
                    return
            one = self._held.popleft()
            self._believer.tell(check, one.value, f"dry.checkpoints, offset {one.offset:,}")

    async def _read(self) -> None:
        batch = await anext(self._batches, None)
        self._held.extend(batch or ())


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
