"""One event that was not decided before: the partition's clock, the features, the policy's answer, the entry.

The hot half of `fold.py`, under the same rules: everything that can change a decision is an argument or was folded in.
"""

from typing import Any

import msgspec

from sidechain.models.dry.budget import Moment, Spending
from sidechain.models.dry.memory import Memory
from sidechain.models.dry.place import Source
from sidechain.models.dry.program import Program
from sidechain.models.dry.said import Latest, LatestOf, Said, weighed
from sidechain.models.dry.transferring import Sent, as_sent
from sidechain.models.dry.writer import Writer


class Deciding:
    """Decides one partition's events under the policy in force."""

    def __init__(self, program: Program, memory: Memory, writer: Writer) -> None:
        """No event was decided yet. Remembers in `memory`, and puts entries behind the chain of `writer`."""
        self.watermark_ms = -1
        self.sent: list[Sent] = []  # what decisions ask of other partitions
        self._memory = memory
        self._writer = writer
        self.follow(program)

    def follow(self, program: Program) -> None:
        """From the next event on this policy decides."""
        self._program = program
        self._max_step_ms = program.policy.event.max_step_ms
        self._key_updates = [one.update for one in program.key_steps]
        self._partition_updates = [one.update for one in program.partition_steps]
        self._no_signals = program.signals_type() if not program.signal_names else None
        self.take_lists()

    def take_lists(self) -> None:
        """What the policy's expressions ask, and decisions cite, as of the lists in force."""
        declared, lists = self._program.policy.lists, self._memory.lists
        for one in declared:
            self._program.use_rows(one.name, lists.rows(one))
        # Replaced, never changed: entries may not be encoded yet that cite it.
        self._lists_cited = {one.name: lists.cited(one) for one in declared} if declared else msgspec.UNSET

    def decide(
        self,
        event: Any,
        derived: Any,
        source: Source,
        digest: str,
        latest: Latest,
        latest_of: LatestOf,
    ) -> bytes:
        """The entry of a parsed event; `derived`: what the program derives of it. The clock and the memory move on."""
        program = self._program
        identifier, key, at_ms, values, where, of, partition_where, partition_of = derived
        if self.watermark_ms <= at_ms <= self.watermark_ms + self._max_step_ms:  # nearly every event
            self.watermark_ms = counted_ms = at_ms
            flags: tuple[str, ...] = ()
        else:
            counted_ms, flags = self._counted_at(at_ms)
        by_key = self._memory.by_key
        evicted = by_key.evicted
        slots = by_key.slots(key, self._writer.seq)
        if by_key.evicted != evicted:
            flags = (*flags, "evicted")
        features = values + tuple(
            [
                update(slot, counted_ms, takes_part, value)
                for update, slot, takes_part, value in zip(self._key_updates, slots, where, of, strict=False)
            ]
        )
        if program.partition_steps:
            slots = self._memory.by_partition.slots("", self._writer.seq)
            features += tuple(
                [
                    update(slot, counted_ms, takes_part, value)
                    for update, slot, takes_part, value in zip(
                        self._partition_updates, slots, partition_where, partition_of, strict=False
                    )
                ]
            )
        if program.signal_names:
            said: list[Said] = [latest(key)] * len(program.signal_names)
            abouts: tuple[str | None, ...] = ()
            if program.subjects is not None:
                abouts = program.subjects(event)
                said = [
                    one if signal.of is None else None if about is None else latest_of(signal.name, about)
                    for one, signal, about in zip(said, program.policy.signals, abouts, strict=True)
                ]
            signals, used = weighed(program, said, counted_ms, abouts)
        else:
            signals, used = (), self._no_signals
        outcome = program.decide(program.fires(event, features, signals), event, features, signals)
        spending = None
        if self._memory.accounts.are_used:
            at = Moment(self._writer.seq, self.watermark_ms)
            outcome, spending = self._memory.accounts.decide(at, program, outcome, event, features, signals)
            if spending is not None and (ask := spending.ask) is not None:
                self.sent.append(as_sent(ask))
        return self._writer.decision(
            identifier,
            key,
            at_ms,
            source,
            digest,
            outcome,
            flags,
            program.features_type(*features),
            used,
            spending,
            self._lists_cited,
        )

    def spend(self, decision: int, cost: int | None, label: str | None) -> Spending | None:
        """What it does to accounts that an outcome settles `decision`; None: nothing."""
        at = Moment(self._writer.seq, self.watermark_ms)
        budgeting = self._program.policy.budgeting
        return self._memory.accounts.settle(at, decision, cost, budgeting, is_bad=label == "bad")

    def _counted_at(self, at_ms: int) -> tuple[int, tuple[str, ...]]:
        """When the event counts, and how its time stands to the watermark.

        An event further ahead than `max_step` is counted at the old watermark and moves it by `max_step` only, so that
        one far-future timestamp drops nobody's windows.
        """
        watermark = self.watermark_ms
        if at_ms < watermark:
            return at_ms, ("late",) if self._program.is_late(at_ms, watermark) else ()
        if watermark < 0 or at_ms <= watermark + self._max_step_ms:
            self.watermark_ms = at_ms
            return at_ms, ()
        self.watermark_ms = watermark + self._max_step_ms
        return watermark, ("ahead",)
