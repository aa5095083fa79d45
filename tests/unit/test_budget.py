"""Budgets by hand: what is left, held, spent and owed after each operation, worked out on paper."""

import msgspec
import pytest

from sidechain.models.dry.budget import (
    AMOUNT_MAX,
    REASONS,
    AccountPlan,
    Book,
    BudgetPlan,
    Budgets,
    CorruptBudget,
    Moment,
    Refused,
    Reserved,
    Transfer,
    Want,
    allotment,
    encode_transfer,
    read_transfer,
)

DAY = 86_400_000
HOUR = 3_600_000


def plan(**options: object) -> BudgetPlan:
    """A month over a day over a person; and a count of its own."""
    accounts = (
        AccountPlan(name="month", unit="EUR", period_ms=30 * DAY, limit=1_000, is_shared=True),
        AccountPlan(name="day", unit="EUR", period_ms=DAY, limit=500, parent="month", is_shared=True),
        AccountPlan(name="person", unit="EUR", period_ms=DAY, limit=100, parent="day", is_per_key=True),
        AccountPlan(name="reviews", unit="count", period_ms=DAY, limit=2, is_shared=True),
    )
    return BudgetPlan(accounts, **{"timeout_ms": HOUR, **options})


def alone(**options: object) -> Budgets:
    return Budgets(plan(**options), 0, 1)


def at(seq: int, now_ms: int = 0) -> Moment:
    return Moment(seq, now_ms)


def spend(budgets: Budgets, seq: int, amount: int, who: str = "anna", now_ms: int = 0) -> Reserved | Refused:
    return budgets.reserve(at(seq, now_ms), [Want("person", amount)], {"person": who})


def balances(budgets: Budgets, account: str, key: str = "", now_ms: int = 0) -> tuple[int, int, int, int]:
    """remaining, reserved, committed, overrun."""
    book = budgets.book(at(0, now_ms), account, key)
    return book.remaining, book.reserved, book.committed, book.overrun


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


def test_a_shorter_timeout_overtakes_no_reservation_that_is_open():
    """They expire in the order they were made in, so the oldest is always the next."""
    budgets = alone()
    assert spend(budgets, 0, 1).expires_ms == HOUR
    budgets.change(plan(timeout_ms=5))
    assert spend(budgets, 1, 1).expires_ms == HOUR
    budgets.release(at(2), 0)
    budgets.release(at(3), 1)
    assert spend(budgets, 4, 1).expires_ms == 5


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


def test_a_new_policy_holds_for_books_that_are_opened_from_then_on():
    """Open books keep their limit until their period ends; an account that is gone can still be settled."""
    budgets = alone()
    spend(budgets, 0, 60)
    budgets.change(
        BudgetPlan([AccountPlan(name="person", unit="EUR", period_ms=DAY, limit=7, is_per_key=True)], timeout_ms=1)
    )
    assert isinstance(spend(budgets, 1, 40), Reserved)
    assert spend(budgets, 2, 8, "ben").remaining == 7
    assert spend(budgets, 3, 8, now_ms=DAY).remaining == 7
    assert [one.remaining for one in budgets.settle(at(4), 0, 50).parts] == [10, 450, 950]


@pytest.mark.parametrize("change", [{"period_ms": HOUR}, {"period_ms": 2 * DAY}, {"unit": "USD"}])
def test_an_account_with_another_period_or_unit_is_another_account(change):
    """Its books are not mixed up with those that are open, also where they begin together."""
    was = {"name": "a", "unit": "EUR", "period_ms": DAY, "limit": 10}
    budgets = Budgets(BudgetPlan([AccountPlan(**was)], timeout_ms=DAY), 0, 1)
    budgets.reserve(at(0), [Want("a", 6)], {})
    budgets.change(BudgetPlan([AccountPlan(**{**was, **change})], timeout_ms=DAY))
    assert balances(budgets, "a") == (10, 0, 0, 0)
    budgets.reserve(at(1), [Want("a", 9)], {})
    budgets.settle(at(2), 0, 7)
    assert balances(budgets, "a") == (1, 9, 0, 0)
    assert sorted(one.remaining for one in budgets.books.values()) == [1, 3]


def test_a_day_is_not_spent_twice_where_hours_become_days():
    """The book of the first hour is still held when the day, which began with it, is opened."""
    was = {"name": "a", "unit": "EUR", "period_ms": HOUR, "limit": 10}
    budgets = Budgets(BudgetPlan([AccountPlan(**was)], timeout_ms=DAY), 0, 1)
    budgets.reserve(at(0), [Want("a", 6)], {})
    budgets.change(BudgetPlan([AccountPlan(**{**was, "period_ms": DAY})], timeout_ms=DAY))
    for seq in (1, 3):
        budgets.reserve(at(seq, 5 * HOUR), [Want("a", 5)], {})
        budgets.settle(at(seq + 1, 5 * HOUR), seq)
    budgets.release(at(5, 5 * HOUR), 0)
    assert budgets.reserve(at(6, 5 * HOUR), [Want("a", 1)], {}).reason == "exhausted"


def test_after_a_repair_the_periods_nobody_remembers_have_nothing_left():
    """What was spent before is not known, so none of it is spent again; the next day is a new one."""
    budgets = Budgets(plan(), 0, 1, epoch=1, nothing_before_ms=HOUR)
    assert spend(budgets, 0, 1, now_ms=HOUR).reason == "exhausted"
    day = BudgetPlan([AccountPlan(name="d", unit="EUR", period_ms=DAY, limit=5)], timeout_ms=1)
    assert isinstance(
        Budgets(day, 0, 1, epoch=1, nothing_before_ms=HOUR).reserve(at(0, DAY), [Want("d", 5)], {}), Reserved
    )


# Between partitions


@pytest.mark.parametrize(
    ("limit", "partitions", "parts"), [(500, 4, [125] * 4), (7, 3, [3, 2, 2]), (2, 4, [1, 1, 0, 0]), (0, 2, [0, 0])]
)
def test_allotments_are_equal_parts_and_together_the_limit(limit, partitions, parts):
    """What cannot be divided goes to the first ones."""
    assert [allotment(limit, one, partitions) for one in range(partitions)] == parts


def two() -> tuple[Budgets, Budgets]:
    day = AccountPlan(name="day", unit="EUR", period_ms=DAY, limit=200, is_shared=True)
    made = BudgetPlan([day], timeout_ms=HOUR)
    return Budgets(made, 0, 2), Budgets(made, 1, 2)


def take(budgets: Budgets, seq: int, amount: int, now_ms: int = 0) -> Reserved | Refused:
    return budgets.reserve(at(seq, now_ms), [Want("day", amount)], {})


def test_a_partition_that_runs_low_asks_another_and_is_given_what_that_can_spare():
    """100 each. At 19 left, less than a fifth, 31 are asked for: half of the allotment."""
    here, there = two()
    assert take(here, 0, 80).ask is None  # 20 left: a fifth
    ask = take(here, 1, 1).ask
    assert (ask.kind, ask.source, ask.to, ask.amount, ask.seq) == ("ask", 0, 1, 31, 1)
    assert take(here, 2, 1).ask is None  # one question at a time
    debit = there.debit(at(0), ask)
    assert (debit.amount, debit.reason, debit.grant.to) == (31, None, 0)
    assert balances(there, "day") == (69, 0, 0, 0)
    assert here.credit(at(3), debit.grant).amount == 31
    assert balances(here, "day") == (49, 82, 0, 0)


def test_an_entry_asks_once_also_when_two_accounts_run_low():
    """The lower one first, the upper one with the next entry."""
    month = AccountPlan(name="month", unit="EUR", period_ms=30 * DAY, limit=200, is_shared=True)
    day = AccountPlan(name="day", unit="EUR", period_ms=DAY, limit=200, parent="month", is_shared=True)
    here = Budgets(BudgetPlan([month, day], timeout_ms=HOUR), 0, 2)
    assert [take(here, 0, 90).ask.account, take(here, 1, 1).ask.account, take(here, 2, 1).ask] == ["day", "month", None]


def test_a_refused_reservation_asks_for_what_it_needs_unless_nobody_could_have_it():
    """150 of 200 may be found elsewhere, 201 may not."""
    here, there = two()
    assert take(here, 0, 201).ask is None
    refused = take(here, 1, 150)
    assert (refused.reason, refused.ask.amount) == ("exhausted", 50)
    assert here.credit(at(2), there.debit(at(0), refused.ask).grant).amount == 50
    assert isinstance(take(here, 3, 150), Reserved)


def test_nobody_gives_what_lies_below_a_fifth_of_its_own():
    """100 there: 80 can go, 20 stay; who has been told "nothing" asks again a 64th of the day later."""
    here, there = two()
    debit = there.debit(at(0), take(here, 0, 200).ask)
    assert (debit.amount, debit.reason) == (80, "exhausted")
    here.credit(at(1), debit.grant)
    debit = there.debit(at(1), take(here, 2, 190).ask)
    assert (debit.amount, debit.grant.amount) == (0, 0)
    here.credit(at(3), debit.grant)
    assert take(here, 4, 190).ask is None
    assert take(here, 5, 190, DAY // 64 - 1).ask is None
    assert take(here, 6, 190, DAY // 64).ask is not None


def test_a_partition_that_does_not_answer_is_not_waited_for_for_ever():
    """After a 64th of the day the next one is asked; the first one's answer still counts when it comes."""
    day = BudgetPlan([AccountPlan(name="day", unit="EUR", period_ms=DAY, limit=300, is_shared=True)], timeout_ms=HOUR)
    here, silent, other = (Budgets(day, one, 3) for one in range(3))
    first = take(here, 0, 200).ask
    assert (first.to, first.amount) == (1, 100)
    assert take(here, 1, 200, DAY // 64 - 1).ask is None
    second = take(here, 2, 200, DAY // 64).ask
    assert (second.to, second.amount) == (2, 100)
    here.credit(at(3), other.debit(at(0), second).grant)
    here.credit(at(4), silent.debit(at(0), first).grant)
    assert balances(here, "day") == (260, 0, 0, 0)


def test_a_transfer_counts_once_however_often_it_comes():
    """Both ways: asked for again, given again."""
    here, there = two()
    ask = take(here, 0, 150).ask
    grant = there.debit(at(0), ask).grant
    again = there.debit(at(1), ask)
    assert (again.amount, again.reason, again.grant) == (0, "repeated-transfer", None)
    assert here.credit(at(1), grant).amount == 50
    twice = here.credit(at(2), grant)
    assert (twice.amount, twice.lapsed, twice.reason) == (0, 0, "repeated-transfer")
    assert balances(here, "day") == (150, 0, 0, 0)


def test_what_comes_after_its_period_lapses():
    """It was the old day's; the new one has its own."""
    here, there = two()
    grant = there.debit(at(0), take(here, 0, 150).ask).grant
    credit = here.credit(at(1, DAY), grant)
    assert (credit.amount, credit.lapsed, credit.reason) == (0, 50, "period-over")
    assert balances(here, "day", "", DAY) == (100, 0, 0, 0)


def test_a_partition_whose_clock_is_behind_gives_of_a_day_it_has_not_reached():
    """It is idle, so nobody else will use it; one that is ahead keeps what has lapsed."""
    here, there = two()
    ask = take(here, 0, 150, DAY).ask
    assert there.debit(at(0, 5), ask).amount == 50
    assert balances(there, "day") == (100, 0, 0, 0)
    assert balances(there, "day", "", DAY) == (50, 0, 0, 0)
    late = two()[1].debit(at(0, 2 * DAY), ask)
    assert (late.amount, late.reason) == (0, "period-over")


def test_a_debt_is_paid_by_what_another_partition_gives():
    """Costs of 130 on an allotment of 100: 30 are owed, and nothing is reserved until they are paid."""
    here, there = two()
    ask = take(here, 0, 100).ask
    here.settle(at(1), 0, 130)
    assert balances(here, "day") == (0, 0, 100, 30)
    here.credit(at(2), there.debit(at(0), ask).grant)
    assert balances(here, "day") == (20, 0, 130, 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"to": 0, "source": 1}, "foreign-transfer"),
        ({"source": 9}, "foreign-transfer"),
        ({"kind": "grant"}, "foreign-transfer"),
        ({"account": "nobody"}, "unknown-account"),
        ({"unit": "USD"}, "unknown-account"),
        ({"from_ms": 1, "until_ms": DAY + 1}, "unknown-account"),
        ({"until_ms": 2 * DAY}, "unknown-account"),
    ],
)
def test_a_transfer_that_fits_nothing_gives_nothing(change, reason):
    """Another policy's account, another's question."""
    _, there = two()
    asked = Transfer(
        kind="ask", source=0, epoch=0, seq=0, to=1, account="day", key="", unit="EUR", from_ms=0, until_ms=DAY, amount=5
    )
    debit = there.debit(at(0), msgspec.structs.replace(asked, **change))
    assert (debit.amount, debit.reason) == (0, reason)
    assert not there.books


@pytest.mark.parametrize(
    "change",
    [{"amount": -1}, {"amount": 2**53}, {"amount": 1.5}, {"seq": -1}, {"to": 0}, {"kind": "gift"}, {"more": 1}],
)
def test_a_transfer_nobody_can_have_meant_is_not_read(change):
    """Negative, overflowing, to itself."""
    good = {"kind": "ask", "source": 0, "epoch": 0, "seq": 0, "to": 1, "account": "day", "key": "", "unit": "EUR"}
    good |= {"from_ms": 0, "until_ms": DAY, "amount": 5}
    assert encode_transfer(read_transfer(msgspec.json.encode(good))) == msgspec.json.encode(good)
    with pytest.raises(ValueError, match=r"."):
        read_transfer(msgspec.json.encode(good | change))


# What is written down


def test_the_state_reads_as_the_head_of_its_module_says():
    """Two reservations, one settled, one transfer seen."""
    here, there = two()
    take(here, 0, 10)
    ask = msgspec.structs.replace(take(here, 1, 85).ask, amount=4)
    here.settle(at(2), 0, 12)
    here.credit(at(3), there.debit(at(7), ask).grant)
    assert dict(here.changes()) == {
        b"account:day:EUR:0:86400000:": b"[0,0,86400000,100,104,7,85,12,0,1,4,0,-1,0,0]",
        b"reservation:0": None,
        b"reservation:1": b'[3600000,[["day","","EUR",0,86400000,85]]]',
        b"closed:0": b'[[0,"settled"]]',
        b"transfers:1": b"[0,7]",
    }
    assert list(here.changes()) == []


GOOD = {
    b"account:day:EUR:0:86400000:": b"[0,0,86400000,100,104,7,85,12,0,1,4,0,-1,0,0]",
    b"reservation:1": b'[3600000,[["day","","EUR",0,86400000,85]]]',
    b"closed:0": b'[[0,"settled"]]',
    b"transfers:1": b"[0,7]",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (
            b"account:day:EUR:0:86400000:",
            b"[0,0,86400000,100,104,8,85,12,0,1,4,0,-1,0,0]",
        ),  # one more remains than there is
        (
            b"account:day:EUR:0:86400000:",
            b"[0,0,86400000,100,104,6,86,12,0,1,4,0,-1,0,0]",
        ),  # one more held than is reserved
        (b"account:day:EUR:0:86400000:", b"[0,0,86400000,100,104,7,85,12,0,2,4,0,-1,0,0]"),
        (b"account:day:EUR:0:86400000:", b"[0,0,86400000,100,105,8,85,12,0,1,4,0,-1,0,0]"),
        (
            b"account:day:EUR:0:86400000:",
            b"[0,0,86400000,100,104,7,85,12,3,1,4,0,-1,0,0]",
        ),  # it owes although something remains
        (b"account:day:EUR:0:86400000:", b"[0,0,86400000,100,104,-1,85,20,0,1,4,0,-1,0,0]"),
        (b"account:day:EUR:0:86400000:", b"[0,0,86400000,100,104,7,85,12,0,1,4,0,-1,0]"),
        (b"account:day:EUR:0:86400000:", b"[0,0,86400000,100,104,7,85,12,0,1,4,0,-1,0,0,0]"),
        (b"account:day:EUR:0:86400000:", b"[0,0,86400000,100,104,7.0,85,12,0,1,4,0,-1,0,0]"),
        (b"account:day:EUR:5:86400000:", b"[0,0,86400000,100,100,100,0,0,0,0,0,0,1,0,0]"),  # of another period
        (b"account:day:EUR:0:86400000:", b"null"),
        (b"account:day:EUR:0:86400000:", b"[" * 2000),
        (b"reservation:1", b'[3600000,[["day","","EUR",86400000,172800000,85]]]'),
        (b"reservation:2", b'[3600000,[["day","","EUR",0,86400000,0]]]'),
        (b"reservation:x", b'[3600000,[["day","","EUR",0,86400000,85]]]'),
        (b"reservation:-1", b'[3600000,[["day","","EUR",0,86400000,85]]]'),
        (b"closed:0", b'[[0,"paid"]]'),
        (b"closed:1", b'[[0,"settled"]]'),
        (b"transfers:1", b"[0]"),
        (b"else:1", b"[0]"),
        (b"\xff", b"[0]"),
    ],
)
def test_a_state_that_cannot_have_been_is_refused(name, value):
    """Each with a sentence that names the record or the account; the good ones are taken."""
    made = two()[0]
    made.restore(list(GOOD.items()))
    assert balances(made, "day") == (7, 85, 12, 0)
    with pytest.raises(CorruptBudget, match=r"cannot be read|hold another amount|not there"):
        two()[0].restore(list({**GOOD, name: value}.items()))


def test_a_state_without_the_account_that_is_held_is_refused():
    """A reservation needs its book."""
    with pytest.raises(CorruptBudget, match="not there"):
        two()[0].restore([one for one in GOOD.items() if not one[0].startswith(b"account")])


def test_no_book_is_made_that_does_not_balance():
    """The type itself refuses, whatever would have made it."""
    with pytest.raises(ValueError, match="does not balance"):
        Book.new(0, 0, DAY, 100).reserve(101)
    with pytest.raises(ValueError, match="does not balance"):
        Book.new(0, 0, DAY, 100).send(101)
    with pytest.raises(ValueError, match="does not balance"):
        Book.new(0, 0, DAY, AMOUNT_MAX + 1)


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("name", ["allotment", "initial", "remaining", "reserved", "committed", "received", "sent"])
def test_one_unit_more_or_less_anywhere_is_refused(name, by):
    """A hundred given, 30 received, 10 sent; 50 held, 40 spent, 30 left."""
    book = Book(0, 0, DAY, 100, 120, 30, 50, 40, 0, 1, 30, 10, -1, 0, 0)
    with pytest.raises(ValueError, match="does not balance"):
        msgspec.structs.replace(book, **{name: getattr(book, name) + by})


@pytest.mark.parametrize(
    ("accounts", "sentence"),
    [
        ([{"name": "a", "limit": None}], "account a has no limit"),
        ([{"name": "a", "limit": -1}], "whole number from 0"),
        ([{"name": "a", "limit": 2**53}], "whole number from 0"),
        ([{"name": "a", "period_ms": 0}], "at least 1 ms"),
        ([{"name": "a:b"}], "lower-case letters"),
        ([{"name": "a", "unit": "E:R"}], "1 to 16 letters"),
        ([{"name": "a"}, {"name": "a"}], "planned twice"),
        ([{"name": "a", "parent": "b"}], "there is no such account"),
        ([{"name": "a", "parent": "a"}], "above itself"),
        ([{"name": "a", "parent": "b"}, {"name": "b", "parent": "a"}], "above itself"),
        ([{"name": "a", "parent": "b"}, {"name": "b", "unit": "count"}], "counts EUR and its parent b count"),
        ([{"name": "a", "parent": "b", "is_shared": True}, {"name": "b"}], "so its parent b is too"),
        ([{"name": "a", "limits": {"x": 1}}], "not one account for each key"),
        ([{"name": f"a{n}", "parent": f"a{n + 1}"} for n in range(17)] + [{"name": "a17"}], "more than 16"),
    ],
)
def test_a_plan_that_cannot_hold_is_refused_with_a_sentence(accounts, sentence):
    """Before anything is decided by it."""
    given = [AccountPlan(**{"unit": "EUR", "period_ms": DAY, "limit": 1, **one}) for one in accounts]
    with pytest.raises(ValueError, match=sentence):
        BudgetPlan(given, timeout_ms=1)


def test_a_decision_does_not_reserve_twice_in_one_account():
    """The policy's reader sees to it; if it did not, that is our mistake and stops the worker."""
    with pytest.raises(ValueError, match="reserves twice in account day"):
        alone().reserve(at(0), [Want("person", 1), Want("day", 1)], {"person": "anna"})


def test_every_reason_has_a_sentence():
    """And is said somewhere: the list is closed."""
    assert all(len(sentence) > 20 for sentence in REASONS.values())
