"""The shadow: candidate policies decide beside the live chains, and say in figures what would have been otherwise.

It reads the sealed entries as any consumer does, and their inputs, and decides each anew with the dry kernel, once for
every candidate. It writes figures to `wet.shadow` and nothing else, in a process of its own: a candidate that fails
ends the shadow, and no decision notices.

Nothing is kept beside the log: a shadow that died walks the chains again from their first entry, and comes to the same
figures, because they follow from the chains and their inputs alone. So it reaches as far back as events are kept, and
needs all of them: a snapshot holds what the policies in force remembered, and nobody can tell from it what a candidate
would remember by then, with other windows and other money spent. It never skips: what it is behind is told. Memory is
bounded by the candidates (`max_keys`, `duplicate_horizon`) and by `models.late_labels.REMEMBERED`; of the inputs one
batch is held.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

import msgspec

from sidechain.agents.control_log import ControlLog
from sidechain.agents.metrics import ShadowMetrics
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.proof import Topics
from sidechain.agents.reader import Reader
from sidechain.agents.shadowed import newest
from sidechain.agents.topic_inputs import TopicInputs
from sidechain.agents.wet.feed import Out, Publisher
from sidechain.agents.wet.pauses import waited
from sidechain.models.candidate import Mismatch
from sidechain.models.compare_fields import figures
from sidechain.models.dry.records import InputRecord
from sidechain.models.policy import Policy
from sidechain.models.shadow import Shadow, StakeOf
from sidechain.topics.codec import encode
from sidechain.topics.wet import ShadowRecord

log = logging.getLogger(__name__)

CANDIDATES: Final = 8  # each costs what deciding costs
PAUSE_S: Final = 0.5  # between two looks at chains that did not grow
REPORT_S: Final = 5.0  # between two reports of one chain that grows
TURN: Final = 100_000  # entries of one chain before the next one has its turn
Count = Callable[[str, int, int], None]  # told a candidate, how many inputs it decided, how many of them otherwise
_CONTROL: Final = b'"source":["control",'


class ShadowWorker:
    """Every chain of an installation, one after the other, under every candidate."""

    def __init__(
        self,
        candidates: Sequence[Policy],
        stake: tuple[str | None, StakeOf],
        options: Mapping[str, Any],
        name: Callable[[str], str],
        metrics: ShadowMetrics,
    ) -> None:
        """`stake`: the event's field at stake and how to read it. `options`: aiokafka's connection settings. `name`:
        topic of a logical name."""
        self._candidates = candidates
        self._stake, self._stake_of = stake
        self._options = options
        self._name = name
        self._metrics = metrics
        self._publisher = Publisher(options)
        self._chains: list[_Chain] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises `EnvironmentProblem` where inputs are gone, and whatever a candidate raises."""
        async with Topics(self._options, self._name) as topics:
            told = await newest(await topics.reader("wet.shadow"))
            self._entries = await topics.reader("dry.decisions")
            control = _Control(await topics.reader("control"))
            inputs = await topics.inputs_read()
            every = await self._entries.partitions()
            self._chains = [self._chain(one, len(every), inputs, control) for one in every]
            for chain in self._chains:
                before = (told.get((one.policy.digest, chain.partition)) for one in chain.shadows)
                chain.reported = min(0 if one is None else one.entries for one in before)
            await self._publisher.start()
            try:
                await self._rounds(stop)
            finally:
                await self._publisher.stop()

    async def _rounds(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            has_moved = False
            for chain in self._chains:
                began = time.perf_counter()
                if await chain.advance(self._entries, stop, self._count):
                    has_moved = True
                    self._metrics.seconds.observe(time.perf_counter() - began)
                await self._report(chain, REPORT_S)
            await self._measure()
            if not has_moved:
                await waited(stop, PAUSE_S)
        for chain in self._chains:
            await self._report(chain, 0)

    def _chain(self, partition: int, of: int, inputs: Mapping[str, Reader], control: "_Control") -> "_Chain":
        """`of`: so many partitions in all."""
        read = _Inputs(TopicInputs(inputs, partition, control.log))
        shadows = [Shadow(one, partition, read.of, self._stake_of, partitions=of) for one in self._candidates]
        return _Chain(partition, read.topics, control, shadows)

    def _count(self, policy: str, inputs: int, flips: int) -> None:
        """How many inputs a candidate decided just now, and how many of them otherwise."""
        self._metrics.inputs[policy].inc(inputs)
        self._metrics.flips[policy].inc(flips)

    async def _report(self, chain: "_Chain", every_s: float) -> None:
        """Write what has changed since the last report, if that was long enough ago.

        Who walks the chain again says nothing before it knows as much as was reported before.
        """
        now = time.monotonic()
        is_news = chain.entries > chain.reported or (chain.is_at_end and chain.entries < chain.reported)
        if not is_news or now - chain.reported_at < every_s:
            return
        topic = self._name("wet.shadow")
        told = [Out(topic, one.policy.ref.encode(), encode(self._record(one))) for one in chain.shadows]
        await self._publisher.publish(chain.partition, told)
        chain.reported, chain.reported_at = chain.entries, now
        self._metrics.reports.inc(len(told))
        self._metrics.last_report.set_to_current_time()

    def _record(self, one: Shadow) -> ShadowRecord:
        return ShadowRecord(
            policy=one.policy.ref,
            digest=one.policy.digest,
            partition=one.partition,
            entries=one.entries,
            seq=one.seq,
            head=one.head,
            broken=one.broken or None,
            figures=figures(one.found, self._stake),
        )

    async def _measure(self) -> None:
        ends = await self._entries.ends([one.partition for one in self._chains])
        self._metrics.lag.set(sum(max(0, ends[one.partition] - one.offset) for one in self._chains))
        self._metrics.broken.set(sum(any(shadow.broken for shadow in one.shadows) for one in self._chains))


class _Chain:
    """One partition, and where its walk stands."""

    def __init__(self, partition: int, inputs: TopicInputs, control: "_Control", shadows: Sequence[Shadow]) -> None:
        self.partition = partition
        self.shadows = shadows
        self.offset = 0  # of the next entry
        self.reported = 0  # entries, as of the last report
        self.reported_at = -REPORT_S
        self.is_at_end = False  # as of the last look
        self._inputs = inputs
        self._control = control
        self._next: dict[str, int] = {}  # where each input goes on

    @property
    def entries(self) -> int:
        """How many were looked at."""
        return self.shadows[0].entries

    async def advance(self, entries: Reader, stop: asyncio.Event, count: Count) -> bool:
        """Look at what was sealed meanwhile, at most about TURN entries. Says whether there was anything."""
        end = (await entries.ends([self.partition]))[self.partition]
        self.is_at_end = end <= self.offset
        if self.is_at_end:
            return False
        began = self.entries
        last = b""
        async with aclosing(self._inputs.beside(entries, entry=self.offset, begin=self._next)) as batches:
            async for lines in batches:
                if any(_CONTROL in one for one in lines):
                    await self._control.read_on()
                before = self._counts()
                for last in lines:
                    self._take(last)
                self.offset = self._inputs.behind
                for one, (inputs, flips) in zip(self.shadows, before, strict=True):
                    sums = one.found.sums
                    count(one.policy.ref, sums.inputs - inputs, sums.flips.count - flips)
                if stop.is_set() or self.entries - began >= TURN:
                    break
                await asyncio.sleep(0)  # others of this process, above all a signal to stop, have their turn
            else:
                self.offset = max(self.offset, end)  # behind the last entry a marker may stand
        self._next = _next_of(last) or self._next
        return self.entries > began

    def _take(self, line: bytes) -> None:
        try:
            for one in self.shadows:
                one.take(line)
        except Mismatch as fault:
            raise EnvironmentProblem(
                f"partition {self.partition} cannot be shadowed: {fault}. A shadow walks a chain from its first entry, "
                "with the events it was made of; are they kept as long? It cannot begin behind a snapshot, which holds "
                "what the policies in force remembered and not what a candidate would. Of an export that still has the "
                "events `policy backtest --export` says the same"
            ) from None

    def _counts(self) -> list[tuple[int, int]]:
        return [(one.found.sums.inputs, one.found.sums.flips.count) for one in self.shadows]


class _Inputs:
    """The inputs of one partition for several who each ask for the same record in turn."""

    def __init__(self, topics: TopicInputs) -> None:
        self.topics = topics
        self._last: tuple[str, int] | None = None
        self._record: InputRecord | None = None

    def of(self, topic: str, offset: int) -> InputRecord | None:
        if topic == "control":
            return self.topics.of(topic, offset)
        if self._last != (topic, offset):
            self._last, self._record = (topic, offset), self.topics.of(topic, offset)
        return self._record


class _Control:
    """The records of `control`, read on where an entry cites one."""

    def __init__(self, reader: Reader) -> None:
        self.log = ControlLog()
        self._reader = reader
        self._offset = 0

    async def read_on(self) -> None:
        """What was written since."""
        async for records in self._reader.to_end([0], start={0: self._offset}):
            self.log.extend(records)
            self._offset = records[-1].offset + 1


class _Next(msgspec.Struct, rename={"next_": "next"}):
    next_: dict[str, int] = {}


def _next_of(line: bytes) -> dict[str, int]:
    """Where the inputs go on behind an entry; nothing for what is none."""
    try:
        return msgspec.json.decode(line, type=_Next).next_
    except (ValueError, RecursionError):
        return {}
