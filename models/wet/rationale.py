"""A score in words: which features made it, what they were, what they usually are.

    unusual temporal cluster: errors_5m 31 (usually 0-2), requests_5m 80 (usually 1-9)
    unusual combination: size_now 40960 (usually 0-71654), path_length 39 (usually 9-48)

The words come from the pack (`wet.words`), the numbers from the event and from the training sample's 5 % and 95 %
quantiles. Nothing else gets in: no free text, no field of the event, so a rationale can leak nothing a tap does not.
A value inside its usual range is not called unusual; where none is outside, their combination is what stands out.

Experts that judge by something else than the features' usual ranges have words of their own, from a fixed vocabulary:

    far from own history: amount 90000 (usually 1100-1300)
    similar to 7 confirmed cases (req-1, req-5, req-9): errors_5m 31 (usually 0-2)
    several agree: errors_5m 31 (usually 0-2), gap 12 (usually 400-90000)
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

MOST: Final = 3  # features a rationale names
LEAST_SHARE: Final = 0.1  # a feature with less than this share of what raised the score is not worth a word
PLAIN: Final = "within what is usual"
COMBINED: Final = "unusual combination"
DEFAULT_WORDS: Final = "unusual value"
OWN_HISTORY: Final = "far from own history"
AGREED: Final = "several agree"
WARMING: Final = "warming up"
SILENT: Final = "nobody can say"
ORDINARY: Final = "ordinary, not explained"

Reason = tuple[str, float]
Range = tuple[float, float]


def rationale(
    reasons: Sequence[Reason],
    values: Mapping[str, int | None],
    usual: Mapping[str, Range],
    words: Mapping[str, str],
    said: str = "",
) -> str:
    """Name the features that raised the score most. `reasons`: (feature, part), largest first.

    `usual`: NaN for a feature that was never known in training. `said`: what the expert says of all of them together,
    instead of the features' own words. A score below the mean one is an ordinary one.
    """
    raising = [(name, part) for name, part in reasons if part > 0.0]
    if not raising or sum(part for _, part in reasons) <= 0.0:
        return PLAIN
    enough = LEAST_SHARE * sum(part for _, part in raising)
    named = [name for name, part in raising if part >= enough]
    outside = [name for name in named if _is_outside(values.get(name), usual.get(name))]
    phrases: dict[str, list[str]] = {}
    for name in (outside or named)[:MOST]:
        phrase = said or (words.get(name, DEFAULT_WORDS) if outside else COMBINED)
        phrases.setdefault(phrase, []).append(_fact(name, values.get(name), usual.get(name)))
    return "; ".join(f"{phrase}: {', '.join(facts)}" for phrase, facts in phrases.items())


def similar_to(bad: int, good: int, cited: Sequence[str]) -> str:
    """`similar to 7 confirmed cases (req-1, req-5, req-9)`; of cases that turned out well where there is no other."""
    count, kind = (bad, "confirmed") if bad else (good, "harmless")
    named = f" ({', '.join(cited)})" if cited else ""
    return f"similar to {count} {kind} case{'' if count == 1 else 's'}{named}"


def _is_outside(value: int | None, usual: Range | None) -> bool:
    """Never known in training counts as outside; unknown now does not, it was taken for the median."""
    return value is not None and (usual is None or not usual[0] <= value <= usual[1])


def _fact(name: str, value: int | None, usual: Range | None) -> str:
    """`errors_5m 31 (usually 0-2)`"""
    stated = f"{name} {'unknown' if value is None else value}"
    if usual is None or math.isnan(usual[0]):
        return stated
    low, high = round(usual[0]), round(usual[1])
    return f"{stated} (usually {low})" if low == high else f"{stated} (usually {low}-{high})"
