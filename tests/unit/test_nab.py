"""The benchmark's scoring, against the positions its description gives, by hand, and on what needs no sum."""

import math
from datetime import datetime, timedelta

import numpy as np
import pytest

from tests.bench.nab import PROFILES, Profile, Series, best, joined, sigmoid, sweep
from tests.bench.nab_others import EDGE, RandomCutForest, WindowedGaussian

START = datetime(2014, 4, 1)  # noqa: DTZ001 - the benchmark's times have no zone
STANDARD = PROFILES["standard"]


def series(rows: int, *windows: tuple[int, int]) -> Series:
    """A series of so many rows, a minute apart, with windows from row to row."""
    times = [START + timedelta(minutes=at) for at in range(rows)]
    return Series("made", times, np.zeros(rows), [(times[left], times[right]) for left, right in windows])


def scored(one: Series, profile: Profile = STANDARD, **said: float) -> float:
    """The score of a detector that says `said` (row7=0.9) and 0 everywhere else."""
    swept = sweep(one, profile)
    scores = np.zeros(len(one.times))
    for name, score in said.items():
        scores[int(name.removeprefix("row"))] = score
    return best(swept, scores[len(scores) - len(swept.worth) :], profile).score


@pytest.mark.parametrize(
    ("position", "worth"),
    [
        (-1.0, 0.98661),  # the left edge of a window
        (-0.5, 0.84828),
        (0.0, 0.0),  # the right one
        (1.0, -0.98661),
        (3.0, -1.0),
        (3.01, -1.0),
    ],
)
def test_the_sigmoid_stands_where_the_description_says(position: float, worth: float) -> None:
    """NAB's own figures, five digits."""
    assert sigmoid(position) == pytest.approx(worth, abs=1e-5)


def test_no_detection_is_0_and_every_window_at_its_first_row_is_100() -> None:
    """By definition."""
    one = series(200, (60, 79), (120, 139))
    assert scored(one) == 0.0
    assert scored(one, row60=0.9, row120=0.9) == pytest.approx(100.0)
    assert scored(one, row60=0.9, row61=0.9, row70=0.9, row120=0.9) == pytest.approx(100.0), "a window counts once"


def test_by_hand() -> None:
    """One window of twenty rows, found in its eleventh; one false alarm five rows behind it, one far before."""
    one = series(200, (60, 79))
    found = sigmoid(-10 / 20) / sigmoid(-1.0)
    behind = 0.11 * sigmoid(5 / 19)
    assert scored(one, row70=0.9) == pytest.approx(100 * (found + 1) / 2)
    assert scored(one, row70=0.9, row84=0.9) == pytest.approx(100 * (found + behind + 1) / 2)
    assert scored(one, row70=0.9, row84=0.9, row40=0.9) == pytest.approx(100 * (found + behind - 0.11 + 1) / 2)
    assert scored(one, PROFILES["fewer missed"], row70=0.9) == pytest.approx(100 * (found + 2) / 3)


def test_the_best_threshold_is_taken_and_equal_scores_stand_or_fall_together() -> None:
    """A lower threshold that costs more than it brings is not taken."""
    one = series(1_000, (500, 599))
    low = {f"row{at}": 0.5 for at in range(200, 300)}
    assert scored(one, row500=0.9, **low) == pytest.approx(100.0)
    assert scored(one, row500=0.5, **low) == 0.0, "eleven false alarms' worth for one window"


def test_the_beginning_counts_for_nothing() -> None:
    """15 % of the rows, of 5,000 at most."""
    one = series(200, (60, 79))
    assert len(sweep(one, STANDARD).worth) == 170
    assert scored(one, row10=0.9, row29=0.9, row60=0.9) == pytest.approx(100.0)
    assert scored(one, row30=0.9, row60=0.9) < 100.0
    assert len(sweep(series(6_000), STANDARD).worth) == 5_250


def test_windows_of_several_series_are_told_apart() -> None:
    """Each counts once, not once for all."""
    pair = joined([sweep(series(200, (60, 79)), STANDARD), sweep(series(200, (60, 79)), STANDARD)])
    said = np.zeros(340)
    said[30] = 0.9
    assert best(pair, said, STANDARD).score == pytest.approx(50.0)
    said[200] = 0.9
    assert best(pair, said, STANDARD)[:3] == (0.9, pytest.approx(100.0), 2)


def test_the_windowed_gaussian_says_one_minus_the_tail() -> None:
    """0 before anything is known, one half at the mean, 0.97725 two deviations off; the window moves in steps."""
    detector = WindowedGaussian()
    assert detector.score(5.0) == 0.0
    detector.score(7.0)  # mean 6, deviation 1
    assert detector.score(6.0) == pytest.approx(0.5)
    fresh = WindowedGaussian()
    for value in (5.0, 7.0):
        fresh.score(value)
    assert fresh.score(8.0) == pytest.approx(0.977249868)


def tree_of(values: list[float], times: list[float]) -> object:
    """The tree of sorted values and the cut times of the gaps between them: leaves are lists, a cut is a pair."""
    if not times or min(times) == math.inf:
        return values
    cut = times.index(min(times))
    return tree_of(values[: cut + 1], times[:cut]), tree_of(values[cut + 1 :], times[cut + 1 :])


def members(tree: object) -> list[float]:
    return tree if isinstance(tree, list) else members(tree[0]) + members(tree[1])


def displacement(tree: object, value: float) -> float:
    """The largest ratio of what stands beside to what stands with `value`, on the way to it."""
    if isinstance(tree, list):
        return 0.0
    own, beside = tree if value in members(tree[0]) else (tree[1], tree[0])
    return max(len(members(beside)) / len(members(own)), displacement(own, value))


def test_the_forest_agrees_with_trees_that_are_walked() -> None:
    """All trees at once against one after the other, values that repeat among them."""
    forest = RandomCutForest(seed=3, trees=8, drawn=32)
    random = np.random.default_rng(1)
    for value in random.integers(0, 40, 100).tolist():
        forest.score(float(value))
    for value in (-5.0, 11.5, 20.25, 90.0):
        at, (left, _), (right, _) = forest._split(value)
        found = forest._displacement(at, left, right)
        for tree in range(8):
            place = int(at[tree])
            values, times = forest._value[tree].tolist(), forest._time[tree].tolist()
            values.insert(place, value)
            gaps = [*times[: max(place - 1, 0)], float(left[tree]), float(right[tree]), *times[place:-1]]
            gaps = [one for one in gaps if one != EDGE]
            assert len(gaps) == len(values) - 1
            assert found[tree] == displacement(tree_of(values, gaps), value)


def test_the_forests_samples_stay_sorted_and_their_cuts_inside_their_gaps() -> None:
    """After a thousand values have come and gone."""
    forest = RandomCutForest(seed=1, trees=5, drawn=16)
    random = np.random.default_rng(2)
    scores = [forest.score(float(one)) for one in random.normal(0, 1, 400).round(2)]
    assert (np.diff(forest._value, axis=1) >= 0).all()
    assert (forest._time[:, -1] == EDGE).all()
    inside = np.isfinite(forest._time[:, :-1])
    assert (forest._place[:, :-1] >= forest._value[:, :-1])[inside].all()
    assert (forest._place[:, :-1] <= forest._value[:, 1:])[inside].all()
    assert forest.score(50.0) > 4 * np.median(scores)
