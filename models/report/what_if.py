"""The same decisions under shifted trust tiers, from what the entries sealed and the policies they name.

    edges'  = (block + s, review + s, monitor + s)         s: the scenario's shift, in basis points of trust
    demand  = block, review or monitor for trust_bp <= that edge, else allow
    action' = the strictest of demand, what each fired rule asks for (by the policy's text), what each typology and
              each mark of the trust gate asks for (as sealed); without demand where a rule with `then: allow` fired

Rules, typologies, floors and marks stay as they were; history does too: a decision that would have been another one
changes no later window. With a shift of 0 every action is the sealed one, or the entry is not this policy's.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sidechain.models.policy import ACTIONS, Policy

SHIFTS_BP: Final = {"conservative": 500, "balanced": 0, "aggressive": -500}
RANK: Final = {action: rank for rank, action in enumerate(ACTIONS)}
BLOCK, REVIEW, MONITOR, PASS = 3, 2, 1, 0


class Gate(NamedTuple):
    """What of a policy turns trust and fired rules into an action."""

    edges_bp: tuple[int, int, int]  # block, review, monitor; upper and inclusive
    effects: Mapping[str, str]  # rule -> what it asks for


class Asked(NamedTuple):
    """What everything but the tiers asks for."""

    rank: int
    is_settled: bool  # a rule with `then: allow` fired: the tiers are not asked


def gates_of(policies: Iterable[Policy]) -> dict[str, Gate]:
    """The gate of each policy, by the reference entries cite."""
    return {one.ref: gate_of(one) for one in policies}


def gate_of(policy: Policy) -> Gate:
    """What the policy's text says of tiers and rules."""
    trust = policy.trust
    return Gate((trust.block_bp, trust.review_bp, trust.monitor_bp), {one.id: one.then for one in policy.rules})


def asked(gate: Gate, reasons: Sequence[Sequence[Any]]) -> Asked:
    """What the sealed reasons ask for. Raises KeyError for a rule the policy has not."""
    effects = [gate.effects[one[1]] for one in reasons if one[0] == "rule"]
    demands = effects + [one[-1] for one in reasons if one[0] != "rule"]
    return Asked(max((RANK.get(str(one), 0) for one in demands), default=0), "allow" in effects)


def action_under(gate: Gate, shift_bp: int, trust_bp: int, others: Asked) -> str:
    """The action of one decision under a scenario."""
    if others.is_settled:
        return ACTIONS[others.rank]
    block, review, monitor = gate.edges_bp
    if trust_bp <= block + shift_bp:
        return ACTIONS[BLOCK]
    demand = REVIEW if trust_bp <= review + shift_bp else MONITOR if trust_bp <= monitor + shift_bp else PASS
    return ACTIONS[max(others.rank, demand)]
