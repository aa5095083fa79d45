"""How far a row lies from everybody, and from its nearest neighbours.

Two distances after one robust whitening. The first is from the middle: a Mahalanobis distance whose covariance is that
of winsorised deviations, so outliers bend it little (the "wrapped" covariance of Raymaekers and Rousseeuw 2021, in its
simplest form). The second is to the K-th nearest of a small reference sample: it sees what lies in a hole between two
clusters, at the very middle. Each is ranked within rows the reference does not hold, and the mean of the ranks ranked
again, so 0.95 says "further out than about 95 % of the sample".
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from sidechain.models.wet import ranks
from sidechain.models.wet.experts import robust
from sidechain.models.wet.experts.contract import (
    SCORED,
    Batch,
    Explained,
    Matrix,
    Opinion,
    clarity,
    opinion,
)
from sidechain.models.wet.experts.robust import Scale
from sidechain.models.wet.experts.sampled import Sampled
from sidechain.models.wet.forest import exactly, quantiles, scaled
from sidechain.models.wet.ranks import Ranks

K: Final = 5
REFERENCE: Final = 256  # rows neighbours are looked for among; at most half of the sample
WINSORISED_AT: Final = 2.5  # usual deviations
SHRUNK: Final = 0.1  # of the covariance towards the identity: features that always move together stay apart a little
SMALLEST: Final = 1e-12
MIDDLING: Final = 0.5
NEARBY: Final = 0.01  # a distance is never quite 0, so that ranks begin below the nearest


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What a fit learns."""

    scale: Scale
    whitening: Matrix  # (features, features)
    usual: Matrix  # (features, 2): the 5 % and the 95 % quantile of the sample; NaN: never known
    reference: Matrix  # (at most REFERENCE, features), whitened
    far: Ranks
    alone: Ranks
    both: Ranks

    def distances(self, rows: Matrix) -> tuple[Matrix, Matrix]:
        """Per row how far from the middle, and how far from the K-th neighbour; both in (0, 1)."""
        white = self.scale.strayed(rows) @ self.whitening
        size = np.einsum("ij,ij->i", white, white)
        near = np.partition(self._apart(white, size), self._nth, axis=1)[:, self._nth]
        return _within_one(size, rows.shape[1]), _within_one(near, rows.shape[1])

    def score(self, rows: Matrix) -> Matrix:
        """The rank of each row."""
        return self.both.of(self.joined(rows))

    def joined(self, rows: Matrix) -> Matrix:
        """The mean of both ranks."""
        far, alone = self.distances(rows)
        return (self.far.of(far) + self.alone.of(alone)) / 2.0

    def shares(self, rows: Matrix) -> Matrix:
        """(rows, features): the share of each feature in both distances, weighed by their ranks; sums to `joined`.

        A squared distance d'Md is the sum over features of d_f·(Md)_f, exactly.
        """
        strayed = self.scale.strayed(rows)
        white = strayed @ self.whitening
        size = np.einsum("ij,ij->i", white, white)
        apart = self._apart(white, size)
        nearest = np.argpartition(apart, self._nth, axis=1)[:, self._nth]
        off = white - self.reference[nearest]
        far = _within_one(size, rows.shape[1])
        alone = _within_one(apart[np.arange(len(rows)), nearest], rows.shape[1])
        share_far = _shared(strayed * (white @ self.whitening.T))
        share_alone = _shared((off @ np.linalg.inv(self.whitening)) * (off @ self.whitening.T))
        return np.asarray((self.far.of(far)[:, None] * share_far + self.alone.of(alone)[:, None] * share_alone) / 2.0)

    @property
    def _nth(self) -> int:
        return min(K, len(self.reference)) - 1

    def _apart(self, white: Matrix, size: Matrix) -> Matrix:
        """(rows, reference): squared distances."""
        own = np.einsum("ij,ij->i", self.reference, self.reference)
        return np.asarray(size[:, None] - 2.0 * (white @ self.reference.T) + own)


class Geometric(Sampled[Shape]):
    """Distance from the middle and from the neighbours."""

    name = "geometric"
    is_rank = True  # its scores are ranks already

    def explain(self, batch: Batch) -> Explained:
        """What every feature has to do with how far the row is from the middling one, whose rank is one half."""
        rows = batch.columns(self.names)
        risen = self.learned.score(rows) - MIDDLING
        parts = exactly(scaled(self.learned.shares(rows), risen), risen)
        return Explained(MIDDLING, parts, self.learned.usual[None], [""] * len(batch))

    def _scored(self, batch: Batch) -> Opinion:
        """The rank of each row's distance among the sample's."""
        score = self.learned.score(batch.columns(self.names))
        return opinion(score, clarity(score, float(self.learned_from)), np.full(len(batch), SCORED, dtype=np.uint8))

    def _fit(self, sample: Matrix) -> Shape:
        return fit(sample, np.random.Generator(np.random.PCG64(self._seed + self.fits)))


def fit(sample: Matrix, random: np.random.Generator) -> Shape:
    """The shape of a sample (rows × features, NaN for unknown) of at least two rows."""
    mixed = sample[random.permutation(len(sample))]
    scale = robust.learn(mixed)
    whitening = _whitening(np.clip(scale.of(mixed), -WINSORISED_AT, WINSORISED_AT))
    kept = min(REFERENCE, len(mixed) // 2)
    reference = scale.strayed(mixed[:kept]) @ whitening
    rest = mixed[kept:]
    usual = quantiles(sample)
    shape = Shape(scale, whitening, usual, reference, UNRANKED, UNRANKED, UNRANKED)
    far, alone = shape.distances(rest)
    shape = replace(shape, far=ranks.learn(far), alone=ranks.learn(alone))
    return replace(shape, both=ranks.learn(shape.joined(rest)))


UNRANKED: Final = Ranks(np.array([0.0, 1.0]), np.array([0.0, 1.0]))


def _whitening(deviations: Matrix) -> Matrix:
    """The matrix that takes correlation and scale out of rows like these."""
    centred = deviations - deviations.mean(axis=0)
    covariance = centred.T @ centred / len(centred)
    width = len(covariance)
    variance, axes = np.linalg.eigh((1.0 - SHRUNK) * covariance + SHRUNK * np.eye(width))
    return np.asarray(axes / np.sqrt(variance))


def _shared(parts: Matrix) -> Matrix:
    """Parts of a sum as shares of it; equal ones where there is nothing to share."""
    total = parts.sum(axis=1, keepdims=True)
    even = np.full_like(parts, 1.0 / parts.shape[1])
    return np.asarray(np.divide(parts, total, out=even, where=total > SMALLEST))


def _within_one(squared: Matrix, width: int) -> Matrix:
    """A squared distance over so many features, per feature, squeezed between 0 and 1 without changing the order."""
    distance = np.sqrt(np.maximum(squared, 0.0) / width) + NEARBY
    return distance / (1.0 + distance)
