"""Made-up payments have the published stream's shape, by stated distances.

The bounds are what two worlds drawn by the same method may differ by. 5,000 customers are drawn once, so their amounts
and activity are samples of 5,000: beyond 1.95 √(2 / 5,000) = 0.039 one pair in a thousand. Times of day are drawn for
each of 580,000 payments: 0.0036. Neighbouring terminals share their customers, and a bad terminal or customer brings
all its payments along, so for those the bounds are about half above the furthest of the seeds 1, 2, 3, 4 and 7 (0.043
for terminals; 2.7 % and 6.0 % for the frauds of terminals and customers). Some 310 frauds are of the first kind: three
deviations of the ratio of two such counts are 0.24.
"""

from functools import cache
from pathlib import Path

import pytest

from tests.payments_shape import Shape, apart, distances, made, published

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "fraud_handbook_2018-04_07.csv.gz"
BOUNDS = {
    "amount": 0.039,
    "time of day": 0.0036,
    "payments of a customer": 0.039,
    "payments at a terminal": 0.065,
    "terminals of a customer": 0.05,
    "payments a day": 0.035,  # the mean rate of 5,000 customers, twice: three deviations
    "quantiles of the amount": 0.1,
    "fraud": 0.05,
    "fraud 1 amount": 0.24,
    "fraud 2 terminal": 0.08,
    "fraud 3 customer": 0.1,
}


@cache
def theirs() -> Shape:
    if not PUBLISHED.exists():
        pytest.skip(f"NO PUBLISHED STREAM at {PUBLISHED}, so the shape of made-up payments is compared with nothing")
    return published(PUBLISHED)


def test_two_months_of_made_up_payments_are_as_far_from_the_published_as_two_worlds_may_be() -> None:
    """Amounts, times, activity and the three frauds; all distances are in the message when one is too long."""
    found = distances(made(5), theirs())
    assert set(found) == set(BOUNDS)
    assert {name: one for name, one in found.items() if one > BOUNDS[name]} == {}, found


@pytest.mark.parametrize(
    ("ours", "others", "distance"),
    [
        ([1, 2, 3], [1, 2, 3], 0.0),
        ([1, 1, 1, 1], [1, 1, 1, 2], 0.25),
        ([1, 2], [3, 4], 1.0),
        ([1, 3, 5, 7], [2, 4, 6, 8], 0.25),
    ],
)
def test_how_far_two_samples_are_apart(ours: list[int], others: list[int], distance: float) -> None:
    """Worked out on paper."""
    assert apart(ours, others) == distance
