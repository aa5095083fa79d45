"""The report's money: worked out by hand, equal to what a dumber program finds, and nothing is passed over."""

import json
from typing import Any

import pytest

from sidechain.models.report.compare import Stated
from sidechain.models.report.document import Chain, Known, document, seal
from sidechain.models.report.money_page import money
from sidechain.models.report.tally import Ask, Period
from tests import dumb_report
from tests.desk import Desk
from tests.unit.test_fold_governance import POLICY as GOVERNED

DAY = 86_400_000
BASE: dict[str, Any] = {"policy": "p@1:0", "at": 5}
QUIET = {"closed": [], "reserved": None, "refused": [], "partitions": 1}


def decided(spending: Any, at: int = 5, reasons: list[list[Any]] | None = None) -> dict[str, Any]:
    """A decision whose entry says this of budgets."""
    said = {"action": "allow", "tier": "pass", "trust_bp": 9_000, "score_bp": 0, "flags": [], "signals": {}}
    return {"kind": "decision", **BASE, "at": at, **said, "reasons": reasons or [], "budget": spending}


def settled(spending: Any, cost: int | None = 90, at: int = 6) -> dict[str, Any]:
    return {"kind": "settlement", **BASE, "at": at, "label": None, "cost_minor": cost, "budget": spending}


def held(*parts: tuple[str, str, int]) -> dict[str, Any]:
    found = [[account, "", unit, 0, DAY, amount] for account, unit, amount in parts]
    return {"parts": found, "remaining": [1] * len(parts), "initial": [9] * len(parts), "expires_ms": 7, "ask": None}


def closed(how: str, *parts: tuple[str, int, int, int]) -> dict[str, Any]:
    """Account, what was held, what it cost, what nothing was left for."""
    found = [[account, "", 0, reserved, cost, overrun, 1] for account, reserved, cost, overrun in parts]
    return {"reservation": 3, "how": how, "parts": found}


def refused(reason: str, account: str | None, wanted: int | None) -> dict[str, Any]:
    return {"reason": reason, "account": account, "key": None, "wanted": wanted, "remaining": 0, "ask": None}


def governed(answer: str, why: str, base: int | None, cost: int, **multipliers: int) -> dict[str, Any]:
    found = {"answer": answer, "why": why, "level": "normal", "base": base, "cost": cost}
    return {**found, "multipliers": [list(one) for one in multipliers.items()], "downgraded": False}


ENTRIES = [
    decided(None),
    decided({**QUIET, "reserved": held(("team", "EUR", 100), ("all", "EUR", 100))}),
    decided({**QUIET, "reserved": held(("team", "EUR", 50)), "closed": [closed("expired", ("team", 7, 0, 0))]}),
    decided({**QUIET, "refused": [refused("exhausted", "team", 900), refused("owing", "all", 1)]}),
    decided({**QUIET, "refused": [refused("too-many-open", None, None)]}, reasons=[["budget", "team", "x", "block"]]),
    settled({**QUIET, "closed": [closed("settled", ("team", 100, 130, 20), ("all", 100, 130, 0))]}),
    settled({**QUIET, "refused": [refused("already-settled", None, None)]}, cost=5),
    settled(None, cost=None),
    decided(
        {**QUIET, "reserved": held(("team", "USD", 60)), "governed": governed("approve", "within_budget", 60, 60)},
        reasons=[["governance", "team", "budget_review", "review"]],
    ),
    decided({**QUIET, "governed": governed("insight", "insight_found", 7, 0, complexity=15_000, trust=13_000)}),
    decided({**QUIET, "governed": governed("refuse", "cost_unknown", None, 0)}),
    decided({**QUIET, "governed": governed("approve", "budget_tripwire_active", 101, 51)}),
    settled({**QUIET, "governed": {"event": "breach", "tripwire": [1, False, 0], "learned": None}}),
    {"kind": "debit", **BASE, "at": None, "transfer": {"account": "all", "unit": "EUR"}, "amount": 8},
    {"kind": "debit", **BASE, "at": None, "transfer": {"account": "all", "unit": "EUR"}, "amount": 0},
    {"kind": "credit", **BASE, "at": None, "transfer": {"account": "all", "unit": "EUR"}, "amount": 5, "lapsed": 3},
    decided({**QUIET, "reserved": held(("team", "EUR", 10**6))}, at=10**9),  # of another period
]
PERIOD = Period(until=10**9)


def made(entries: list[dict[str, Any]] = ENTRIES, period: Period = PERIOD) -> dict[str, Any]:
    lines = [json.dumps(one, separators=(",", ":")).encode()[:-1] + b',"hash":"%064d"}' % 0 for one in entries]
    tally = Ask(period).tally(0)
    tally.take(0, lines)
    tally.finish()
    return document([Chain(0, [], tally)], Ask(period), Known({}))


@pytest.fixture(scope="module")
def totals() -> dict[str, Any]:
    return made()["totals"]


def test_what_was_held_spent_and_refused(totals):
    """By hand: team held 100 + 50 + 60, spent 130 of which 20 was owed; 901 were refused, of one nobody knows."""
    none = {"decisions": 0, "reserved_minor": 0, "cost_minor": 0, "overrun_minor": 0}
    kept = {"lent": {"transfers": 0, "sum_minor": 0}, "borrowed": {"transfers": 0, "sum_minor": 0, "lapsed_minor": 0}}
    assert totals["budgets"] == {
        "(no account)": {
            "units": [],
            "reserved": {"decisions": 0, "sum_minor": 0},
            "settled": none,
            "released": none,
            "expired": none,
            **kept,
            "spent_minor": 0,
            "refused": {
                "already-settled": {"decisions": 1, "wanted_minor": 0},
                "too-many-open": {"decisions": 1, "wanted_minor": 0},
            },
        },
        "all": {
            "units": ["EUR"],
            "reserved": {"decisions": 1, "sum_minor": 100},
            "settled": {"decisions": 1, "reserved_minor": 100, "cost_minor": 130, "overrun_minor": 0},
            "released": none,
            "expired": none,
            "lent": {"transfers": 2, "sum_minor": 8},
            "borrowed": {"transfers": 1, "sum_minor": 5, "lapsed_minor": 3},
            "spent_minor": 130,
            "refused": {"owing": {"decisions": 1, "wanted_minor": 1}},
        },
        "team": {
            "units": ["EUR", "USD"],
            "reserved": {"decisions": 3, "sum_minor": 210},
            "settled": {"decisions": 1, "reserved_minor": 100, "cost_minor": 130, "overrun_minor": 20},
            "released": none,
            "expired": {"decisions": 1, "reserved_minor": 7, "cost_minor": 0, "overrun_minor": 0},
            **kept,
            "spent_minor": 130,
            "refused": {"exhausted": {"decisions": 1, "wanted_minor": 900}},
        },
    }
    assert totals["budget_marks"] == {"team": {"block": 1}}


def test_what_governance_answered_and_saved(totals):
    """14 is 7 × 1.5 × 1.3 rounded up; half of 101 is 51, so 50 were saved."""
    assert totals["governance"] == {
        "answers": {"approve": 2, "insight": 1, "refuse": 1},
        "why": {"budget_tripwire_active": 1, "cost_unknown": 1, "insight_found": 1, "within_budget": 1},
        "saved": {
            "budget_tripwire_active": {"decisions": 1, "sum_minor": 50},
            "insight_found": {"decisions": 1, "sum_minor": 14},
        },
        "tripwire": {"breach": 1},
    }
    assert totals["governance_marks"] == {"team": {"review": 1}}


@pytest.mark.parametrize("period", [PERIOD, Period(), Period(since=6), Period(until=6), Period(since=7)])
def test_a_dumber_program_comes_to_the_same(period):
    assert made(period=period)["totals"] == dumb_report.totals({0: ENTRIES}, {}, *period)


@pytest.mark.parametrize("desk", [Desk(), Desk(GOVERNED)], ids=["budgets", "governance"])
def test_a_dumber_program_comes_to_the_same_of_what_the_kernel_writes(desk):
    """Held, refused, expired, settled below and above; governed and not."""
    ids = []
    for at in range(12):
        said = {"risky": at % 5 == 4, "team": "red"} if desk.fold.policy.name == "desk" else {"parts": at}
        ids.append(desk.event(90 + at * 300 * (at % 4 == 3), at=at * DAY // 3, badge=f"b{at % 2}", **said)["id"])
        if at % 3 == 1:
            desk.outcome(ids[at - 1], 60 + 5 * at)
    desk.outcome(ids[10], 10**6)
    tally = Ask().tally(0)
    tally.take(0, desk.lines)
    tally.finish()
    found = document([Chain(0, [], tally)], Ask(), Known({}))["totals"]
    assert found == dumb_report.totals({0: [json.loads(one) for one in desk.lines]}, {})
    assert found["entries"]["unreadable"] == 0
    assert any(one["expired"]["decisions"] for one in found["budgets"].values())
    assert any(one["settled"]["overrun_minor"] for one in found["budgets"].values())
    assert bool(found["governance"]["answers"]) is (desk.fold.policy.name == "llm")


def test_people_read_it_too(totals):
    page = "\n".join(money(totals))
    assert "| team | EUR, USD | 210 | 130 | 20 | 900 |" in page
    assert "| insight\\_found | 1 | 14 |" in page
    assert "Nothing was reserved" in "\n".join(money(made([decided(None)])["totals"]))


@pytest.mark.parametrize(
    "spending",
    [
        7,
        [],
        {"closed": 1},
        {"reserved": {"parts": [["team", "", "EUR", 0, 1, "9"]]}},
        {"reserved": {"parts": [["team", "", "EUR", 0, 1, 9.5]]}},
        {"reserved": {"parts": [["team", "", "EUR", 0, 1, 2**63]]}},
        {"refused": [{}]},
        {"governed": {"multipliers": [["complexity"]]}},
    ],
    ids=json.dumps,
)
def test_an_entry_that_says_what_no_entry_says_is_counted_as_unreadable(spending):
    """And nothing of it is counted, of neither kind."""
    found = made([decided(spending), settled(spending), decided(None)])["totals"]
    assert (found["entries"]["unreadable"], found["entries"]["kinds"]["decision"]) == (2, 1)
    assert found["budgets"] == {}


def test_a_report_from_before_there_were_budgets_is_still_right():
    """Where nothing was reserved it says all there is; where something was, it left that out."""
    sections = ("budgets", "governance", "budget_marks", "governance_marks")
    for entries, left_out in (([decided(None)], set()), (ENTRIES, {f"totals.{name}" for name in sections})):
        found = made(entries)
        old = {**found, "totals": {name: one for name, one in found["totals"].items() if name not in sections}}
        assert {one.where for one in Stated(seal(old)).differences(found)} == left_out
