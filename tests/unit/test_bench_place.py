"""A rate is taken from what was seen over a time, and is refused where there was none."""

import pytest

from sidechain.agents.bench.place import rate
from sidechain.agents.problems import UsageProblem


@pytest.mark.parametrize(
    ("seen", "warm", "per_s"),
    [
        ([(0.0, 0), (1.0, 100), (3.0, 500)], 100, 200.0),  # from the first look that shows enough
        ([(0.0, 0), (1.0, 100), (3.0, 500)], 101, None),
        ([(1.0, 500)], 0, None),
    ],
)
def test_a_rate_needs_two_looks_behind_the_warm_up(seen, warm, per_s):
    if per_s is None:
        with pytest.raises(UsageProblem, match="measure more events"):
            rate(seen, warm)
    else:
        assert rate(seen, warm) == per_s
