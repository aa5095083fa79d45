"""A score in words."""

import pytest

from sidechain.models.wet.rationale import PLAIN, rationale

WORDS = {
    "errors_5m": "unusual temporal cluster",
    "requests_5m": "unusual temporal cluster",
    "ratio": "far from own history",
}
USUAL = {"errors_5m": (0.0, 2.0), "requests_5m": (1.0, 9.4), "ratio": (100.0, 100.0), "never": (float("nan"),) * 2}
VALUES = {"errors_5m": 31, "requests_5m": 80, "ratio": None, "other": 5, "never": 1}


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        ([("errors_5m", 0.4)], "unusual temporal cluster: errors_5m 31 (usually 0-2)"),
        (
            [("errors_5m", 0.4), ("ratio", 0.3), ("requests_5m", 0.2)],  # one phrase for the features that share it
            (
                "unusual temporal cluster: errors_5m 31 (usually 0-2), requests_5m 80 (usually 1-9); "
                "far from own history: ratio unknown (usually 100)"
            ),
        ),
        (
            [("errors_5m", 0.4), ("ratio", 0.01)],
            "unusual temporal cluster: errors_5m 31 (usually 0-2)",
        ),  # not worth a word
        (
            [("other", 0.2)],
            "unusual value: other 5",
        ),  # no words, no range: the pack did not say, the sample did not know
        ([("never", 0.2)], "unusual value: never 1"),
        ([("errors_5m", -0.4), ("ratio", 0.0)], PLAIN),
        ([], PLAIN),
    ],
)
def test_a_rationale_names_what_raised_the_score(reasons: list[tuple[str, float]], expected: str) -> None:
    """Phrase from the pack, value from the event, range from the training sample."""
    assert rationale(reasons, VALUES, USUAL, WORDS) == expected
