"""The trust gate against its formula, worked out with 60 decimal digits, and against the published values."""

from decimal import Decimal, localcontext
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidechain.models.dry.logits import LOGIT_MICRO
from sidechain.models.dry.program import conclude, fired_outcome
from sidechain.models.dry.trust import contributions, judge, tier_of
from tests.support import decided, event, policy, rule, trust

GATE = policy().trust
EDGE = Decimal("0.000001")  # no probability is nearer to 0 or 1
BP = st.integers(0, 10_000)


@cache
def exact_logit(bp: int) -> Decimal:
    """ln(p / (1 - p)) with 60 digits."""
    with localcontext() as context:
        context.prec = 60
        p = min(max(Decimal(bp) / 10_000, EDGE), 1 - EDGE)
        return (p / (1 - p)).ln()


def exact_trust(alignment: int, risk: int, band: int) -> Decimal:
    """The formula as its source states it, with the default weights; a probability."""
    with localcontext() as context:
        context.prec = 60
        total = (
            Decimal("0.45") * exact_logit(alignment)
            + Decimal("0.35") * exact_logit(10_000 - risk)
            + Decimal("0.20") * exact_logit(10_000 - band)
        )
        return 1 / (1 + (-total).exp())


def test_every_logit_of_the_table_is_the_exact_one_rounded():
    """One value for each basis point, none further than half a micro-unit from the logarithm."""
    assert len(LOGIT_MICRO) == 10_001
    wrong = [bp for bp in range(10_001) if abs(exact_logit(bp) * 1_000_000 - LOGIT_MICRO[bp]) > Decimal("0.5")]
    assert wrong == []


def test_the_table_rises_and_its_halves_mirror_each_other():
    """Both together make the gate monotone and symmetric."""
    assert all(LOGIT_MICRO[bp] < LOGIT_MICRO[bp + 1] for bp in range(10_000))
    assert all(LOGIT_MICRO[bp] == -LOGIT_MICRO[10_000 - bp] for bp in range(10_001))


@pytest.mark.parametrize(
    ("alignment", "risk", "band", "published", "tier", "entropy"),
    [
        (8_000, 3_000, 2_000, 0.768106, "pass", False),
        (8_500, 2_500, 3_000, 0.791591, "pass", False),
        (9_000, 1_000, 500, 0.912669, "pass", False),
        (5_000, 5_000, 5_000, 0.500000, "review", False),
        (4_000, 8_000, 7_000, 0.302141, "review", False),
        (6_000, 4_000, 7_500, 0.526139, "monitor", True),
        (3_000, 6_000, 5_000, 0.372105, "review", False),
        (10_000, 0, 0, 0.999999, "pass", False),
        (0, 10_000, 10_000, 0.000001, "block", True),
    ],
)
def test_the_published_values_are_met_within_one_basis_point(alignment, risk, band, published, tier, entropy):
    """The nine golden values of the seed's gate."""
    verdict = judge(GATE, alignment, risk, band)
    assert abs(verdict.trust_bp - published * 10_000) <= 1
    assert (verdict.tier, verdict.entropy) == (tier, entropy)


@given(BP, BP, BP)
def test_trust_is_the_formula_within_one_basis_point(alignment, risk, band):
    """Trust is rounded up to the next basis point; the rounding of the table adds a thousandth."""
    trust_bp = judge(GATE, alignment, risk, band).trust_bp
    assert abs(trust_bp - exact_trust(alignment, risk, band) * 10_000) <= Decimal("1.001")


@pytest.mark.parametrize(
    ("trust_bp", "tier"),
    [
        (0, "block"),
        (2_500, "block"),  # upper edges are inclusive
        (2_501, "review"),
        (5_000, "review"),
        (5_001, "monitor"),
        (7_500, "monitor"),
        (7_501, "pass"),
        (10_000, "pass"),
    ],
)
def test_tiers_include_their_upper_edge(trust_bp, tier):
    """A score on the edge belongs to the stricter tier."""
    assert tier_of(GATE, trust_bp) == tier


@pytest.mark.parametrize("edge", [2_500, 5_000, 7_500])
def test_the_edge_is_met_exactly_in_logit_space(edge):
    """Three inputs that all say `edge` make a trust of exactly `edge`; one basis point more on one input leaves it."""
    assert judge(GATE, edge, 10_000 - edge, 10_000 - edge).trust_bp == edge
    assert judge(GATE, edge + 1, 10_000 - edge, 10_000 - edge).trust_bp == edge + 1
    stricter, milder = tier_of(GATE, edge), tier_of(GATE, edge + 1)
    assert judge(GATE, edge, 10_000 - edge, 10_000 - edge).tier == stricter != milder


GRID = (*range(0, 10_001, 500), 1, 9_999, 2_499, 2_501, 7_201)


def test_trust_is_monotone_in_each_input_on_a_grid():
    """More alignment never lowers trust; more risk or a wider band never raises it. Every pair of neighbours."""
    rising = sorted(GRID)
    for one in rising:
        for other in rising:
            by_alignment = [judge(GATE, value, one, other).trust_bp for value in rising]
            by_risk = [judge(GATE, one, value, other).trust_bp for value in rising]
            by_band = [judge(GATE, one, other, value).trust_bp for value in rising]
            assert by_alignment == sorted(by_alignment)
            assert by_risk == sorted(by_risk, reverse=True)
            assert by_band == sorted(by_band, reverse=True)


@given(BP, BP, BP, BP, st.sampled_from(("alignment", "risk", "band")))
def test_trust_is_monotone_in_each_input(alignment, risk, band, other, which):
    """Anywhere, not only on the grid."""
    inputs = {"alignment": alignment, "risk": risk, "band": band}
    low, high = sorted((inputs[which], other))
    below = judge(GATE, *(inputs | {which: low}).values()).trust_bp
    above = judge(GATE, *(inputs | {which: high}).values()).trust_bp
    assert below <= above if which == "alignment" else below >= above


@given(BP, BP, BP)
def test_contributions_sum_exactly_to_what_the_trust_is_read_from(alignment, risk, band):
    """A reader who adds the three shares finds the trust in the table again, with no rest."""
    shares = contributions(GATE, alignment, risk, band)
    assert [(one.name, one.input_bp) for one in shares] == [("alignment", alignment), ("risk", risk), ("band", band)]
    total = sum(one.logit_e10 for one in shares)
    trust_bp = judge(GATE, alignment, risk, band).trust_bp
    assert trust_bp == 0 or LOGIT_MICRO[trust_bp - 1] * 10_000 < total
    assert total <= LOGIT_MICRO[trust_bp] * 10_000


@given(st.integers(), st.integers(), st.integers())
def test_inputs_outside_the_scale_count_as_its_nearer_end(alignment, risk, band):
    """The expressions of a pack may compute any number."""
    ends = [min(max(one, 0), 10_000) for one in (alignment, risk, band)]
    assert judge(GATE, alignment, risk, band) == judge(GATE, *ends)


@pytest.mark.parametrize(
    ("alignment", "risk", "band", "below_floor", "entropy"),
    [
        (6_000, 4_000, 4_000, False, False),  # on the floor is not below it
        (5_999, 4_001, 4_001, True, False),
        (10_000, 0, 7_200, False, False),  # on the limit is not above it
        (10_000, 0, 7_201, False, True),
        (0, 10_000, 10_000, True, True),
    ],
)
def test_floor_and_entropy_flags(alignment, risk, band, below_floor, entropy):
    """Below the floor of 6000, above the entropy limit of 7200, both strictly."""
    verdict = judge(GATE, alignment, risk, band)
    assert (verdict.below_floor, verdict.entropy) == (below_floor, entropy)


@pytest.mark.parametrize(
    ("then", "action"),
    [("flag", "allow"), ("review", "review"), ("block", "block")],
)
@pytest.mark.parametrize("which", ["floor", "entropy"])
def test_a_raised_flag_changes_the_action_only_when_told_to(which, then, action):
    """Trust 9000: above every tier; the floor is put above it, the band above its limit."""
    raised = {"floor_bp": 9_999} if which == "floor" else {"floor_bp": 0, "entropy_bp": 999}
    gate = policy(gate=trust(**raised, **{f"{which}_then": then})).trust
    outcome = conclude(gate, fired_outcome(policy(), 0), 9_000, 1_000, 1_000)
    assert outcome.tier == "pass"
    assert outcome.action == action
    assert outcome.reasons == (("trust", which, then),)


def test_an_unraised_flag_says_nothing():
    """Full trust, narrow band, both told to block."""
    gate = policy(gate=trust(floor_then="block", entropy_then="block")).trust
    outcome = conclude(gate, fired_outcome(policy(), 0), 10_000, 0, 0)
    assert (outcome.action, outcome.reasons) == ("allow", ())


KNOWN = rule("known", "true", "allow")
BEFORE = rule("odd", "true", "review")
AFTER = rule("odd", "true", "block")


@pytest.mark.parametrize(
    ("rules", "action", "reasons"),
    [
        ([], "block", [["trust", "floor", "block"], ["trust", "entropy", "review"]]),
        ([KNOWN], "allow", [["rule", "known", 0]]),
        # The list ends at the `allow` rule: what stands before it still counts, what stands after does not.
        ([BEFORE, KNOWN], "review", [["rule", "odd", 0], ["rule", "known", 0]]),
        ([KNOWN, AFTER], "allow", [["rule", "known", 0]]),
        ([rule("known", "false", "allow")], "block", [["trust", "floor", "block"], ["trust", "entropy", "review"]]),
    ],
)
def test_an_allow_rule_silences_the_gate(rules, action, reasons):
    """Without trust the gate blocks, unless an `allow` rule fired. The tier is recorded all the same."""
    gate = trust(alignment="0", risk="10000", band="10000", floor_then="block", entropy_then="review")
    (entry,) = decided(policy(rules=rules, gate=gate), [event(0)])
    assert (entry["action"], entry["reasons"], entry["tier"]) == (action, reasons, "block")


@pytest.mark.parametrize(
    ("fields", "inputs"),
    [
        ({"m": 4_000}, [4_000, 0, 0]),
        ({}, [7_000, 0, 0]),  # unknown: the stand-in
        ({"m": None}, [7_000, 0, 0]),
        ({"m": 0}, [0, 0, 0]),  # zero is a value
        ({"m": -5}, [0, 0, 0]),
        ({"m": 2**63 - 1}, [10_000, 0, 0]),
    ],
)
def test_an_unknown_input_takes_its_stand_in_and_the_entry_records_what_was_used(fields, inputs):
    """Unknown is never zero, and the entry shows the numbers the gate was asked."""
    gate = trust(alignment="event.m", alignment_unknown=7_000)
    (entry,) = decided(policy(gate=gate), [event(0, **fields)])
    assert entry["trust_inputs_bp"] == inputs


def test_points_reach_the_gate_as_capped_score():
    """Three rules of 4000 points make a score of 10000, and the risk the gate is asked."""
    rules = [rule(f"r{number}", "event.n > 0", points=4_000) for number in range(3)]
    (entry,) = decided(policy(rules=rules), [event(0)])
    assert (entry["score_bp"], entry["trust_inputs_bp"]) == (10_000, [10_000, 10_000, 0])
