"""Energy governance: golden tables, worked out by hand from the seed's numbers."""

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidechain.agents.metrics import MULTIPLIERS
from sidechain.models.dry.governance import (
    CorruptTripwire,
    Governance,
    Request,
    Tripwire,
    adopted,
    authorise,
    charge,
    dump,
    is_enough,
    level_of,
    load,
    recovered,
    step,
    wait_before,
)

RULES = Governance()


@pytest.mark.parametrize(
    ("base", "request_", "cost"),
    [
        (1_000, {}, 1_000),
        (1_000, {"is_complex": True}, 1_500),
        (1_000, {"trust_bp": 5_999}, 1_300),
        (1_000, {"trust_bp": 6_000}, 1_000),  # 0.6 is trusted
        (1_000, {"entropy_bp": 7_001}, 1_400),
        (1_000, {"entropy_bp": 7_000}, 1_000),
        (1_000, {"is_emergency": True}, 600),
        (1_000, {"is_complex": True, "trust_bp": 0}, 1_950),
        (1_000, {"is_complex": True, "entropy_bp": 10_000}, 2_100),
        (1_000, {"trust_bp": 0, "entropy_bp": 10_000}, 1_820),
        (1_000, {"is_complex": True, "trust_bp": 0, "entropy_bp": 10_000}, 2_730),  # 2.73 together
        (1_000, {"is_complex": True, "trust_bp": 0, "entropy_bp": 10_000, "is_emergency": True}, 1_638),
        (1_000, {"is_complex": None, "trust_bp": None, "entropy_bp": None}, 2_730),  # unknown costs as the worst
        (1, {"is_complex": True, "trust_bp": 0, "entropy_bp": 10_000}, 3),  # 2.73, upwards
        (1, {"is_emergency": True}, 1),
        (0, {"is_complex": True}, 0),
        (7, {"is_complex": True, "trust_bp": 0}, 14),  # 13.65; rounded at each step it would be 11, then 15
        (2**53 - 1, {}, 2**53 - 1),
        (2**53 - 1, {"is_complex": True}, None),
        (-1, {}, None),
        (2**53, {}, None),
        (1.5, {}, None),
    ],
)
def test_multipliers(base, request_, cost):
    """1.5, 1.3, 1.4, 0.6; strictly beyond their edges; rounded once, upwards."""
    found = charge(RULES, Request(base=base, **request_))
    assert (found and found.cost) == cost


@settings(max_examples=200)
@given(st.integers(0, 10**12), st.booleans(), st.integers(0, 10_000), st.integers(0, 10_000), st.booleans())
def test_a_charge_is_the_exact_product_rounded_up(base, is_complex, trust_bp, entropy_bp, is_emergency):
    """The model: fractions."""
    product = Fraction(base)
    product *= Fraction(15, 10) if is_complex else 1
    product *= Fraction(13, 10) if trust_bp < 6_000 else 1
    product *= Fraction(14, 10) if entropy_bp > 7_000 else 1
    product *= Fraction(6, 10) if is_emergency else 1
    asked = Request(
        base=base, is_complex=is_complex, trust_bp=trust_bp, entropy_bp=entropy_bp, is_emergency=is_emergency
    )
    assert 0 <= charge(RULES, asked).cost - product < 1


@pytest.mark.parametrize(
    ("used", "given_", "level"),
    [
        (0, 10_000, "normal"),
        (8_499, 10_000, "normal"),
        (8_500, 10_000, "review"),
        (9_499, 10_000, "review"),
        (9_500, 10_000, "stop"),
        (9_899, 10_000, "stop"),
        (9_900, 10_000, "emergency"),
        (20_000, 10_000, "emergency"),
        (5, 6, "normal"),  # 83.3 %
        (6, 7, "review"),  # 85.7 %
        (16, 17, "review"),  # 94.1 %
        (19, 20, "stop"),  # exactly 95 %
        (98, 99, "stop"),  # 98.99 %
        (99, 100, "emergency"),
        (0, 0, "emergency"),  # nothing given is all used
    ],
)
def test_levels(used, given_, level):
    """85, 95 and 99 %: an edge belongs to the stricter level."""
    assert level_of(RULES, used, given_) == level


@pytest.mark.parametrize(
    ("base", "used", "given_", "options", "answer", "why", "cost"),
    [
        (100, 0, 10_000, {}, "approve", "within_budget", 100),
        (100, 8_399, 10_000, {}, "approve", "within_budget", 100),  # 84.99 % with the request
        (100, 8_400, 10_000, {}, "review", "budget_review", 100),
        (100, 9_399, 10_000, {}, "review", "budget_review", 100),
        (100, 9_400, 10_000, {}, "refuse", "budget_hard_stop", 0),
        (100, 9_799, 10_000, {}, "refuse", "budget_hard_stop", 0),
        (100, 9_800, 10_000, {}, "refuse", "budget_emergency", 0),
        (100, 9_800, 10_000, {"is_emergency": True}, "review", "budget_review", 60),  # 98.6 %: an emergency passes
        (100, 9_840, 10_000, {"is_emergency": True}, "refuse", "budget_emergency", 0),
        (10_000, 0, 10**6, {}, "approve", "within_budget", 10_000),
        (10_001, 0, 10**6, {}, "manual", "exceeds_approval_threshold", 0),
        (10_001, 0, 10**6, {"is_downgraded": True}, "manual", "exceeds_approval_threshold", 0),
        (10_001, 10**6, 10**6, {}, "refuse", "budget_emergency", 0),  # the strictest answers
        (101, 0, 10_000, {"is_downgraded": True}, "approve", "budget_tripwire_active", 51),  # half, upwards
        (100, 9_400, 10_000, {"is_downgraded": True}, "review", "budget_review", 50),
        (-1, 0, 10_000, {}, "refuse", "cost_unknown", 0),
        (0, 0, 0, {}, "refuse", "budget_emergency", 0),
    ],
)
def test_authorisation(base, used, given_, options, answer, why, cost):
    """Approval threshold 10,000; review, hard stop and emergency; half the cost while downgraded."""
    is_downgraded = options.get("is_downgraded", False)
    asked = Request(base=base, is_emergency=options.get("is_emergency", False))
    found = authorise(RULES, asked, used=used, given=given_, is_downgraded=is_downgraded)
    assert (found.answer, found.why, found.cost) == (answer, why, cost)


BREACH, EDGE, NEAR, BELOW = (10_000, 11_201), (10_000, 11_200), (10_000, 10_800), (10_000, 9_000)


@pytest.mark.parametrize(
    ("costs", "events"),
    [
        ([EDGE] * 4, ["calm"] * 4),  # 12 % is no breach
        ([BREACH] * 2, ["breach"] * 2),
        ([BREACH] * 3, ["breach", "breach", "downgraded"]),
        ([BREACH] * 5, ["breach", "breach", "downgraded", "breach", "breach"]),  # said once
        ([BREACH, BREACH, EDGE, BREACH, BREACH], ["breach", "breach", "calm", "breach", "breach"]),
        (
            [BREACH, BREACH, EDGE, BREACH, BREACH, BREACH],
            ["breach", "breach", "calm", "breach", "breach", "downgraded"],
        ),
        ([(0, 0)] * 3, ["calm"] * 3),
        ([(0, 1)] * 3, ["breach", "breach", "downgraded"]),  # nothing was estimated
        ([BELOW] * 3, ["calm"] * 3),
        ([(1, 1)] * 3, ["calm"] * 3),
        ([(8, 9)] * 3, ["breach", "breach", "downgraded"]),  # 12.5 %
        ([(9, 10)] * 3, ["calm"] * 3),  # 11.1 %
    ],
)
def test_three_breaches_in_a_row_trip_the_wire(costs, events):
    """Strictly above 12 %, consecutive, and then downgraded whatever follows."""
    state, found = Tripwire(), []
    for estimate, cost in costs:
        state, event = step(RULES, state, estimate=estimate, cost=cost)
        found.append(event)
    assert found == events
    assert state.is_downgraded == ("downgraded" in events)


def test_without_hysteresis_only_a_person_recovers():
    """However calm it becomes."""
    state = Tripwire(3, is_downgraded=True)
    for _ in range(1_000):
        state, event = step(RULES, state, estimate=100, cost=50)
        assert (state.is_downgraded, event) == (True, "calm")
    assert recovered(state) == Tripwire()
    with pytest.raises(ValueError, match="nothing to recover"):
        recovered(Tripwire())


@pytest.mark.parametrize(
    ("costs", "event", "is_downgraded"),
    [
        ([NEAR] * 3, "recovered", False),  # 8 % counts
        ([NEAR] * 2, "calm", True),
        ([(10_000, 10_801)] * 9, "calm", True),  # above 8 % and no breach: neither worse nor better
        ([NEAR, NEAR, (10_000, 10_801), NEAR, NEAR], "calm", True),  # not in a row
        ([NEAR, NEAR, BREACH, NEAR, NEAR], "calm", True),
        ([NEAR, NEAR, BREACH, NEAR, NEAR, NEAR], "recovered", False),
        ([NEAR] * 3 + [BREACH] * 2, "breach", False),  # it takes three breaches again
        ([NEAR] * 3 + [BREACH] * 3, "downgraded", True),
    ],
)
def test_hysteresis_recovers_below_a_lower_edge(costs, event, is_downgraded):
    """Trips above 12 %, recovers after three costs in a row at or below 8 %."""
    rules = Governance(recover_at_bp=800, recover_after=3)
    state = Tripwire(3, is_downgraded=True)
    for estimate, cost in costs:
        state, found = step(rules, state, estimate=estimate, cost=cost)
        assert load(rules, dump(state)) == state
    assert (found, state.is_downgraded) == (event, is_downgraded)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b"null",
        b"[0,false]x",
        b'["0",false,0]',
        b"[-1,false,0]",
        b"[3,false,0]",  # three breaches and not downgraded
        b"[0,false,1]",  # calm without a downgrade
        b"[1,true,1]",  # a breach and calm at once
        b"[0,true,3]",  # as calm as it takes to recover
        b"[0,0,0]",
        b"[0,false,0,0]",
        b"[" * 3_000,
    ],
)
def test_a_corrupt_tripwire_is_refused_and_never_read_as_all_is_well(value):
    """The seed fell back to `monitoring` and so lifted a downgrade that nobody had lifted."""
    with pytest.raises(CorruptTripwire, match="Restore the state"):
        load(Governance(recover_at_bp=800, recover_after=3), value)


def test_a_new_policy_keeps_a_downgrade_and_recounts_what_no_longer_fits():
    """Two breaches of three become one of two: the next trips; calm counts from the beginning."""
    assert adopted(Governance(breaches=2), Tripwire(2)) == Tripwire(1)
    assert adopted(RULES, Tripwire(0, is_downgraded=True, calm=7)) == Tripwire(0, is_downgraded=True)
    for breaches in (1, 2, 3):
        rules = Governance(breaches=breaches)
        assert load(rules, dump(adopted(rules, Tripwire(2)))) == Tripwire(min(2, breaches - 1))


@pytest.mark.parametrize(
    ("quality_bp", "consumed", "reserved", "enough"),
    [
        (8_500, 69, 100, True),
        (8_499, 69, 100, False),
        (8_500, 70, 100, False),
        (10_000, 0, 1, True),
        (10_000, 0, 0, False),
        (None, 0, 100, False),
    ],
)
def test_early_stop(quality_bp, consumed, reserved, enough):
    """Good enough at 0.85, and less than 0.70 consumed; an unknown quality is not good enough."""
    assert is_enough(RULES, quality_bp, consumed, reserved) is enough


def test_backoff_doubles_up_to_its_bound_and_ends_with_the_attempts():
    """200 ms before the second, 400 before the third, and no fourth; with more attempts, 8 times at most."""
    assert [wait_before(RULES, one) for one in range(5)] == [None, None, 200, 400, None]
    patient = Governance(attempts=100)
    assert [wait_before(patient, one) for one in (2, 3, 4, 5, 6, 100, 101)] == [200, 400, 800, 1600, 1600, 1600, None]


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ({"review_at_bp": 9_501}, "levels must rise"),
        ({"emergency_at_bp": 10_001}, "levels must rise"),
        ({"review_at_bp": 0}, "levels must rise"),
        ({"downgraded_bp": 10_001}, "downgrade"),
        ({"recover_at_bp": 1_201}, "less than a breach"),
        ({"complex_bp": -1}, "multiplier"),
        ({"breaches": 0}, "at least 1"),
        ({"approval_above": -1}, "approval"),
        ({"backoff_ms": 0}, "backoff"),
    ],
)
def test_numbers_that_cannot_hold_are_refused(numbers, sentence):
    """With a sentence."""
    with pytest.raises(ValueError, match=sentence):
        Governance(**numbers)


def test_everything_an_entry_could_hold_is_integers_and_names():
    """No float anywhere in what is recorded."""
    found = authorise(RULES, Request(base=100), used=1, given=1_000, is_downgraded=False)
    text = msgspec.json.encode([charge(RULES, Request(base=3, is_complex=True)), found])
    assert text == (
        b'[{"cost":5,"multipliers":[["complexity",15000]]},'
        b'{"answer":"approve","why":"within_budget","cost":100,"level":"normal"}]'
    )


def test_the_series_of_multipliers_are_those_that_can_apply():
    """Their names stand with the metrics once more, so that each has its series before it ever applied."""
    asked = Request(base=100, is_complex=None, trust_bp=None, entropy_bp=None, is_emergency=True)
    assert tuple(name for name, _ in charge(Governance(), asked).multipliers) == MULTIPLIERS
