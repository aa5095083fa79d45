"""Periods end, tables are full: what is forgotten when, by hand, and that nothing spent is among it."""

from sidechain.models.dry.budget import AccountPlan, BudgetPlan, Budgets, Reserved
from tests.budgeting import DAY, HOUR, alone, at, balances, spend, take


def test_a_reservation_belongs_to_the_period_it_was_made_in():
    """Held before midnight, settled after: the new day has all of its own, the month has both."""
    budgets = alone()
    spend(budgets, 0, 60, now_ms=DAY - 1)
    spend(budgets, 1, 10, now_ms=DAY)
    assert balances(budgets, "person", "anna", DAY) == (90, 10, 0, 0)
    assert budgets.settle(at(2, DAY), 0, 50).parts[0].from_ms == 0
    assert balances(budgets, "person", "anna", DAY) == (90, 10, 0, 0)
    assert balances(budgets, "month", "", DAY) == (940, 10, 50, 0)


def test_a_late_event_spends_the_day_it_is_decided_in():
    """The clock does not go back, so an ended day is never spent again: all of it lapses."""
    budgets = alone()
    spend(budgets, 0, 100, now_ms=DAY)
    assert spend(budgets, 1, 1, now_ms=DAY).reason == "exhausted"  # its own time may have been yesterday


def test_what_holds_nothing_is_forgotten_and_what_was_spent_is_not():
    """Within the day a book stays for what was spent, after it for what is held."""
    budgets = alone(timeout_ms=10 * DAY)
    spend(budgets, 0, 10, "gone")
    budgets.release(at(1), 0)
    assert not budgets.books
    spend(budgets, 2, 10, "spent")
    budgets.settle(at(3), 2)
    spend(budgets, 4, 10, "held")
    assert {name.split(":")[4] for name in budgets.books if name.startswith("person")} == {"spent", "held"}
    budgets.advance(at(5, DAY))
    assert {name.split(":")[4] for name in budgets.books if name.startswith("person")} == {"held"}
    budgets.release(at(6, DAY), 4)
    assert {name.split(":")[0] for name in budgets.books} == {"month"}


def test_the_table_of_accounts_is_bounded_and_refuses_when_it_is_full():
    """Nobody's spent budget is forgotten to make room for a newcomer."""
    budgets = alone(max_accounts=4)
    assert isinstance(spend(budgets, 0, 10, "a"), Reserved)
    assert isinstance(spend(budgets, 1, 10, "b"), Reserved)
    assert spend(budgets, 2, 10, "c").reason == "too-many-accounts"
    assert isinstance(spend(budgets, 3, 10, "a"), Reserved)
    budgets.release(at(4), 1)
    assert isinstance(spend(budgets, 5, 10, "c"), Reserved)


def test_a_chain_that_has_no_place_for_all_its_accounts_opens_none():
    """Person, day and month are three."""
    assert spend(alone(max_accounts=2), 0, 10).reason == "too-many-accounts"
    assert isinstance(spend(alone(max_accounts=3), 0, 10), Reserved)


def test_an_account_that_was_given_nothing_and_owes_is_not_forgotten():
    """A limit of 1 is the first partition's; a cost on the second stands, and closes the account there."""
    one = AccountPlan(name="day", unit="EUR", period_ms=DAY, limit=1, is_shared=True)
    budgets = Budgets(BudgetPlan([one], timeout_ms=HOUR), 1, 2)
    take(budgets, 0, 0)
    budgets.settle(at(1), 0, 5)
    assert take(budgets, 2, 0).reason == "owing"


def test_ended_books_go_sixteen_at_a_time_and_in_the_same_order_for_a_new_owner():
    """Thirty people, a day and a month; whoever takes over in between forgets the same ones next."""
    budgets, log = alone(max_open=100), {}
    for seq in range(30):
        spend(budgets, seq, 1, f"{seq % 7}{seq}")
        budgets.settle(at(seq), seq)
    log.update(budgets.changes())
    assert len(budgets.books) == 32
    owner = alone(max_open=100)
    owner.restore([one for one in reversed(log.items()) if one[1] is not None])
    for seq, left in ((30, 16), (31, 1), (32, 1)):
        for one in (budgets, owner):
            one.advance(at(seq, DAY))
            assert len(one.books) == left
        assert list(budgets.changes()) == list(owner.changes())


def test_open_reservations_are_bounded():
    """The third of two is refused until one has ended."""
    budgets = alone(max_open=2)
    spend(budgets, 0, 1)
    spend(budgets, 1, 1)
    assert spend(budgets, 2, 1).reason == "too-many-open"
    budgets.settle(at(3), 0)
    assert isinstance(spend(budgets, 4, 1), Reserved)


def test_how_a_reservation_ended_is_remembered_over_as_many_entries_as_the_policy_says():
    """Through its own block of 256 entries and one more; then it is as unknown as one that never was."""
    budgets = alone(remembered=256)
    for seq in (254, 255):
        spend(budgets, seq, 1)
    budgets.settle(at(256), 255)
    for seq, reason in ((511, "already-settled"), (512, "unknown-reservation")):
        budgets.advance(at(seq))
        assert budgets.settle(at(seq), 255).reason == reason
    assert dict(budgets.changes())[b"closed:0"] is None
    assert budgets.settle(at(513), 254).how == "settled"
    assert not [one for one, _ in budgets.changes() if one.startswith(b"closed:")]
