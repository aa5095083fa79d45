"""Governance of one partition: what meets a request first, what a cost does, and that nothing of it is lost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidechain.models.dry.governance import (
    Asked,
    CorruptInsight,
    CorruptTripwire,
    Governance,
    Governor,
    Request,
    Tripwire,
    scenario,
)

RULES = Governance()
NAME = scenario(["refund", 3])
COST = {"now_ms": 0, "estimate": 100}


def asked(base=100, **more):
    request = {name: more.pop(name) for name in list(more) if name in Request.__struct_fields__}
    return Asked(Request(base=base, **request), **more)


def answered(governor, one, used=0, given_=10_000, now_ms=0):
    found = governor.answer(one, used=used, given=given_, now_ms=now_ms)
    return found.answer, found.why, found.cost, found.wait_ms


@pytest.mark.parametrize(
    ("one", "used", "answer"),
    [
        (asked(), 0, ("approve", "within_budget", 100, None)),
        (asked(attempt=1), 0, ("approve", "within_budget", 100, None)),
        (asked(attempt=2), 0, ("approve", "within_budget", 100, 200)),
        (asked(attempt=3), 0, ("approve", "within_budget", 100, 400)),
        (asked(attempt=4), 0, ("refuse", "attempts_exhausted", 0, None)),
        (asked(attempt=0), 0, ("refuse", "attempt_unknown", 0, None)),
        (asked(attempt=None), 0, ("refuse", "attempt_unknown", 0, None)),
        (asked(quality_bp=8_500, consumed=69), 0, ("enough", "quality_reached", 0, None)),
        (asked(quality_bp=8_499, consumed=69), 0, ("approve", "within_budget", 100, None)),
        (asked(quality_bp=8_500, consumed=70), 0, ("approve", "within_budget", 100, None)),
        (asked(quality_bp=8_500, consumed=70, is_complex=True), 0, ("enough", "quality_reached", 0, None)),  # of 150
        (asked(quality_bp=8_500, consumed=-1), 0, ("approve", "within_budget", 100, None)),
        (asked(quality_bp=None, consumed=0), 0, ("approve", "within_budget", 100, None)),
        (asked(quality_bp=9_000, consumed=None), 0, ("approve", "within_budget", 100, None)),
        (asked(-1, quality_bp=9_000, consumed=0), 0, ("refuse", "cost_unknown", 0, None)),
        (asked(), 8_400, ("review", "budget_review", 100, None)),
        (asked(), 9_400, ("refuse", "budget_hard_stop", 0, None)),
        (asked(attempt=2), 9_400, ("refuse", "budget_hard_stop", 0, 200)),
        (asked(10_001), 0, ("refuse", "budget_emergency", 0, None)),
        (asked(scenario=NAME), 0, ("approve", "within_budget", 100, None)),
    ],
)
def test_what_a_request_meets_first(one, used, answer):
    """Its attempts, what is known, what is good enough, its cost."""
    assert answered(Governor(RULES, 0), one, used) == answer


def test_what_is_known_is_not_paid_for_again():
    """From the entry that settles it on, while it holds; not where it turned out bad, or nothing came of it."""
    governor = Governor(RULES, 0)
    one = asked(scenario=NAME, attempt=2)
    governor.awaits(41, NAME, 0)
    assert answered(governor, one)[0] == "approve"
    assert governor.settled(50, 41, cost=100, **COST).learned == NAME
    found = governor.answer(one, used=9_999, given=10_000, now_ms=86_399_999)
    assert (found.answer, found.insight, found.cost, found.wait_ms) == ("insight", 41, 0, 200)
    assert answered(governor, one, now_ms=86_400_000)[0] == "approve"
    assert answered(governor, asked(scenario=scenario(["other"])))[0] == "approve"
    other = Governor(RULES, 0)
    other.awaits(1, NAME, 0)
    assert other.settled(2, 1, cost=100, is_bad=True, **COST).learned is None
    other.awaits(3, NAME, 0)
    other.released(3)
    assert other.settled(4, 3, cost=100, **COST).learned is None
    assert answered(other, one)[0] == "approve"


def test_three_costs_beyond_their_estimates_halve_what_comes_next():
    """And no fourth breach, calm or attempt ends that; the answer says so."""
    governor = Governor(RULES, 0)
    watched = [governor.settled(at, at, cost=113, **COST) for at in range(4)]
    assert [(one.event, one.tripwire.is_downgraded) for one in watched] == [
        ("breach", False),
        ("breach", False),
        ("downgraded", True),
        ("breach", True),
    ]
    found = governor.answer(asked(101), used=0, given=10_000, now_ms=0)
    assert (found.answer, found.why, found.cost, found.downgraded) == ("approve", "budget_tripwire_active", 51, True)
    for _ in range(20):
        assert governor.settled(9, 9, cost=100, **COST).tripwire.is_downgraded


@pytest.mark.parametrize(
    ("recovered", "is_downgraded"),
    [([0], True), ([0, 0], True), ([1], False), ([1, 0], False), ([0, 1, 1], False)],
)
def test_a_person_recovers_it_by_a_policy(recovered, is_downgraded):
    """Whose `recovered` is higher than any before; one that is not leaves the downgrade."""
    governor = tripped(0)
    for one in recovered:
        governor.change(RULES, one)
    assert governor.tripwire.is_downgraded is is_downgraded


def tripped(recovered):
    governor = Governor(RULES, recovered)
    for at in range(3):
        governor.settled(at, at, cost=200, **COST)
    return governor


def test_recovering_counts_once():
    """A tripwire that trips again under the same policy stays so, also where an older policy comes back."""
    governor = tripped(5)
    for recovered in (5, 4, 5):
        governor.change(RULES, recovered)
        assert governor.tripwire.is_downgraded
    restored = Governor(RULES, 4)
    restored.restore(written(governor))
    restored.change(RULES, 5)
    assert restored.tripwire.is_downgraded
    restored.change(RULES, 6)
    assert not restored.tripwire.is_downgraded


def written(governor):
    return [(name, value) for name, value in governor.changes() if value is not None]


steps = st.lists(
    st.tuples(
        st.sampled_from(("await", "cheap", "dear", "dear", "bad", "release", "policy")),
        st.integers(0, 3),
        st.integers(0, 40_000_000),
    ),
    max_size=40,
)


@settings(max_examples=100)
@given(steps, st.integers(0, 40))
def test_read_back_from_the_changelog_it_has_the_same_future(taken, cut):
    """After any entry; and what its records sum up to is the same."""
    rules = Governance(insights=2, recover_at_bp=0, recover_after=2)
    one, log, now_ms, recovered = Governor(rules, 0), {}, 0, 0
    two = one
    for seq, (what, number, later_ms) in enumerate(taken):
        now_ms += later_ms
        if seq == cut and log:
            two = Governor(rules, recovered)
            two.restore(sorted(log.items(), reverse=True))
            assert two.total == one.total
        recovered = number if what == "policy" else recovered
        stepped = [step(each, rules, what, number, seq, now_ms) for each in {id(one): one, id(two): two}.values()]
        assert stepped[0] == stepped[-1]
        changed = list(one.changes())
        assert two is one or list(two.changes()) == changed
        for name, value in changed:
            log.pop(name, None) if value is None else log.update({name: value})


def step(governor, rules, what, number, seq, now_ms):
    name, decision = scenario([number]), seq - 1 - number
    if what == "await":
        governor.awaits(seq, name, now_ms)
    elif what == "release":
        governor.released(decision)
    elif what == "policy":
        governor.change(rules, number)
    else:
        cost = {"cheap": 100, "dear": 113, "bad": 100}[what]
        return governor.settled(seq, decision, estimate=100, cost=cost, now_ms=now_ms, is_bad=what == "bad")
    return [governor.answer(asked(scenario=scenario([at])), used=0, given=1_000, now_ms=now_ms) for at in range(4)]


@pytest.mark.parametrize(
    ("records", "fault", "sentence"),
    [
        ({}, CorruptTripwire, "missing"),
        ({b"governed:": b"[0,false,0]"}, CorruptTripwire, "cannot be read"),
        ({b"governed:": b"[0,[3,false,0]]"}, CorruptTripwire, "no state that costs lead to"),
        ({b"governed:": b"[0]"}, CorruptTripwire, "cannot be read"),
        ({b"governed:": b""}, CorruptTripwire, "cannot be read"),
        ({b"governed:": b"[0,[0,false,0]]", b"insight:0": b"[1,1,0]"}, CorruptInsight, "no entry writes this"),
    ],
)
def test_a_state_that_is_corrupt_is_refused(records, fault, sentence):
    """And never read as if all were well."""
    with pytest.raises(fault, match=sentence):
        Governor(RULES, 0).restore(records.items())


def test_a_fresh_one_is_watching():
    assert Governor(RULES, 3).tripwire == Tripwire()
