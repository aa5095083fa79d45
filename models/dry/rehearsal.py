"""The same fold asked only for its verdicts: nothing is encoded, hashed or linked.

A back-test and a shadow ask what another policy would have decided, and nobody will read its entries. They are made as
ever, field by field, by the fold itself; only the seal at the end, a third of the work, is left out. What `prev`,
`next` and `hash` would have said is not to be read here. `tests/property/test_rehearsal.py` holds it against sealed
folds.
"""

from collections.abc import Callable

from sidechain.models.dry.entry import Sealed
from sidechain.models.dry.fold import Fold
from sidechain.models.dry.writer import Writer
from sidechain.models.policy import Policy


class Rehearsal(Fold):
    """A fold that hands each entry over before it would be sealed."""

    def __init__(
        self,
        policy: Policy,
        partition: int,
        told: Callable[[Sealed], object],
        *,
        partitions: int | None = None,
        keyed: bool = True,
    ) -> None:
        """`told`: given every entry, in order."""
        self._told = told
        super().__init__(policy, partition, partitions=partitions, keyed=keyed)

    def _writing(self, partition: int, policy: str) -> Writer:
        return _Telling(partition, policy, self._told)


class _Telling(Writer):
    """A chain whose entries somebody hears of, and that are written nowhere."""

    def __init__(self, partition: int, policy: str, told: Callable[[Sealed], object]) -> None:
        super().__init__(partition, policy)
        self._told = told

    def append(self, sealed: Sealed) -> bytes:
        self.seq += 1
        self._told(sealed)
        return b""
