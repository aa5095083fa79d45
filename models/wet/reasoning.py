"""Why something is said, in one shape, whoever says it: a base, named parts that add up to a score, and words.

    0.93 = 0.41 + 0.50 (errors_5m) + 0.02 (gap)     unusual temporal cluster: errors_5m 31 (usually 0-2)
    0.31 = 0.00 + 0.22 (above 90) + 0.09 (unknown)  above 90 +0.22, unknown +0.09
    3.00 = 0.00 + 3.00 (lanes)                      lanes 3

Scores and advice have a part for each feature of the pack; an alert has one for whatever its rule adds up, at least for
the one figure it goes by. Rules of the dry side say the same in whole numbers: base 0, a part for each that fired, and
the score is their sum, cut at the most there can be.
"""

from collections.abc import Iterable, Mapping
from math import fsum, isfinite
from typing import Any, Final, NamedTuple

Reason = tuple[str, float]

DIGITS: Final = 9
MOST: Final = 3  # parts that are put in words


class Reasoning(NamedTuple):
    """Why. `base` plus the sum of the parts is the score, within 1e-6."""

    score: float | None  # None, as is the base: a record of before said the parts alone
    base: float | None
    reasons: tuple[Reason, ...]  # by size, the weightiest first
    rationale: str
    of: str | None = None  # the event whose score it is, where it is one's


def of_parts(parts: Iterable[Reason], base: float = 0.0) -> Reasoning:
    """What these parts come to, in their own words: those of the three weightiest."""
    rounded = sorted(((name, round(part, DIGITS)) for name, part in parts), key=lambda one: -abs(one[1]))
    begin = round(base, DIGITS)
    words = ", ".join(f"{name} {part:+.3g}" for name, part in rounded[:MOST])
    score = fsum([begin, *(part for _, part in rounded)])
    return Reasoning(score, begin, tuple(rounded), f"{words}, from {begin:.3g}" if begin else words)


def of_figures(rule: str, evidence: Mapping[str, Any], *, is_firing: bool) -> Reasoning:
    """Why an alert is one whose rule adds nothing up: the first figure of its evidence is the one it goes by.

    A rule without a figure holds or does not: 1 or 0.
    """
    for name, value in evidence.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
            figure = round(float(value), DIGITS)
            return Reasoning(figure, 0.0, ((name, figure),), f"{name} {figure:.6g}")
    holds = float(is_firing)
    return Reasoning(holds, 0.0, ((rule, holds),), "it holds" if is_firing else "it holds no more")
