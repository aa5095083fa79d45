"""Alerts on a simulated clock: what belongs together is told once, what does not is kept apart, floods are counted."""

import random
from collections import defaultdict

import pytest

from sidechain.models.wet.incidents import (
    GATHER_MS,
    MEMBERS,
    OPEN,
    PER_MINUTE,
    QUIET_MS,
    SETTLED_MS,
    SILENT_MS,
    SOON_MS,
    Correlator,
    Heard,
)
from sidechain.models.wet.triage import FIRST, RULES, first_look, link

T0 = 1_700_000_000_000
MINUTE = 60_000
BAD = {"bad_bp": 1_200, "usual_bp": 300}


def alert(rule, at_ms=T0, *, firing=True, severity="ticket", evidence=None, **labels):
    return Heard(
        rule=rule,
        at_ms=at_ms,
        severity=severity,
        is_firing=firing,
        summary=f"{rule} said so",
        labels=labels,
        evidence=evidence or {},
    )


# What happens together when something goes wrong: (seconds behind the first, alert).
PLANTS = {
    "brokers": [
        (0, "SidechainCommitStalled", {"instance": "dry-1", "severity": "page"}),
        (4, "SidechainCommitStalled", {"instance": "dry-2", "severity": "page"}),
        (80, "SidechainCheckpointStalled", {"instance": "dry-1"}),
    ],
    "scorer": [
        (0, "SidechainBottleneck", {"stage": "wet", "cause": "slow"}),
        (45, "SidechainOverflow", {"stage": "wet", "queue": "taps", "instance": "wet-1"}),
        (240, "SidechainWetLag", {"job": "sidechain-wet"}),
    ],
    "source": [
        (0, "InputDrift", {"stage": "wet", "feature": "bytes"}),
        (15, "InputDrift", {"stage": "wet", "feature": "gap"}),
        (200, "PerformanceDrift", {"stage": "wet", "expert": "champion", "evidence": BAD}),
    ],
    "sender": [
        (0, "SidechainDeadLetters", {"reason": "missing-field"}),
        (10, "SidechainDeadLetters", {"reason": "not-json"}),
        (30, "SidechainUnreadable", {"instance": "tap-1"}),
    ],
    "machine": [
        (0, "SidechainTargetDown", {"stage": "tap", "instance": "tap-1"}),
        (8, "SidechainTargetDown", {"stage": "wet", "instance": "wet-1"}),
        (20, "SidechainTargetDown", {"stage": "aggregator", "instance": "agg-1"}),
    ],
    "log": [
        (0, "SidechainLaneHalted", {"instance": "dry-1", "severity": "page"}),
        (50, "SidechainTakeoverFailing", {"instance": "dry-2", "severity": "page"}),
    ],
    "entity": [  # rules nobody has written down: what they are about, and how it turned out, joins them
        (0, "ManyAtOnce", {"entity": "p:aaaa", "evidence": BAD}),
        (150, "OutcomesTurned", {"entity": "p:aaaa", "evidence": BAD}),
    ],
    "other entity": [
        (0, "ManyAtOnce", {"entity": "p:bbbb", "evidence": BAD}),
        (20, "OutcomesTurned", {"entity": "p:bbbb", "evidence": BAD}),
    ],
}


def planted(seed):
    """Twenty incidents within five hours: of one sort never within twenty minutes of each other, of others anyhow."""
    chosen = random.Random(seed)
    starts = defaultdict(list)
    made = []
    names = [name for name in PLANTS for _ in range(3)]
    chosen.shuffle(names)
    for number, name in enumerate(names[:20]):
        while True:
            at_ms = T0 + chosen.randrange(5 * 60 * MINUTE)
            if all(abs(at_ms - other) > 20 * MINUTE for other in starts[name]):
                break
        starts[name].append(at_ms)
        for behind_s, rule, labels in PLANTS[name]:
            made.append((at_ms + behind_s * 1_000 + chosen.randrange(900), number, rule, labels))
    return sorted(made, key=lambda one: one[0])


@pytest.mark.parametrize("seed", range(1, 6))
def test_twenty_planted_incidents_are_grouped_right(seed):
    """Every alert is repeated every fifteen seconds for a while, and resolved. Also where incidents overlap in time."""
    events = []
    for at_ms, number, rule, labels in planted(seed):
        events += [(at_ms + 15_000 * again, number, rule, labels, True) for again in range(20)]
        events.append((at_ms + 300_000, number, rule, labels, False))
    correlator, told = Correlator(), {}
    members: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for at_ms, number, rule, labels, firing in sorted(events, key=lambda one: one[0]):
        for one in correlator.tick(at_ms):
            told[one.id] = one
        one = alert(rule, at_ms, firing=firing, **labels)
        correlator.hear(one)
        holding = [group.id for group in correlator._open if one.name in group.members]
        members[holding[0]].add((number, rule))
    for one in correlator.tick(at_ms + SETTLED_MS):
        told[one.id] = one
    assert len(members) == len(told) == 20
    assert all(len({number for number, _ in found}) == 1 for found in members.values()), members
    assert not any(one.is_open for one in told.values())
    assert {one.alerts for one in told.values()} == {2, 3}


@pytest.mark.parametrize(
    ("first", "then", "became"),
    [
        # the same cause and the same stage: at any time
        (("SidechainBottleneck", {"stage": "wet"}), ("SidechainWetLag", 5 * MINUTE, {}), "joined"),
        # the same cause elsewhere: within a minute
        (("SidechainTargetDown", {"stage": "tap"}), ("SidechainTargetDown", SOON_MS, {"stage": "wet"}), "joined"),
        (("SidechainTargetDown", {"stage": "tap"}), ("SidechainTargetDown", SOON_MS + 1, {"stage": "wet"}), "began"),
        # the same stage and the same time alone are chance
        (("SidechainBottleneck", {"stage": "wet"}), ("InputDrift", 1_000, {"feature": "gap"}), "began"),
        # ... the same process as well is not
        (
            ("SidechainCommitStalled", {"instance": "dry-1"}),
            ("SidechainDeadLetters", 1_000, {"instance": "dry-1"}),
            "joined",
        ),
        # an entity joins, and keeps apart
        (("A", {"entity": "p:a"}), ("B", 1_000, {"entity": "p:a"}), "joined"),
        (("A", {"entity": "p:a"}), ("B", 2 * MINUTE, {"entity": "p:a"}), "began"),
        (("SidechainTargetDown", {"entity": "p:a"}), ("SidechainTargetDown", 1_000, {"entity": "p:b"}), "began"),
        # outcomes that turn bad speak for it
        (("A", {"entity": "p:a", "evidence": BAD}), ("B", 2 * MINUTE, {"entity": "p:a", "evidence": BAD}), "joined"),
        # silence ends it
        (("SidechainBottleneck", {"stage": "wet"}), ("SidechainWetLag", QUIET_MS - 1, {}), "joined"),
        (("SidechainBottleneck", {"stage": "wet"}), ("SidechainWetLag", QUIET_MS, {}), "began"),
    ],
)
def test_what_joins_and_what_does_not(first, then, became):
    correlator = Correlator()
    rule, labels = first
    assert correlator.hear(alert(rule, **labels)) == "began"
    rule, later_ms, labels = then
    assert correlator.hear(alert(rule, T0 + later_ms, **labels)) == became


def test_an_incident_is_told_gathered_then_wider_then_over():
    correlator = Correlator()
    correlator.hear(alert("SidechainBottleneck", stage="wet"))
    assert correlator.tick(T0 + GATHER_MS - 1) == []
    [first] = correlator.tick(T0 + GATHER_MS)
    assert (first.is_open, first.rules, first.stage, first.cause) == (True, ("SidechainBottleneck",), "wet", "backlog")
    assert correlator.tick(T0 + GATHER_MS + 1) == []  # nothing new
    correlator.hear(alert("SidechainWetLag", T0 + MINUTE))
    [wider] = correlator.tick(T0 + MINUTE)
    assert (wider.id, wider.alerts, wider.because) == (
        first.id,
        2,
        ("the same cause", "the same stage", "the same time"),
    )
    assert wider.links == ("deploy/runbook.md#sidechainbottleneck", "deploy/runbook.md#sidechainwetlag")
    assert any("decisions go on" in one for one in wider.triage)
    for rule, labels in (("SidechainBottleneck", {"stage": "wet"}), ("SidechainWetLag", {})):
        assert correlator.hear(alert(rule, T0 + 2 * MINUTE, firing=False, **labels)) == "resolved"
    assert correlator.tick(T0 + 2 * MINUTE + SETTLED_MS - 1) == []
    [over] = correlator.tick(T0 + 2 * MINUTE + SETTLED_MS)
    assert (over.id, over.is_open) == (first.id, False)
    assert correlator.open == 0


def test_somebody_is_woken_at_once():
    correlator = Correlator()
    correlator.hear(alert("SidechainLaneHalted", severity="page"))
    [told] = correlator.tick(T0)
    assert told.severity == "page"
    assert not any("decisions go on" in one for one in told.triage)


def test_a_ticket_that_becomes_a_page_is_told_again():
    correlator = Correlator()
    correlator.hear(alert("SidechainCheckpointStalled", instance="dry-1"))
    assert [one.severity for one in correlator.tick(T0 + GATHER_MS)] == ["ticket"]
    correlator.hear(alert("SidechainCommitStalled", T0 + MINUTE, severity="page", instance="dry-1"))
    assert [one.severity for one in correlator.tick(T0 + MINUTE)] == ["page"]


def test_outcomes_are_part_of_the_triage():
    correlator = Correlator()
    correlator.hear(alert("PerformanceDrift", stage="wet", evidence=BAD))
    [told] = correlator.tick(T0 + GATHER_MS)
    assert "Of the outcomes 12.0 % are bad, usually 3.0 %: this reaches what is decided about." in told.triage


def test_an_alert_that_comes_and_goes_is_one_incident():
    """Every half minute for an hour: told once, and once that it is over."""
    correlator, told = Correlator(), []
    for turn in range(120):
        at_ms = T0 + 30_000 * turn
        correlator.hear(alert("SidechainTapDropping", at_ms, firing=turn % 2 == 0))
        told += correlator.tick(at_ms)
    told += correlator.tick(at_ms + SETTLED_MS)
    assert [one.is_open for one in told] == [True, False]


def test_one_that_nobody_resolves_is_over_after_silence():
    correlator = Correlator()
    correlator.hear(alert("InputDrift", feature="gap"))
    correlator.tick(T0 + GATHER_MS)
    assert correlator.tick(T0 + SILENT_MS - 1) == []
    assert [one.is_open for one in correlator.tick(T0 + SILENT_MS)] == [False]


def test_a_resolution_of_what_was_never_heard_is_no_incident():
    assert Correlator().hear(alert("SidechainWetLag", firing=False)) == "unknown"


def test_a_flood_of_one_rule_is_one_incident_with_a_number():
    """A thousand a second for twenty seconds, each of something else: one incident, every alert counted in it."""
    correlator, became, told = Correlator(), defaultdict(int), []
    for number in range(20_000):
        at_ms = T0 + number
        became[correlator.hear(alert("InputDrift", at_ms, feature=f"f{number}"))] += 1
        if number % 1_000 == 0:
            told += correlator.tick(at_ms)
    told += correlator.tick(T0 + 2 * SILENT_MS)
    assert sum(became.values()) == 20_000
    assert became["began"] == 1
    assert became["joined"] <= 2 * PER_MINUTE  # two minutes of the clock are touched
    assert len(told) <= 3
    assert told[-1].alerts + told[-1].suppressed == 20_000
    assert told[-1].alerts <= MEMBERS


def test_a_flood_of_rules_and_entities_is_bounded():
    """Nothing joins anything: as many incidents as may be open, the rest is counted; the table of rules is bounded."""
    correlator, became = Correlator(), defaultdict(int)
    for number in range(1_000):
        became[correlator.hear(alert(f"Rule{number}", T0 + number * 100, entity=f"p:{number}"))] += 1
    assert became["began"] == OPEN
    assert became["began"] + became["too_many"] == 1_000
    assert len(correlator._spoken) <= 257


def test_an_incident_keeps_its_name_whoever_computes_it():
    one, other = Correlator(), Correlator()
    for correlator in (one, other):
        correlator.hear(alert("SidechainBottleneck", stage="wet"))
    assert one.tick(T0 + GATHER_MS) == other.tick(T0 + GATHER_MS)


def test_every_cause_has_a_first_look():
    assert {known.cause for known in RULES.values()} == set(FIRST)
    assert first_look(None)
    assert link("NobodyKnows") == link("InputDrift") == "topics/README.md#alerts"
