"""A desk that reserves: one partition under a policy with budgets, one event or outcome after the other."""

import json
from typing import Any

from sidechain.models.dry import Fold, Line
from sidechain.models.pack_file import load
from sidechain.models.policy import Policy

DAY = 86_400_000
T0 = 1_700_000_000_000 - 1_700_000_000_000 % DAY
TEXT = """\
pack: desk
version: 1
event:
  max_step: 30d
  fields:
    id: {type: string, role: id}
    badge: {type: string, role: key, personal: true}
    at: {type: int, role: time}
    team: {type: string, optional: true}
    amount: {type: int, optional: true}
    risky: {type: bool, optional: true}
budgets:
  timeout: 2d
  cost_unit: EUR
  accounts:
    - {name: house_day, unit: EUR, period: 1d, limit: 4000}
    - {name: team_day, unit: EUR, period: 1d, per: event.team, limits: {red: 1000, blue: 4}, parent: house_day}
    - {name: badge_day, unit: EUR, period: 1d, per: event.badge, limit: 300}
    - {name: reviews_day, unit: count, period: 1d, limit: 2}
  reserve:
    - {account: badge_day, amount: event.amount, then: review}
    - {account: team_day, amount: event.amount, when: "has(event.team)", then: flag}
    - {account: reviews_day, amount: "1", for: [review], then: block}
rules:
  - {id: risky, when: event.risky, then: review, reason: It looks so.}
"""
POLICY = load(TEXT.encode(), name="desk.yaml")
WITHOUT = load((TEXT[: TEXT.index("budgets:")] + TEXT[TEXT.index("rules:") :]).encode(), name="desk.yaml")


def changed(old: str, new: str, text: str = TEXT) -> Policy:
    assert old in text
    return load(text.replace(old, new, 1).encode(), name="desk.yaml")


class Desk:
    """One partition, one event or outcome after the other."""

    def __init__(self, policy: Policy = POLICY, partition: int = 0, partitions: int = 1) -> None:
        self.fold = Fold(policy, partition, partitions=partitions)
        self.lines: list[bytes] = []
        self.inputs: dict[tuple[str, int], Line] = {}

    def event(self, amount: Any = 100, at: int = 0, badge: str = "b", **more: Any) -> dict[str, Any]:
        number = self.fold.next["events"]
        fields = {"id": f"e{number}", "badge": badge, "at": T0 + at, "amount": amount, **more}
        fields = {name: value for name, value in fields.items() if value is not None}
        record = Line(number, badge.encode(), json.dumps(fields).encode())
        self.inputs["events", number] = record
        return self._kept(self.fold.events([record]).entries)

    def outcome(self, identifier: str, cost: Any = None, **more: Any) -> dict[str, Any]:
        number = self.fold.next["outcomes"]
        fields = {"id": identifier, "at": T0, **({} if cost is None else {"cost_minor": cost}), **more}
        record = Line(number, b"b", json.dumps(fields).encode())
        self.inputs["outcomes", number] = record
        return self._kept(self.fold.outcomes([record]).entries)

    def _kept(self, entries: list[tuple[bytes | None, bytes]]) -> dict[str, Any]:
        [(_, line)] = entries
        self.lines.append(line)
        return json.loads(line)

    def restored(self, policy: Policy = POLICY, **more: Any) -> Fold:
        state = {name: value for name, value in self.fold.changes() if value is not None}
        return Fold.restore(self.fold.partition, self.lines[-1], state.items(), policy, **more)


def held(entry: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    """account -> amount, remaining, initial."""
    found = (entry["budget"] or {}).get("reserved")
    if found is None:
        return {}
    rows = zip(found["parts"], found["remaining"], found["initial"], strict=True)
    return {part[0]: (part[5], remaining, initial) for part, remaining, initial in rows}


def refused(entry: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(one["reason"], one["account"]) for one in (entry["budget"] or {"refused": []})["refused"]]


def run(desk: Desk) -> Desk:
    """A little of everything."""
    for number in range(40):
        desk.event(
            number * 17 % 130,
            at=number * DAY // 9,
            badge=f"b{number % 3}",
            team=("red", "blue", None)[number % 3],
            risky=number % 7 == 0,
        )
        if number % 4 == 1:
            desk.outcome(f"e{number - 1}", number * 13 % 150)
        if number % 5 == 2:
            desk.outcome(f"e{number}", label="bad")
    return desk
