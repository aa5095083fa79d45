"""A score in words: which features made it, what they were, what they usually are.

    unusual temporal cluster: errors_5m 31 (usually 0-2), requests_5m 80 (usually 1-9)

The words come from the pack (`wet.words`), the numbers from the event and from the training sample's 5 % and 95 %
quantiles. Nothing else gets in: no free text, no field of the event, so a rationale can leak nothing a tap does not.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

MOST: Final = 3  # features a rationale names
LEAST_SHARE: Final = 0.1  # a feature with less than this share of what raised the score is not worth a word
PLAIN: Final = "within what is usual"
DEFAULT_WORDS: Final = "unusual value"

Reason = tuple[str, float]


def rationale(
    reasons: Sequence[Reason],
    values: Mapping[str, int | None],
    usual: Mapping[str, tuple[float, float]],
    words: Mapping[str, str],
) -> str:
    """Name the features that raised the score most. `reasons`: (feature, part), largest first."""
    raising = [(name, part) for name, part in reasons if part > 0.0]
    enough = LEAST_SHARE * sum(part for _, part in raising)
    phrases: dict[str, list[str]] = {}
    for name, part in raising[:MOST]:
        if part >= enough:
            phrases.setdefault(words.get(name, DEFAULT_WORDS), []).append(
                _fact(name, values.get(name), usual.get(name))
            )
    return "; ".join(f"{phrase}: {', '.join(facts)}" for phrase, facts in phrases.items()) or PLAIN


def _fact(name: str, value: int | None, usual: tuple[float, float] | None) -> str:
    """`errors_5m 31 (usually 0-2)`"""
    stated = f"{name} {'unknown' if value is None else value}"
    if usual is None or math.isnan(usual[0]):
        return stated
    low, high = round(usual[0]), round(usual[1])
    return f"{stated} (usually {low})" if low == high else f"{stated} (usually {low}-{high})"
