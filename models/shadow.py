"""A candidate beside a live chain: each entry as it was sealed, and as the candidate would have decided it.

The walk is that of a back-test (`candidate.py`), so both come to the same figures over the same entries. What an input
was in truth the chain says itself: its `settlement` entries label decisions made long before.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from sidechain.models.awaited import Awaited, Decided
from sidechain.models.candidate import Candidate, InputOf
from sidechain.models.compare import Comparison, week_of
from sidechain.models.dry.entry import SEAL_LENGTH
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
        self.late = 0  # labels of entries that are remembered no longer
        self._candidate = Candidate(policy, partition, input_of, partitions=partitions)
        self._stake_of = stake_of
        self._awaited = Awaited()

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
            self._other(line)
            return
        self.seq, self.head = pair.seq, _hash(line)
        was, now = pair.before.verdict, pair.after.verdict
        record = self._candidate.record
        stake = self._stake_of(record.value) if was != now and record is not None else None
        self.found.add(pair, stake)
        if was in ACTIONS:
            self._awaited.remember(pair.seq, Decided(was, now, week_of(pair.at_ms), stake))
        if not self.entries % KEEP_EVERY:
            self.found.keep_weeks(WEEKS)

    def _other(self, line: bytes) -> None:
        """An entry that is of no event: it may label a decision, or begin another epoch."""
        other = _decode(line)
        self.seq, self.head = other.seq, _hash(line)
        if other.kind == "epoch":
            self._awaited = Awaited()
        elif other.kind == "settlement" and other.label is not None and other.settles is not None:
            decided = self._awaited.take(other.settles)
            if decided is None:
                self.late += 1
            else:
                self.found.label(decided.was, decided.now, decided.week, decided.stake, other.label == "bad")


class _Other(msgspec.Struct):
    seq: int
    kind: str
    settles: int | None = None
    label: str | None = None


_decode: Final = msgspec.json.Decoder(_Other).decode


def _hash(line: bytes) -> str:
    return line[-SEAL_LENGTH + 9 : -2].decode("ascii", "replace")
