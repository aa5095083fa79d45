"""The books a shard's owner keeps, and what it signs of them.

    grow     the books as they will stand once a batch is committed: a twin, grown beside them
    commit   that batch is in the log: the twin takes their place
    due      checkpoints for the next transaction, over what is committed by now

Only committed books are ever signed, in a later transaction than the entries they cover, and each size at most once: an
aborted or fenced batch leaves nothing behind but a twin nobody adopts. Two roots for one size cannot be, because a
chain's committed entries are what they are, whoever owns it.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from sidechain.agents.checkpoints import Keys
from sidechain.models.proof.checkpoint import Origin
from sidechain.models.proof.ledger import Ledger

log = logging.getLogger(__name__)

_NEVER: Final = float("-inf")

Twins = Mapping[int, Ledger]


class Grown(Protocol):
    """What a batch adds to one partition, as far as the books are concerned."""

    @property
    def partition(self) -> int: ...
    @property
    def entries(self) -> Sequence[tuple[Any, bytes]]: ...


class Signed(NamedTuple):
    """One checkpoint, ready to be written to its partition."""

    partition: int
    key: bytes
    value: bytes


class Books:
    """One ledger for each partition of a shard."""

    def __init__(
        self,
        keys: Keys,
        origins: Mapping[int, Origin],
        ledgers: Mapping[int, Ledger],
        signed: Mapping[int, int],
        every_s: float,
    ) -> None:
        """`ledgers`: the chains as they stand. `signed`: the last size of each that was signed, 0 for none."""
        self._keys = keys
        self._origins = origins
        self._committed = dict(ledgers)
        self._tips = dict(ledgers)  # with every batch that is under way
        self._signed = dict(signed)
        self._at = dict.fromkeys(ledgers, _NEVER)  # when the last one was signed
        self._every_s = every_s
        self._refused: set[int] = set()

    def grow(self, outputs: Iterable[Grown]) -> Twins:
        """The books of these partitions with the batch in them, behind every batch before it."""
        twins = {}
        for output in outputs:
            twin = self._tips[output.partition].copy()
            twin.extend([line for _, line in output.entries])
            twins[output.partition] = self._tips[output.partition] = twin
        return twins

    def commit(self, twins: Twins) -> None:
        """The batch is in the log."""
        self._committed.update(twins)

    def is_due(self, *, last: bool = False) -> bool:
        """Whether a checkpoint would be written now."""
        return any(True for _ in self._due(last=last))  # not any(...) of the partitions: one of them is 0

    def due(self, *, last: bool = False) -> list[Signed]:
        """Sign what is due: at most one a partition in `every_s`, unless these are the last ones for now."""
        return [self._sign(partition) for partition in list(self._due(last=last))]

    def _due(self, *, last: bool) -> Iterable[int]:
        now = time.monotonic()
        for partition, ledger in self._committed.items():
            is_time = last or now - self._at[partition] >= self._every_s
            if is_time and ledger.size > self._signed[partition] and self._may(partition, ledger.size):
                yield partition

    def _may(self, partition: int, size: int) -> bool:
        refusal = self._keys.refusal(self._origins[partition], size)
        if refusal and partition not in self._refused:
            self._refused.add(partition)
            log.error("partition %d gets no checkpoint any more, decisions go on: %s", partition, refusal)
        return not refusal

    def _sign(self, partition: int) -> Signed:
        ledger = self._committed[partition]
        self._signed[partition], self._at[partition] = ledger.size, time.monotonic()
        return Signed(partition, b"%d" % partition, self._keys.record(self._origins[partition], ledger))
