"""Two detectors of single values that ours is held against, written from their descriptions.

`WindowedGaussian` is the benchmark's own baseline: how far a value lies in the tails of a normal distribution over the
last 6,400 values, which moves in steps of 100.

`RandomCutForest` is the robust random cut forest (Guha, Mishra, Roy and Schrijvers 2016) of single values, as NAB ran
it: 100 trees of 256 values each, no shingles. A tree cuts the range of its sample at a uniformly random place, then
both sides, down to single values. That is a Mondrian process: cuts rain on the line at random times, and the tree is
what the first cut of every gap makes. So a tree is kept as its sorted sample and, of each gap between neighbours, the
time and the place of its first cut; the first of two parts of a gap keeps the cut that fell in it, the other part's
comes later by an exponential time of its own length. What is removed leaves the earlier of two cuts. All trees are
asked at once. The score is the collusive displacement: the largest ratio of what stands beside a subtree that holds
the value to that subtree, in the mean over trees; the value is put in for the question only.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

WINDOW: Final = 6_400
STEP: Final = 100
TREES: Final = 100
DRAWN: Final = 256
NEVER: Final = math.inf  # equal values are not cut apart
EDGE: Final = -math.inf  # behind the first and the last value of a tree


class WindowedGaussian:
    """Score from 0.5, at the mean, to 1."""

    def __init__(self) -> None:
        self._window: list[float] = []
        self._waiting: list[float] = []
        self._mean, self._deviation = 0.0, 1.0

    def score(self, value: float) -> float:
        """One minus the tail's probability; then the value joins the window, at once or with the next step."""
        said = 0.0
        if self._window:
            said = 1.0 - 0.5 * math.erfc(abs(value - self._mean) / self._deviation / math.sqrt(2.0))
        if len(self._window) < WINDOW:
            self._window.append(value)
            self._describe()
        else:
            self._waiting.append(value)
            if len(self._waiting) == STEP:
                self._window = self._window[STEP:] + self._waiting
                self._waiting = []
                self._describe()
        return said

    def _describe(self) -> None:
        window = np.array(self._window)
        self._mean, self._deviation = float(window.mean()), float(window.std()) or 0.000001


class RandomCutForest:
    """Score is 0 for the first value and above; a forest of `trees`, each of `drawn` values at most."""

    def __init__(self, *, seed: int, trees: int = TREES, drawn: int = DRAWN) -> None:
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._all = np.arange(trees)
        self._seen = self._held = 0
        # One row a tree: its sample in order, and of the gap behind each value when and where it is first cut.
        self._value = np.full((trees, drawn), np.inf)
        self._time = np.full((trees, drawn), EDGE)
        self._place = np.zeros((trees, drawn))

    def score(self, value: float) -> float:
        """How much a value stands out from each tree's sample; then it joins some of the samples (Algorithm R)."""
        at, left, right = self._split(value)
        said = float(self._displacement(at, left[0], right[0]).mean()) if self._held else 0.0
        drawn = self._value.shape[1]
        self._seen += 1
        slot = (self._random.random(len(self._all)) * self._seen).astype(np.int64)
        joining = self._all if self._held < drawn else np.flatnonzero(slot < drawn)
        if self._held == drawn:
            for tree in joining.tolist():
                self._remove(tree, int(slot[tree]))
                at[tree], cut_left, cut_right = self._split_one(tree, value)
                self._insert(tree, value, int(at[tree]), cut_left, cut_right)
        else:
            for tree in joining.tolist():
                lefts, rights = (left[0][tree], left[1][tree]), (right[0][tree], right[1][tree])
                self._insert(tree, value, int(at[tree]), lefts, rights)
            self._held += 1
        return said

    def _split(self, value: float) -> tuple[NDArray[np.int64], tuple[Values, Values], tuple[Values, Values]]:
        """Where `value` would stand in each tree, and the first cuts (time, place) of the gaps before and behind it."""
        held, rows = self._held, self._all
        at = (self._value[:, :held] < value).sum(axis=1)
        before = np.where(at > 0, self._value[rows, np.maximum(at - 1, 0)], -np.inf)
        behind = np.where(at < held, self._value[rows, np.minimum(at, held - 1)], np.inf)
        inside = (at > 0) & (at < held)
        gap = np.maximum(at - 1, 0)
        time = np.where(inside, self._time[rows, gap], 0.0)
        place = self._place[rows, gap]
        in_left = inside & (place < value)
        fresh = self._random.standard_exponential((2, len(rows)))
        spot = self._random.random((2, len(rows)))
        with np.errstate(divide="ignore", invalid="ignore"):
            left = np.where(in_left, time, time + fresh[0] / (value - before))
            right = np.where(inside & ~in_left, time, time + fresh[1] / (behind - value))
            left_place = np.where(in_left, place, before + spot[0] * (value - before))
            right_place = np.where(inside & ~in_left, place, value + spot[1] * (behind - value))
        left[at == 0], right[at == held] = EDGE, EDGE
        return at, (left, left_place), (right, right_place)

    def _displacement(self, at: NDArray[np.int64], left: Values, right: Values) -> Values:
        """(trees,): the collusive displacement of a value that stands at `at`, between the cuts `left` and `right`."""
        held, rows = self._held, self._all[:, None]
        step = np.arange(held)[None, :]
        outward = []
        for first, position in ((left, at[:, None] - 1 - step), (right, at[:, None] + step - 1)):
            exists = (position >= 0) & (position < held - 1)
            times = np.where(exists, self._time[rows, np.clip(position, 0, held - 1)], EDGE)
            times[:, 0] = first
            outward.append(np.concatenate([times, np.full((len(times), 1), EDGE)], axis=1))
        reach = [np.minimum.accumulate(one, axis=1) for one in outward]
        found = np.zeros(len(self._all))
        for near, far in ((0, 1), (1, 0)):
            before = np.concatenate([np.full((len(rows), 1), NEVER), reach[near][:, :-1]], axis=1)
            is_cut = (outward[near] < before) & (before > EDGE)  # cut while still together; the edge is the last
            tree, gap = np.nonzero(is_cut)
            time = outward[near][tree, gap]
            following = np.append(gap[1:], 0)
            beside = following - gap
            own = 1 + gap + (reach[far][tree] > time[:, None]).sum(axis=1)
            real = time > EDGE
            np.maximum.at(found, tree[real], beside[real] / own[real])
        return found

    def _split_one(self, tree: int, value: float) -> tuple[int, tuple[float, float], tuple[float, float]]:
        """As `_split`, of one tree that has a value less than the others."""
        held = self._held - 1
        values = self._value[tree, :held]
        at = int(np.searchsorted(values, value, side="left"))
        left, right = (EDGE, 0.0), (EDGE, 0.0)
        inside = 0 < at < held
        time, place = (self._time[tree, at - 1], self._place[tree, at - 1]) if inside else (0.0, 0.0)
        if at > 0:
            left = (time, place) if inside and place < value else self._later(time, values[at - 1], value)
        if at < held:
            right = (time, place) if inside and place >= value else self._later(time, value, values[at])
        return at, left, right

    def _later(self, time: float, low: float, high: float) -> tuple[float, float]:
        if high == low:
            return NEVER, low
        return time + self._random.standard_exponential() / (high - low), low + self._random.random() * (high - low)

    def _insert(self, tree: int, value: float, at: int, left: tuple[float, float], right: tuple[float, float]) -> None:
        for array, new in ((self._value, value), (self._time, right[0]), (self._place, right[1])):
            array[tree, at + 1 :] = array[tree, at:-1].copy()
            array[tree, at] = new
        if at > 0:
            self._time[tree, at - 1], self._place[tree, at - 1] = left

    def _remove(self, tree: int, at: int) -> None:
        """Of the gaps before and behind it, the earlier cut stays."""
        if at > 0:
            last = at == self._held - 1
            if last:
                self._time[tree, at - 1] = EDGE
            elif self._time[tree, at] < self._time[tree, at - 1]:
                self._time[tree, at - 1], self._place[tree, at - 1] = self._time[tree, at], self._place[tree, at]
        for array, empty in ((self._value, np.inf), (self._time, EDGE), (self._place, 0.0)):
            array[tree, at:-1] = array[tree, at + 1 :].copy()
            array[tree, -1] = empty
