"""Budgets: accounts that decisions reserve from and outcomes settle, conserved to the last unit."""

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
    "Transfer",
    "Want",
    "allotment",
    "encode_transfer",
    "is_amount",
    "read_transfer",
]
