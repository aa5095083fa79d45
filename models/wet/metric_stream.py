"""How unlike everything before it each value of one metric is, as the values come.

Two views, both by the nearest neighbour among what was seen:

    value    how far a value lies from the nearest one seen before
    course   how far the last 256 values, as 16 means of 16, lie from the nearest 256 that ended before them

What is far differs from metric to metric and from hour to hour, so a distance is divided by one that is usually large
here: a high quantile of the view's own recent distances, and never less than a twentieth of the values' standard
deviation, so that the noise of a flat line stays noise. What was said lately is said more quietly again: the quotient
is divided by the largest of late, which fades. The score is s / (1 + s) of the larger view, so 0.5 is where an alarm
begins; 0 while there is too little to compare with, or the value is no number.

Nothing is assumed of distribution, season or sampling interval: the views count values, not seconds, and what comes in
a regular course is near its own past. Once seen, a new level is usual at once, and a new course after its length.
Memory is bounded: MEMORY values, as many windows as end every STRIDE of them, and RECENT distances a view.
"""

import math
from bisect import bisect_left, insort
from collections import deque
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

ALARM: Final = 0.5  # scores from here on are worth a look
MEMORY: Final = 8_192  # values compared with
RECENT: Final = 4_000  # values whose distances say what is usually large
FEWEST: Final = 32  # distances below which nothing is usual
NOISE: Final = 0.05  # standard deviations: distances below are none
BLOCK: Final = 16  # values a mean of the course takes
BLOCKS: Final = 16  # means of a course
STRIDE: Final = 4  # values from one course to the next
VALUE_LARGE: Final = 0.98  # quantile of distances that is usually large
COURSE_LARGE: Final = 0.95
VALUE_FADES: Final = 0.99  # per value: what was said before counts so much less
COURSE_FADES: Final = 0.995
VALUE_ALARM: Final = 1.8  # quotient of the view at which an alarm begins
COURSE_ALARM: Final = 1.2


class Scored(NamedTuple):
    """What is said of one value."""

    score: float  # [0, 1), higher is stranger
    why: str  # empty below ALARM


class MetricStream:
    """Scores the values of one metric, in their order; each is compared with those before it, then remembered."""

    def __init__(self) -> None:
        self._value = _Values()
        self._course = _Courses()
        self._spread = _Spread()

    def add(self, value: float) -> Scored:
        """Score one value, and remember it. One that is no number says nothing and is not remembered."""
        if not math.isfinite(value):
            return Scored(0.0, "")
        noise = NOISE * self._spread.deviation
        nearest, value_said = self._value.add(value, noise)
        course_said = self._course.add(value, noise)
        self._spread.add(value)
        by_value, by_course = value_said / VALUE_ALARM, course_said / COURSE_ALARM
        strange = max(by_value, by_course)
        score = strange / (1.0 + strange)
        if score < ALARM:
            return Scored(score, "")
        if by_value >= by_course:
            return Scored(score, f"no value like {value:.6g} was seen, the nearest is {nearest:.6g}")
        return Scored(score, f"the last {BLOCK * BLOCKS} values took a course like none before")


class _Usual:
    """Quotient of a distance and what is usually large, quieter where it was large lately."""

    def __init__(self, quantile: float, fades: float, memory: int) -> None:
        self._quantile = quantile
        self._fades = fades
        self._order: deque[float] = deque(maxlen=memory)
        self._sorted: list[float] = []
        self._largest = 0.0  # quotient of late

    def quotient(self, distance: float, noise: float) -> float:
        """Of one more distance."""
        large = max(self._large(), noise) if len(self._sorted) >= FEWEST else 0.0
        quotient = distance / large if large > 0.0 else 0.0
        said = quotient / max(1.0, self._largest)
        self._largest = max(self._largest * self._fades, quotient)
        self._remember(distance)
        return said

    def _large(self) -> float:
        return self._sorted[math.ceil(self._quantile * (len(self._sorted) - 1))]

    def _remember(self, distance: float) -> None:
        if len(self._order) == self._order.maxlen:
            del self._sorted[bisect_left(self._sorted, self._order[0])]
        self._order.append(distance)
        insort(self._sorted, distance)


class _Values:
    """The view of single values."""

    def __init__(self) -> None:
        self._order: deque[float] = deque(maxlen=MEMORY)
        self._sorted: list[float] = []
        self._usual = _Usual(VALUE_LARGE, VALUE_FADES, RECENT)

    def add(self, value: float, noise: float) -> tuple[float, float]:
        """The nearest value seen before, and the quotient of the distance to it."""
        at = bisect_left(self._sorted, value)
        nearest = min(self._sorted[max(0, at - 1) : at + 1], key=lambda one: abs(one - value), default=value)
        said = self._usual.quotient(abs(nearest - value), noise) if self._sorted else 0.0
        if len(self._order) == self._order.maxlen:
            del self._sorted[bisect_left(self._sorted, self._order[0])]
        self._order.append(value)
        insort(self._sorted, value)
        return nearest, said


class _Courses:
    """The view of the last BLOCK · BLOCKS values, at every STRIDE-th of them; in between its last word stands."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=BLOCK * BLOCKS)
        self._recent: deque[Matrix] = deque()  # courses that share values with the present one
        self._seen = np.empty((MEMORY // STRIDE, BLOCKS))
        self._count = 0  # of those ever in `_seen`
        self._usual = _Usual(COURSE_LARGE, COURSE_FADES**STRIDE, RECENT // STRIDE)
        self._values = 0
        self._said = 0.0

    def add(self, value: float, noise: float) -> float:
        """The quotient of the distance to the nearest course that had ended."""
        self._last.append(value)
        self._values += 1
        if self._values % STRIDE or len(self._last) < BLOCK * BLOCKS:
            return self._said
        course = np.array(self._last).reshape(BLOCKS, BLOCK).mean(axis=1)
        if len(self._recent) == BLOCK * BLOCKS // STRIDE:
            self._seen[self._count % len(self._seen)] = self._recent.popleft()
            self._count += 1
        self._recent.append(course)
        if self._count:
            apart = self._seen[: min(self._count, len(self._seen))] - course
            distance = math.sqrt(float(np.einsum("ij,ij->i", apart, apart).min()) / BLOCKS)
            self._said = self._usual.quotient(distance, noise)
        return self._said


class _Spread:
    """The standard deviation of the values so far; in blocks of MEMORY, so that an old world fades."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0

    @property
    def deviation(self) -> float:
        return math.sqrt(self._squares / self._count) if self._count else 0.0

    def add(self, value: float) -> None:
        self._count += 1
        apart = value - self._mean
        self._mean += apart / self._count
        self._squares += apart * (value - self._mean)
        if self._count > MEMORY:  # as many values as are remembered weigh
            self._squares *= MEMORY / self._count
            self._count = MEMORY
