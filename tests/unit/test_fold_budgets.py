"""Budgets through the fold: what a decision reserves, what an outcome settles, and what the entries say of it."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from sidechain.models.dry import Fold, Line, StateMismatch
from sidechain.models.dry.accounts import BUDGET_PREFIXES, BUDGETS_KEY
from sidechain.models.dry.chain import Replayer, Verifier
from sidechain.models.dry.entry import stated
from sidechain.models.dry.state import HEAD_KEY
from sidechain.models.pack_file import load
from sidechain.models.policy import Policy
from tests.dumb_ledger import Wrong, ledger

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


def test_a_decision_holds_what_its_action_reserves():
    desk = Desk()
    entry = desk.event(100, team="red")
    assert entry["action"] == "allow"
    assert held(entry) == {"badge_day": (100, 200, 300), "team_day": (100, 900, 1000), "house_day": (100, 3900, 4000)}
    assert entry["budget"]["partitions"] == 1


@pytest.mark.parametrize(
    ("before", "event", "action", "reasons", "holds"),
    [
        ([], {"amount": 300}, "allow", [], {"badge_day": (300, 0, 300)}),  # to the last unit
        ([], {"amount": 301}, "review", [("exhausted", "badge_day")], {"reviews_day": (1, 1, 2)}),
        ([{"amount": 300}], {"amount": 1}, "review", [("exhausted", "badge_day")], {"reviews_day": (1, 1, 2)}),
        ([{"amount": 300}], {"amount": 0}, "allow", [], {"badge_day": (0, 0, 300)}),
        ([{"amount": 300}], {"amount": 1, "at": DAY}, "allow", [], {"badge_day": (1, 299, 300)}),  # another day
        ([{"amount": 300}], {"amount": 1, "badge": "c"}, "allow", [], {"badge_day": (1, 299, 300)}),
        # Somebody else's account is empty: that is flagged, and what the badge itself has is held all the same.
        ([], {"amount": 5, "team": "blue"}, "allow", [("exhausted", "team_day")], {"badge_day": (5, 295, 300)}),
        ([], {"amount": 5, "team": "green"}, "allow", [("unknown-account", "team_day")], {"badge_day": (5, 295, 300)}),
        ([], {"amount": 100, "risky": True}, "review", [], {"reviews_day": (1, 1, 2)}),  # spends no money yet
        ([{"risky": True}] * 2, {"risky": True}, "block", [("exhausted", "reviews_day")], {}),
        (
            [{"risky": True}] * 2,
            {"amount": 301},
            "block",
            [("exhausted", "badge_day"), ("exhausted", "reviews_day")],
            {},
        ),
        ([], {"amount": None}, "review", [("bad-amount", "badge_day")], {"reviews_day": (1, 1, 2)}),  # unknown
        ([], {"amount": -1}, "review", [("bad-amount", "badge_day")], {"reviews_day": (1, 1, 2)}),
        ([], {"amount": 2**53}, "review", [("bad-amount", "badge_day")], {"reviews_day": (1, 1, 2)}),
        ([], {"amount": 2**63 - 1}, "review", [("bad-amount", "badge_day")], {"reviews_day": (1, 1, 2)}),
    ],
)
def test_what_cannot_be_held_makes_the_decision_stricter(before, event, action, reasons, holds):
    """And the stricter decision holds its own."""
    desk = Desk()
    for one in before:
        desk.event(**one)
    entry = desk.event(**event)
    assert (entry["action"], refused(entry), held(entry)) == (action, reasons, holds)
    assert [(one[2], one[1]) for one in entry["reasons"] if one[0] == "budget"] == reasons


@pytest.mark.parametrize("amount", ["100", 12.5, 1e300, True, [1], {"minor": 1}])
def test_money_that_is_no_whole_number_is_no_event(amount):
    """To the dead letters, with the field, and no account has moved."""
    desk = Desk()
    entry = desk.event(amount)
    assert (entry["kind"], entry["field"]) == ("rejected", "amount")
    assert desk.fold.budgets is None


@pytest.mark.parametrize(
    ("cost", "closed"),
    [
        (100, ["badge_day", "b", T0, 100, 100, 0, 200]),
        (40, ["badge_day", "b", T0, 100, 40, 0, 260]),
        (0, ["badge_day", "b", T0, 100, 0, 0, 300]),
        (300, ["badge_day", "b", T0, 100, 300, 0, 0]),
        (301, ["badge_day", "b", T0, 100, 301, 1, 0]),  # one more than it had: that is owed
        (2**53 - 1, ["badge_day", "b", T0, 100, 2**53 - 1, 2**53 - 301, 0]),
    ],
)
def test_an_outcome_with_a_cost_ends_the_reservation(cost, closed):
    desk = Desk()
    desk.event(100)
    entry = desk.outcome("e0", cost)
    assert entry["budget"]["closed"] == [{"reservation": 0, "how": "settled", "parts": [closed]}]
    assert desk.fold.budgets.open == 0
    after = desk.event(0)
    assert refused(after) == ([("owing", "badge_day")] if closed[5] else [])


def test_a_label_alone_leaves_the_reservation_open():
    desk = Desk()
    desk.event(100)
    assert desk.outcome("e0", label="good")["budget"] is None
    assert desk.fold.budgets.open == 1
    assert desk.outcome("e0", 70)["budget"]["closed"][0]["how"] == "settled"


def test_a_review_is_spent_as_it_was_reserved_when_money_is_what_its_outcome_cost():
    """What was reserved in another unit than the cost's has no other cost."""
    desk = Desk()
    desk.event(100, risky=True)
    entry = desk.outcome("e0", 5_000)
    assert entry["budget"]["closed"][0]["parts"] == [["reviews_day", "", T0, 1, 1, 0, 1]]


@pytest.mark.parametrize(
    ("outcomes", "kind", "reason"),
    [
        ([("nobody", 5)], "refused-outcome", "unknown-decision"),
        ([("e0", 5), ("e0", 5)], "refused-outcome", "already-settled"),
        ([("e0", 5), ("e0", 6)], "refused-outcome", "already-settled"),
        ([("e0", -1)], "refused-outcome", "out-of-bounds"),
        ([("e0", 2**53)], "refused-outcome", "out-of-bounds"),
        ([("e0", 12.505)], "refused-outcome", "wrong-type"),
        ([("e0", "12.50")], "refused-outcome", "wrong-type"),
    ],
)
def test_an_outcome_that_settles_nothing_moves_nothing(outcomes, kind, reason):
    desk = Desk()
    desk.event(100)
    *_, (identifier, cost) = outcomes
    for one in outcomes[:-1]:
        desk.outcome(*one)
    before = dict(desk.fold.budgets.books)
    entry = desk.outcome(identifier, cost)
    assert (entry["kind"], entry["reason"]) == (kind, reason)
    assert desk.fold.budgets.books == before


def test_a_cost_that_comes_after_the_timeout_is_sealed_and_spends_nothing_more():
    desk = Desk()
    desk.event(100)
    later = desk.event(0, at=2 * DAY)
    assert later["budget"]["closed"] == [
        {"reservation": 0, "how": "expired", "parts": [["badge_day", "b", T0, 100, 0, 0, 300]]}
    ]
    entry = desk.outcome("e0", 5)
    assert (entry["kind"], entry["cost_minor"], refused(entry)) == ("settlement", 5, [("expired", None)])


def test_a_timeout_may_count_as_spent():
    desk = Desk(changed("timeout: 2d", "timeout: 2d\n  on_timeout: commit"))
    desk.event(100)
    closed = desk.event(0, at=2 * DAY)["budget"]["closed"]
    assert closed[0]["parts"] == [["badge_day", "b", T0, 100, 100, 0, 200]]


def test_the_cost_of_a_decision_that_reserved_nothing_is_no_fault():
    desk = Desk()
    desk.event(100)
    desk.event(500, risky=True)
    desk.event(500, risky=True)
    assert desk.event(500, risky=True)["action"] == "block"
    entry = desk.outcome("e3", 70)
    assert (entry["kind"], entry["cost_minor"], entry["budget"]) == ("settlement", 70, None)


def test_a_full_table_refuses_everything_and_holds_on_to_what_it_has():
    desk = Desk(changed("timeout: 2d", "timeout: 2d\n  max_open: 1"))
    desk.event(100)
    entry = desk.event(1, team="red")
    assert entry["action"] == "block"  # sent to review, for which there is no room either
    assert refused(entry) == [("too-many-open", None), ("too-many-open", None)]
    assert desk.fold.budgets.open == 1


def test_each_partition_has_its_part_of_a_shared_account():
    """Reviews: two a day, of which partition 0 of 3 has one, partition 1 one and partition 2 none."""
    parts = [held(Desk(POLICY, one, 3).event(1, risky=True)).get("reviews_day") for one in range(3)]
    assert parts == [(1, 0, 1), (1, 0, 1), None]


def test_a_policy_without_budgets_writes_the_bytes_it_always_wrote():
    """Whatever is said of partitions."""
    one, other = Fold(WITHOUT, 0), Fold(WITHOUT, 0, partitions=7)
    record = Line(0, b"b", json.dumps({"id": "e", "badge": "b", "at": T0, "amount": 5}).encode())
    assert one.events([record]) == other.events([record])
    assert one.changes() == other.changes()
    assert not any(name.startswith(BUDGET_PREFIXES) for name, _ in Fold(WITHOUT, 0, partitions=7).changes())


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


def test_a_replay_learns_from_the_entries_among_how_many_accounts_are_shared():
    desk = run(Desk(POLICY, 1, 3))
    replayer = Replayer(POLICY, 1, lambda *at: desk.inputs.get(at))
    assert [replayer.take(line) for line in desk.lines] == [None] * len(desk.lines)
    assert replayer.fold.partitions == 3
    verifier = Verifier()
    assert [verifier.take(line) for line in desk.lines] == [None] * len(desk.lines)


@pytest.mark.parametrize(
    ("forge", "problem"),
    [
        (lambda entry: entry["budget"].update(partitions=4), "its accounts are not those of the chain"),
        (lambda entry: entry["budget"].update(partitions=0), "its accounts are not those of the chain"),
        (lambda entry: entry["budget"]["reserved"]["remaining"].__setitem__(0, 299), "`budget` differs"),
        (lambda entry: entry.update(budget=None), "`budget` differs"),
    ],
)
def test_a_replay_finds_a_forged_balance(forge, problem):
    desk = run(Desk(POLICY, 1, 3))
    replayer = Replayer(POLICY, 1, lambda *at: desk.inputs.get(at))
    at, entry = [(at, json.loads(one)) for at, one in enumerate(desk.lines) if b'"reserved":{' in one][3]
    for line in desk.lines[:at]:
        assert replayer.take(line) is None
    forge(entry)
    assert replayer.take(msgspec.json.encode(entry)).problem == problem


def test_a_chain_that_never_says_so_cannot_be_replayed():
    """And says why, where the first entry that used an account was forged to have used none."""
    desk = Desk()
    entry = desk.event(100)
    replayer = Replayer(POLICY, 0, lambda *at: desk.inputs.get(at))
    assert replayer.take(msgspec.json.encode({**entry, "budget": None})).problem == "something must be reserved"


def test_a_new_owner_goes_on_where_the_old_one_stopped():
    """At every place, with the state as it was written there."""
    desk, state = Desk(POLICY, 1, 3), {}
    whole = run(Desk(POLICY, 1, 3))
    for line in whole.lines:
        source = json.loads(line)["source"]
        record = whole.inputs[source[0], source[2]]
        take = desk.fold.events if source[0] == "events" else desk.fold.outcomes
        [(_, made)] = take([record]).entries
        assert made == line
        state |= desk.fold.changes()
        live = {name: value for name, value in state.items() if value is not None}
        desk.fold = Fold.restore(1, line, live.items(), POLICY, partitions=3)


def test_the_state_says_among_how_many_accounts_are_shared():
    desk = run(Desk(POLICY, 1, 3))
    with pytest.raises(StateMismatch, match="shared among 4 partitions, not 3"):
        desk.restored(partitions=4)


@pytest.mark.parametrize("name", [b"budgets:", b"account:", b"reservation:", b"closed:"])
def test_a_lost_record_of_budgets_is_found(name):
    desk = run(Desk(POLICY, 1, 3))
    state = {one: value for one, value in desk.fold.changes() if value is not None}
    lost = next(one for one in state if one.startswith(name))
    with pytest.raises(StateMismatch):
        Fold.restore(1, desk.lines[-1], [one for one in state.items() if one[0] != lost], POLICY)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"budgets:", b"[3]"),
        (b"budgets:", b"[1,0,0]"),  # partition 1 of 1
        (b"account:badge_day:EUR:0:86400000:b", b"[0,0,86400000,300,300,100,100,0,0,1,0,0,-1,0,0]"),
        (b"reservation:7", b"[5,[]]"),
        (b"reservation:x", b"[5,[]]"),
        (b"closed:0", b'[[1,"lost"]]'),
    ],
)
def test_a_corrupt_record_of_budgets_is_refused(name, value):
    desk = run(Desk(POLICY, 1, 3))
    state = {one: value for one, value in desk.fold.changes() if value is not None}
    with pytest.raises(StateMismatch):
        Fold.restore(1, desk.lines[-1], {**state, name: value}.items(), POLICY)


def test_a_policy_that_drops_budgets_lets_run_out_what_is_open():
    """What was held counts as spent, and the one that brings them back finds the books of the day as they were."""
    desk = Desk()
    desk.event(100)
    desk.fold.change_policy(WITHOUT, 0, "0" * 64, at_ms=T0, by="anna")
    assert desk.event(100)["budget"] is None
    assert desk.event(100, at=2 * DAY)["budget"]["closed"][0]["how"] == "expired"
    desk.fold.change_policy(POLICY, 1, "0" * 64, at_ms=T0, by="anna")
    assert held(desk.event(7, at=2 * DAY)) == {"badge_day": (7, 293, 300)}


def test_a_policy_that_raises_a_limit_leaves_the_open_books_as_they_are():
    desk = Desk()
    desk.event(100)
    more = changed("per: event.badge, limit: 300", "per: event.badge, limit: 900")
    desk.fold.change_policy(more, 0, "0" * 64, at_ms=T0, by="anna")
    assert held(desk.event(200)) == {"badge_day": (200, 0, 300)}
    assert held(desk.event(200, at=DAY)) == {"badge_day": (200, 700, 900)}


@pytest.mark.parametrize("is_restored", [False, True])
@pytest.mark.parametrize("policy", [POLICY, WITHOUT], ids=["with budgets", "without"])
def test_behind_an_epoch_nothing_is_left_of_periods_that_had_begun(policy, is_restored):
    """Nobody knows what was spent of them; the next ones are whole. Also where budgets come back later."""
    desk = Desk()
    desk.event(100)
    broken = stated(desk.lines[-1])
    deed = {"at_ms": T0 + DAY // 2, "by": "ben", "why": "lost"}
    desk.fold, line = Fold.begin_epoch(policy, 0, 1, broken, desk.fold.next, **deed, partitions=1)
    desk.lines = [line]
    if is_restored:
        desk.fold = desk.restored(policy, partitions=1)
    if policy is WITHOUT:
        desk.lines = [desk.fold.change_policy(POLICY, 0, "0" * 64, at_ms=T0 + DAY // 2, by="anna")]
        if is_restored:
            desk.fold = desk.restored(partitions=1)
    assert refused(desk.event(1, at=DAY // 2)) == [("exhausted", "badge_day"), ("exhausted", "reviews_day")]
    assert held(desk.event(1, at=DAY)) == {"badge_day": (1, 299, 300)}


def test_the_head_sums_up_the_records_of_budgets():
    desk = run(Desk(POLICY, 1, 3))
    state = {one: value for one, value in desk.fold.changes() if value is not None}
    assert BUDGETS_KEY in state
    assert json.loads(state[HEAD_KEY])["digest"] == desk.fold.state_digest == desk.fold.state_digest


def test_a_second_program_comes_to_the_same_balances():
    """From the entries alone, without a line of the project."""
    desk = run(Desk(POLICY, 1, 3))
    chain = ledger([(1, map(json.loads, desk.lines))])[1]
    assert chain.checked > 40
    for name, book in desk.fold.budgets.books.items():
        account, _, begin, _, key = name.split(":", 4)
        found = chain.balances((account, key, int(begin)))
        assert found == (book.initial, book.remaining, book.reserved, book.committed, book.overrun)
    assert len(chain.open) == desk.fold.budgets.open


def every_number(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where numbers stand in a JSON value."""
    if isinstance(value, dict | list):
        for at, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from every_number(one, (*path, at))
    elif type(value) is int:
        yield path


NOT_RECKONED = {"expires_ms"}  # and what a refusal says was wanted and remained


def test_the_second_program_finds_every_altered_number():
    """Each number of each budget one higher; so it is no formality that it finds nothing."""
    entries = [json.loads(line) for line in run(Desk(POLICY, 1, 3)).lines]
    tried = 0
    for at, entry in enumerate(entries):
        for path in every_number(entry.get("budget")):
            if path[-1] in NOT_RECKONED or path[0] == "refused":
                continue
            forged = json.loads(json.dumps(entry))
            part = forged["budget"]
            for step in path[:-1]:
                part = part[step]
            part[path[-1]] += 1
            tried += 1
            with pytest.raises((Wrong, KeyError)):
                ledger([(1, [*entries[:at], forged, *entries[at + 1 :]])])
    assert tried > 300
