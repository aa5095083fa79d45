"""A scale that outliers cannot stretch.

Features are counts, amounts and gaps: heavy-tailed, over many orders of magnitude. They are squashed by asinh, linear
near zero and logarithmic beyond, and then measured from the median in units of the median absolute deviation, which
half of the sample may be outliers without moving far (Rousseeuw and Croux 1993). 1.4826 makes the unit one standard
deviation of normal data.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sidechain.models.wet.experts.contract import Matrix

TO_DEVIATION: Final = 1.4826
TO_DEVIATION_OF_MEAN: Final = 1.2533  # of the mean absolute deviation
SMALLEST: Final = 1e-9  # a spread below this is none


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Where each feature usually lies and how far it usually strays, both squashed."""

    centre: Matrix  # (features,)
    unit: Matrix  # (features,), above 0

    def of(self, rows: Matrix) -> Matrix:
        """Usual deviations from the middle; an unknown value deviates by 0."""
        return np.nan_to_num((squashed(rows) - self.centre) / self.unit, nan=0.0)


def squashed(rows: Matrix) -> Matrix:
    """asinh of each value; NaN stays."""
    return np.arcsinh(rows)


def learn(sample: Matrix) -> Scale:
    """The scale of a sample. A feature that is nearly always the same is measured by its mean deviation instead.

    A feature that never varied, or was never known, gets 1: whatever moves it then stands out by how far it went.
    """
    width = sample.shape[1]
    centre, unit = np.zeros(width), np.ones(width)
    for at, column in enumerate(squashed(sample).T):
        known = column[~np.isnan(column)]
        if not len(known):
            continue
        centre[at] = np.median(known)
        strayed = np.abs(known - centre[at])
        for spread in (TO_DEVIATION * float(np.median(strayed)), TO_DEVIATION_OF_MEAN * float(strayed.mean())):
            if spread > SMALLEST:
                unit[at] = spread
                break
    return Scale(centre, unit)
