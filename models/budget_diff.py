"""The budgets of a policy as plain fields, so that two policies can be held against one another."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, make_dataclass
from typing import Any

from sidechain.models.cel import Expression
from sidechain.models.dry.governance import Governance
from sidechain.models.policy import Governing, Policy, Reserve


@dataclass(frozen=True)
class Account:
    """An account, as the pack writes it."""

    unit: str  # compared apart from `unit` elsewhere: here it is no word for people
    period_ms: int
    limit: int | None
    limits: Mapping[str, int]
    per: Expression | None
    parent: str | None


@dataclass(frozen=True)
class Bounds:
    """What holds for all reservations."""

    timeout_ms: int
    on_timeout: str
    cost_unit: str
    max_open: int
    max_accounts: int
    remembered: int


# The numbers and what they are asked about, side by side.
_ASKED = tuple(one.name for one in fields(Governing) if one.name != "rules")
Governed = make_dataclass("Governed", [*Governance.__struct_fields__, *_ASKED], frozen=True)


def governance(policy: Policy) -> dict[str, Any]:
    """One, where there is any."""
    governing = None if policy.budgeting is None else policy.budgeting.governing
    if governing is None:
        return {}
    numbers = [getattr(governing.rules, name) for name in Governance.__struct_fields__]
    return {"": Governed(*numbers, *(getattr(governing, name) for name in _ASKED))}


def accounts(policy: Policy) -> dict[str, Account]:
    """By name."""
    if (budgeting := policy.budgeting) is None:
        return {}
    return {
        name: Account(one.unit, one.period_ms, one.limit, one.limits, budgeting.keys.get(name), one.parent)
        for name, one in budgeting.plan.accounts.items()
    }


def reserves(policy: Policy) -> dict[str, Reserve]:
    """By account and the decisions it is for, which no two share."""
    if (budgeting := policy.budgeting) is None:
        return {}
    return {f"{one.account} for {' '.join(one.actions)}": one for one in budgeting.reserves}


def bounds(policy: Policy) -> dict[str, Bounds]:
    """One, where there are budgets."""
    if (budgeting := policy.budgeting) is None:
        return {}
    plan = budgeting.plan
    given = (plan.timeout_ms, plan.on_timeout, budgeting.cost_unit, plan.max_open, plan.max_accounts, plan.remembered)
    return {"": Bounds(*given)}
