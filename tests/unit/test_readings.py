"""From what a worker serves to a line a stage: rates from two looks, quantiles from buckets, restarts at zero."""

import pytest

from sidechain.agents.arrivals import OVER_S, STEP_S, Arrivals, Fullest
from sidechain.models.wet.readings import Scrape, quantile, rise, snapshot, total
from tests.shown import samples

T0 = 1_700_000_000_000


def look(at_s, instance="dry:1", **series):
    return {instance: Scrape(instance, T0 + at_s * 1_000, samples(**series) if series else None)}


def test_a_stage_is_what_changed_between_two_looks():
    before = look(
        0,
        entries_total={"kind=decision": 1_000, "kind=duplicate": 10},
        lag_records=5,
        processor_seconds_total=10.0,
        processor_wait_seconds_total=1.0,
        decision_seconds_bucket={"le=0.01": 10, "le=0.1": 20, "le=+Inf": 20},
    )
    after = look(
        10,
        entries_total={"kind=decision": 1_900, "kind=duplicate": 110},
        lag_records=400,
        fullest_records=300,
        partitions=4,
        processor_seconds_total=14.0,
        processor_wait_seconds_total=3.5,
        decision_seconds_bucket={"le=0.01": 60, "le=0.1": 119, "le=+Inf": 120},
    )
    [stage] = snapshot(T0, before, after).stages
    assert (stage.name, stage.workers, stage.rate, stage.lag, stage.lag_s) == ("dry", 1, 100.0, 400, 4.0)
    assert (stage.hottest, stage.partitions, stage.hot) == (300, 4, 0.75)
    assert (stage.cpu, stage.waiting) == (0.4, 0.25)
    assert stage.p50_s == pytest.approx(0.01)
    assert stage.p99_s == pytest.approx(0.1)


def test_two_workers_are_one_stage():
    before = look(0, "a:1", scores_total=0.0) | look(0, "b:1", scores_total=0.0)
    after = look(10, "a:1", scores_total=100, wet_lag_records=7, fullest_records=7, partitions=2)
    after |= look(10, "b:1", scores_total=50, wet_lag_records=3, fullest_records=2, partitions=2)
    [stage] = snapshot(T0, before, after).stages
    assert (stage.workers, stage.rate, stage.lag, stage.hottest, stage.partitions) == (2, 15.0, 10, 7, 4)


def test_the_stages_stand_in_the_order_of_the_way():
    """Whatever order they were asked in; what shows no series of ours is no stage, and none without two looks."""
    names = {"wet:1": {"scores_total": 1}, "dry:1": {"entries_total": 1}, "else:1": {"other": 1}}
    before = {}
    for instance, series in names.items():
        before |= look(0, instance, **series)
    after = {one.instance: one._replace(at_ms=T0 + 10_000) for one in before.values()}
    after |= look(10, "tap:1", taps_total=5)  # its first look
    assert [one.name for one in snapshot(T0, before, after).stages] == ["dry", "wet"]
    after["dry:1"] = Scrape("dry:1", T0 + 10_000, None)  # it did not answer
    assert [one.name for one in snapshot(T0, before, after).stages] == ["wet"]
    assert snapshot(T0, before, before).stages == ()  # no time has passed


@pytest.mark.parametrize(("before", "now", "rose"), [(5, 9, 4.0), (9, 5, 5.0), (None, 5, 5.0), (5, None, None)])
def test_a_counter_that_fell_began_anew(before, now, rose):
    early = samples(scores_total=before) if before is not None else {}
    late = samples(scores_total=now) if now is not None else {}
    assert rise(early, late, "sidechain_scores_total") == rose


@pytest.mark.parametrize(
    ("share", "counts", "expected"),
    [
        (0.5, (10, 20, 20), 0.01),
        (0.75, (10, 20, 20), 0.055),  # half way through the second bucket
        (0.5, (0, 0, 10), 0.1),  # in the open bucket: its lower edge
        (0.5, (0, 0, 0), None),
        (0.5, (20, 20, 20), 0.005),
    ],
)
def test_a_quantile_is_interpolated_inside_its_bucket(share, counts, expected):
    buckets = dict(zip(("le=0.01", "le=0.1", "le=+Inf"), counts, strict=True))
    found = quantile(share, {}, samples(score_seconds_bucket=buckets), "sidechain_score_seconds")
    assert found == (expected if expected is None else pytest.approx(expected))


def test_a_total_heeds_labels():
    shown = samples(taps_total={"result=sent": 3, "result=dropped": 2})
    assert total(shown, "sidechain_taps_total", result="sent") == 3
    assert total(shown, "sidechain_taps_total") == 5
    assert total(shown, "sidechain_else") is None


def test_a_stage_says_where_it_is_hot_and_what_full_vectors_cost():
    """Of two workers the one with the fullest partition; scores and seconds of both."""
    before = look(0, "a:1", scores_total=0, explain_seconds_total=0, scores_from_total={"edge=8000": 0, "edge=8100": 0})
    before |= look(0, "b:1", scores_total=0, batches_total=0)
    after = look(
        10,
        "a:1",
        scores_total=100,
        fullest_records=7,
        fullest_partition=3,
        fullest_arrivals_per_second=2.5,
        explain_seconds_total=4,
        processor_share_ratio=0.25,
        scores_from_total={"edge=8000": 50, "edge=8100": 10},
    )
    after |= look(10, "b:1", scores_total=100, fullest_records=6, fullest_partition=1, batches_total=5)
    [stage] = snapshot(T0, before, after).stages
    assert (stage.hottest, stage.partition, stage.arrivals) == (7, 3, 2.5)
    assert stage.allowed == 1.25, "a worker that says nothing of it limits nothing"
    assert (stage.explaining, stage.explained, stage.a_batch) == (0.4, {8_000: 5.0, 8_100: 1.0}, 40.0)


def test_a_rate_of_arrival_is_that_of_the_partition_with_most():
    """Nothing before its end has moved; what has gone is forgotten, and of the past two minutes are kept."""
    arrivals = Arrivals()
    looks = [(at, {0: (0, 100 + at), 1: (50 * at, 50 * at + 300)}) for at in range(0, 100, 10)]
    found = [arrivals.fullest(float(at), places) for at, places in looks]
    assert found[0] == Fullest(300, 1, 0.0)
    assert found[1] == Fullest(300, 1, 50.0)
    assert found[-1] == Fullest(300, 1, 50.0)
    for at in range(100, 900):
        arrivals.fullest(float(at), {1: (0, 50 * at)})
    assert {one: len(moved) for one, moved in arrivals._moved.items()} == {1: OVER_S / STEP_S + 1}
    assert arrivals.fullest(1_000.0, {}) == Fullest()
    assert arrivals.fullest(1_010.0, {4: (0, 9)}) == Fullest(9, 4, 0.0)


def test_an_end_that_is_heard_of_late_makes_no_rate_of_its_own():
    """A reader that holds much hears of the end each forty seconds: 100 a second come all the while."""
    arrivals = Arrivals()
    found = [arrivals.fullest(float(at), {0: (10 * at, 4_000 * (at // 40 + 1))}).arrivals for at in range(400)]
    assert set(found[:40]) == {0.0}
    assert set(found[40:]) == {100.0}


def test_what_comes_no_more_to_a_partition_that_is_read_up_is_less_and_less():
    arrivals = Arrivals()
    found = [arrivals.fullest(float(at), {0: (min(100 * at, 2_000),) * 2}).arrivals for at in range(0, 101, 10)]
    assert found[2] == 100.0
    assert found[-1] == 20.0
