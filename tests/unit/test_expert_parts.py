"""What single experts are made of, against second, dumber programs and numbers worked out by hand."""

import math
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidechain.models.wet.experts import robust
from sidechain.models.wet.experts.contract import NO_CASE, NO_HISTORY, SCORED, WARMING, Batch
from sidechain.models.wet.experts.geometric import Geometric
from sidechain.models.wet.experts.heuristic import Heuristic
from sidechain.models.wet.experts.histories import FADED, Histories
from sidechain.models.wet.experts.retrieval import Cases, Retrieval, confidence
from tests.experts import NAMES, taught, world


def batch_of(rows: list[list[float]], names: tuple[str, ...], keys: list[str] | None = None) -> Batch:
    """Rows with ids of their own."""
    ids = [f"req-{at}" for at in range(len(rows))]
    return Batch(names, np.array(rows, dtype=np.float64).reshape(len(rows), len(names)), keys or ids, ids)


class Dumb:
    """Histories that keep every event of the entities they know."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.events: OrderedDict[str, list[float]] = OrderedDict()

    def add(self, key: str, value: float) -> None:
        """One event."""
        self.events.setdefault(key, []).append(value)
        self.events.move_to_end(key)
        if len(self.events) > self.most:
            self.events.popitem(last=False)

    def of(self, key: str) -> tuple[int, float, float]:
        """Events, mean and variance."""
        events = self.events.get(key, [])
        known = [(FADED ** (len(events) - 1 - at), value) for at, value in enumerate(events) if not math.isnan(value)]
        if not known:
            return len(events), math.nan, math.nan
        weight = math.fsum(one for one, _ in known)
        mean = math.fsum(one * value for one, value in known) / weight
        return len(events), mean, math.fsum(one * (value - mean) ** 2 for one, value in known) / weight


@given(
    events=st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from([math.nan, -3.0, 0.0, 1.0, 7.5])), max_size=60
    ),
    size=st.integers(1, 20),
    most=st.integers(1, 5),
)
def test_histories_are_those_of_every_event_kept(events: list[tuple[str, float]], size: int, most: int) -> None:
    """Six entities where one to five are remembered, in batches of any size."""
    histories, dumb = Histories(1, most), Dumb(most)
    for start in range(0, len(events), size):
        some = events[start : start + size]
        histories.add([key for key, _ in some], np.array([[value] for _, value in some]))
        for key, value in some:
            dumb.add(key, value)
        found = histories.of("abcdef")
        for at, key in enumerate("abcdef"):
            count, mean, variance = dumb.of(key)
            assert found.events[at] == count
            assert found.mean[at, 0] == pytest.approx(mean, abs=1e-9, nan_ok=True)
            assert found.variance[at, 0] == pytest.approx(variance, abs=1e-9, nan_ok=True)
    assert len(histories) == len(dumb.events)


@pytest.mark.parametrize(
    ("column", "centre", "unit"),
    [
        ([1.0, 2.0, 3.0, 4.0, 100.0], 3.0, None),
        ([0.0] * 9 + [5.0], 0.0, 1.2533 * math.asinh(5) / 10),  # half of them the same: the mean deviation
        ([7.0] * 5, 7.0, 1.0),  # never varied
        ([math.nan] * 5, 0.0, 1.0),  # never known
    ],
)
def test_a_scale_is_not_stretched_by_outliers(column: list[float], centre: float, unit: float | None) -> None:
    """Median, and the median deviation from it, of values squashed by asinh."""
    scale = robust.learn(np.array(column)[:, None])
    assert scale.centre[0] == pytest.approx(math.asinh(centre))
    if unit is None:
        strayed = sorted(abs(math.asinh(one) - math.asinh(centre)) for one in column)
        unit = 1.4826 * strayed[2]
    assert scale.unit[0] == pytest.approx(unit)
    assert scale.of(np.array([[math.nan]])).tolist() == [[0.0]]


def test_three_own_deviations_make_one_half() -> None:
    """Of one feature: (value - own mean) / (own deviation + a quarter of everybody's) = 3."""
    expert = Heuristic(("a",), seed=1, warmup=16)
    seen = [0.0, 1.0, 0.0, 1.0] * 4
    expert.learn(batch_of([[math.sinh(one)] for one in seen], ("a",), ["host-81"] * 16))
    own = expert.histories.of(["host-81"])
    unit = 1.4826 * 0.5  # the middle of 0 and 1, from which all stray by a half
    at = own.mean[0, 0] + 3.0 * (math.sqrt(own.variance[0, 0]) + unit / 4)
    given = expert.score(batch_of([[math.sinh(at)], [math.nan], [math.sinh(at)]], ("a",), ["host-81"] * 2 + ["host-9"]))
    assert given.score[:2].tolist() == pytest.approx([0.5, 0.0])
    assert given.state.tolist() == [SCORED, SCORED, NO_HISTORY]


def test_an_entity_needs_five_events_to_have_a_history() -> None:
    """Four are none."""
    expert = Heuristic(NAMES, seed=1, warmup=16)
    batch, _ = world(1, 16)
    for key, events in (("four", 4), ("five", 5)):
        expert.learn(Batch(NAMES, batch.rows[:events], [key] * events, batch.ids[:events]))
    expert.learn(batch)
    asked = Batch(NAMES, batch.rows[:2], ["four", "five"], batch.ids[:2])
    assert expert.score(asked).state.tolist() == [NO_HISTORY, SCORED]


@pytest.mark.parametrize("names", [NAMES, NAMES[:2]])
def test_parts_of_a_deviation_add_up_to_the_score(names: tuple[str, ...]) -> None:
    """The base is 0; a feature that is where it usually is has no part."""
    expert = Heuristic(names, seed=1, warmup=100)
    taught(expert, rows=800)
    batch, _ = world(2, 300)
    given, parts = expert.score(batch), expert.parts(batch)
    scored = given.state == SCORED
    assert np.abs(parts.sum(axis=1)[scored] - given.score[scored]).max() < 1e-9
    assert (parts[~scored] == 0.0).all()
    assert (np.count_nonzero(parts, axis=1) <= 3).all()
    off = batch.rows[scored][:1].copy()
    off[0, 1] = 5_000.0
    moved = expert.parts(Batch(NAMES, off, [np.array(batch.keys)[scored][0]], ["req-1"]))
    assert expert.names[moved[0].argmax()] == "count"


@pytest.mark.parametrize(
    ("cases", "is_cited", "agrees", "expected"),
    [
        (0, False, False, 0.45),
        (1, False, False, 0.454),
        (1, True, False, 0.534),
        (1, False, True, 0.504),
        (1, True, True, 0.634),
        (39, False, False, 0.606),
        (40, False, False, 0.63),
        (50, True, True, 0.85),
        (63, True, True, 0.9),  # 0.902, but not more than 0.9
        (87, False, False, 0.818),
        (88, False, False, 0.82),  # from here on more of the same adds nothing
        (5_000, False, False, 0.82),
        (5_000, True, True, 0.9),
    ],
)
def test_confidence_in_cases(cases: int, is_cited: bool, agrees: bool, expected: float) -> None:
    """clamp(0.45 + n / 250, 0.4, 0.8) + 0.08 + 0.05 + 0.05 + 0.02, 0.9 at most."""
    made = confidence(np.array([cases]), np.array([is_cited]), np.array([agrees]))
    assert made[0] == pytest.approx(expected)


def clusters() -> Retrieval:
    """It remembers eight bad cases about 1,000, and twelve others about 10."""
    expert = Retrieval(("a", "b"), seed=1, warmup=16)
    random = np.random.default_rng(1)
    expert.learn(batch_of(random.lognormal(4, 2, (200, 2)).tolist(), ("a", "b")))
    bad, good = random.normal(1_000, 10, (8, 2)), random.normal(10, 0.1, (12, 2))
    expert.learn_outcomes(batch_of([*bad.tolist(), *good.tolist()], ("a", "b")), np.arange(20) < 8)
    return expert


def test_a_row_like_bad_cases_is_bad_and_says_which() -> None:
    """Between both it does not know, and far from everything it says so."""
    expert = clusters()
    asked = batch_of([[1_000.0, 1_000.0], [10.0, 10.0], [1e12, 1e12]], ("a", "b"))
    given = expert.score(asked)
    assert given.score[0] > 0.9
    assert given.score[1] < 0.1
    assert given.state.tolist() == [SCORED, SCORED, NO_CASE]
    assert given.evidence.tolist() == [8, 12, 0]
    cited = expert.cite(asked, 0)
    assert len(cited) == 3
    assert {one.id for one in cited} <= {f"req-{at}" for at in range(8)}
    assert all(one.is_bad for one in cited)
    assert [one.distance for one in cited] == sorted(one.distance for one in cited)
    assert {one.is_bad for one in expert.cite(asked, 1)} == {False}
    assert expert.cite(asked, 2) == []


def test_a_score_compares_the_shares_of_both_kinds_that_are_near() -> None:
    """Eight bad cases and twelve others, of which six bad and three others are just like the row, the rest far away."""
    expert = Retrieval(("a",), seed=1, warmup=16)
    expert.learn(batch_of([[float(one)] for one in range(200)], ("a",)))
    cases = [[50.0]] * 6 + [[1e15]] * 2 + [[50.0]] * 3 + [[-1e15]] * 9
    expert.learn_outcomes(batch_of(cases, ("a",)), np.arange(20) < 8)
    bad, good = (6 + 0.5) / (8 + 1), (3 + 0.5) / (12 + 1)
    given = expert.score(batch_of([[50.0]], ("a",)))
    assert given.score[0] == pytest.approx(bad / (bad + good), abs=1e-6)
    assert given.evidence[0] == 9


@pytest.mark.parametrize(("bad", "good", "is_warming"), [(7, 50, True), (50, 7, True), (8, 8, False)])
def test_eight_cases_of_each_kind_are_needed(bad: int, good: int, is_warming: bool) -> None:
    """With one kind alone there is nothing to compare."""
    expert = Retrieval(NAMES, seed=1, warmup=16)
    batch, _ = world(1, bad + good)
    expert.learn(batch)
    expert.learn_outcomes(batch, np.arange(bad + good) < bad)
    assert (expert.score(batch).state == WARMING).all() == is_warming


@given(st.lists(st.integers(0, 7), max_size=8), st.integers(1, 6))
def test_the_newest_cases_stay(batches: list[int], most: int) -> None:
    """However many come at once."""
    cases, seen = Cases(1, most), list[int]()
    for size in batches:
        new = list(range(len(seen), len(seen) + size))
        cases.add([str(one) for one in new], np.array(new, dtype=np.float64).reshape(size, 1))
        seen += new
    assert sorted(map(int, cases.ids)) == seen[-most:]
    assert sorted(cases.rows[:, 0].tolist()) == [float(one) for one in seen[-most:]]
    assert [str(int(one)) for one in cases.rows[:, 0]] == cases.ids


def test_what_lies_in_a_hole_between_two_clusters_is_far_from_its_neighbours() -> None:
    """From the middle it is no further than many others; its neighbours give it away."""
    random = np.random.default_rng(3)
    side = np.where(random.random(2_000) < 0.5, -3.0, 3.0)
    rows = np.stack([np.sinh(side + random.normal(0, 0.2, 2_000)), random.normal(0, 1, 2_000)], axis=1)
    expert = Geometric(("a", "b"), seed=1, warmup=500)
    expert.learn(batch_of(rows.tolist(), ("a", "b")))
    shape = expert.learned
    assert shape is not None
    hole = np.array([[0.0, 0.0]])
    far, alone = shape.distances(np.concatenate([hole, rows[:500]]))
    assert far[0] < np.quantile(far[1:], 0.9)
    assert alone[0] > np.quantile(alone[1:], 0.99)
    assert expert.score(batch_of(hole.tolist(), ("a", "b"))).score[0] > 0.75  # far alone would say less
    assert shape.far.of(far)[0] < 0.6


def test_correlated_features_that_part_ways_are_far_although_neither_is() -> None:
    """Each value alone is within its usual range: whitening takes the correlation out."""
    random = np.random.default_rng(4)
    one = random.normal(0, 1, 3_000)
    rows = np.sinh(np.stack([one, one + random.normal(0, 0.1, 3_000)], axis=1))
    expert = Geometric(("a", "b"), seed=1, warmup=500)
    expert.learn(batch_of(rows.tolist(), ("a", "b")))
    asked = batch_of([[math.sinh(1.2), math.sinh(-1.2)], [math.sinh(1.2), math.sinh(1.2)]], ("a", "b"))
    score = expert.score(asked).score
    assert score[0] > 0.99
    assert score[1] < 0.95
