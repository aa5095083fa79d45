"""What became of inputs that were compared long before anybody knew: labels out of the chain's own settlements.

    late.wait(pair, stake)             # counted, and not labelled
    late.told(Told(41, is_bad=True))   # entry 41 was bad: the comparison learns of it where it counted that input

A decision can be settled as long as its id is remembered, which no policy can make longer than `REMEMBERED`; so that
many decisions are held, and a label of an older one cannot be in the chain. Four bytes hold one, in blocks: a million
cost four megabytes. What is at stake is held beside them, for the few of which it is known.
"""

from array import array
from typing import Final, NamedTuple

from sidechain.models.compare import VERDICTS, Comparison, Pair, week_of

REMEMBERED: Final = 1_048_576 + 256  # entries: the longest horizon of a pack, and the block it ends in
BLOCK: Final = 4_096
_PLACE: Final = {name: at for at, name in enumerate(VERDICTS)}
_CODES: Final = 1 << 6  # more than there are pairs of verdicts


class Told(NamedTuple):
    """What a settlement says of the decision of entry `seq`."""

    seq: int
    is_bad: bool


class LateLabels:
    """The inputs of one chain that nobody has labelled yet."""

    def __init__(self, found: Comparison, remembered: int = REMEMBERED, block: int = BLOCK) -> None:
        """`remembered`: how many entries back a label is heard, at least; `block` more are held."""
        self._found = found
        self._size = block
        self._kept = -(-remembered // block) + 1  # blocks
        self._empty = array("I", bytes(4 * block))
        self._blocks: dict[int, array[int]] = {}
        self._stakes: dict[int, dict[int, int]] = {}  # by block, as they are forgotten
        self._weeks: list[str] = []
        self._week_at: dict[str, int] = {}

    def __len__(self) -> int:
        """Inputs whose label may still come."""
        return sum(self._size - one.count(0) for one in self._blocks.values())

    def wait(self, pair: Pair, stake: int | None = None) -> None:
        """This input is in the comparison, and no label of it is. Inputs come in the order of their entries."""
        number, at = divmod(pair.seq, self._size)
        block = self._blocks.get(number)
        if block is None:
            self._forget(number)
            block = self._blocks[number] = self._empty[:]
        moved = _PLACE[pair.before.verdict] * len(VERDICTS) + _PLACE[pair.after.verdict]
        block[at] = self._week(week_of(pair.at_ms)) * _CODES + moved + 1
        if stake is not None:
            self._stakes.setdefault(number, {})[at] = stake

    def told(self, told: Told) -> None:
        """Somebody said what an input was; one outside the period is not in the comparison."""
        number, at = divmod(told.seq, self._size)
        block = self._blocks.get(number)
        if block is None or not block[at]:
            return
        week, code = divmod(block[at], _CODES)
        block[at] = 0
        before, after = divmod(code - 1, len(VERDICTS))
        stake = self._stakes.get(number, {}).pop(at, None)
        self._found.label(VERDICTS[before], VERDICTS[after], self._weeks[week], stake, told.is_bad)

    def begin(self) -> None:
        """Another epoch: its numbers begin at 0 again, and it settles nothing of those before."""
        self._blocks.clear()
        self._stakes.clear()

    def _week(self, name: str) -> int:
        found = self._week_at.get(name)
        if found is None:
            found = self._week_at[name] = len(self._weeks)
            self._weeks.append(name)
        return found

    def _forget(self, newest: int) -> None:
        for number in [one for one in self._blocks if one <= newest - self._kept]:
            del self._blocks[number]
            self._stakes.pop(number, None)
