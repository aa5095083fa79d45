"""How well a policy's rules agree with labelled data: precision and recall per rule, per typology, for the whole.

    precision   of what it named, the share that was bad
    recall      of what was bad, the share it named

A rule or typology names an event when it stands among the reasons; the whole names one when the action is review or
block. Counts are per event, so a class of many near-identical rows weighs as many.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from sidechain.models.policy import Policy

Scope = Literal["rule", "typology", "whole"]
INTERDICTING = ("review", "block")


class Measure(NamedTuple):
    """One row of the table; ratios are None where there is nothing to divide by."""

    scope: Scope
    id: str
    named: int
    named_bad: int
    bad: int  # bad events in all the data

    @property
    def precision(self) -> float | None:
        """Share of the named that was bad."""
        return self.named_bad / self.named if self.named else None

    @property
    def recall(self) -> float | None:
        """Share of the bad that was named."""
        return self.named_bad / self.bad if self.bad else None


@dataclass
class Measured:
    """Counts over labelled decisions."""

    events: int = 0
    bad: int = 0
    undecided: int = 0  # rejected or repeated: no decision to judge
    _named: Counter[tuple[Scope, str]] = field(default_factory=Counter)
    _named_bad: Counter[tuple[Scope, str]] = field(default_factory=Counter)

    def add(self, entry: Mapping[str, Any], is_bad: bool) -> None:
        """Count one entry whose event was in truth bad or not."""
        self.events += 1
        self.bad += is_bad
        if entry["kind"] != "decision":
            self.undecided += 1
            return
        for name in _names(entry):
            self._named[name] += 1
            self._named_bad[name] += is_bad

    def table(self, policy: Policy) -> Iterator[Measure]:
        """Rules in the order of the policy, then typologies, then the whole."""
        rows: Iterable[tuple[Scope, str]] = (
            *(("rule", one.id) for one in policy.rules),
            *(("typology", one.id) for one in policy.typologies),
            ("whole", policy.ref),
        )
        for scope, name in rows:
            at: tuple[Scope, str] = (scope, name)
            yield Measure(scope, name, self._named[at], self._named_bad[at], self.bad)


def _names(entry: Mapping[str, Any]) -> Iterator[tuple[Scope, str]]:
    for reason in entry["reasons"]:
        if reason[0] in ("rule", "typology"):
            yield reason[0], reason[1]
    if entry["action"] in INTERDICTING:
        yield "whole", entry["policy"]
