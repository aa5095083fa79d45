"""How well scores rank, against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from sidechain.models.wet.ranking import rank


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=50))
def test_auroc_and_average_precision_are_those_of_scikit_learn(pairs: list[tuple[int, bool]]) -> None:
    """With many ties; where one kind is missing there is no answer."""
    score, is_bad = np.array([float(one) for one, _ in pairs]), np.array([bad for _, bad in pairs])
    found = rank(score, is_bad)
    assert (found.rows, found.bad) == (len(pairs), is_bad.sum())
    if found.bad in (0, found.rows):
        assert (found.auroc, found.average_precision, found.precision_at) == (None, None, None)
        return
    assert found.auroc == pytest.approx(roc_auc_score(is_bad, score))
    assert found.average_precision == pytest.approx(average_precision_score(is_bad, score))


@pytest.mark.parametrize(
    ("scores", "bad", "first", "expected"),
    [
        ([4, 3, 2, 1], [1, 0, 1, 0], 1, 1.0),
        ([4, 3, 2, 1], [1, 0, 1, 0], 2, 0.5),
        ([4, 3, 2, 1], [1, 0, 1, 0], 3, 2 / 3),
        ([4, 3, 2, 1], [1, 0, 1, 0], 100, 0.5),  # there are only four
        ([9, 5, 5, 5], [1, 1, 0, 0], 2, (1 + 1 / 3) / 2),  # one of three that are tied, whichever it is
    ],
)
def test_precision_takes_ties_in_proportion(scores: list[int], bad: list[int], first: int, expected: float) -> None:
    """Of the first one, two, three."""
    found = rank(np.array(scores, dtype=np.float64), np.array(bad, dtype=np.bool_), first)
    assert found.precision_at == pytest.approx(expected)
