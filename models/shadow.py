"""A candidate beside a live chain: each entry as it was sealed, and as the candidate would have decided it.

The walk is that of a back-test (`candidate.py`), so both come to the same figures over the same entries. What an input
was in truth the chain says itself: its `settlement` entries label decisions made long before.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from sidechain.models.candidate import Candidate, InputOf
from sidechain.models.compare import Comparison
from sidechain.models.dry.entry import SEAL_LENGTH
from sidechain.models.late_labels import LateLabels
from sidechain.models.policy import ACTIONS, Policy

WEEKS: Final = 260  # told apart; of a chain that is longer, the older ones are summed up
KEEP_EVERY: Final = 4_096  # entries after which the weeks are counted

StakeOf = Callable[[bytes | None], int | None]  # an event's bytes -> what is at stake, None where they do not say


class Shadow:
    """One candidate on one partition."""

    def __init__(
        self,
        policy: Policy,
        partition: int,
        input_of: InputOf,
        stake_of: StakeOf,
        *,
        partitions: int | None = None,
        examples: int = 3,
    ) -> None:
        """`partitions`: how many share the accounts of a candidate with budgets, where no entry has said so before."""
        self.policy = policy
        self.partition = partition
        self.found = Comparison(examples=examples)
        self.entries = 0  # seen, right or wrong
        self.seq: int | None = None  # of the last entry that was held against
        self.head: str | None = None  # its hash
        self._candidate = Candidate(policy, partition, input_of, partitions=partitions)
        self._stake_of = stake_of
        self._late = LateLabels(self.found)
        self._begun = 0

    @property
    def broken(self) -> str:
        """Why nothing counts for now; empty where the chain is whole so far."""
        return self._candidate.broken

    def take(self, line: bytes) -> None:
        """The next entry of the chain. Raises `Mismatch` where its input is not at hand."""
        self.entries += 1
        pair = self._candidate.take(line)
        if self._candidate.broken:
            return
        if pair is None:
            self._hear(line)
            return
        self.seq, self.head = pair.seq, _hash(line)
        was, now = pair.before.verdict, pair.after.verdict
        record = self._candidate.record
        stake = self._stake_of(record.value) if was != now and record is not None else None
        self.found.add(pair, stake)
        if was in ACTIONS:  # nothing else can be settled
            self._late.wait(pair, stake)
        if not self.entries % KEEP_EVERY:
            self.found.keep_weeks(WEEKS)

    def _hear(self, line: bytes) -> None:
        """An entry that is of no event: it may say what a decision was in truth, or begin another epoch."""
        self.seq, self.head = _decode(line).seq, _hash(line)
        if self._candidate.begun != self._begun:
            self._begun = self._candidate.begun
            self._late.begin()
        if self._candidate.told is not None:
            self._late.told(self._candidate.told)


class _Place(msgspec.Struct):
    seq: int


_decode: Final = msgspec.json.Decoder(_Place).decode


def _hash(line: bytes) -> str:
    return line[-SEAL_LENGTH + 9 : -2].decode("ascii", "replace")
