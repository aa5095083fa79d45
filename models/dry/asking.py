"""How a decision asks its governor: before anything is reserved, and only for what its action would reserve.

approve           what it may cost is reserved in place of the amount
review            so too, and somebody looks at it, which may reserve something else
manual            somebody has to approve it first: a review, and nothing of it is reserved
refuse            nothing of it is reserved, and what the reserve's `then` demands
insight, enough   it is known, or good enough: nothing of it has to be reserved
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sidechain.models.dry.budget import Budgets, Moment, Want
from sidechain.models.dry.governance import Asked, Governed, Governor, Request, scenario
from sidechain.models.dry.program import RANK, Outcome
from sidechain.models.policy import ACTIONS, Governing, Reserve

KEEPS: Final = ("approve", "review")  # answers that let something be reserved
FIRST: Final = 1  # attempt, where a policy knows no others

Wanted = tuple[Reserve, Want]


class Answered(NamedTuple):
    """What the governor has made of a decision."""

    outcome: Outcome
    asked: list[Wanted]
    governed: Governed | None = None  # None: it was not asked
    scenario: str | None = None  # that this decision is to find out about


def governed_want(governing: Governing, outcome: Outcome, asked: list[Wanted]) -> Wanted | None:
    """What the governor is to answer for; None: this decision asks nothing of its account."""
    mine = (one for one in asked if one[0].account == governing.account and outcome.action in one[0].actions)
    return next(mine, None)  # which one `reserve` alone names


def ask(
    governor: Governor,
    governing: Governing,
    budgets: Budgets,
    at: Moment,
    outcome: Outcome,
    asked: list[Wanted],
    mine: Wanted,
    keys: Mapping[str, str | None],
    said: tuple[tuple[Any, ...], tuple[Any, ...]],
) -> Answered:
    """Let the governor answer for `mine`, one of what is asked. `said`: what `Program.requests` says."""
    account = governing.account
    reserve, want = mine
    key = keys.get(account) if budgets.plan.accounts[account].is_per_key else ""
    book = None if key is None else budgets.book(at, account, key)
    if book is None:  # the account is not known, which the reservation says
        return Answered(outcome, asked)
    request = _asked(governing, outcome, want.amount, said)
    governed = governor.answer(request, used=book.used, given=book.initial, now_ms=at.now_ms)
    demanded = _demanded(governed, reserve)
    if demanded is not None:
        action = ACTIONS[max(RANK[outcome.action], RANK.get(demanded, 0))]
        reasons = (*outcome.reasons, ("governance", account, governed.why, demanded))
        outcome = outcome._replace(action=action, reasons=reasons)
    kept = (reserve, Want(account, governed.cost))
    left = [kept if one is mine else one for one in asked if one is not mine or governed.answer in KEEPS]
    return Answered(outcome, left, governed, request.scenario if governed.answer in KEEPS else None)


def _asked(governing: Governing, outcome: Outcome, base: int, said: tuple[tuple[Any, ...], tuple[Any, ...]]) -> Asked:
    (is_complex, entropy_bp, is_emergency, attempt, quality_bp, consumed), parts = said
    request = Request(
        base=base,
        is_complex=False if governing.is_complex is None else is_complex,
        trust_bp=outcome.trust_bp,
        entropy_bp=0 if governing.entropy is None else entropy_bp,
        is_emergency=bool(is_emergency),
    )
    # Two requests of which nobody knows what they are about are not about the same.
    name = scenario(parts) if parts and None not in parts else None
    return Asked(request, name, FIRST if governing.attempt is None else attempt, quality_bp, consumed)


def _demanded(governed: Governed, reserve: Reserve) -> str | None:
    if governed.answer == "refuse":
        return reserve.then
    return "review" if governed.answer in ("review", "manual") else None
