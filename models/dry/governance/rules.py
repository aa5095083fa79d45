"""What a request may cost, who must be asked, and when it is enough. Integers only; pure functions of their arguments.

    cost = base × 1.5 (complex) × 1.3 (trust below 0.6) × 1.4 (entropy above 0.7) × 0.6 (emergency)

Rule 1: the product is exact and rounded once, upwards: a charge is never less than the true product.
Rule 2: what has been used is compared with what there is by multiplication, so no rounding moves an edge.
Rule 3: of the limits a request meets, the strictest answers.
Source: the energy governance of seed RESONTINEX; golden tables in `tests/unit/test_governance.py`.
"""

from typing import Final, Literal

import msgspec

from sidechain.models.dry.budget.book import AMOUNT_MAX, is_amount

FULL_BP: Final = 10_000

Level = Literal["normal", "review", "stop", "emergency"]
Answer = Literal["approve", "review", "manual", "refuse"]
Why = Literal[
    "within_budget",
    "budget_tripwire_active",
    "budget_review",
    "exceeds_approval_threshold",
    "budget_hard_stop",
    "budget_emergency",
    "cost_unknown",
]


class Governance(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a policy; proportions in basis points, costs in the account's unit, times in ms of event time."""

    complex_bp: int = 15_000
    distrust_bp: int = 13_000
    entropy_bp: int = 14_000
    emergency_bp: int = 6_000
    trust_below_bp: int = 6_000  # strictly below: distrust
    entropy_above_bp: int = 7_000  # strictly above: entropy
    approval_above: int = 10_000  # strictly above: a person approves
    review_at_bp: int = 8_500  # from here on, inclusive, of what the account was given
    stop_at_bp: int = 9_500
    emergency_at_bp: int = 9_900
    breach_above_bp: int = 1_200  # strictly above: a cost so far beyond its estimate is a breach
    breaches: int = 3  # in a row: downgraded
    downgraded_bp: int = 5_000
    recover_at_bp: int | None = None  # at or below it a cost counts towards recovery; None: only a person recovers
    recover_after: int = 10  # such costs in a row
    insight_ttl_ms: int = 86_400_000
    insights: int = 10_000  # remembered at most
    quality_at_bp: int = 8_500  # from here on, inclusive, work is good enough to stop
    consumed_below_bp: int = 7_000  # strictly below: there is something to save
    backoff_ms: int = 200
    backoff_most: int = 8  # times the first wait
    attempts: int = 3

    def __post_init__(self) -> None:
        """Raises ValueError with a sentence for whoever wrote the numbers."""
        if not 0 < self.review_at_bp <= self.stop_at_bp <= self.emergency_at_bp <= FULL_BP:
            raise ValueError("the levels must rise: 0 < review <= stop <= emergency <= 10000")
        if not 0 <= self.downgraded_bp <= FULL_BP:
            raise ValueError("a downgrade leaves from 0 to 10000 basis points of a cost")
        if self.recover_at_bp is not None and not 0 <= self.recover_at_bp <= self.breach_above_bp:
            raise ValueError("recovery must need less than a breach: 0 <= recover_at <= breach_above")
        factors = (self.complex_bp, self.distrust_bp, self.entropy_bp, self.emergency_bp)
        if min(factors) < 0 or max(factors) > 100 * FULL_BP:
            raise ValueError("a multiplier must be from 0 to 1000000 basis points")
        if min(self.breaches, self.recover_after, self.insight_ttl_ms, self.insights, self.attempts) < 1:
            raise ValueError("breaches, recover_after, insight_ttl, insights and attempts must be at least 1")
        if min(self.backoff_ms, self.backoff_most) < 1 or not is_amount(self.approval_above):
            raise ValueError("backoff must be at least 1 ms, and the approval threshold an amount")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is about to be done, as far as its cost depends on it. None is unknown, and costs as the worst would."""

    base: int
    is_complex: bool | None = False
    trust_bp: int | None = FULL_BP
    entropy_bp: int | None = 0
    is_emergency: bool = False


class Charge(msgspec.Struct, frozen=True):
    """What a request costs, and why so much."""

    cost: int
    multipliers: tuple[tuple[str, int], ...]  # name and basis points, in the order they apply


class Authorisation(msgspec.Struct, frozen=True):
    """The answer to a request; `cost` is what to reserve, 0 unless it may go on."""

    answer: Answer
    why: Why
    cost: int
    level: Level


def charge(rules: Governance, request: Request) -> Charge | None:
    """The request's cost, rounded up; None: the base is no amount, or the cost would exceed 2**53 - 1."""
    if not is_amount(request.base):
        return None
    asked = (
        ("complexity", rules.complex_bp, request.is_complex is not False),
        ("trust", rules.distrust_bp, request.trust_bp is None or request.trust_bp < rules.trust_below_bp),
        ("entropy", rules.entropy_bp, request.entropy_bp is None or request.entropy_bp > rules.entropy_above_bp),
        ("emergency", rules.emergency_bp, request.is_emergency),
    )
    product, whole = request.base, 1
    multipliers = tuple((name, bp) for name, bp, applies in asked if applies)
    for _, bp in multipliers:
        product, whole = product * bp, whole * FULL_BP
    cost = -(-product // whole)
    return Charge(cost, multipliers) if cost <= AMOUNT_MAX else None


def level_of(rules: Governance, used: int, given: int) -> Level:
    """How much of what an account was given is used; edges belong to the stricter level.

    Nothing given is all used.
    """
    for level, at_bp in _levels(rules):
        if used * FULL_BP >= at_bp * given:
            return level
    return "normal"


def authorise(rules: Governance, request: Request, *, used: int, given: int, is_downgraded: bool) -> Authorisation:
    """Whether the request may go on, and what it may reserve.

    `used` and `given` are those of the account before the request (`Book.used`, `Book.initial`); the level counts what
    the request itself would take. In an emergency a request passes the hard stop; nothing passes the emergency level.
    """
    charged = charge(rules, request)
    if charged is None:
        return Authorisation("refuse", "cost_unknown", 0, level_of(rules, used, given))
    cost = charged.cost
    if is_downgraded:
        cost = -(-cost * rules.downgraded_bp // FULL_BP)
    level = level_of(rules, used + cost, given)
    if level == "emergency":
        return Authorisation("refuse", "budget_emergency", 0, level)
    if level == "stop" and not request.is_emergency:
        return Authorisation("refuse", "budget_hard_stop", 0, level)
    if charged.cost > rules.approval_above:  # a downgrade spares nobody the question
        return Authorisation("manual", "exceeds_approval_threshold", 0, level)
    if level != "normal":
        return Authorisation("review", "budget_review", cost, level)
    return Authorisation("approve", "budget_tripwire_active" if is_downgraded else "within_budget", cost, level)


def is_enough(rules: Governance, quality_bp: int | None, consumed: int, reserved: int) -> bool:
    """Whether work may stop early: it is good enough, and enough of its reservation would be saved."""
    return (
        quality_bp is not None
        and quality_bp >= rules.quality_at_bp
        and consumed * FULL_BP < rules.consumed_below_bp * reserved
    )


def wait_before(rules: Governance, attempt: int) -> int | None:
    """Milliseconds to wait before attempt 2, 3, …: doubled each time up to a bound; None: there is no such attempt."""
    if not 2 <= attempt <= rules.attempts:
        return None
    doublings = min(attempt - 2, rules.backoff_most.bit_length())
    return rules.backoff_ms * min(1 << doublings, rules.backoff_most)


def _levels(rules: Governance) -> tuple[tuple[Level, int], ...]:
    return (("emergency", rules.emergency_at_bp), ("stop", rules.stop_at_bp), ("review", rules.review_at_bp))
