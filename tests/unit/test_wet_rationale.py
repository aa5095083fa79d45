"""A score in words."""

import pytest

from sidechain.models.wet.rationale import PLAIN, rationale

CLUSTER = "unusual temporal cluster"
WORDS = {"errors_5m": CLUSTER, "requests_5m": CLUSTER, "ratio": "far from own history", "size": "unusual size"}
USUAL = {
    "errors_5m": (0.0, 2.0),
    "requests_5m": (1.0, 9.4),
    "ratio": (100.0, 100.0),
    "size": (0.0, 70_000.0),
    "gap": (10.0, 90.0),
    "never": (float("nan"), float("nan")),
}
VALUES = {"errors_5m": 31, "requests_5m": 80, "ratio": 900, "size": 70_000, "gap": None, "other": 5, "never": 1}

Reasons = list[tuple[str, float]]


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        ([("errors_5m", 0.4)], "unusual temporal cluster: errors_5m 31 (usually 0-2)"),
        (
            [("errors_5m", 0.4), ("ratio", 0.3), ("requests_5m", 0.2)],  # features that share a phrase stand together
            (
                "unusual temporal cluster: errors_5m 31 (usually 0-2), requests_5m 80 (usually 1-9); "
                "far from own history: ratio 900 (usually 100)"
            ),
        ),
        ([("errors_5m", 0.4), ("ratio", 0.01)], "unusual temporal cluster: errors_5m 31 (usually 0-2)"),  # a trifle
        ([("size", 0.4), ("errors_5m", 0.1)], "unusual temporal cluster: errors_5m 31 (usually 0-2)"),  # size is usual
        (
            [("size", 0.4), ("gap", 0.3)],  # neither is outside its range: on its upper edge is inside, unknown is too
            "unusual combination: size 70000 (usually 0-70000), gap unknown (usually 10-90)",
        ),
        ([("other", 0.2)], "unusual value: other 5"),  # the pack has no words for it, the sample never saw it
        ([("never", 0.2)], "unusual value: never 1"),
        ([("errors_5m", 0.1), ("ratio", -0.2)], PLAIN),  # on the whole more ordinary than the mean
        ([("errors_5m", -0.4), ("ratio", 0.0)], PLAIN),
        ([], PLAIN),
    ],
)
def test_a_rationale_names_what_raised_the_score(reasons: Reasons, expected: str) -> None:
    """Phrase from the pack, value from the event, range from the training sample."""
    assert rationale(reasons, VALUES, USUAL, WORDS) == expected


def test_a_rationale_names_three_features_at_most() -> None:
    """A fourth reason is noise to whoever reads it at night."""
    reasons = [("errors_5m", 0.3), ("requests_5m", 0.3), ("ratio", 0.3), ("other", 0.3)]
    said = rationale(reasons, VALUES, USUAL, WORDS)
    assert "ratio" in said
    assert "other" not in said
