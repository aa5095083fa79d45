"""The rules over what workers show, on a simulated clock: each quiet and firing, and an hour in which all is well."""

import random

import pytest

from sidechain.models.wet.incidents import Correlator
from sidechain.models.wet.readings import Scrape
from sidechain.models.wet.triage import RULES as KNOWN
from sidechain.models.wet.watch import DOWN_DRY_MS, DOWN_MS, INSTANCES, RECENT_MS, RULES, Watch
from tests.shown import samples

T0 = 1_700_000_000_000
LOOK_MS = 10_000


def shown(at_ms, **series):
    return {"x:1": Scrape("x:1", at_ms, samples(**series))}


def played(looks):
    """What was said at each look, ten seconds apart: {rule: [firing, …]}."""
    watch, said = Watch(), []
    for turn, series in enumerate(looks):
        at_ms = T0 + turn * LOOK_MS
        scrape = {"x:1": Scrape("x:1", at_ms, samples(**series) if series is not None else None)}
        said.append([(one.rule, one.severity, one.is_firing) for one in watch.look(at_ms, scrape)])
    return said


DRY = {"entries_total": 1, "lag_records": 0, "last_commit_timestamp_seconds": T0 / 1_000, "lanes_halted": 0}


@pytest.mark.parametrize(
    ("rule", "severity", "quiet", "firing"),
    [
        ("SidechainLaneHalted", "page", {"lanes_halted": 0}, {"lanes_halted": 1}),
        ("SidechainOverflow", "ticket", {"overflow_level": {"queue=taps": 1}}, {"overflow_level": {"queue=taps": 2}}),
        (
            "SidechainBottleneck",
            "ticket",
            {"bottleneck": {"cause=slow,stage=wet": 0}},
            {"bottleneck": {"cause=slow,stage=wet": 1}},
        ),
        (
            "SidechainDeadLetters",
            "ticket",
            {"dead_letters_total": {"reason=not-json": 3}},
            {"dead_letters_total": {"reason=not-json": 4}},
        ),
        ("SidechainUnreadable", "ticket", {"tap_unreadable_total": 3}, {"tap_unreadable_total": 4}),
        (
            "SidechainTapDropping",
            "ticket",
            {"taps_total": {"result=dropped": 3, "result=sent": 5}},
            {"taps_total": {"result=dropped": 4, "result=sent": 9}},
        ),
    ],
)
def test_each_rule_is_quiet_and_fires(rule, severity, quiet, firing):
    """What stood there when it was first looked at is no news."""
    first, second, third = played([quiet, quiet, firing])
    assert (first, second, third) == ([], [], [(rule, severity, True)])


def test_a_stall_is_told_after_a_minute_of_it():
    """Input and no commit for more than a minute, and that for a minute; no input is no stall."""
    stalled = {**DRY, "lag_records": 5}
    said = played([DRY] * 20 + [stalled] * 20)
    assert [bool(one) for one in said] == [False] * 26 + [True] * 14
    assert said[26] == [("SidechainCommitStalled", "page", True)]


def test_failed_takeovers_are_told_when_they_go_on():
    """One failure is tried again and heals."""
    counts = [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8]
    said = played([{"takeovers_total": {"result=failed": count}} for count in counts])
    fired = [turn for turn, one in enumerate(said) if one]
    assert fired == [16]


@pytest.mark.parametrize(("stage", "after_ms"), [("entries_total", DOWN_DRY_MS), ("taps_total", DOWN_MS)])
def test_a_worker_that_does_not_answer_is_told_in_its_time(stage, after_ms):
    looks = after_ms // LOOK_MS
    said = played([{stage: 1}] + [None] * looks)
    assert [bool(one) for one in said] == [False] * looks + [True]
    assert said[-1] == [("SidechainTargetDown", "page" if stage == "entries_total" else "ticket", True)]
    assert played([{stage: 1}] + [None] * looks + [{stage: 1}])[-1] == [(*said[-1][0][:2], False)]


def test_what_was_counted_stays_an_alert_for_a_while_and_ends():
    letters = [{"dead_letters_total": {"reason=not-json": count}} for count in (0, 1)]
    said = played([*letters, *[letters[1]] * (RECENT_MS // LOOK_MS + 2)])
    firing = [one[0][2] for one in said if one]
    assert firing == [True] * (RECENT_MS // LOOK_MS + 1) + [False]
    assert said[-1] == []


def test_workers_beyond_the_bound_are_counted():
    watch = Watch()
    every = {f"x:{number}": Scrape(f"x:{number}", T0, samples(lanes_halted=1)) for number in range(INSTANCES + 3)}
    assert len(watch.look(T0, every)) == INSTANCES
    assert watch.left_out == 3


def test_every_rule_is_known_to_the_triage():
    assert {one.name for one in RULES} | {"SidechainTargetDown"} <= set(KNOWN)


@pytest.mark.parametrize("seed", range(1, 4))
def test_a_healthy_hour_is_silent(seed):
    """Six workers that wander, burst, restart now and then and miss a scrape: no alert, no incident."""
    chosen, watch, correlator = random.Random(seed), Watch(), Correlator()
    counts = dict.fromkeys(("dry:1", "dry:2", "tap:1", "wet:1", "aggregator:1", "shadow:1"), 0)
    told = []
    for turn in range(360):
        at_ms = T0 + turn * LOOK_MS
        scrapes = {}
        for instance in counts:
            counts[instance] = 0 if chosen.random() < 0.003 else counts[instance] + chosen.randrange(20_000)
            missed = chosen.random() < 0.01
            scrapes[instance] = Scrape(
                instance, at_ms, None if missed else healthy(instance, counts[instance], at_ms, chosen)
            )
        for one in watch.look(at_ms, scrapes):
            told.append(one)
            correlator.hear(one)
        told += correlator.tick(at_ms)
    assert told == []


def healthy(instance, count, at_ms, chosen):
    lag = chosen.choice((0, 0, 3, 50, 4_000))
    match instance.partition(":")[0]:
        case "dry":
            return samples(
                entries_total={"kind=decision": count},
                lag_records=lag,
                last_commit_timestamp_seconds=at_ms / 1_000 - chosen.uniform(0, 20),
                lanes_halted=0,
                takeovers_total={"result=failed": 0, "result=restored": 1},
                dead_letters_total={"reason=not-json": 2},
                learned_unreadable_total=0,
            )
        case "tap":
            return samples(
                taps_total={"result=sent": count, "result=dropped": 0},
                tap_unreadable_total=0,
                overflow_level={"queue=decisions": chosen.choice((0, 0, 0, 1))},
            )
        case "wet":
            return samples(scores_total=count, wet_lag_records=lag, overflow_level={"queue=taps": 0, "queue=scores": 0})
        case "aggregator":
            return samples(aggregator_cases_total=count, aggregator_lag_records=lag, aggregator_unreadable_total=0)
        case _:
            return samples(shadow_inputs_total=count, shadow_lag_records=lag * 100)
