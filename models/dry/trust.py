"""The trust gate: alignment, risk and uncertainty in, one trust and one tier out. Integers only.

    logit(trust) = w_a * logit(alignment) + w_r * logit(1 - risk) + w_b * logit(1 - band)

Rule 1: `band` is the *width* of the uncertainty: higher means less trust.
Rule 2: tiers are compared in logit space, so no rounding can move a decision across an edge.
Source: seed RESONTINEX, CompositeTrustGate; golden values in `tests/unit/test_trust.py`.
"""

from bisect import bisect_left
from typing import NamedTuple

from sidechain.models.dry.logits import LOGIT_MICRO
from sidechain.models.policy import Trust

FULL_BP = 10_000
# A weighted sum of micro-logits, weights in basis points, is in units of 1e-10: scaling the table avoids a division.
_SCALED = tuple(value * FULL_BP for value in LOGIT_MICRO)


class Verdict(NamedTuple):
    """What the gate says."""

    trust_bp: int
    tier: str  # block, review, monitor or pass
    below_floor: bool
    entropy: bool


class Contribution(NamedTuple):
    """One input's share: shares are in units of 1e-10 logit and sum exactly to the total."""

    name: str
    input_bp: int
    weight_bp: int
    logit_e10: int


def contributions(trust: Trust, alignment_bp: int, risk_bp: int, band_bp: int) -> tuple[Contribution, ...]:
    """Each input's share of the logit of trust, in the order alignment, risk, band; inputs in 0..10000."""
    alignment, risk, band = trust.weights_bp
    return (
        Contribution("alignment", alignment_bp, alignment, alignment * LOGIT_MICRO[alignment_bp]),
        Contribution("risk", risk_bp, risk, risk * LOGIT_MICRO[FULL_BP - risk_bp]),
        Contribution("band", band_bp, band, band * LOGIT_MICRO[FULL_BP - band_bp]),
    )


def judge(trust: Trust, alignment_bp: int, risk_bp: int, band_bp: int) -> Verdict:
    """The gate's verdict; inputs outside 0..10000 count as the nearer end.

    `trust_bp` is the smallest basis point whose logit reaches the weighted sum, so `trust_bp <= edge` and the exact
    comparison in logit space agree at every edge, and a score on the edge belongs to the stricter tier.
    """
    inputs = (clamp(alignment_bp), clamp(risk_bp), clamp(band_bp))
    total = sum(one.logit_e10 for one in contributions(trust, *inputs))
    trust_bp = min(bisect_left(_SCALED, total), FULL_BP)
    return Verdict(trust_bp, tier_of(trust, trust_bp), trust_bp < trust.floor_bp, inputs[2] > trust.entropy_bp)


def tier_of(trust: Trust, trust_bp: int) -> str:
    """The tier of a trust; upper edges are inclusive."""
    if trust_bp <= trust.block_bp:
        return "block"
    if trust_bp <= trust.review_bp:
        return "review"
    return "monitor" if trust_bp <= trust.monitor_bp else "pass"


def clamp(value_bp: int) -> int:
    """The nearer end for a value outside 0..10000."""
    return 0 if value_bp < 0 else min(value_bp, FULL_BP)
