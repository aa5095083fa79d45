"""Budgets on the changelog: how they read, and that books which cannot have been are refused."""

import msgspec
import pytest

from sidechain.models.dry.budget import AMOUNT_MAX, Book, CorruptBudget
from tests.budgeting import DAY, at, balances, take, two


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
        (b"reservation:01", b'[3600000,[["day","","EUR",0,86400000,85]]]'),
        (b"reservation:1", b'[3600000,[["day","","EUR",0,86400000,85,0]]]'),
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


@pytest.mark.parametrize("name", ["opened", "overrun", "open", "received", "turn"])
def test_no_count_and_no_amount_of_a_book_is_below_zero(name):
    """Beside others that are large: one alone is enough."""
    book = Book(9, 0, DAY, 100, 100, 30, 0, 70, 0, 2, 8, 8, -1, 5, 0)
    with pytest.raises(ValueError, match="does not balance"):
        msgspec.structs.replace(book, **{name: -1}, **({"sent": -1} if name == "received" else {}))


@pytest.mark.parametrize("beyond", [0, 1])
def test_the_largest_amount_is_the_last_that_every_reader_keeps(beyond):
    """Two that are as large are none that is larger."""
    most = AMOUNT_MAX + beyond
    made = (9, 0, DAY, 1, 1, 1, 0, 0, 0, 0, most, most, -1, 0, 0)
    if beyond:
        with pytest.raises(ValueError, match="does not balance"):
            Book(*made)
    else:
        assert Book(*made).received == most


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
