"""How near a queue of the wet side is to running over: safe, warning, critical, imminent.

Three measures are looked at, and the worst counts: how long the oldest record has waited, how many wait, and how full
a table will be in ten minutes if it goes on growing as it does. A level is reached at once and left one at a time,
after all three have stayed below four fifths of its edge for half a minute: a queue at an edge would flicker.

What a level means: at `warning` it is told; from `critical` on the tap passes half of what it would, at `imminent` an
eighth, and a queue over the last edge drops its older half. All of it is counted, and all of it is on the wet side.

A checkpoint is forced at `imminent`, of the wet side's own state: how far it has read, committed at once instead of
with the next answer. A worker that is ended because its memory is full then begins behind what it dropped, not before
it. Nothing is asked of the dry side. It signs its heads every second anyway, and no right lets the wet side ask for
more: what cannot be asked cannot make a decision wait.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

Level = Literal["safe", "warning", "critical", "imminent"]
LEVELS: Final[tuple[Level, ...]] = ("safe", "warning", "critical", "imminent")

WHOLE_BP: Final = 10_000
CLEAR_BP: Final = 8_000  # of an edge: below it a level may be left
HOLD_MS: Final = 30_000  # ... after so long
AHEAD_MS: Final = 600_000  # how far a table's growth is thought on
GROWTH_MS: Final = 60_000  # over which it is measured
SAMPLES: Final = 512  # looks at one partition's end that are remembered
# What the tap passes on, of what the pack lets it pass.
PASSED_BP: Final[Mapping[Level, int]] = MappingProxyType(
    {"safe": 10_000, "warning": 10_000, "critical": 5_000, "imminent": 1_250}
)


class Reading(NamedTuple):
    """One look at a queue."""

    age_ms: int = 0  # how long the oldest record has waited, by the clock of whoever looks
    depth: int = 0  # records that wait, in the partition with most
    full_bp: int = 0  # of its limit, what the fullest table will hold in AHEAD_MS; beyond 10,000 it forgets


@dataclass(frozen=True, slots=True)
class Edges:
    """From where on each measure asks for warning, critical and imminent."""

    age_ms: tuple[int, int, int] = (60_000, 300_000, 900_000)
    depth: tuple[int, int, int] = (10_000, 50_000, 100_000)
    full_bp: tuple[int, int, int] = (7_000, 8_500, 9_500)

    @classmethod
    def within(cls, most: int) -> "Edges":
        """Those of a queue that may hold `most` records a partition, at least 1: a tenth, a half, and all of it."""
        return cls(depth=(max(1, most // 10), max(1, most // 2), most))

    def level(self, reading: Reading) -> int:
        """The level a reading asks for, as a place in LEVELS: the worst of its three."""
        return self._reached(reading, WHOLE_BP)

    def at_ease(self, reading: Reading) -> int:
        """The level that could be kept to for good: a reading within a fifth below an edge still counts as over it."""
        return self._reached(reading, CLEAR_BP)

    def _reached(self, reading: Reading, share_bp: int) -> int:
        every = zip(reading, (self.age_ms, self.depth, self.full_bp), strict=True)
        return max(sum(value * WHOLE_BP >= edge * share_bp for edge in edges) for value, edges in every)


class Watermark:
    """The level of one queue over time."""

    def __init__(self, edges: Edges | None = None) -> None:
        self.edges = Edges() if edges is None else edges
        self._at = 0  # place in LEVELS
        self._calm_since: int | None = None  # since when a lower level would do

    @property
    def level(self) -> Level:
        """The level in force."""
        return LEVELS[self._at]

    @property
    def number(self) -> int:
        """The same as 0 to 3, for metrics."""
        return self._at

    def look(self, at_ms: int, reading: Reading) -> Level:
        """The level after one more look. `at_ms` never goes back."""
        asked = self.edges.level(reading)
        if asked >= self._at or self.edges.at_ease(reading) >= self._at:
            self._at, self._calm_since = max(asked, self._at), None
        elif self._calm_since is None:
            self._calm_since = at_ms
        elif at_ms - self._calm_since >= HOLD_MS:
            self._at, self._calm_since = self._at - 1, at_ms
        return self.level


class Waiting:
    """How long the oldest record of one partition has waited, told from how its end moved. Bounded by SAMPLES.

    What was there before the first look counts from that look on: whoever begins with an old backlog is not late yet.
    """

    def __init__(self) -> None:
        self._ends: deque[tuple[int, int]] = deque()  # (when, end) of the first look at each end

    def age_ms(self, at_ms: int, position: int, end: int) -> int:
        """`position`: of the next record to be worked on. `end`: one behind the last record there is."""
        ends = self._ends
        if not ends or end > ends[-1][1]:
            ends.append((at_ms, end))
        while ends and ends[0][1] <= position:
            ends.popleft()
        if len(ends) > SAMPLES:  # every second one goes: ages get coarser, the oldest stays
            kept = list(ends)
            self._ends = ends = deque([*kept[:-1:2], kept[-1]])
        return at_ms - ends[0][0] if ends else 0


class Growth:
    """How full a table will be, thought on from how it grew within the last minute."""

    def __init__(self) -> None:
        self._past: deque[tuple[int, int]] = deque(maxlen=SAMPLES)

    def full_bp(self, at_ms: int, size: int, limit: int) -> int:
        """`size` of at most `limit` entries, as of now. Not less than what it holds; what shrinks is not thought on."""
        while self._past and at_ms - self._past[0][0] > GROWTH_MS:
            self._past.popleft()
        if not self._past or at_ms - self._past[-1][0] >= GROWTH_MS // SAMPLES:
            self._past.append((at_ms, size))
        began, had = self._past[0]
        # A rise within a second or two says nothing of ten minutes.
        grown = max(size - had, 0) * AHEAD_MS // GROWTH_MS if at_ms - began >= GROWTH_MS // 2 else 0
        return (size + grown) * WHOLE_BP // limit
