"""What an entry says of budgets, in sentences.

budget badge_day b-17: 200 EUR are held, 100 of 300 remain
budget badge_day b-17 refused 200: less remains in this account than was asked for; 100 remain
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sidechain.models.dry.budget import REASONS

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


def budget_reason(reason: list[Any]) -> str:
    """One of an entry's `reasons`."""
    _, account, why, then = reason
    asks = "" if then == "flag" else f", which asks for {then}"
    return f"budget {account} refused: {REASONS.get(why, why)}{asks}"


def _named(account: str, key: str | None) -> str:
    return f"{account} {key}" if key else account
