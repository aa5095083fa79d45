"""Drift: what moved is told once, where it moved; what did not, is not."""

import math
import random

import numpy as np
import pytest
from river.drift import ADWIN

from sidechain.models.wet.drift import (
    BAD,
    CLEAR,
    MOVED,
    OTHERS,
    SETTLED,
    SHARE,
    InputDrift,
    PerformanceDrift,
    psi,
)

NAMES = ("steady", "moving", "constant", "rare")


def rows(seed: int, count: int, shift: float = 0.0, unknown: float = 0.0) -> np.ndarray:
    """`moving` is shifted by so many of its deviations; so much of `rare` is unknown."""
    made = np.random.default_rng(seed)
    columns = np.column_stack(
        [
            made.poisson(3, count),
            made.normal(100 + 10 * shift, 10, count),
            np.full(count, 7),
            np.where(made.random(count) < 0.97, 0, 1),
        ]
    ).astype(np.float64)
    columns[made.random(count) < unknown, 3] = np.nan
    return columns


@pytest.mark.parametrize(
    ("expected", "actual", "index"),
    [
        ([10, 10], [10, 10], 0.0),
        ([10, 10], [30, 30], 0.0),  # shares count, not rows
        ([50, 50], [80, 20], 0.3 * math.log(0.8 / 0.5) - 0.3 * math.log(0.2 / 0.5)),
        ([80, 20], [50, 50], 0.3 * math.log(0.8 / 0.5) - 0.3 * math.log(0.2 / 0.5)),  # symmetric
        ([99, 1], [100, 0], 0.01 * math.log(1 / 0.99) - 0.005 * math.log(0.005 / 0.01)),  # none is half a row
    ],
)
def test_the_index_of_small_histograms(expected: list[int], actual: list[int], index: float) -> None:
    """By hand."""
    assert psi(np.array(expected, float), np.array(actual, float)) == pytest.approx(index, abs=1e-12)


def test_nothing_is_said_of_what_stays() -> None:
    """Fifty windows of the same world, values that repeat and unknown ones among them."""
    drift = InputDrift(NAMES, reference=4_000, window=1_000)
    assert drift.add(rows(1, 54_000, unknown=0.2)) == []
    assert max(drift.psi.values()) < CLEAR
    assert not drift.is_learning


def test_a_feature_that_moves_is_told_once_and_told_again_when_it_is_back() -> None:
    """And no other feature is."""
    drift = InputDrift(NAMES, reference=4_000, window=1_000)
    assert drift.add(rows(1, 6_000)) == []
    fired = drift.add(rows(2, 5_000, shift=1.0))
    assert [(one.rule, one.of, one.is_firing) for one in fired] == [("InputDrift", "moving", True)]
    assert fired[0].evidence["psi"] >= MOVED
    assert drift.moved == {"steady": False, "moving": True, "constant": False, "rare": False}
    back = drift.add(rows(3, 3_000))
    assert [(one.of, one.is_firing) for one in back] == [("moving", False)]


def test_what_becomes_unknown_has_moved() -> None:
    """A source that stops telling a field is the commonest drift there is."""
    drift = InputDrift(NAMES, reference=4_000, window=1_000)
    drift.add(rows(1, 5_000))
    assert [one.of for one in drift.add(rows(2, 1_000, unknown=0.5))] == ["rare"]


def test_between_the_edges_an_alarm_neither_starts_nor_ends() -> None:
    """A shift of a third of a deviation is about 0.11: it starts nothing, and keeps what stands."""
    drift = InputDrift(NAMES, reference=10_000, window=5_000)
    drift.add(rows(1, 10_000))
    assert drift.add(rows(2, 5_000, shift=0.38)) == []
    assert CLEAR < drift.psi["moving"] < MOVED
    assert len(drift.add(rows(3, 5_000, shift=1.0))) == 1
    assert drift.add(rows(2, 5_000, shift=0.38)) == []
    assert drift.moved["moving"]


@pytest.mark.parametrize("cut", [1, 333, 1_000, 9_000])
def test_batches_do_not_matter(cut: int) -> None:
    """The same rows, cut anywhere."""
    every = np.concatenate([rows(1, 5_000), rows(2, 3_500, shift=1.0), rows(3, 2_000)])[:: 1 if cut > 1 else 10]
    whole, cut_up = (InputDrift(NAMES, reference=len(every) // 3, window=len(every) // 12) for _ in range(2))
    alarms = [one for first in range(0, len(every), cut) for one in cut_up.add(every[first : first + cut])]
    assert alarms == whole.add(every)
    assert alarms
    assert cut_up.psi == whole.psi


def test_the_reference_is_let_go_when_it_is_learned() -> None:
    """From then on memory is counts."""
    drift = InputDrift(NAMES, reference=4_000, window=1_000)
    drift.add(rows(1, 3_999))
    assert drift.is_learning
    drift.add(rows(2, 1))
    assert sum(one.nbytes for one in (*drift._edges, *drift._expected, *drift._actual)) < 2_000
    assert drift._first is None


def test_river_finds_the_change_where_its_authors_say() -> None:
    """The example of its documentation: a thousand coins, then a thousand of 4 to 7."""
    generator, adwin = random.Random(12345), ADWIN()
    stream = generator.choices([0, 1], k=1_000) + generator.choices(range(4, 8), k=1_000)
    assert [at for at, one in enumerate(stream) if adwin.update(one) is None and adwin.drift_detected] == [1023]


def outcomes(
    seed: int, count: int, *, bad_score: float, other: float = 0.3, bad: float = 0.1
) -> list[tuple[float, bool]]:
    """Scores around those means, and their truth."""
    made = np.random.default_rng(seed)
    is_bad = made.random(count) < bad
    score = np.clip(made.normal(np.where(is_bad, bad_score, other), 0.1), 0, 1)
    return list(zip(score.tolist(), is_bad.tolist(), strict=True))


def told(drift: PerformanceDrift, stream: list[tuple[float, bool]]) -> list[tuple[str, str, bool]]:
    """What is said of a stream of outcomes."""
    return [(a.rule, a.of, a.is_firing) for score, is_bad in stream for a in drift.add(score, is_bad=is_bad)]


def test_nothing_is_said_of_a_model_that_holds() -> None:
    """Twenty thousand outcomes."""
    assert told(PerformanceDrift(), outcomes(1, 20_000, bad_score=0.9)) == []


@pytest.mark.parametrize(
    ("later", "rule", "of"),
    [
        ({"bad_score": 0.7}, "PerformanceDrift", BAD),
        ({"bad_score": 0.9, "other": 0.5}, "PerformanceDrift", OTHERS),
        ({"bad_score": 0.9, "bad": 0.4}, "LabelDrift", SHARE),
        ({"bad_score": 0.9, "bad": 0.01}, "LabelDrift", SHARE),
    ],
)
def test_what_got_worse_is_named(later: dict[str, float], rule: str, of: str) -> None:
    """Within two thousand outcomes, and nothing else is."""
    drift = PerformanceDrift()
    assert told(drift, outcomes(1, 5_000, bad_score=0.9)) == []
    said = told(drift, outcomes(2, 2_000, **later))
    assert said
    assert set(said) == {(rule, of, True)}
    assert drift.firing == 1


def test_what_gets_better_is_no_alarm_and_ends_one() -> None:
    """The score of what was bad may rise at any time."""
    drift = PerformanceDrift()
    assert told(drift, outcomes(1, 5_000, bad_score=0.7) + outcomes(2, 5_000, bad_score=0.9)) == []
    assert told(drift, outcomes(3, 3_000, bad_score=0.5))[0] == ("PerformanceDrift", BAD, True)
    assert told(drift, outcomes(4, 3_000, bad_score=0.9))[-1] == ("PerformanceDrift", BAD, False)
    assert drift.means[BAD] == pytest.approx(0.9, abs=0.03)


def test_an_alarm_ends_when_the_new_level_has_held() -> None:
    """ADWIN knows no way back: what has not moved for so long is what is usual now."""
    drift = PerformanceDrift()
    told(drift, outcomes(1, 5_000, bad_score=0.9, bad=0.5))
    assert told(drift, outcomes(2, 1_000, bad_score=0.6, bad=0.5))[-1] == ("PerformanceDrift", BAD, True)
    assert told(drift, outcomes(3, 3 * SETTLED, bad_score=0.6, bad=0.5)) == [("PerformanceDrift", BAD, False)]
