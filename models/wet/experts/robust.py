"""A scale that outliers cannot stretch.

Features are counts, amounts and gaps: heavy-tailed, over many orders of magnitude. They are squashed by asinh, linear
near zero and logarithmic beyond, and then measured from the median in units of the median absolute deviation, which
half of the sample may be outliers without moving far (Rousseeuw and Croux 1993). 1.4826 makes the unit one standard
deviation of normal data.

A logarithm hides how far beyond everything seen a value lies: what is twice the largest is 0.7 further. Where that is
what is asked, whatever lies outside of the range of the sample, but for its outermost thousandths, strays by BEYOND
deviations more for each e-fold of range and excess over the range.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sidechain.models.wet.experts.contract import Matrix

TO_DEVIATION: Final = 1.4826
TO_DEVIATION_OF_MEAN: Final = 1.2533  # of the mean absolute deviation
SMALLEST: Final = 1e-9  # a spread below this is none
OUTERMOST: Final = 1_000  # one in so many of the sample, on either side, does not widen its range
BEYOND: Final = 16.0


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Where each feature usually lies and how far it usually strays, both squashed."""

    centre: Matrix  # (features,)
    unit: Matrix  # (features,), above 0
    range: Matrix  # (2, features), not squashed; infinite where nothing was known

    def of(self, rows: Matrix) -> Matrix:
        """Usual deviations from the middle; an unknown value deviates by 0."""
        return np.nan_to_num((squashed(rows) - self.centre) / self.unit, nan=0.0)

    def strayed(self, rows: Matrix) -> Matrix:
        """The same, and for what lies outside of the range how far outside."""
        low, high = self.range
        outside = np.maximum(rows - high, 0.0) + np.minimum(rows - low, 0.0)
        width = np.where(high > low, high - low, 1.0)
        beyond = np.copysign(BEYOND * np.log1p(np.abs(outside) / width), outside)
        return np.asarray(self.of(rows) + np.nan_to_num(beyond, nan=0.0))


def squashed(rows: Matrix) -> Matrix:
    """asinh of each value; NaN stays."""
    return np.arcsinh(rows)


def learn(sample: Matrix) -> Scale:
    """The scale of a sample. A feature that is nearly always the same is measured by its mean deviation instead.

    A feature that never varied, or was never known, gets 1: whatever moves it then stands out by how far it went.
    """
    width = sample.shape[1]
    centre, unit = np.zeros(width), np.ones(width)
    seen = np.stack([np.full(width, -np.inf), np.full(width, np.inf)])
    for at, plain in enumerate(sample.T):
        plain = np.sort(plain[~np.isnan(plain)])
        if not len(plain):
            continue
        spared = len(plain) // OUTERMOST
        seen[:, at] = plain[spared], plain[len(plain) - 1 - spared]
        known = squashed(plain)
        centre[at] = np.median(known)
        strayed = np.abs(known - centre[at])
        for spread in (TO_DEVIATION * float(np.median(strayed)), TO_DEVIATION_OF_MEAN * float(strayed.mean())):
            if spread > SMALLEST:
                unit[at] = spread
                break
    return Scale(centre, unit, seen)
