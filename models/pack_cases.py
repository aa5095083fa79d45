"""A pack's own test: every rule asked about its worked examples."""

from collections.abc import Iterator
from typing import NamedTuple

from sidechain.models.cel import evaluator
from sidechain.models.policy import Case, Policy, Rule


class CaseResult(NamedTuple):
    """One rule asked about one case."""

    rule: Rule
    case: Case
    got: bool | None  # None: unknown, which does not fire

    @property
    def passed(self) -> bool:
        """Whether the rule did what the case says."""
        return (self.got is True) == self.case.fires


def run_cases(policy: Policy) -> Iterator[CaseResult]:
    """Every case of every rule, in the order of the pack."""
    for rule in policy.rules:
        ask = evaluator(rule.when)
        for case in rule.cases:
            yield CaseResult(rule, case, ask(case.values))


def untested(policy: Policy) -> tuple[tuple[str, str], ...]:
    """(rule id, what it lacks) of rules without a firing or without a silent case."""
    lacking = []
    for rule in policy.rules:
        for fires, what in ((True, "firing"), (False, "silent")):
            if not any(case.fires is fires for case in rule.cases):
                lacking.append((rule.id, what))
    return tuple(lacking)
