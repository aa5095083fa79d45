"""Budgets in a pack: what is read, and for each mistake its place and what may have been meant."""

import pytest

from sidechain.models.cel import BOOL, INT, STRING, Variable
from sidechain.models.dry.budget import AccountPlan
from sidechain.models.dry.governance import Governance
from sidechain.models.pack_budgets import read_budgets, read_governance
from sidechain.models.pack_reader import PackError, Problems
from sidechain.models.policy import Budgeting, Governing
from sidechain.models.yaml_positions import parse

DAY = 86_400_000
SEES = {
    "event.badge": Variable(STRING),
    "event.team": Variable(STRING, unknown=True),
    "event.amount": Variable(INT),
    "event.opened": Variable(BOOL),
    "features.doors_1h": Variable(INT),
    "signals.entropy": Variable(INT, unknown=True),
}
GOOD = """\
budgets:
  timeout: 7d
  cost_unit: EUR
  accounts:
    - {name: tenant_month, unit: EUR, period: 30d, limit: 2000000}
    - {name: team_day, unit: EUR, period: 1d, per: event.team, limits: {red: 50000, blue: 0}, parent: tenant_month}
    - {name: badge_day, unit: EUR, period: 1d, per: event.badge, limit: 3000, parent: team_day}
    - {name: reviews_day, unit: count, period: 1d, limit: 100}
  reserve:
    - {account: badge_day, amount: event.amount, when: event.amount > 0}
    - {account: reviews_day, amount: "1", for: [review], then: review}
governance:
  account: badge_day
  complex: features.doors_1h > 3
  entropy: signals.entropy
  emergency: event.opened
  scenario: [event.team, features.doors_1h]
  tripwire: {recover_at: 800, recover_after: 5}
  insights: {ttl: 1d, keep: 10}
"""

ONE_UNIT = """\
budgets:
  timeout: 1h
  accounts: [{name: day, unit: EUR, period: 1d, limit: 5}]
  reserve: [{account: day, amount: "1"}]
"""


def read(text: str) -> tuple[Budgeting | None, Governing | None]:
    """Both sections; raises PackError."""
    problems = Problems("doors.yaml", text)
    top = {name.text: node for name, node in parse(text).items}
    budgets = read_budgets(problems, top.get("budgets"), SEES, "badge")
    governing = read_governance(problems, top.get("governance"), SEES, budgets)
    problems.raise_any()
    return budgets, governing


def test_what_a_pack_says_is_what_is_read():
    """Per event key: one partition has it all; anything else is shared."""
    budgets, governing = read(GOOD)
    assert (budgets.plan.timeout_ms, budgets.cost_unit) == (7 * DAY, "EUR")
    assert budgets.plan.accounts["badge_day"] == AccountPlan(
        name="badge_day", unit="EUR", period_ms=DAY, limit=3_000, parent="team_day", is_per_key=True
    )
    assert budgets.plan.accounts["team_day"] == AccountPlan(
        name="team_day",
        unit="EUR",
        period_ms=DAY,
        limits={"red": 50_000, "blue": 0},
        parent="tenant_month",
        is_per_key=True,
        is_shared=True,
    )
    assert {name: one.source for name, one in budgets.keys.items()} == {
        "team_day": "event.team",
        "badge_day": "event.badge",
    }
    assert [(one.account, one.actions, one.then) for one in budgets.reserves] == [
        ("badge_day", ("allow", "monitor"), "block"),
        ("reviews_day", ("review",), "review"),
    ]
    assert governing.rules == Governance(recover_at_bp=800, recover_after=5, insight_ttl_ms=DAY, insights=10)
    assert (governing.account, governing.entropy.source) == ("badge_day", "signals.entropy")


def test_governance_needs_budgets():
    """It answers before something is reserved."""
    with pytest.raises(PackError, match='nothing is reserved in account "badge_day" in governance'):
        read(GOOD[GOOD.index("governance:") :])


def test_where_there_is_one_unit_it_is_the_cost_s():
    """Nothing else could be meant."""
    assert read(ONE_UNIT)[0].cost_unit == "EUR"


def test_a_pack_without_the_sections_has_neither():
    """Nothing is budgeted, nothing governed."""
    assert read("pack: doors\n") == (None, None)


def test_what_governance_leaves_out_is_the_seeds_numbers():
    """The account is all it has to say."""
    text = GOOD[: GOOD.index("governance:")] + "governance: {account: badge_day}\n"
    assert read(text)[1] == Governing(rules=Governance(), account="badge_day")


@pytest.mark.parametrize(
    ("good", "bad", "at", "said"),
    [
        ("timeout: 7d", "timeout: 0d", "0d", '"timeout" must be longer than zero in budgets'),
        ("  timeout: 7d\n", "", "timeout", 'missing field "timeout" in budgets'),
        ("unit: count", "unit: a b", "a b", '"unit" must be 1 to 16 letters, digits or _ in account reviews_day'),
        ("  cost_unit: EUR\n", "", "timeout", 'missing field "cost_unit" in budgets'),
        ("cost_unit: EUR", "cost_unit: EURO", "EURO", 'no account counts "EURO" in budgets; did you mean "EUR"?'),
        ("timeout: 7d", "timeuot: 7d", "timeuot", 'unknown field "timeuot" in budgets; did you mean "timeout"?'),
        (
            "  reserve:",
            "    - {name: badge_day, unit: EUR, period: 1d, limit: 1}\n  reserve:",
            "badge_day, unit: EUR, period: 1d, limit: 1}",
            'duplicate name "badge_day" in account badge_day',
        ),
        (
            "limit: 3000",
            "limit: -1",
            "-1",
            '"limit" must be a whole number from 0 to 9007199254740991, not -1, in account badge_day',
        ),
        (
            "limit: 3000",
            "limit: 30.5",
            "30.5",
            '"limit" must be a whole number from 0 to 9007199254740991, not 30.5, in account badge_day',
        ),
        (
            "limit: 3000",
            "limit: 9007199254740992",
            "9007199254740992",
            '"limit" must be a whole number from 0 to 9007199254740991, not 9007199254740992, in account badge_day',
        ),
        ("limit: 3000, ", "", "{name: badge_day", 'missing field "limit" in account badge_day'),
        ("limits: {red: 50000, blue: 0}", "limits: {}", "{}", '"limits" names no account in account team_day'),
        ("red: 50000", "red: -5", "-5", "the limit of red must be a whole number of minor units up to 2**53 - 1"),
        ("red: 50000", "red: 12.50", "12.50", "the limit of red must be a whole number of minor units up to 2**53 - 1"),
        ("per: event.team, ", "", "{red: 50000", 'limits of single keys need "per" in account team_day'),
        (
            "per: event.team",
            "per: event.amount",
            "event.amount, limits",
            '"per" of account team_day: the expression must be string, and it is int',
        ),
        (
            "per: event.team",
            "per: event.taem",
            "event.taem",
            '"per" of account team_day: event.taem is not declared; did you mean "event.team"?',
        ),
        (
            "per: event.team",
            "per: signals.entropy",
            "signals.entropy, limits",
            '"per" of account team_day: signals.entropy is not declared',
        ),
        ("period: 30d", "period: 400d", "400d", '"period" must be at most 366d in account tenant_month'),
        (
            "parent: tenant_month",
            "parent: tenant_mont",
            "tenant_mont}",
            'there is no account "tenant_mont" in account team_day; did you mean "tenant_month"?',
        ),
        (
            "unit: count, period: 1d, limit: 100}",
            "unit: EUR, period: 1d, limit: 100, parent: badge_day}",
            "badge_day}\n  reserve",
            "badge_day is one per event key, so it cannot stand above reviews_day in account reviews_day",
        ),
        (
            "limit: 2000000}",
            "limit: 2000000, parent: tenant_month}",
            "tenant_month}\n    - {name: team",
            "tenant_month would stand above itself in account tenant_month",
        ),
        (
            "limit: 100}",
            "limit: 100, parent: team_day}",
            "team_day}\n  reserve",
            "team_day counts EUR and reviews_day count in account reviews_day",
        ),
        (
            "account: badge_day, amount",
            "account: badge_dya, amount",
            "badge_dya",
            'there is no account "badge_dya" in reserve badge_dya; did you mean "badge_day"?',
        ),
        (
            "amount: event.amount,",
            "amount: event.team,",
            "event.team, when",
            '"amount" of reserve badge_day: the expression must be int, and it is string',
        ),
        (
            "when: event.amount > 0",
            "when: event.amount",
            "event.amount}",
            '"when" of reserve badge_day: the expression must be bool, and it is int',
        ),
        ("for: [review]", "for: [reveiw]", "reveiw", 'no decision is called "reveiw"; did you mean "review"?'),
        (
            "then: review",
            "then: pass",
            "pass",
            '"then" must be one of block, review, monitor, flag, not "pass", in reserve reviews_day',
        ),
        (
            'account: reviews_day, amount: "1", for: [review]',
            'account: team_day, amount: "1", for: [allow]',
            "team_day, amount",
            "a decision would reserve twice in team_day, here and for badge_day, in reserve team_day",
        ),
        (
            "  account: badge_day\n",
            "  account: team_day\n",
            "team_day\n  complex",
            'nothing is reserved in account "team_day" in governance',
        ),
        (
            "  account: badge_day\n",
            "  account: reviews_day\n",
            "reviews_day\n  complex",
            "costs are stated in EUR, and reviews_day counts count, in governance",
        ),
        (
            "  reserve:\n",
            '  reserve:\n    - {account: badge_day, amount: "1", for: [block], then: flag}\n',
            "badge_day\n  complex",
            "governance answers for one reserve, and badge_day has 2, in governance",
        ),
        (
            "  tripwire:",
            "  quality: event.amount\n  tripwire:",
            "event.amount\n  tripwire",
            'work stops early by "quality" and "consumed" together in governance',
        ),
        (
            "tripwire: {recover_at: 800",
            "tripwire: {recovered: -1, recover_at: 800",
            "-1",
            '"recovered" must be a whole number from 0 to 9007199254740991, not -1, in "tripwire" of governance',
        ),
        (
            "complex: features.doors_1h > 3",
            "complex: features.doors_1h",
            "features.doors_1h\n",
            '"complex" of governance: the expression must be bool, and it is int',
        ),
        (
            "tripwire: {recover_at: 800",
            "tripwire: {recover_at: 1201",
            "1201",
            '"recover_at" must not be above "above" in "tripwire" of governance',
        ),
        (
            "  tripwire:",
            "  levels: {stop: 8000}\n  tripwire:",
            "{stop: 8000}",
            'the levels must rise: "review" <= "stop" <= "emergency" in governance',
        ),
        (
            "  tripwire:",
            "  multipliers: {complex: 1.5}\n  tripwire:",
            "1.5}",
            '"complex" must be a whole number from 0 to 1000000, not 1.5, in "multipliers" of governance',
        ),
        (
            "  tripwire:",
            "  backoff: {frist: 1s}\n  tripwire:",
            "frist",
            'unknown field "frist" in "backoff" of governance; did you mean "first"?',
        ),
    ],
)
def test_each_mistake_has_a_place_and_a_sentence(good, bad, at, said):
    """Line and column of what is wrong, and nothing else is said."""
    text = GOOD.replace(good, bad, 1)
    assert text != GOOD
    with pytest.raises(PackError) as refused:
        read(text)
    place = text.index(at, text.index(bad) if bad and at in bad else 0) if at in text else None
    found = str(refused.value).splitlines()
    assert [one.split(": ", 1)[1] for one in found] == [said]
    if place is not None:
        line = text.count("\n", 0, place) + 1
        column = place - (text.rfind("\n", 0, place) + 1) + 1
        assert found[0].startswith(f"doors.yaml:{line}:{column}:")
