"""The bottleneck on a simulated clock: found in time and named right, and nothing found where nothing is wrong."""

from itertools import product

import pytest

from sidechain.models.wet.bottleneck import BEHIND_S, HOT, LOOKS, SATURATED, WAITING, Detector, Snapshot, Stage
from tests.queues import PARTITIONS, T0, Pipeline

AT_S = 300
WITHIN_S = 300
SEEDS = range(1, 4)
INJECTED = [
    ("wet", "slow"),
    ("dry", "hot-partition"),
    ("wet", "hot-partition"),
    ("wet", "starved"),
    ("dry", "starved"),
    ("tap", "starved"),
    ("wet", "saturated"),
    ("wet", "stopped"),
]


@pytest.mark.parametrize(("stage", "cause"), INJECTED)
@pytest.mark.parametrize("seed", SEEDS)
def test_an_injected_bottleneck_is_named_within_five_minutes(seed, stage, cause):
    """Five minutes well, then the fault: the first finding is the right one, and it stays."""
    pipeline, detector = Pipeline(seed), Detector()
    pipeline.inject(stage, cause, from_s=AT_S)
    found = [(one.at_ms, detector.look(one)) for one in pipeline.run(AT_S + 450)]
    named = [(at, one.stage, one.cause) for at, one in found if one is not None]
    assert named, "nothing was found"
    assert AT_S < (named[0][0] - T0) / 1_000 <= AT_S + WITHIN_S
    assert {(found_stage, found_cause) for _, found_stage, found_cause in named} == {(stage, cause)}


@pytest.mark.parametrize("seed", range(1, 7))
def test_thirty_healthy_minutes_are_silent(seed):
    """With bursts of four times the rate, and a rate that wanders."""
    detector = Detector()
    found = [detector.look(one) for one in Pipeline(seed).run(1_800)]
    assert found == [None] * 180


def test_a_backlog_that_is_worked_off_is_no_bottleneck():
    """Twenty minutes of input at once, as after a standstill: it is behind for minutes, and getting on."""
    pipeline, detector = Pipeline(3, bursts=False), Detector()
    pipeline.stages[2].lags = [150_000] * PARTITIONS
    looks = list(pipeline.run(900))
    assert sum(one.stages[2].lag_s >= BEHIND_S for one in looks) > 2 * LOOKS
    assert [detector.look(one) for one in looks] == [None] * 90


def told(past, **more):
    """What is said of a stage after these lags, ten seconds apart."""
    detector = Detector()
    every = [Stage(name="wet", workers=1, **{"rate": 100.0, "lag": lag, **more}) for lag in past]
    return [detector.look(Snapshot(T0 + 10_000 * at, (one,))) for at, one in enumerate(every)][-1]


@pytest.mark.parametrize(
    ("past", "is_found"),
    [
        ([500] * LOOKS, True),  # five seconds of work is behind
        ([499] + [500] * (LOOKS - 1), False),
        ([500] * (LOOKS - 1), False),  # too early to say
        ([60_000 - 6_000 * at for at in range(LOOKS)], False),  # gone in no time
        ([90_000 - 10 * at for at in range(LOOKS)], True),  # gone in a day
        ([10_000 - at % 2 * 5_000 for at in range(LOOKS)], True),  # up and down is not getting on
    ],
)
def test_what_counts_as_held_up(past, is_found):
    assert (told(past) is not None) == is_found


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ({}, "slow"),
        ({"rate": 0.0}, "stopped"),
        ({"hottest": round(1_000 * HOT), "partitions": 2}, "hot-partition"),
        ({"hottest": round(1_000 * HOT) - 1, "partitions": 2}, "slow"),
        ({"hottest": 1_000, "partitions": 1}, "slow"),  # where else should it be
        ({"waiting": WAITING}, "starved"),
        ({"waiting": WAITING - 0.01}, "slow"),
        ({"cpu": SATURATED}, "saturated"),
        ({"cpu": SATURATED - 0.01}, "slow"),
        ({"cpu": 0.25 * SATURATED, "allowed": 0.25}, "saturated"),  # of what it allows itself
        ({"cpu": 0.25 * SATURATED - 0.01, "allowed": 0.25}, "slow"),
        ({"cpu": SATURATED, "waiting": WAITING}, "starved"),
        ({"cpu": 1.0, "waiting": 1.0, "hottest": 1_000, "partitions": 2}, "hot-partition"),
        ({"cpu": 1.0, "waiting": WAITING - 0.01, "rate": 0.0}, "stopped"),
        ({"cpu": 0.0, "waiting": WAITING, "rate": 0.0}, "starved"),  # so much that nothing gets done
        ({"cpu": None, "waiting": None, "p99_s": None}, "slow"),  # a system that does not say
    ],
)
def test_the_surest_sign_names_the_cause(more, cause):
    found = told([1_000] * LOOKS, **more)
    assert (found.stage, found.cause, found.since_ms) == ("wet", cause, T0)
    assert found.evidence[0].startswith("1,000 records wait before wet, ")


def test_the_stage_with_most_work_waiting_is_named():
    """In seconds, not in records."""
    detector = Detector()
    few = Stage(name="wet", workers=1, rate=10.0, lag=600)
    many = Stage(name="dry", workers=1, rate=1_000.0, lag=6_000)
    found = [detector.look(Snapshot(at, (many, few))) for at in range(LOOKS)]
    assert found[-1].stage == "wet"


def test_a_stage_that_is_gone_is_forgotten():
    detector = Detector()
    one = Stage(name="shadow", workers=1, rate=1.0, lag=600)
    for at in range(LOOKS - 1):
        detector.look(Snapshot(at, (one,)))
    detector.look(Snapshot(LOOKS, ()))
    assert detector.look(Snapshot(LOOKS + 1, (one,))) is None


def test_faults_are_told_apart_from_each_other():
    """Every cause the simulator knows is one the detector says, so that a table without a row is noticed."""
    causes = {cause for _, cause in INJECTED}
    assert causes == {"slow", "hot-partition", "starved", "saturated", "stopped"}
    assert len(set(INJECTED)) == len(INJECTED) < len(list(product(("dry", "tap", "wet"), causes)))
