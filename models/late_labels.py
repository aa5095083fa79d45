"""What became of inputs that were compared long before anybody knew: labels out of the chain's own settlements.

    late.wait(pair)                    # counted, and not labelled
    late.told(Told(41, is_bad=True))   # entry 41 was bad: the comparison learns of it where it counted that input

A decision can be settled as long as its id is remembered, which no policy can make longer than `REMEMBERED`; so that
many decisions are held, and a label of an older one cannot be in the chain.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from sidechain.models.compare import Comparison, Pair, week_of

REMEMBERED: Final = 1_048_576 + 256  # entries: the longest horizon of a pack, and the block it ends in


class Told(NamedTuple):
    """What a settlement says of the decision of entry `seq`."""

    seq: int
    is_bad: bool


class LateLabels:
    """The inputs of one chain that nobody has labelled yet."""

    def __init__(self, found: Comparison, remembered: int = REMEMBERED) -> None:
        self._found = found
        self._remembered = remembered
        self._waiting: OrderedDict[int, tuple[str, str, str]] = OrderedDict()  # seq -> before, after, week

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, pair: Pair) -> None:
        """This input is in the comparison, and no label of it is."""
        waiting = self._waiting
        waiting[pair.seq] = pair.before.verdict, pair.after.verdict, week_of(pair.at_ms)
        while waiting and pair.seq - next(iter(waiting)) > self._remembered:
            waiting.popitem(last=False)

    def told(self, told: Told) -> None:
        """Somebody said what an input was; one outside the period is not in the comparison."""
        waiting = self._waiting.pop(told.seq, None)
        if waiting is not None:
            self._found.label(*waiting, told.is_bad)

    def begin(self) -> None:
        """Another epoch: its numbers begin at 0 again, and it settles nothing of those before."""
        self._waiting.clear()
