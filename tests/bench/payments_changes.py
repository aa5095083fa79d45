"""What is changed while payments are decided: two versions of two lists, one threshold, one rule.

The lists name terminals and customers by their place in the file and not by what is known of them, so that how well
decisions are ranked stays the rules' own merit.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sidechain.models.list_file import ListText, of_values
from sidechain.models.pack_file import load
from sidechain.models.policy import ListSchema, Policy
from tests.bench.payments_rows import Payment

BY: Final = "anna"
BURST: Final = (80_000, 60_000)  # spent in a day, minor units: before and after
TERMINALS: Final = 2  # on each version of the list
CUSTOMERS: Final = 20
LIMITS: Final = (15_000, 10_000)  # minor units, by version

_RULE: Final = """\
  - id: spends_much_in_a_week
    when: features.spent_7d >= 200000
    then: monitor
    points: 300
    reason: More than 2,000.00 within a week.
    cases:
      fires: [{features.spent_7d: 200000}]
      silent: [{features.spent_7d: 199999}]
"""


class NewList(NamedTuple):
    """One version of a list."""

    name: str
    version: int
    text: ListText
    rows: dict[str, int | None]


def threshold(first: Policy) -> Policy:
    """The next version: spending in a day counts as a burst from a lower sum on."""
    text = _once(first.text, f"features.spent_1d >= {BURST[0]}", f"features.spent_1d >= {BURST[1]}")
    text = _once(text, f"fires: [{{features.spent_1d: {BURST[0]}}}]", f"fires: [{{features.spent_1d: {BURST[1]}}}]")
    text = _once(text, f"[{{features.spent_1d: {BURST[0] - 1}}}]", f"[{{features.spent_1d: {BURST[1] - 1}}}]")
    return _next(first, text)


def rule(second: Policy) -> Policy:
    """The version after it: one rule more."""
    return _next(second, _once(second.text, "  - id: hurried\n", f"{_RULE}  - id: hurried\n"))


def lists(policy: Policy, found: Sequence[Payment], version: int) -> list[NewList]:
    """Version 1 or 2 of both."""
    places = [len(found) * (2 * at + version) // (2 * CUSTOMERS + 2) for at in range(CUSTOMERS)]
    some = [found[one] for one in places]
    terminals = dict.fromkeys([one.terminal for one in some][:TERMINALS])
    limits = {one.customer: LIMITS[version - 1] for one in some}
    return [
        _list(policy, "blocked_terminals", version, terminals),
        _list(policy, "customer_limits", version, limits),
    ]


def _list(policy: Policy, name: str, version: int, rows: dict[str, int | None] | dict[str, int]) -> NewList:
    schema: ListSchema = next(one for one in policy.lists if one.name == name)
    return NewList(name, version, of_values(rows, schema), dict(rows))


def _once(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the pack"
    return text.replace(old, new)


def _next(before: Policy, text: str) -> Policy:
    text = _once(text, f"\nversion: {before.version}\n", f"\nversion: {before.version + 1}\n")
    return load(text.encode(), name=f"{before.name} {before.version + 1}")
