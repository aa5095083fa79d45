"""Budgets through the fold: what a decision reserves, what an outcome settles, and what the entries say of it."""

import json

import pytest

from sidechain.models.dry import Fold, Line
from sidechain.models.dry.accounts import BUDGET_PREFIXES
from tests.desk import DAY, POLICY, T0, WITHOUT, Desk, changed, held, refused


def test_a_decision_holds_what_its_action_reserves():
    desk = Desk()
    entry = desk.event(100, team="red")
    assert entry["action"] == "allow"
    assert held(entry) == {"badge_day": (100, 200, 300), "team_day": (100, 900, 1000), "house_day": (100, 3900, 4000)}
    assert entry["budget"]["partitions"] == 1


@pytest.mark.parametrize(
    ("before", "event", "action", "reasons", "holds"),
    [
        ([], {"amount": 300}, "allow", [], {"badge_day": (300, 0, 300)}),  # to the last unit
        ([], {"amount": 301}, "review", [("exhausted", "badge_day")], {"reviews_day": (1, 1, 2)}),
        ([{"amount": 300}], {"amount": 1}, "review", [("exhausted", "badge_day")], {"reviews_day": (1, 1, 2)}),
        ([{"amount": 300}], {"amount": 0}, "allow", [], {"badge_day": (0, 0, 300)}),
        ([{"amount": 300}], {"amount": 1, "at": DAY}, "allow", [], {"badge_day": (1, 299, 300)}),  # another day
        ([{"amount": 300}], {"amount": 1, "badge": "c"}, "allow", [], {"badge_day": (1, 299, 300)}),
        # Somebody else's account is empty: that is flagged, and what the badge itself has is held all the same.
        ([], {"amount": 5, "team": "blue"}, "allow", [("exhausted", "team_day")], {"badge_day": (5, 295, 300)}),
        ([], {"amount": 5, "team": "green"}, "allow", [("unknown-account", "team_day")], {"badge_day": (5, 295, 300)}),
        ([], {"amount": 100, "risky": True}, "review", [], {"reviews_day": (1, 1, 2)}),  # spends no money yet
        ([{"risky": True}] * 2, {"risky": True}, "block", [("exhausted", "reviews_day")], {}),
        (
            [{"risky": True}] * 2,
            {"amount": 301},
            "block",
            [("exhausted", "badge_day"), ("exhausted", "reviews_day")],
            {},
        ),
        ([], {"amount": None}, "review", [("bad-amount", "badge_day")], {"reviews_day": (1, 1, 2)}),  # unknown
        ([], {"amount": -1}, "review", [("bad-amount", "badge_day")], {"reviews_day": (1, 1, 2)}),
        ([], {"amount": 2**53}, "review", [("bad-amount", "badge_day")], {"reviews_day": (1, 1, 2)}),
        ([], {"amount": 2**63 - 1}, "review", [("bad-amount", "badge_day")], {"reviews_day": (1, 1, 2)}),
    ],
)
def test_what_cannot_be_held_makes_the_decision_stricter(before, event, action, reasons, holds):
    """And the stricter decision holds its own."""
    desk = Desk()
    for one in before:
        desk.event(**one)
    entry = desk.event(**event)
    assert (entry["action"], refused(entry), held(entry)) == (action, reasons, holds)
    assert [(one[2], one[1]) for one in entry["reasons"] if one[0] == "budget"] == reasons


@pytest.mark.parametrize("amount", ["100", 12.5, 1e300, True, [1], {"minor": 1}])
def test_money_that_is_no_whole_number_is_no_event(amount):
    """To the dead letters, with the field, and no account has moved."""
    desk = Desk()
    entry = desk.event(amount)
    assert (entry["kind"], entry["field"]) == ("rejected", "amount")
    assert desk.fold.budgets is None


@pytest.mark.parametrize(
    ("cost", "closed"),
    [
        (100, ["badge_day", "b", T0, 100, 100, 0, 200]),
        (40, ["badge_day", "b", T0, 100, 40, 0, 260]),
        (0, ["badge_day", "b", T0, 100, 0, 0, 300]),
        (300, ["badge_day", "b", T0, 100, 300, 0, 0]),
        (301, ["badge_day", "b", T0, 100, 301, 1, 0]),  # one more than it had: that is owed
        (2**53 - 1, ["badge_day", "b", T0, 100, 2**53 - 1, 2**53 - 301, 0]),
    ],
)
def test_an_outcome_with_a_cost_ends_the_reservation(cost, closed):
    desk = Desk()
    desk.event(100)
    entry = desk.outcome("e0", cost)
    assert entry["budget"]["closed"] == [{"reservation": 0, "how": "settled", "parts": [closed]}]
    assert desk.fold.budgets.open == 0
    after = desk.event(0)
    assert refused(after) == ([("owing", "badge_day")] if closed[5] else [])


def test_a_label_alone_leaves_the_reservation_open():
    desk = Desk()
    desk.event(100)
    assert desk.outcome("e0", label="good")["budget"] is None
    assert desk.fold.budgets.open == 1
    assert desk.outcome("e0", 70)["budget"]["closed"][0]["how"] == "settled"


def test_a_review_is_spent_as_it_was_reserved_when_money_is_what_its_outcome_cost():
    """What was reserved in another unit than the cost's has no other cost."""
    desk = Desk()
    desk.event(100, risky=True)
    entry = desk.outcome("e0", 5_000)
    assert entry["budget"]["closed"][0]["parts"] == [["reviews_day", "", T0, 1, 1, 0, 1]]


@pytest.mark.parametrize(
    ("outcomes", "kind", "reason"),
    [
        ([("nobody", 5)], "refused-outcome", "unknown-decision"),
        ([("e0", 5), ("e0", 5)], "refused-outcome", "already-settled"),
        ([("e0", 5), ("e0", 6)], "refused-outcome", "already-settled"),
        ([("e0", -1)], "refused-outcome", "out-of-bounds"),
        ([("e0", 2**53)], "refused-outcome", "out-of-bounds"),
        ([("e0", 12.505)], "refused-outcome", "wrong-type"),
        ([("e0", "12.50")], "refused-outcome", "wrong-type"),
    ],
)
def test_an_outcome_that_settles_nothing_moves_nothing(outcomes, kind, reason):
    desk = Desk()
    desk.event(100)
    *_, (identifier, cost) = outcomes
    for one in outcomes[:-1]:
        desk.outcome(*one)
    before = dict(desk.fold.budgets.books)
    entry = desk.outcome(identifier, cost)
    assert (entry["kind"], entry["reason"]) == (kind, reason)
    assert desk.fold.budgets.books == before


def test_a_cost_that_comes_after_the_timeout_is_sealed_and_spends_nothing_more():
    desk = Desk()
    desk.event(100)
    later = desk.event(0, at=2 * DAY)
    assert later["budget"]["closed"] == [
        {"reservation": 0, "how": "expired", "parts": [["badge_day", "b", T0, 100, 0, 0, 300]]}
    ]
    entry = desk.outcome("e0", 5)
    assert (entry["kind"], entry["cost_minor"], refused(entry)) == ("settlement", 5, [("expired", None)])


def test_a_timeout_may_count_as_spent():
    desk = Desk(changed("timeout: 2d", "timeout: 2d\n  on_timeout: commit"))
    desk.event(100)
    closed = desk.event(0, at=2 * DAY)["budget"]["closed"]
    assert closed[0]["parts"] == [["badge_day", "b", T0, 100, 100, 0, 200]]


def test_the_cost_of_a_decision_that_reserved_nothing_is_no_fault():
    desk = Desk()
    desk.event(100)
    desk.event(500, risky=True)
    desk.event(500, risky=True)
    assert desk.event(500, risky=True)["action"] == "block"
    entry = desk.outcome("e3", 70)
    assert (entry["kind"], entry["cost_minor"], entry["budget"]) == ("settlement", 70, None)


def test_a_full_table_refuses_everything_and_holds_on_to_what_it_has():
    desk = Desk(changed("timeout: 2d", "timeout: 2d\n  max_open: 1"))
    desk.event(100)
    entry = desk.event(1, team="red")
    assert entry["action"] == "block"  # sent to review, for which there is no room either
    assert refused(entry) == [("too-many-open", None), ("too-many-open", None)]
    assert desk.fold.budgets.open == 1


def test_each_partition_has_its_part_of_a_shared_account():
    """Reviews: two a day, of which partition 0 of 3 has one, partition 1 one and partition 2 none."""
    parts = [held(Desk(POLICY, one, 3).event(1, risky=True)).get("reviews_day") for one in range(3)]
    assert parts == [(1, 0, 1), (1, 0, 1), None]


def test_a_policy_without_budgets_writes_the_bytes_it_always_wrote():
    """Whatever is said of partitions."""
    one, other = Fold(WITHOUT, 0), Fold(WITHOUT, 0, partitions=7)
    record = Line(0, b"b", json.dumps({"id": "e", "badge": "b", "at": T0, "amount": 5}).encode())
    assert one.events([record]) == other.events([record])
    assert one.changes() == other.changes()
    assert not any(name.startswith(BUDGET_PREFIXES) for name, _ in Fold(WITHOUT, 0, partitions=7).changes())
