"""Budgets that outlive a process: replayed, restored, under another policy, and reckoned by a second program."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from sidechain.models.dry import Fold, StateMismatch
from sidechain.models.dry.accounts import BUDGETS_KEY
from sidechain.models.dry.chain import Verifier
from sidechain.models.dry.entry import stated
from sidechain.models.dry.replay import Replayer
from sidechain.models.dry.state import HEAD_KEY
from tests.desk import DAY, POLICY, T0, WITHOUT, Desk, changed, held, refused, run
from tests.dumb_ledger import Wrong, ledger


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
