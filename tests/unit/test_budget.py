"""Budgets by hand: what is left, held, spent and owed after each operation, worked out on paper."""

import pytest

from sidechain.models.dry.budget import AMOUNT_MAX, REASONS, Reserved, Want
from tests.budgeting import DAY, HOUR, alone, at, balances, spend


def test_a_reservation_is_held_in_every_account_above():
    """60 of a person are 60 of the day and 60 of the month."""
    budgets = alone()
    answer = spend(budgets, 0, 60)
    assert [(one.account, one.key, one.amount) for one in answer.parts] == [
        ("person", "anna", 60),
        ("day", "", 60),
        ("month", "", 60),
    ]
    assert answer.remaining == (40, 440, 940)
    assert answer.expires_ms == HOUR
    assert balances(budgets, "month") == (940, 60, 0, 0)


def test_all_accounts_of_the_chain_or_none():
    """Five persons use up the day; a sixth has 100 of its own and gets nothing, and nothing of anybody's has moved."""
    budgets = alone()
    for seq, who in enumerate("abcde"):
        assert isinstance(spend(budgets, seq, 100, who), Reserved)
    before = dict(budgets.books)
    answer = spend(budgets, 5, 1, "f")
    assert (answer.reason, answer.account, answer.wanted, answer.remaining) == ("exhausted", "day", 1, 0)
    assert dict(budgets.books) == before
    assert balances(budgets, "person", "f") == (100, 0, 0, 0)


def test_wants_of_several_chains_stand_or_fall_together():
    """Money and a count; when the count is used up the money stays too."""
    budgets = alone()
    for seq in range(3):
        wants = [Want("person", 10), Want("reviews", 1)]
        answer = budgets.reserve(at(seq), wants, {"person": "anna"})
    assert (answer.reason, answer.account) == ("exhausted", "reviews")
    assert balances(budgets, "person", "anna") == (80, 20, 0, 0)
    settled = budgets.settle(at(3), 0, 4, "EUR")
    assert [(one.account, one.cost) for one in settled.parts] == [
        ("person", 4),
        ("day", 4),
        ("month", 4),
        ("reviews", 1),
    ]


@pytest.mark.parametrize(
    ("cost", "person", "day"),
    [
        # reserved 60 of 100 and of 500: remaining, reserved, committed, overrun
        (0, (100, 0, 0, 0), (500, 0, 0, 0)),
        (59, (41, 0, 59, 0), (441, 0, 59, 0)),
        (60, (40, 0, 60, 0), (440, 0, 60, 0)),
        (None, (40, 0, 60, 0), (440, 0, 60, 0)),  # the cost is as reserved
        (61, (39, 0, 61, 0), (439, 0, 61, 0)),
        (100, (0, 0, 100, 0), (400, 0, 100, 0)),
        (101, (0, 0, 100, 1), (399, 0, 101, 0)),  # one more than the person had; the day had it
        (501, (0, 0, 100, 401), (0, 0, 500, 1)),
        (AMOUNT_MAX, (0, 0, 100, AMOUNT_MAX - 100), (0, 0, 500, AMOUNT_MAX - 500)),
    ],
)
def test_the_real_cost_takes_what_remains_and_is_owed_beyond(cost, person, day):
    """Never more is committed than there was; what nothing was left for is recorded apart."""
    budgets = alone()
    spend(budgets, 0, 60)
    budgets.settle(at(1), 0, cost)
    assert balances(budgets, "person", "anna") == person
    assert balances(budgets, "day") == day


def test_an_account_that_owes_is_closed_until_what_comes_back_has_paid():
    """100 given: 30 and 50 held, the first costs 70. 20 remain and go, 20 are owed; the other's 50 pay them."""
    budgets = alone()
    spend(budgets, 0, 30)
    spend(budgets, 1, 50)
    closed = budgets.settle(at(2), 0, 70)
    assert (closed.parts[0].account, closed.parts[0].cost, closed.parts[0].overrun) == ("person", 70, 20)
    assert balances(budgets, "person", "anna") == (0, 50, 50, 20)
    assert spend(budgets, 3, 0).reason == "owing"
    budgets.release(at(4), 1)
    assert balances(budgets, "person", "anna") == (30, 0, 70, 0)
    assert isinstance(spend(budgets, 5, 30), Reserved)


@pytest.mark.parametrize(("on_timeout", "left"), [("release", (100, 0, 0, 0)), ("commit", (40, 0, 60, 0))])
def test_a_reservation_expires_with_its_timeout_in_event_time(on_timeout, left):
    """On its last millisecond it stands, then it goes: back, or, where the policy is strict, spent."""
    budgets = alone(on_timeout=on_timeout)
    spend(budgets, 0, 60)
    assert budgets.advance(at(1, HOUR - 1)) == ()
    (expired,) = budgets.advance(at(2, HOUR))
    assert (expired.reservation, expired.how) == (0, "expired")
    assert balances(budgets, "person", "anna") == left
    assert budgets.settle(at(3, HOUR), 0, 5).reason == "expired"


def test_an_entry_lets_sixteen_reservations_expire_and_the_next_the_others():
    """One entry stays small, whatever the clock has jumped over; oldest first."""
    budgets = alone()
    for seq in range(20):
        spend(budgets, seq, 1)
    assert [one.reservation for one in budgets.advance(at(20, DAY))] == list(range(16))
    assert [one.reservation for one in budgets.advance(at(21, DAY))] == [16, 17, 18, 19]


@pytest.mark.parametrize(
    ("wants", "keys", "reason"),
    [
        ([("person", -1)], {"person": "anna"}, "bad-amount"),
        ([("person", 2**53)], {"person": "anna"}, "bad-amount"),
        ([("person", 2**53 - 1)], {"person": "anna"}, "exhausted"),
        ([("person", 12.5)], {"person": "anna"}, "bad-amount"),
        ([("person", True)], {"person": "anna"}, "bad-amount"),
        ([("person", None)], {"person": "anna"}, "bad-amount"),
        ([("person", "12")], {"person": "anna"}, "bad-amount"),
        ([("nobody", 1)], {}, "unknown-account"),
        ([("person", 1)], {}, "unknown-account"),
        ([("person", 1)], {"person": None}, "unknown-account"),
        ([("day", 1), ("reviews", -1)], {}, "bad-amount"),
    ],
)
def test_what_is_not_known_to_be_allowed_is_refused(wants, keys, reason):
    """With a sentence, and without a trace."""
    budgets = alone()
    answer = budgets.reserve(at(0), [Want(*one) for one in wants], keys)
    assert answer.reason == reason
    assert len(str(answer)) > 30
    assert not budgets.books
    assert not budgets.open


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([("settle", 7, 1)], "unknown-reservation"),
        ([("release", 7)], "unknown-reservation"),
        ([("settle", 0, 1), ("settle", 0, 1)], "already-settled"),
        ([("settle", 0, 1), ("release", 0)], "already-settled"),
        ([("release", 0), ("settle", 0, 1)], "already-released"),
        ([("settle", 0, -1)], "bad-amount"),
        ([("settle", 0, 2**53)], "bad-amount"),
        ([("settle", 0, 0.5)], "bad-amount"),
        ([("settle", 0, 1, "USD")], "unknown-unit"),
        ([("settle", 0, AMOUNT_MAX), ("settle", 1, AMOUNT_MAX)], "balance-too-large"),
    ],
)
def test_an_outcome_that_fits_nothing_is_refused(steps, reason):
    """Unknown, twice, negative, overflowing, in another unit: what was recorded first stands."""
    budgets = alone()
    spend(budgets, 0, 10)
    spend(budgets, 1, 10)
    for number, (name, *arguments) in enumerate(steps):
        before = dict(budgets.books)
        answer = getattr(budgets, name)(at(2 + number), *arguments)
    assert answer.reason == reason
    assert dict(budgets.books) == before


def test_a_cost_names_its_unit_where_two_are_held():
    """Nobody guesses whether 3 are cents or pieces."""
    budgets = alone()
    budgets.reserve(at(0), [Want("person", 10), Want("reviews", 1)], {"person": "anna"})
    assert budgets.settle(at(1), 0, 3).reason == "unknown-unit"
    assert budgets.settle(at(2), 0, 3, "EUR").how == "settled"


def test_a_decision_does_not_reserve_twice_in_one_account():
    """The policy's reader sees to it; if it did not, that is our mistake and stops the worker."""
    with pytest.raises(ValueError, match="reserves twice in account day"):
        alone().reserve(at(0), [Want("person", 1), Want("day", 1)], {"person": "anna"})


def test_every_reason_has_a_sentence():
    """And is said somewhere: the list is closed."""
    assert all(len(sentence) > 20 for sentence in REASONS.values())
