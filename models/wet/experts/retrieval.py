"""Similar past cases and what became of them: evidence a person can look up.

Kept are the newest cases that turned out bad and, apart from them, the newest that did not, so that the rare kind is
not crowded out. A case is similar when, over all features, it lies within one usual deviation on average (`robust`),
and counts the more the nearer it is. The score compares the kinds: the share of the bad cases that is near, against
that share of the others, so 0.5 says the evidence points nowhere. No similar case: no score.

The confidence in n similar cases is clamp(0.45 + n / 250, 0.4, 0.8), 0.08 more when a bad one can be cited, 0.05 more
when four in five point the same way, 0.05 more for both, 0.02 more from 40 cases on; 0.9 at most.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sidechain.models.wet.experts import robust
from sidechain.models.wet.experts.contract import (
    NO_CASE,
    SCORED,
    Batch,
    Counts,
    Explained,
    Flags,
    Matrix,
    Opinion,
    opinion,
)
from sidechain.models.wet.experts.robust import Scale
from sidechain.models.wet.experts.sampled import WARMUP, Sampled
from sidechain.models.wet.forest import exactly, quantiles
from sidechain.models.wet.rationale import similar_to
from sidechain.models.wet.reservoir import CAPACITY

CASES: Final = 512  # of each kind
FEWEST: Final = 8  # cases of each kind before there is anything to compare
UNDECIDED: Final = 0.5
DOUBT: Final = 0.5  # of a case: what stands for the kind nothing similar is known of
AGREED: Final = 0.8
CITED: Final = 3
FARTHEST: Final = 6.0  # usual deviations: beyond that one feature is as far as another

Single = NDArray[np.float32]


class Case(NamedTuple):
    """One similar case, to be cited."""

    id: str
    is_bad: bool
    distance: float  # usual deviations per feature


class Cases:
    """The newest cases of one kind. Bounded."""

    def __init__(self, width: int, most: int) -> None:
        self.seen = 0
        self._ids = np.full(most, "", dtype=object)
        self._rows = np.empty((most, width))

    def __len__(self) -> int:
        return min(self.seen, len(self._rows))

    @property
    def rows(self) -> Matrix:
        """The features of the cases, in no meaningful order."""
        return self._rows[: len(self)]

    @property
    def ids(self) -> Sequence[str]:
        """Their ids, in the same order."""
        return list(self._ids[: len(self)])

    def id_at(self, position: int) -> str:
        """The id of the case in that row."""
        return str(self._ids[position])

    def add(self, ids: Sequence[str], rows: Matrix) -> None:
        """Later ones take the place of the oldest."""
        first = max(0, len(ids) - len(self._rows))
        slots = (self.seen + np.arange(first, len(ids))) % len(self._rows)
        self._ids[slots] = ids[first:]
        self._rows[slots] = rows[first:]
        self.seen += len(ids)


class Retrieval(Sampled[Scale]):
    """What became of similar cases."""

    name = "retrieval"

    def __init__(
        self, names: Sequence[str], *, seed: int, warmup: int = WARMUP, capacity: int = CAPACITY, cases: int = CASES
    ) -> None:
        """`cases` are kept of each kind."""
        super().__init__(names, seed=seed, warmup=warmup, capacity=capacity)
        self.bad = Cases(len(self.names), cases)
        self.good = Cases(len(self.names), cases)
        self._usual: Matrix = np.full((len(self.names), 2), np.nan)
        self._known: Single = np.empty((0, len(self.names)), dtype=np.float32)  # scaled: the bad ones, then the others

    @property
    def is_warming(self) -> bool:
        """Whether too little is known to compare anything."""
        return self._learned is None or min(len(self.bad), len(self.good)) < FEWEST

    def _scored(self, batch: Batch) -> Opinion:
        """How much nearer each row is to what went bad than to what did not."""
        near = self._near(batch)
        split = len(self.bad)
        bad = (near[:, :split].sum(axis=1, dtype=np.float64) + DOUBT) / (split + 2 * DOUBT)
        good = (near[:, split:].sum(axis=1, dtype=np.float64) + DOUBT) / (len(self.good) + 2 * DOUBT)
        score = bad / (bad + good)
        similar = near > 0.0
        cases = np.count_nonzero(similar, axis=1)
        is_cited = np.asarray(similar[:, :split].any(axis=1))
        state = np.where(cases > 0, SCORED, NO_CASE).astype(np.uint8)
        return opinion(score, confidence(cases, is_cited, np.maximum(score, 1.0 - score) >= AGREED), state, cases)

    def explain(self, batch: Batch) -> Explained:
        """What every feature adds to being nearer to what went bad than to what did not; one half says neither.

        A case is near by 1 less the squares of all features: by a feature's even share of the 1, less its own square.
        """
        near = self._near(batch)
        asked = _scaled(self.learned, batch.columns(self.names))
        split = len(self.bad)
        sides = []
        for some, known in ((near[:, :split], self._known[:split]), (near[:, split:], self._known[split:])):
            similar = (some > 0.0).astype(np.float32)
            count = similar.sum(axis=1, keepdims=True)
            apart = similar @ known**2 - 2.0 * asked * (similar @ known) + asked**2 * count
            sides.append((count / len(self.names) - apart).astype(np.float64) / (some.shape[1] + 2 * DOUBT))
        doubts = DOUBT / (split + 2 * DOUBT) + DOUBT / (len(self.good) + 2 * DOUBT)
        total = np.maximum((sides[0] + sides[1]).sum(axis=1), 0.0) + doubts
        risen = np.nan_to_num(self.score(batch).score, nan=UNDECIDED) - UNDECIDED
        parts = exactly((sides[0] - sides[1]) / (2.0 * total[:, None]), risen)
        return Explained(UNDECIDED, parts, self._usual[None], self._words(near))

    def _words(self, near: Single) -> list[str]:
        """`similar to 7 confirmed cases (req-1, req-2, req-3)`, the nearest first."""
        split = len(self.bad)
        counts = [np.count_nonzero(some > 0.0, axis=1).tolist() for some in (near[:, :split], near[:, split:])]
        words = []
        for one, bad, good in zip(near, *counts, strict=True):
            own, cases = (one[:split], self.bad) if bad else (one[split:], self.good)
            nearest = np.argpartition(-own, min(CITED, len(own)) - 1)[:CITED]
            nearest = nearest[np.argsort(-own[nearest], kind="stable")]
            words.append(similar_to(bad, good, [cases.id_at(at) for at in nearest.tolist() if own[at] > 0.0]))
        return words

    def cite(self, batch: Batch, row: int) -> list[Case]:
        """The cases most like one row, nearest first, CITED at most."""
        if self.is_warming:
            return []
        one = Batch(batch.names, batch.rows[row : row + 1], batch.keys[row : row + 1], batch.ids[row : row + 1])
        near = self._near(one)[0]
        order = np.argsort(-near, kind="stable")[:CITED]
        ids = [*self.bad.ids, *self.good.ids]
        return [
            Case(ids[at], bool(at < len(self.bad)), float(np.sqrt(max(0.0, 1.0 - near[at]))))
            for at in order.tolist()
            if near[at] > 0.0
        ]

    def learn_outcomes(self, batch: Batch, is_bad: Flags) -> None:
        """Remember the cases; the oldest of a kind make room."""
        rows = batch.columns(self.names)
        ids = np.array(batch.ids, dtype=object)
        self.bad.add(ids[is_bad].tolist(), rows[is_bad])
        self.good.add(ids[~is_bad].tolist(), rows[~is_bad])
        self._rescale(self._learned)

    def _fit(self, sample: Matrix) -> Scale:
        self._usual = quantiles(sample)
        scale = robust.learn(sample)
        self._rescale(scale)
        return scale

    def _rescale(self, scale: Scale | None) -> None:
        if scale is not None:
            self._known = _scaled(scale, np.concatenate([self.bad.rows, self.good.rows]))

    def _near(self, batch: Batch) -> Single:
        """(rows, cases): 1 for the very same features, falling to 0 one usual deviation per feature away."""
        asked = _scaled(self.learned, batch.columns(self.names))
        apart = asked @ self._known.T
        apart *= -2.0
        apart += np.einsum("ij,ij->i", asked, asked)[:, None]
        apart += np.einsum("ij,ij->i", self._known, self._known)
        np.subtract(1.0, apart, out=apart)
        return np.clip(apart, 0.0, 1.0, out=apart)


def confidence(cases: Counts, is_cited: Flags, agrees: Flags) -> Matrix:
    """How far so many similar cases can be trusted."""
    made = np.clip(0.45 + cases / 250.0, 0.4, 0.8)
    made = made + 0.08 * is_cited + 0.05 * agrees + 0.05 * (is_cited & agrees) + 0.02 * (cases >= 40)
    return np.asarray(np.minimum(made, 0.9))


def _scaled(scale: Scale, rows: Matrix) -> Single:
    """Deviations whose squared distance is the mean over features."""
    kept = np.clip(scale.of(rows), -FARTHEST, FARTHEST) / np.sqrt(rows.shape[1])
    return np.ascontiguousarray(kept, dtype=np.float32)
