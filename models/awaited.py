"""What was decided and not labelled yet: a label comes days later, and counts for the week of its decision.

Four bytes an entry, in blocks: a million entries a partition cost four megabytes for each candidate. What an entry was
worth is kept beside them for those that flip. A label for an entry that is no longer remembered counts for nothing, and
whoever asks is told so.
"""

from array import array
from typing import Final, NamedTuple

from sidechain.models.compare import VERDICTS

ENTRIES: Final = 1 << 22  # remembered at most: more than any policy's horizon for settling
BLOCK: Final = 4_096
_NONE: Final = array("I", bytes(4 * BLOCK))
_PLACE: Final = {name: at for at, name in enumerate(VERDICTS)}
_CODES: Final = 1 << 6  # more than there are pairs of verdicts


class Decided(NamedTuple):
    """One entry, decided twice."""

    was: str
    now: str
    week: str
    stake: int | None


class Awaited:
    """The entries of one epoch of one chain whose labels may still come."""

    def __init__(self, entries: int = ENTRIES) -> None:
        """`entries`: how many are remembered at least, counted back from the newest."""
        self._kept = -(-entries // BLOCK) + 1
        self._blocks: dict[int, array[int]] = {}  # in the order of their numbers
        self._stakes: dict[int, dict[int, int]] = {}
        self._weeks: list[str] = []
        self._week_at: dict[str, int] = {}

    def remember(self, seq: int, decided: Decided) -> None:
        """Entry `seq`; entries come in their order."""
        number, at = divmod(seq, BLOCK)
        block = self._blocks.get(number)
        if block is None:
            block = self._blocks[number] = _NONE[:]
            self._forget(number)
        was, now, week, stake = decided
        block[at] = self._week(week) * _CODES + _PLACE[was] * len(VERDICTS) + _PLACE[now] + 1
        if stake is not None:
            self._stakes.setdefault(number, {})[at] = stake

    def take(self, seq: int) -> Decided | None:
        """What was remembered of entry `seq`; once."""
        number, at = divmod(seq, BLOCK)
        block = self._blocks.get(number)
        if block is None or not block[at]:
            return None
        week, code = divmod(block[at], _CODES)
        block[at] = 0
        was, now = divmod(code - 1, len(VERDICTS))
        stake = self._stakes.get(number, {}).pop(at, None)
        return Decided(VERDICTS[was], VERDICTS[now], self._weeks[week], stake)

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
