"""The part of the page that is about money: what accounts held, spent and refused, and what governance saved."""

from collections.abc import Iterator, Mapping
from typing import Any

from sidechain.models.report.tables import table


def money(totals: Mapping[str, Any]) -> Iterator[str]:
    """The section; of a chain whose policies have no budgets, one sentence."""
    budgets, governance = totals["budgets"], totals["governance"]
    yield "## Money"
    yield ""
    if not budgets and not governance["answers"]:
        yield "Nothing was reserved: no policy of these decisions has a budget."
        return
    yield "In minor units. An account's money stands in all above it too: read one row, and add none to another."
    yield ""
    rows = [
        (
            name,
            ", ".join(one["units"]),
            one["reserved"]["sum_minor"],
            one["spent_minor"],
            sum(one[how]["overrun_minor"] for how in ("settled", "released", "expired")),
            sum(by["wanted_minor"] for by in one["refused"].values()),
        )
        for name, one in budgets.items()
    ]
    yield from table(("Account", "Unit", "Held", "Spent", "Owed beyond it", "Refused"), rows)
    yield ""
    refused = [
        (name, why, by["decisions"], by["wanted_minor"])
        for name, one in budgets.items()
        for why, by in one["refused"].items()
    ]
    yield from table(("Refused by", "Because", "Entries", "Amount"), refused)
    yield ""
    marks = [(name, then, count) for name, by in totals["budget_marks"].items() for then, count in by.items()]
    yield from table(("Account", "Asks", "Decisions"), marks)
    yield ""
    yield from table(("Request answered", "Decisions"), list(governance["answers"].items()))
    yield ""
    saved = [(why, by["decisions"], by["sum_minor"]) for why, by in governance["saved"].items()]
    yield from table(("Saved because", "Decisions", "Amount"), saved)
    yield ""
    yield from table(("A cost was", "Outcomes"), list(governance["tripwire"].items()))
