"""What the entries of a chain say of budgets: held, spent, given back, refused, saved. Counts and sums in minor units.

    "budgets":    {"team_day": {"units": ["EUR"], "reserved": {…}, "settled": {…}, …, "refused": {"exhausted": {…}}}}
    "governance": {"answers": {"approve": 7}, "saved": {"insight_found": {…}}, "tripwire": {"breach": 2}}

An account's money stands in all accounts above it too, so sums are of one account and not of several.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from sidechain.models.report.entries import Credit, Debit, Whole
from sidechain.models.report.totals import Totals

NO_ACCOUNT: Final = "(no account)"  # refused before it was known which
HOWS: Final = ("settled", "released", "expired")
SAVING: Final = (
    "insight_found",
    "quality_reached",
    "budget_tripwire_active",
)  # why less was reserved than it would take
FULL_BP: Final = 10_000


class _Reserved(msgspec.Struct):
    parts: list[tuple[str, str, str, Whole, Whole, Whole]]  # account, key, unit, period from and until, amount


class _Closed(msgspec.Struct):
    how: str
    parts: list[tuple[str, str, Whole, Whole, Whole, Whole, Whole]]  # account, key, from, reserved, cost, overrun, left


class _Refused(msgspec.Struct):
    reason: str
    account: str | None = None
    wanted: Whole | None = None


class _Governed(msgspec.Struct):
    """Of a decision, or of a settlement: what it has no field for is empty."""

    answer: str = ""
    why: str = ""
    base: Whole | None = None
    multipliers: list[tuple[str, Whole]] = []
    cost: Whole = 0
    event: str = ""


class Spending(msgspec.Struct):
    """The field `budget` of a decision or settlement."""

    closed: list[_Closed] = []
    reserved: _Reserved | None = None
    refused: list[_Refused] = []
    governed: _Governed | None = None


spending_of = msgspec.json.Decoder(Spending | None).decode


def count_spending(totals: Totals, spending: Spending) -> None:
    """Add what one entry says."""
    if spending.reserved is not None:
        for account, _, unit, _, _, amount in spending.reserved.parts:
            totals.add("account_unit", (account, unit))
            _add(totals, (account, "reserved"), amount)
    for closed in spending.closed:
        for account, _, _, held, cost, overrun, _ in closed.parts:
            place = account, closed.how
            _add(totals, place, held)
            totals.add_sum((*place, "cost"), cost)
            totals.add_sum((*place, "overrun"), overrun)
    for one in spending.refused:
        account = NO_ACCOUNT if one.account is None else one.account
        totals.add("account_refused", (account, one.reason))
        totals.add_sum((account, one.reason, "wanted"), one.wanted or 0)
    if spending.governed is not None:
        _govern(totals, spending.governed)


def count_transfer(totals: Totals, entry: Debit | Credit) -> None:
    """Add what one partition gave another, at either end."""
    account, what = entry.transfer.account, "lent" if isinstance(entry, Debit) else "borrowed"
    totals.add("account_unit", (account, entry.transfer.unit))
    _add(totals, (account, what), entry.amount)
    if isinstance(entry, Credit):
        totals.add_sum((account, what, "lapsed"), entry.lapsed)


def budgets_section(totals: Totals) -> dict[str, Any]:
    """Of each account."""
    accounts = {place[0] for table in ("account", "account_refused") for place in totals.of(table)}
    return {account: _account(totals, account) for account in sorted(accounts)}


def governance_section(totals: Totals) -> dict[str, Any]:
    """What requests were answered, what that saved, and what costs did to the tripwire."""
    return {
        "answers": totals.by_name("governed"),
        "why": totals.by_name("governed_why"),
        "saved": {
            why: {"decisions": number, "sum_minor": writable(totals.sums[why, "saved", "amount"])}
            for why, number in totals.by_name("saved").items()
        },
        "tripwire": totals.by_name("tripwire"),
    }


def writable(value: int) -> int:
    """Sums that no honest entries come to, made to fit what readers hold."""
    return max(-(2**63 - 1), min(value, 2**63 - 1))


def _add(totals: Totals, place: tuple[str, str], amount: int) -> None:
    totals.add("account", place)
    totals.add_sum((*place, "amount"), amount)


def _govern(totals: Totals, one: _Governed) -> None:
    if one.event:
        totals.add("tripwire", (one.event,))
        return
    totals.add("governed", (one.answer,))
    totals.add("governed_why", (one.why,))
    if one.why in SAVING and one.base is not None:
        totals.add("saved", (one.why,))
        totals.add_sum((one.why, "saved", "amount"), _charge(one.base, [bp for _, bp in one.multipliers]) - one.cost)


def _charge(base: int, multipliers_bp: Iterable[int]) -> int:
    """What it would have cost: the exact product, rounded up once."""
    product, whole = base, 1
    for bp in multipliers_bp:
        product, whole = product * bp, whole * FULL_BP
    return -(-product // whole)


def _account(totals: Totals, account: str) -> dict[str, Any]:
    counts, refused = totals.of("account"), totals.of("account_refused")

    def total(what: str, of: str) -> int:
        return writable(totals.sums[account, what, of])

    ended = {
        how: {
            "decisions": counts.get((account, how), 0),
            "reserved_minor": total(how, "amount"),
            "cost_minor": total(how, "cost"),
            "overrun_minor": total(how, "overrun"),
        }
        for how in HOWS
    }
    return {
        "units": sorted(unit for name, unit in totals.of("account_unit") if name == account),
        "reserved": {"decisions": counts.get((account, "reserved"), 0), "sum_minor": total("reserved", "amount")},
        **ended,
        "lent": {"transfers": counts.get((account, "lent"), 0), "sum_minor": total("lent", "amount")},
        "borrowed": {
            "transfers": counts.get((account, "borrowed"), 0),
            "sum_minor": total("borrowed", "amount"),
            "lapsed_minor": total("borrowed", "lapsed"),
        },
        "spent_minor": writable(sum(one["cost_minor"] for one in ended.values())),
        "refused": {
            reason: {"decisions": number, "wanted_minor": total(reason, "wanted")}
            for (name, reason), number in refused.items()
            if name == account
        },
    }
