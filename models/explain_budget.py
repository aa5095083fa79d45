"""What an entry says of budgets, in sentences.

budget badge_day b-17: 200 EUR are held, 100 of 300 remain
budget badge_day b-17 refused 200: less remains in this account than was asked for; 100 remain
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sidechain.models.dry.budget import REASONS

FULL_BP = 10_000
WHY = {
    "within_budget": "it is within the budget",
    "budget_tripwire_active": "costs exceeded their estimates too often, so a part is held until that is recovered",
    "budget_review": "much of the account is used",
    "exceeds_approval_threshold": "it costs so much that a person approves it first",
    "budget_hard_stop": "nearly all of the account is used, and it is no emergency",
    "budget_emergency": "what is left of the account is kept",
    "cost_unknown": "nobody can say what it costs",
    "insight_found": "it was found out already",
    "quality_reached": "the work is good enough, and less than its share is consumed",
    "attempts_exhausted": "there are no further attempts",
    "attempt_unknown": "it does not say which attempt it is",
}
_EVENTS = {
    "breach": "a breach: far beyond what was held",
    "downgraded": "one breach too many",
    "calm": "no breach",
    "recovered": "calm once more, which recovers it",
}
_ENDED = {"settled": "is settled", "released": "was not needed", "expired": "has expired without a cost"}


def budget_lines(budget: Mapping[str, Any] | None) -> Iterator[str]:
    """Lines of text, in the order of the entry; none where nothing happened."""
    if budget is None:
        return
    for one in budget["closed"]:
        yield f"  budget: what entry {one['reservation']} held {_ENDED.get(one['how'], one['how'])}"
        for account, key, _from, reserved, cost, overrun, remaining in one["parts"]:
            owed = f", {overrun:,} of it owed" if overrun else ""
            yield f"    {_named(account, key)}: {reserved:,} were held, {cost:,} are spent{owed}, {remaining:,} remain"
    if budget["reserved"] is not None:
        held = budget["reserved"]
        for part, remaining, initial in zip(held["parts"], held["remaining"], held["initial"], strict=True):
            account, key, unit, *_, amount = part
            yield f"  budget {_named(account, key)}: {amount:,} {unit} are held, {remaining:,} of {initial:,} remain"
    for one in budget["refused"]:
        name = "" if one["account"] is None else f" {_named(one['account'], one['key'])}"
        wanted = "" if one["wanted"] is None else f" {one['wanted']:,}"
        remain = "" if one["remaining"] is None else f"; {one['remaining']:,} remain"
        yield f"  budget{name} refused{wanted}: {REASONS.get(one['reason'], one['reason'])}{remain}"
    if "governed" in budget:
        yield from _governed(budget["governed"])


def _governed(one: Mapping[str, Any]) -> Iterator[str]:
    if "event" in one:
        breaches, is_downgraded, _ = one["tripwire"]
        state = "requests are held at a part of their cost" if is_downgraded else f"{breaches} in a row"
        yield f"  governance: the cost is {_EVENTS.get(one['event'], one['event'])}; {state}"
        if one["learned"] is not None:
            yield "    what it found out is known from here on"
        return
    times = "".join(f" x {bp / FULL_BP:g} ({name})" for name, bp in one["multipliers"])
    found = "" if one["insight"] is None else f" by entry {one['insight']}"
    base = "an unknown amount" if one["base"] is None else f"{one['base']:,}{times}"
    yield f"  governance: {one['answer']}, because {WHY.get(one['why'], one['why'])}{found}"
    yield f"    {base}; {one['cost']:,} to be held; the account's use is {one['level']}"
    if one["wait_ms"] is not None:
        yield f"    wait {one['wait_ms']:,} ms before this attempt"


def budget_reason(reason: list[Any]) -> str:
    """One of an entry's `reasons`."""
    sort, account, why, then = reason
    asks = "" if then == "flag" else f", which asks for {then}"
    if sort == "governance":
        return f"governance of {account}: {WHY.get(why, why)}{asks}"
    return f"budget {account} refused: {REASONS.get(why, why)}{asks}"


def _named(account: str, key: str | None) -> str:
    return f"{account} {key}" if key else account
