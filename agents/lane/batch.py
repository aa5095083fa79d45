"""One round of a lane: what was read, what to decide it with, and where the answer goes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from aiokafka import ConsumerRecord

from sidechain.agents.lane.pipeline import Output
from sidechain.models.dry import Fold, Latest, LatestOf, nothing_said
from sidechain.models.dry.lists import Rows, no_rows
from sidechain.models.policy import Policy

_OF_OUTCOMES: Final = b',"source":["outcomes",'  # quotes inside a string are escaped: only a field begins so
_OF_TRANSFERS: Final = b',"source":["transfers",'
_OF_CONTROL: Final = b',"source":["control",'
HandOver = Callable[["Batch", Sequence[Output]], Awaitable[None]]


class Batch:
    """What the agent gets. It asks the kernel, once per partition, and commits the answer."""

    def __init__(
        self,
        folds: Mapping[int, Fold],
        events: Mapping[int, Sequence[ConsumerRecord]],
        control: Sequence[ConsumerRecord],
        latest: Mapping[int, Latest],
        load: Callable[[bytes], Policy],
        hand_over: HandOver,
        rows: Rows = no_rows,
        outcomes: Mapping[int, Sequence[ConsumerRecord]] | None = None,
        partitions: int = 0,
        transfers: Mapping[int, Sequence[ConsumerRecord]] | None = None,
        latest_of: LatestOf = nothing_said,
    ) -> None:
        """`partitions`: how many the installation has, for outcomes that name another."""
        self.folds = folds
        self.events = events
        self.outcomes = outcomes or {}
        self.transfers = transfers or {}
        self.partitions = partitions
        self.control = control
        self.latest = latest
        self.latest_of = latest_of
        self.load = load
        self.rows = rows
        self.fetched_at = time.perf_counter()
        self.fault: BaseException | None = None
        self.obeying: ConsumerRecord | None = None  # the control record the agent is at
        self._hand_over = hand_over
        self._settled = asyncio.Event()

    @property
    def size(self) -> int:
        """Input records."""
        return len(self.control) + sum(len(one) for side in self.sides.values() for one in side.values())

    @property
    def sides(self) -> Mapping[str, Mapping[int, Sequence[ConsumerRecord]]]:
        """The inputs that stand on the chains' own partitions, by logical name."""
        return {"events": self.events, "outcomes": self.outcomes, "transfers": self.transfers}

    @property
    def only(self) -> ConsumerRecord | None:
        """The input record at fault if one is: the control record the agent is at, or all of a batch of one."""
        if self.obeying is not None:
            return self.obeying
        of_partitions = [records[:2] for side in self.sides.values() for records in side.values()]
        records = [*self.control, *(one for records in of_partitions for one in records)]
        return records[0] if len(records) == 1 else None

    def unaccounted(self, outputs: Sequence[Output]) -> str:
        """Which input has not exactly one entry, in words; empty when the books balance.

        Every event, outcome and transfer makes one entry in its partition; a control record makes one at most in each.
        """
        entries = {one.partition: [line for _, line in one.entries] for one in outputs}
        if unknown := entries.keys() - self.folds.keys():
            return f"entries for partitions {sorted(unknown)}, which are not of this shard"
        for partition in self.folds:
            events, outcomes, transfers = (len(side.get(partition, ())) for side in self.sides.values())
            lines = entries.get(partition, [])
            of_control = sum(_OF_CONTROL in line for line in lines) if self.control else 0
            of_outcomes = sum(_OF_OUTCOMES in line for line in lines) if outcomes else 0
            of_transfers = sum(_OF_TRANSFERS in line for line in lines) if transfers else 0
            of_events = len(lines) - of_control - of_outcomes - of_transfers
            found = (of_events, of_outcomes, of_transfers)
            if found != (events, outcomes, transfers) or of_control > len(self.control):
                given = f"{events} events, {outcomes} outcomes and {len(self.control)} control records"
                moved = f", and {transfers} transfers" if transfers else ""
                return (
                    f"partition {partition} was given {given}{moved}, and has {len(lines)} entries, {of_control} of "
                    "them of control"
                )
        return ""

    async def commit(self, outputs: Sequence[Output]) -> None:
        """Returns as soon as the outputs are on their way, so that the next batch can be read; waits while two are."""
        await self._hand_over(self, outputs)
        self._settled.set()

    def fail(self, fault: BaseException) -> None:
        """The agent could not decide it."""
        self.fault = fault
        self._settled.set()

    async def settled(self) -> None:
        """Returns when the agent is done with it, one way or the other; raises what the agent raised."""
        await self._settled.wait()
        if self.fault is not None:
            raise self.fault
