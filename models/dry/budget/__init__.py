"""Budgets: accounts that decisions reserve from and outcomes settle, conserved to the last unit.

One `Budgets` for each partition; `at` is the seq of the entry in the making and the watermark behind its event. The
fold has its own through `models/dry/accounts.py`, and entries hold these records as they are.

    entry        is made from                                             what it must record
    decision     advance(at), then reserve(at, wants, keys)               what expired; what is reserved, or why not
    settlement   settle(at, settles, cost, unit) where a cost is known    what it cost each account, and what is owed
    debit        debit(at, transfer), of an `ask` in `dry.transfers`      what was given, or why not
    credit       credit(at, transfer), of a `grant`                       what was added, and what lapsed
    policy       change(plan)                                             nothing of its own

The `ask` of a decision and the `grant` of a debit are produced with the entry, in one transaction, to the partition
they name. `changes()` go to the changelog, where the records are those whose names begin with `PREFIXES`; `total` is
their part of the state's digest.
"""

from sidechain.models.dry.budget.book import AMOUNT_MAX, Book, is_amount
from sidechain.models.dry.budget.budgets import Budgets
from sidechain.models.dry.budget.memory import PREFIXES, CorruptBudget
from sidechain.models.dry.budget.plan import AccountPlan, BudgetPlan, allotment
from sidechain.models.dry.budget.records import (
    REASONS,
    Closed,
    Closing,
    Credit,
    Debit,
    Moment,
    Part,
    Reason,
    Refused,
    Reserved,
    Spending,
    Transfer,
    Want,
    encode_transfer,
    read_transfer,
)

__all__ = [
    "AMOUNT_MAX",
    "PREFIXES",
    "REASONS",
    "AccountPlan",
    "Book",
    "BudgetPlan",
    "Budgets",
    "Closed",
    "Closing",
    "CorruptBudget",
    "Credit",
    "Debit",
    "Moment",
    "Part",
    "Reason",
    "Refused",
    "Reserved",
    "Spending",
    "Transfer",
    "Want",
    "allotment",
    "encode_transfer",
    "is_amount",
    "read_transfer",
]
