"""Governance through the fold: golden tables of what a decision may cost, and what settlements do to the next one."""

import json
from typing import Any

import pytest

from sidechain.models.dry import Fold, StateMismatch
from sidechain.models.dry.entry import stated
from sidechain.models.dry.replay import Replayer
from sidechain.models.dry.state import HEAD_KEY
from sidechain.models.pack_file import load
from sidechain.models.policy import Policy
from tests.unit.test_fold_budgets import DAY, T0, Desk, held

TEXT = """\
pack: llm
version: 1
event:
  max_step: 30d
  fields:
    id: {type: string, role: id}
    badge: {type: string, role: key}
    at: {type: int, role: time}
    amount: {type: int, optional: true}
    parts: {type: int, optional: true}
    entropy: {type: int, optional: true}
    risk: {type: int, optional: true}
    urgent: {type: bool, optional: true}
    attempt: {type: int, optional: true}
    quality: {type: int, optional: true}
    consumed: {type: int, optional: true}
    prompt: {type: string, optional: true}
budgets:
  timeout: 2d
  accounts:
    - {name: tokens_day, unit: token, period: 1d, per: event.badge, limit: 100000}
  reserve:
    - {account: tokens_day, amount: event.amount, then: block}
governance:
  account: tokens_day
  complex: event.parts > 3
  entropy: event.entropy
  emergency: event.urgent
  attempt: "has(event.attempt) ? event.attempt : 1"
  quality: event.quality
  consumed: event.consumed
  scenario: [event.prompt]
trust:
  risk: {value: event.risk, unknown: 2000}
  tiers: {block: 0, review: 1, monitor: 2}
rules: []
"""
POLICY = load(TEXT.encode(), name="llm.yaml")
CALM = {"parts": 1, "entropy": 0, "risk": 0, "urgent": False}


def changed(old: str, new: str) -> Policy:
    assert old in TEXT
    return load(TEXT.replace(old, new, 1).encode(), name="llm.yaml")


def asked(desk: Desk, amount: Any = 1_000, **more: Any) -> dict[str, Any]:
    return desk.event(amount, **{**CALM, "prompt": f"p{desk.fold.seq}", **more})


def governed(entry: dict[str, Any]) -> dict[str, Any]:
    return entry["budget"]["governed"]


COMPLEX, DISTRUST, ENTROPY, EMERGENCY = {"parts": 4}, {"risk": 9_999}, {"entropy": 7_001}, {"urgent": True}


@pytest.mark.parametrize(
    ("said", "cost"),
    [
        ({}, 1_000),
        (COMPLEX, 1_500),
        (DISTRUST, 1_300),
        (ENTROPY, 1_400),
        ({"entropy": 7_000}, 1_000),
        (EMERGENCY, 600),
        (COMPLEX | DISTRUST, 1_950),
        (COMPLEX | ENTROPY, 2_100),
        (DISTRUST | ENTROPY, 1_820),
        (COMPLEX | DISTRUST | ENTROPY, 2_730),  # 2.73 together
        (COMPLEX | DISTRUST | ENTROPY | EMERGENCY, 1_638),
        ({"parts": None, "entropy": None}, 2_100),  # unknown costs as the worst
        ({"urgent": None}, 1_000),  # and is no emergency
        ({"amount": 1} | COMPLEX | DISTRUST | ENTROPY, 3),
    ],
)
def test_what_a_decision_reserves_is_its_amount_times_what_multiplies_it(said, cost):
    """1.5, 1.3, 1.4 and 0.6; the entry names each, and holds the product, rounded up."""
    entry = asked(Desk(POLICY), **said)
    assert entry["action"] == "allow"
    assert held(entry) == {"tokens_day": (cost, 100_000 - cost, 100_000)}
    assert governed(entry)["cost"] == cost
    names = {"complexity": COMPLEX, "trust": DISTRUST, "entropy": ENTROPY, "emergency": EMERGENCY}
    if "amount" not in said and None not in said.values() and said != {"entropy": 7_000}:
        expected = [name for name, one in names.items() if one.items() <= said.items()]
        assert [name for name, _ in governed(entry)["multipliers"]] == expected


@pytest.mark.parametrize(
    ("used", "said", "action", "why", "holds"),
    [
        (83_999, {}, "allow", "within_budget", True),  # 84.999 % with the request
        (84_000, {}, "review", "budget_review", False),
        (93_999, {}, "review", "budget_review", False),
        (94_000, {}, "block", "budget_hard_stop", False),
        (94_000, EMERGENCY, "review", "budget_review", False),  # 600 of it: 94.6 %
        (97_999, EMERGENCY, "review", "budget_review", False),
        (98_000, {}, "block", "budget_emergency", False),
        (98_400, EMERGENCY, "block", "budget_emergency", False),  # nothing passes 99 %
        (0, {"amount": 10_000}, "allow", "within_budget", True),
        (0, {"amount": 10_001}, "review", "exceeds_approval_threshold", False),
        (0, {"amount": 6_667} | COMPLEX, "review", "exceeds_approval_threshold", False),  # 10,001 when complex
        (0, {"amount": None}, "block", "cost_unknown", False),
        (0, {"amount": -1}, "block", "cost_unknown", False),
        (0, {"amount": 2**53}, "block", "cost_unknown", False),
        (0, {"attempt": 2}, "allow", "within_budget", True),
        (0, {"attempt": 4}, "block", "attempts_exhausted", False),
        (0, {"attempt": 0}, "block", "attempt_unknown", False),
        (0, {"quality": 8_500, "consumed": 699}, "allow", "quality_reached", False),
        (0, {"quality": 8_500, "consumed": 700}, "allow", "within_budget", True),
        (0, {"quality": 8_499, "consumed": 0}, "allow", "within_budget", True),
    ],
)
def test_levels_thresholds_attempts_and_quality(used, said, action, why, holds):
    """85, 95 and 99 % of the account, 10,000 at once; an edge belongs to the stricter side."""
    desk = Desk(POLICY)
    spend(desk, used)
    entry = asked(desk, **said)
    assert (entry["action"], governed(entry)["why"], bool(held(entry))) == (action, why, holds)
    demand = {"allow": [], "review": [["governance", "tokens_day", why, "review"]]}
    assert entry["reasons"] == demand.get(action, [["governance", "tokens_day", why, "block"]])
    waits = {2: 200}
    assert governed(entry)["wait_ms"] == waits.get(said.get("attempt"))


def spend(desk: Desk, used: int) -> None:
    """Reserve and settle until so much of the account is spent, by a policy that governs nothing."""
    if used:
        plain = load((TEXT[: TEXT.index("governance:")] + TEXT[TEXT.index("trust:") :]).encode(), name="llm.yaml")
        desk.fold.change_policy(plain, 0, "0" * 64, at_ms=T0, by="anna")
        first = desk.event(used, **CALM)
        desk.outcome(first["id"], used)
        desk.fold.change_policy(POLICY, 1, "0" * 64, at_ms=T0, by="anna")


def cost(desk: Desk, settled: int, amount: int = 1_000, **more: Any) -> dict[str, Any]:
    """A request and what it cost in the end; what the settlement says."""
    return governed(desk.outcome(asked(desk, amount, **more)["id"], settled))


@pytest.mark.parametrize(
    ("costs", "events", "then"),
    [
        ([1_120] * 4, ["calm"] * 4, ("within_budget", 1_000)),  # 12 % is no breach
        ([1_121] * 2, ["breach"] * 2, ("within_budget", 1_000)),
        ([1_121] * 3, ["breach", "breach", "downgraded"], ("budget_tripwire_active", 500)),
        ([1_121, 1_121, 1_120, 1_121], ["breach", "breach", "calm", "breach"], ("within_budget", 1_000)),
        # Half is reserved then, and half of it again is what a cost is held against.
        ([1_121] * 3 + [560] * 3, ["breach", "breach", "downgraded"] + ["calm"] * 3, ("budget_tripwire_active", 500)),
        ([1_121] * 3 + [561], ["breach", "breach", "downgraded", "breach"], ("budget_tripwire_active", 500)),
    ],
)
def test_three_breaches_in_a_row_halve_what_comes_next(costs, events, then):
    """Strictly above 12 %; calm does not end it."""
    desk = Desk(POLICY)
    assert [cost(desk, one)["event"] for one in costs] == events
    found = governed(asked(desk))
    assert (found["why"], found["cost"], found["downgraded"]) == (*then, then[1] == 500)


@pytest.mark.parametrize(
    ("costs", "events", "is_downgraded"),
    [
        ([540, 540], ["calm", "recovered"], False),  # 8 % counts
        ([540, 541, 540], ["calm", "calm", "calm"], True),  # between the edges it begins anew
        ([540, 561, 540], ["calm", "breach", "calm"], True),
    ],
)
def test_a_stated_hysteresis_recovers_it(costs, events, is_downgraded):
    """Two costs in a row at or below 8 % of what was reserved."""
    desk = Desk(changed("  scenario:", "  tripwire: {recover_at: 800, recover_after: 2}\n  scenario:"))
    for _ in range(3):
        cost(desk, 2_000)
    assert [cost(desk, one)["event"] for one in costs] == events
    assert governed(asked(desk))["downgraded"] is is_downgraded


@pytest.mark.parametrize(
    ("text", "is_downgraded"),
    [
        ("  tripwire: {recovered: 1}\n", False),
        ("  tripwire: {above: 1300}\n", True),  # another policy that says nothing of it
        ("  tripwire: {recovered: 0, breaches: 9}\n", True),
    ],
)
def test_a_person_recovers_it_by_a_policy(text, is_downgraded):
    """Whose entry says who that was."""
    desk = Desk(POLICY)
    for _ in range(3):
        cost(desk, 2_000)
    desk.fold.change_policy(changed("  scenario:", f"{text}  scenario:"), 0, "0" * 64, at_ms=T0, by="anna")
    assert governed(asked(desk))["downgraded"] is is_downgraded


def test_what_was_found_out_is_not_paid_for_again():
    """Once it is settled, for a day of event time, and with the decision that found it out."""
    desk = Desk(POLICY)
    first = asked(desk, prompt="hello")
    second = asked(desk, prompt="hello")
    assert governed(second)["why"] == "within_budget"
    assert desk.outcome(second["id"], 1_000)["budget"]["governed"]["learned"] is None  # the first is to find it out
    assert governed(asked(desk, prompt="hello"))["why"] == "within_budget"
    assert governed(desk.outcome(first["id"], 900))["learned"] is not None
    again = asked(desk, prompt="hello")
    assert (again["action"], held(again), again["reasons"]) == ("allow", {}, [])
    found = governed(again)
    assert (found["answer"], found["insight"], found["cost"]) == ("insight", first["seq"], 0)
    assert governed(asked(desk, prompt="others"))["why"] == "within_budget"
    assert governed(asked(desk, prompt="hello", at=DAY - 1))["why"] == "insight_found"
    assert governed(asked(desk, prompt="hello", at=DAY))["why"] == "within_budget"


def test_what_nobody_knows_the_scenario_of_is_always_paid_for():
    """Two unknown ones are not the same one."""
    desk = Desk(POLICY)
    assert cost(desk, 900, prompt=None)["learned"] is None
    assert governed(asked(desk, prompt=None))["why"] == "within_budget"


@pytest.mark.parametrize("ends", ["bad", "expired"])
def test_what_came_to_nothing_is_found_out_anew(ends):
    """A decision that turned out bad, or whose outcome never came; also where what is known would hold longer."""
    desk = Desk(changed("  scenario:", "  insights: {ttl: 9d}\n  scenario:"))
    first = asked(desk, prompt="hello")
    later = {"at": 2 * DAY} if ends == "expired" else {}
    if ends == "bad":
        assert governed(desk.outcome(first["id"], 900, label="bad"))["learned"] is None
    second = asked(desk, prompt="hello", **later)
    assert governed(desk.outcome(second["id"], 900))["learned"] is not None
    assert governed(asked(desk, prompt="hello", **later))["insight"] == second["seq"]


def run(desk: Desk) -> None:
    """A bit of everything."""
    for at, settled in enumerate([1_000, 1_200, 1_200, 1_200, 500]):
        cost(desk, settled, prompt=f"p{at}", at=at * 1_000)
    asked(desk, prompt="p0", at=9_000)
    asked(desk, prompt="new", at=9_000)
    asked(desk, 20_000, at=9_500)


def test_a_replay_needs_nothing_but_the_inputs():
    """Byte by byte; how many partitions share the accounts say the entries, also where the first says nothing."""
    desk = Desk(changed("rules: []", "rules: [{id: far, when: event.amount > 900000, then: review, reason: No.}]"))
    assert asked(desk, 900_001)["budget"] is None  # what is sent to review asks for nothing here
    run(desk)
    replayer = Replayer(desk.fold.policy, 0, lambda topic, offset: desk.inputs[topic, offset])
    assert [replayer.take(line) for line in desk.lines] == [None] * len(desk.lines)


@pytest.mark.parametrize("cut", range(13))
def test_a_worker_that_takes_over_anywhere_goes_on_with_the_same_bytes(cut):
    """Tripwire, insights and what awaits one come back from the changelog."""
    whole = Desk(POLICY)
    run(whole)
    desk = Desk(POLICY)
    for line in whole.lines[: cut + 1]:
        topic, _, offset = json.loads(line)["source"]
        fold = desk.fold.events if topic == "events" else desk.fold.outcomes
        desk.lines += [one for _, one in fold([whole.inputs[topic, offset]]).entries]
    fold = desk.restored(POLICY)
    for line in whole.lines[cut + 1 :]:
        topic, _, offset = json.loads(line)["source"]
        take = fold.events if topic == "events" else fold.outcomes
        assert [one for _, one in take([whole.inputs[topic, offset]]).entries] == [line]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"governed:", None),
        (b"governed:", b"[0,[0,false,0]]"),  # right in itself, and not what the head sums up
        (b"governed:", b"[0,[3,false,0]]"),
        (b"governed:", b"junk"),
        (b"insight:" + b"0" * 32, b"[1,2,3]"),
        (b"insight:" + b"0" * 32, b"junk"),
    ],
)
def test_a_corrupt_state_refuses(name, value):
    """Nobody decides on a guess; a downgrade that nobody lifted is not lifted by a lost record."""
    desk = Desk(POLICY)
    for _ in range(3):
        cost(desk, 2_000)
    state = {one: text for one, text in desk.fold.changes() if text is not None}
    assert state[b"governed:"] == b"[0,[3,true,0]]"
    Fold.restore(0, desk.lines[-1], state.items(), POLICY, partitions=1)
    state = {**state, name: value} if value is not None else {one: state[one] for one in state if one != name}
    with pytest.raises(StateMismatch):
        Fold.restore(0, desk.lines[-1], state.items(), POLICY, partitions=1)


def test_a_policy_without_governance_forgets_it_whole():
    """Also on the changelog."""
    desk = Desk(POLICY)
    run(desk)
    log = dict(desk.fold.changes())
    plain = load((TEXT[: TEXT.index("governance:")] + TEXT[TEXT.index("trust:") :]).encode(), name="llm.yaml")
    desk.lines.append(desk.fold.change_policy(plain, 0, "0" * 64, at_ms=T0, by="anna"))
    log |= dict(desk.fold.changes())
    left = {name: value for name, value in log.items() if value is not None}
    assert not [name for name in left if name.startswith((b"governed:", b"insight:"))]
    assert b"governed:" in log
    Fold.restore(0, desk.lines[-1], left.items(), plain, partitions=1)
    left[b"governed:"] = b"[0,[0,false,0]]"
    with pytest.raises(StateMismatch, match="has no governance"):
        Fold.restore(0, desk.lines[-1], left.items(), plain, partitions=1)
    assert HEAD_KEY in left


def test_an_epoch_begins_downgraded():
    """The state is lost, and with it whether it was; a person recovers it."""
    desk = Desk(POLICY)
    asked(desk)
    broken = stated(desk.lines[-1], 0)
    fold, _ = Fold.begin_epoch(POLICY, 0, 1, broken, desk.fold.next, at_ms=T0 - DAY, by="ben", why="lost", partitions=1)
    desk.fold = fold
    assert governed(asked(desk))["why"] == "budget_tripwire_active"


def test_entries_of_policies_without_governance_say_nothing_of_it():
    """Their bytes are those they were."""
    plain = load((TEXT[: TEXT.index("governance:")] + TEXT[TEXT.index("trust:") :]).encode(), name="llm.yaml")
    entry = Desk(plain).event(5, **CALM)
    assert list(entry["budget"]) == ["partitions", "closed", "reserved", "refused"]
