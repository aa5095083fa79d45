"""The spending half of a pack: accounts, what a decision reserves in them, and what governs a cost.

    budgets:
      timeout: 7d                          # a reservation waits so long for its outcome, in event time
      cost_unit: EUR                       # of the cost an outcome states; needed where there are several units
      accounts:
        - {name: tenant_month, unit: EUR, period: 30d, limit: 2000000}
        - {name: team_day, unit: EUR, period: 1d, per: event.team, limits: {red: 50000}, parent: tenant_month}
        - {name: badge_day, unit: EUR, period: 1d, per: event.badge, limit: 3000, parent: team_day}
        - {name: reviews_day, unit: count, period: 1d, limit: 100}
      reserve:
        - {account: badge_day, amount: event.amount, for: [allow, monitor], then: block}
        - {account: reviews_day, amount: "1", for: [review], then: block}
    governance: {account: badge_day, complex: "event.parts > 3", entropy: signals.entropy}

An account that is one per event key is used on one partition alone and has its whole limit there; every other account
is shared: an allotment on each partition. What `per` yields stands in entries and in the state as it is, so it may read
the event's key, which stands there already, and nothing else that is personal. What is read here needs no second look:
chains end, units fit, and no decision leads to one account twice.
"""

from collections.abc import Collection
from collections.abc import Mapping as MappingType
from typing import Final, get_args

import msgspec

from sidechain.models.cel import BOOL, INT, STRING, Expression, Variable
from sidechain.models.dry.budget import AMOUNT_MAX, AccountPlan, BudgetPlan
from sidechain.models.dry.budget.plan import LEVELS_MAX, UNIT, OnTimeout
from sidechain.models.dry.governance import Governance
from sidechain.models.pack_reader import Problems, Section, closest, refuse_repeated, titled
from sidechain.models.policy import ACTIONS, Budgeting, Governing, Reserve, ThenRefused
from sidechain.models.yaml_positions import Node, plain

Variables = MappingType[str, Variable]

SCORE: Final = "score_bp"
SPENDING: Final = ("allow", "monitor")  # a decision that lets something happen
_PERIOD_MAX_MS: Final = 366 * 86_400_000
_FACTOR_MAX_BP: Final = 1_000_000


def read_budgets(
    problems: Problems, node: Node | None, variables: Variables, key_field: str, personal: Collection[str] = ()
) -> Budgeting | None:
    """The section `budgets`; None where there is none, or after a complaint.

    `variables`: what rules see. `key_field`: the event's field with role key. `personal`: the fields that are.
    """
    if node is None:
        return None
    mistakes = len(problems.found)
    with problems.section(node, "budgets") as section:
        of_event = {name: one for name, one in variables.items() if name.startswith("event.")}
        timeout_ms = section.duration("timeout")
        accounts, keys = _accounts(problems, section, of_event, key_field, personal)
        reserves = _reserves(problems, section.need("reserve"), {**variables, SCORE: Variable(INT)}, accounts)
        cost_unit = _cost_unit(section, accounts)
        on_timeout = section.choice("on_timeout", get_args(OnTimeout), "release")
        bounds = {
            "max_open": section.integer("max_open", 100_000, least=1, most=10_000_000),
            "max_accounts": section.integer("max_accounts", 1_000_000, least=1, most=100_000_000),
            "remembered": section.integer("remembered", 65_536, least=1, most=1_048_576),
        }
    if len(problems.found) > mistakes:
        return None
    plan = BudgetPlan(accounts.values(), timeout_ms=timeout_ms, on_timeout=on_timeout, **bounds)
    return Budgeting(plan=plan, cost_unit=cost_unit, keys=keys, reserves=reserves)


def read_governance(
    problems: Problems, node: Node | None, variables: Variables, budgeting: Budgeting | None
) -> Governing | None:
    """The section `governance`; None where there is none, or after a complaint."""
    if node is None:
        return None
    mistakes = len(problems.found)
    sees = {**variables, SCORE: Variable(INT)}
    with problems.section(node, "governance") as section:
        account = section.name("account")
        if account != "?" and (budgeting is not None or not mistakes):  # else what is wrong with budgets is said
            _check_governed(section, account, budgeting)
        scenario = tuple(
            found
            for one in problems.items(section.get("scenario"), '"scenario" of governance')
            if (found := problems.cel(one, '"scenario" of governance', sees)) is not None
        )
        for one in scenario:
            if one.type not in (INT, STRING, BOOL):
                section.complain("scenario", f'a part of "scenario" must be int, string or bool, and it is {one.type},')
        if section.get("consumed") is None and section.get("quality") is not None:
            section.complain("quality", 'work stops early by "quality" and "consumed" together')
        rules, recovered = _governance(problems, section)
        read = Governing(
            rules=rules,
            account=account,
            recovered=recovered,
            is_complex=section.optional_cel("complex", sees, BOOL),
            entropy=section.optional_cel("entropy", sees, INT),
            is_emergency=section.optional_cel("emergency", sees, BOOL),
            attempt=section.optional_cel("attempt", sees, INT),
            quality=section.optional_cel("quality", sees, INT),
            consumed=section.optional_cel("consumed", sees, INT),
            scenario=scenario,
        )
    return read if len(problems.found) == mistakes else None


def _check_governed(section: Section, account: str, budgeting: Budgeting | None) -> None:
    reserved = () if budgeting is None else tuple(one.account for one in budgeting.reserves)
    if budgeting is None or account not in reserved:
        section.complain("account", f'nothing is reserved in account "{account}"', closest(account, reserved))
    elif reserved.count(account) > 1:
        section.complain("account", f"governance answers for one reserve, and {account} has {reserved.count(account)},")
    elif (unit := budgeting.plan.accounts[account].unit) != budgeting.cost_unit:
        section.complain("account", f"costs are stated in {budgeting.cost_unit}, and {account} counts {unit},")


def _accounts(
    problems: Problems, section: Section, variables: Variables, key_field: str, personal: Collection[str]
) -> tuple[dict[str, AccountPlan], dict[str, Expression]]:
    found: dict[str, AccountPlan] = {}
    keys: dict[str, Expression] = {}
    sections: list[tuple[Section, AccountPlan]] = []
    seen: set[str] = set()
    for index, one in enumerate(problems.items(section.need("accounts"), '"accounts" of budgets')):
        with problems.section(one, titled("account", one, "name", index)) as read:
            account, key = _account(problems, read, variables, key_field)
            refuse_repeated(read, "name", account.name, seen)
            if account.is_shared and key is not None:
                _refuse_personal(read, key, personal)
        found[account.name] = account
        sections.append((read, account))
        if key is not None:
            keys[account.name] = key
    for read, account in sections:
        _check_parent(read, account, found)
    return found, keys


def _account(
    problems: Problems, section: Section, variables: Variables, key_field: str
) -> tuple[AccountPlan, Expression | None]:
    mistakes = len(problems.found)
    key = section.optional_cel("per", variables, STRING)
    limit = section.optional_integer("limit", least=0, most=AMOUNT_MAX)
    limits: dict[str, int] = {}
    for name, value in problems.pairs(section.get("limits"), f'"limits" of {section.what}'):
        given = plain(value)
        if type(given) is not int or not 0 <= given <= AMOUNT_MAX:
            problems.add(value, f"the limit of {name.text} must be a whole number of minor units up to 2**53 - 1")
        else:
            limits[name.text] = given
    if section.get("limit") is None and section.get("limits") is None:
        section.need("limit")
    elif section.get("limit") is None and not limits and len(problems.found) == mistakes:
        section.complain("limits", '"limits" names no account')
    if limits and section.get("per") is None:
        section.complain("limits", 'limits of single keys need "per"')
    period_ms = section.duration("period")
    if period_ms > _PERIOD_MAX_MS:
        section.complain("period", '"period" must be at most 366d')
    account = AccountPlan(
        name=section.name("name"),
        unit=_unit(section),
        period_ms=period_ms,
        limit=limit,
        limits=limits,
        parent=section.text("parent", "", 64) or None,
        is_per_key=section.get("per") is not None,
        is_shared=key is None or key.source.strip() != f"event.{key_field}",
    )
    return account, key


def _refuse_personal(section: Section, key: Expression, personal: Collection[str]) -> None:
    """Entries hold the event's key in any case; no other personal value may stand there because of a budget."""
    for name in key.variables:
        field = name.removeprefix("event.")
        if field in personal:
            section.complain(
                "per", f"{field} is personal, and what tells accounts apart stands in entries in the clear,"
            )


def _cost_unit(section: Section, accounts: MappingType[str, AccountPlan]) -> str:
    units = dict.fromkeys(one.unit for one in accounts.values())
    if section.get("cost_unit") is None and len(units) == 1:
        return next(iter(units))
    given = section.text("cost_unit", limit=16)
    if given and given not in units:
        section.complain("cost_unit", f'no account counts "{given}"', closest(given, units))
    return given


def _unit(section: Section) -> str:
    unit = section.text("unit", limit=16)
    if unit and not UNIT.fullmatch(unit):
        section.complain("unit", '"unit" must be 1 to 16 letters, digits or _')
    return unit


def _check_parent(section: Section, account: AccountPlan, accounts: MappingType[str, AccountPlan]) -> None:
    """The chain above one account, complained about at the account that leads there."""
    if account.parent is None:
        return
    parent = accounts.get(account.parent)
    if parent is None:
        guess = closest(account.parent, set(accounts) - {account.name})
        section.complain("parent", f'there is no account "{account.parent}"', guess)
        return
    if parent.unit != account.unit:
        section.complain("parent", f"{parent.name} counts {parent.unit} and {account.name} {account.unit}")
    if account.is_shared and not parent.is_shared:
        section.complain("parent", f"{parent.name} is one per event key, so it cannot stand above {account.name}")
    above = [account.name]
    while parent is not None and parent.name not in above:
        above.append(parent.name)
        parent = accounts.get(parent.parent or "")
    if parent is not None and parent.name == account.name:
        section.complain("parent", f"{account.name} would stand above itself")
    elif len(above) > LEVELS_MAX:
        section.complain("parent", f"at most {LEVELS_MAX} accounts may stand above one another")


def _reserves(
    problems: Problems, node: Node | None, variables: Variables, accounts: MappingType[str, AccountPlan]
) -> tuple[Reserve, ...]:
    found: list[Reserve] = []
    for index, one in enumerate(problems.items(node, '"reserve" of budgets')):
        with problems.section(one, titled("reserve", one, "account", index)) as section:
            account = section.name("account")
            if account not in accounts and account != "?":
                section.complain("account", f'there is no account "{account}"', closest(account, accounts))
            reserve = Reserve(
                account=account,
                amount=section.cel("amount", variables, INT),
                when=section.optional_cel("when", variables, BOOL),
                actions=_actions(section),
                then=section.choice("then", get_args(ThenRefused), "block"),
            )
            for other in found:
                both = set(_chain(account, accounts)) & set(_chain(other.account, accounts))
                if both and set(reserve.actions) & set(other.actions):
                    section.complain(
                        "account", f"a decision would reserve twice in {min(both)}, here and for {other.account},"
                    )
            found.append(reserve)
    return tuple(found)


def _actions(section: Section) -> tuple[str, ...]:
    if section.get("for") is None:
        return SPENDING
    names = section.names("for")
    for name, node in names:
        if name not in ACTIONS:
            section.problems.add(node, f'no decision is called "{name}"', closest(name, ACTIONS))
    return tuple(dict.fromkeys(name for name, _ in names))


def _chain(name: str, accounts: MappingType[str, AccountPlan]) -> list[str]:
    chain: list[str] = []
    while name in accounts and name not in chain:
        chain.append(name)
        name = accounts[name].parent or ""
    return chain


def _governance(problems: Problems, section: Section) -> tuple[Governance, int]:
    """The numbers, and `recovered`; each group's own order is checked where it is written."""
    default = Governance()
    numbers: dict[str, int | None] = {
        "approval_above": section.integer("approval_above", default.approval_above, most=AMOUNT_MAX)
    }
    with problems.section(section.get("multipliers"), '"multipliers" of governance') as group:
        for name, field_name in (
            ("complex", "complex_bp"),
            ("distrust", "distrust_bp"),
            ("entropy", "entropy_bp"),
            ("emergency", "emergency_bp"),
        ):
            numbers[field_name] = group.integer(name, getattr(default, field_name), most=_FACTOR_MAX_BP)
        for name, field_name in (("trust_below", "trust_below_bp"), ("entropy_above", "entropy_above_bp")):
            numbers[field_name] = group.integer(name, getattr(default, field_name), most=10_000)
    with problems.section(section.get("levels"), '"levels" of governance') as group:
        levels = [
            group.integer(name, getattr(default, f"{name}_at_bp"), least=1, most=10_000)
            for name in ("review", "stop", "emergency")
        ]
        if levels != sorted(levels):
            section.complain("levels", 'the levels must rise: "review" <= "stop" <= "emergency"')
        numbers |= dict(zip(("review_at_bp", "stop_at_bp", "emergency_at_bp"), sorted(levels), strict=True))
    with problems.section(section.get("tripwire"), '"tripwire" of governance') as group:
        above = group.integer("above", default.breach_above_bp, most=_FACTOR_MAX_BP)
        recovered = group.integer("recovered", 0, most=AMOUNT_MAX)
        recover_at = group.optional_integer("recover_at", least=0)
        if recover_at is not None and recover_at > above:
            group.complain("recover_at", '"recover_at" must not be above "above"')
            recover_at = above
        numbers |= {
            "breach_above_bp": above,
            "recover_at_bp": recover_at,
            "breaches": group.integer("breaches", default.breaches, least=1, most=1_000),
            "downgraded_bp": group.integer("leaves", default.downgraded_bp, most=10_000),
            "recover_after": group.integer("recover_after", default.recover_after, least=1, most=1_000_000),
        }
    with problems.section(section.get("insights"), '"insights" of governance') as group:
        numbers["insight_ttl_ms"] = group.duration("ttl", default.insight_ttl_ms) or default.insight_ttl_ms
        numbers["insights"] = group.integer("keep", default.insights, least=1, most=1_000_000)
    with problems.section(section.get("early_stop"), '"early_stop" of governance') as group:
        numbers["quality_at_bp"] = group.integer("quality", default.quality_at_bp, most=10_000)
        numbers["consumed_below_bp"] = group.integer("consumed", default.consumed_below_bp, most=10_000)
    with problems.section(section.get("backoff"), '"backoff" of governance') as group:
        numbers["backoff_ms"] = group.duration("first", default.backoff_ms) or default.backoff_ms
        numbers["backoff_most"] = group.integer("most", default.backoff_most, least=1, most=1_024)
        numbers["attempts"] = group.integer("attempts", default.attempts, least=1, most=1_000)
    return msgspec.convert(numbers, Governance), recovered
