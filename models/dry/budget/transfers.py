"""Who may ask for how much of an account that several partitions use, and who gives it.

Rule 1: a partition asks when less than a fifth of its allotment remains, or when a reservation was refused; for as much
as brings it to half its allotment, or lets that reservation through. It asks one other at a time, in turn, and waits a
64th of the period for an answer. What comes later counts all the same.
Rule 2: a partition gives what it has above a fifth of its own allotment, as far as it was asked for it.
Rule 3: who was told "nothing" by all the others asks no more for a 64th of the period.
"""

from typing import Final

from sidechain.models.dry.budget.book import AMOUNT_MAX, NOBODY, Book

LOW_BP: Final = 2_000  # of the allotment
AIM_BP: Final = 5_000
FULL_BP: Final = 10_000
PAUSES_IN_PERIOD: Final = 64


def asked_amount(book: Book, needed: int, limit: int) -> int:
    """How much to ask for; 0: there is no reason to.

    `needed`: by a reservation that was refused, 0 otherwise. One above the account's whole limit is no reason: nothing
    that the others have would let it through.
    """
    if needed > limit:
        needed = 0
    is_low = book.remaining * FULL_BP < LOW_BP * book.allotment
    if not is_low and needed <= book.remaining:
        return 0
    return max(book.allotment * AIM_BP // FULL_BP, needed) - book.remaining


def given(book: Book, wanted: int) -> int:
    """How much of what it was asked for this partition gives."""
    return max(min(wanted, book.remaining - book.allotment * LOW_BP // FULL_BP, AMOUNT_MAX - book.sent), 0)


def partner(partition: int, turn: int, partitions: int) -> int:
    """Whom `partition` asks, after `turn` answers of "nothing"."""
    return (partition + 1 + turn % (partitions - 1)) % partitions


def pause_ms(book: Book) -> int:
    """How long an answer is waited for, and how long nobody is asked when nobody had anything."""
    return max((book.until_ms - book.from_ms) // PAUSES_IN_PERIOD, 1)


def asked(book: Book, partition: int, partitions: int, now_ms: int) -> Book:
    """The book of a partition that asks now; `Book.asking` says whom. Nobody answered the last time: the next one."""
    turn = book.turn + (book.asking != NOBODY)
    return book.asked(partner(partition, turn, partitions), turn=turn, until_ms=now_ms + pause_ms(book))


def answered(book: Book, amount: int, partitions: int, now_ms: int) -> Book:
    """The book of a partition that was given `amount`; who had nothing is not asked again before all the others."""
    if amount:
        return book.answered(turn=book.turn, ask_after_ms=0)
    turn = book.turn + 1
    return book.answered(turn=turn, ask_after_ms=0 if turn % (partitions - 1) else now_ms + pause_ms(book))
