"""One chain decided anew, epoch by epoch: where the bytes differ, and that they agree again behind a repair.

After a difference everything is passed over up to the first entry of the next epoch: it states all it needs, policy
and offsets, and begins with an empty state. Whether it may stand where it stands is for `ChainCheck` to say.
"""

from collections.abc import Iterable

import msgspec

from sidechain.models.dry.chain import Fault
from sidechain.models.dry.entry import Epoch, is_epoch
from sidechain.models.dry.replay import Replayer
from sidechain.models.proof.chain_check import EpochCheck


class ReplayCheck:
    """Takes the entries of one partition, in order."""

    def __init__(self, replayer: Replayer, fault: Fault | None = None) -> None:
        """`fault`: why nothing up to the next epoch can be replayed, where that is known before."""
        fold = replayer.fold
        self._replayer = replayer
        self.epoch = EpochCheck(fold.epoch, entries=fold.seq, head=fold.head_hash, fault=fault)
        self.epochs: list[EpochCheck] = []  # those that ended; all of them after `finish`

    def take(self, lines: Iterable[bytes]) -> None:
        """Decide the next entries anew."""
        take = self._replayer.take
        for line in lines:
            if is_epoch(line):
                self._begin(line)
            elif self.epoch.fault is not None:
                continue
            if (fault := take(line)) is not None:
                if self.epoch.fault is None:
                    before = sum(one.entries for one in self.epochs)
                    self.epoch.fault = fault._replace(position=before + fault.position)
            elif self.epoch.fault is None:
                self.epoch.entries, self.epoch.head = self._replayer.fold.seq, self._replayer.fold.head_hash

    def finish(self) -> list[EpochCheck]:
        """There are no more entries: what was found of each epoch."""
        self.epochs.append(self.epoch)
        return self.epochs

    def _begin(self, line: bytes) -> None:
        opening = msgspec.json.decode(line, type=Epoch)
        is_first = not self.epoch.entries and self.epoch.fault is None
        if not is_first and opening.epoch <= self.epoch.number:
            return  # none that may follow: the replayer says so, as a fault of the epoch under way
        if not is_first:
            self.epochs.append(self.epoch)
        self.epoch = EpochCheck(opening.epoch, begun=opening)
