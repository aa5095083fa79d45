"""Where a repair goes on, and what it writes, worked out without Kafka."""

import msgspec
import pytest

from sidechain.agents.lane.layout import LAYOUT_KEY, Layout
from sidechain.agents.lane.log_ends import Span
from sidechain.agents.problems import UsageProblem
from sidechain.agents.repair_plan import (
    Believed,
    Deed,
    LastTime,
    believed,
    last_watermark,
    plan_epoch,
    plan_gap,
    read_head,
)
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.budget import Transfer, encode_transfer
from sidechain.models.dry.entry import Broken
from sidechain.models.dry.replay import Replayer
from tests.ruins import following, resealed
from tests.sharing import PERIOD_MS, SHARING
from tests.support import event, feature, policy, records

POLICY = policy(features=[feature("seen", "count", "1m")])
DEED = Deed("anna", "the drill", 1_700_000_000_000)
LAYOUT = Layout(partitions=4, shard_size=2)
FOLD = Fold(POLICY, 3)
LINES = [line for _, line in FOLD.events(records([event(n) for n in range(5)])).entries]
CHAIN = list(enumerate(LINES))
HEAD = dict(FOLD.changes())[b"head"]


GRANT = encode_transfer(
    Transfer(
        kind="grant", source=0, epoch=0, seq=9, to=1, account="day", key="", unit="EUR", from_ms=0, until_ms=1, amount=1
    )
)


def head(**changed) -> bytes:
    """The state's head, otherwise."""
    return msgspec.json.encode({**msgspec.json.decode(HEAD), **changed})


def at(events: int) -> dict[str, int]:
    return {"events": events, "outcomes": 0, "control": 0}


AHEAD = head(seq=6, next=at(7))
FOREIGN = [line.replace(b'"events",3,', b'"events",2,') for line in LINES]  # of another partition, and sealed anew


@pytest.mark.parametrize(
    ("chain", "state", "events", "source"),
    [
        (CHAIN, HEAD, 5, "entry 4 at offset 4 says"),
        (CHAIN, None, 5, "entry 4 at offset 4 says"),
        (CHAIN, b"junk", 5, "entry 4 at offset 4 says"),
        (CHAIN, head(partition=2), 5, "entry 4 at offset 4 says"),
        ([], HEAD, 5, "the state says, written at entry 4"),
        ([(0, b"junk")], HEAD, 5, "the state says, written at entry 4"),
        (CHAIN[:3], HEAD, 5, "the state says, written at entry 4"),  # the chain was restored too short
        (CHAIN, head(seq=1, next=at(2)), 5, "entry 4 at offset 4 says"),  # the state was
        ([*CHAIN, (5, b"junk"), (6, b"")], HEAD, 5, "entry 4 at offset 4 says"),
        ([*CHAIN[:4], (4, LINES[4].replace(b"allow", b"block"))], None, 4, "entry 3 at offset 3 says"),
        ([*CHAIN, (5, following(LINES[4], next=at(10**9)))], HEAD, 5, "entry 4 at offset 4 says"),  # beyond all events
        ([*CHAIN, (5, following(LINES[4], next={"events": 9}))], HEAD, 5, "entry 4 at offset 4 says"),
        ([*CHAIN, (5, following(LINES[4], next=at(-1)))], HEAD, 5, "entry 4 at offset 4 says"),
        ([(0, resealed(FOREIGN[0]))], HEAD, 5, "the state says, written at entry 4"),
        (CHAIN, AHEAD, 7, "the state says, written at entry 6"),
    ],
)
def test_the_chain_goes_on_where_the_further_of_two_witnesses_stands(chain, state, events, source):
    """What was decided once must not be decided again; what cannot be right is not asked."""
    found = believed(chain, state, 3, 20)
    assert found is not None
    assert (found.next["events"], found.source, found.policy) == (events, source, POLICY.ref)


@pytest.mark.parametrize(
    ("chain", "state"),
    [([], None), ([(0, b"junk")], b"junk"), ([(0, resealed(FOREIGN[0]))], head(partition=2)), (CHAIN, AHEAD)],
)
def test_without_a_witness_a_person_must_say_where_to_go_on(chain, state):
    """Nothing there, nothing readable, nothing of this partition, or everything beyond the events there are."""
    assert believed(chain, state, 3, 0 if chain is CHAIN else 20) is None


def restored() -> Fold:
    fold = Fold(POLICY, 3)
    fold.events(records([event(n) for n in range(5)]))
    fold.changes()
    return fold


@pytest.mark.parametrize(
    ("span", "resume_at", "to", "says"),
    [
        (Span(9, 20), None, 9, "events goes on at offset 9: offsets 5 to 8 are passed over"),
        (Span(9, 20), 12, 12, "events goes on at offset 12: offsets 5 to 11 are passed over"),
        (Span(0, 3), 0, 0, "events goes on at offset 0: the log that reached 5 is no more"),
        (Span(0, 3), 3, 3, "events goes on at offset 3: the log that reached 5 is no more"),
    ],
)
def test_a_gap_goes_on_at_the_logs_beginning_or_where_a_person_says(span, resume_at, to, says):
    """One entry, one state record: the head."""
    fold = restored()
    plan = plan_gap(fold, "events", span, resume_at, DEED)
    assert plan.says[0] == says
    assert msgspec.json.decode(plan.entry)["to"] == to
    assert [name for name, _ in plan.changes] == [b"head"]
    assert fold.next["events"] == to


def test_transfers_that_are_gone_are_passed_over_and_the_accounts_stay():
    """What was under way is lost to everybody; nothing that was credited before is credited again."""
    fold = Fold(SHARING, 1, partitions=2)
    fold.transfers([Line(0, b"day", b"junk")])
    fold.changes()
    plan = plan_gap(fold, "transfers", Span(7, 9), None, DEED)
    assert plan.says[0] == "transfers goes on at offset 7: offsets 1 to 6 are passed over"
    assert fold.next["transfers"] == 7


@pytest.mark.parametrize("policy_then", [SHARING, POLICY], ids=["a policy that shares", "one that does not"])
def test_an_epoch_goes_on_reading_transfers_where_the_chain_had_got_to(policy_then):
    """From the beginning, it would credit once more what was spent before the state was lost."""
    begin = Believed({**at(5), "transfers": 8}, policy_then.ref, "entry 4 at offset 4 says")
    plan = plan_epoch(1, 1, Broken(4, "ab" * 32, 4), begin, policy_then, [], LAYOUT, DEED)
    assert msgspec.json.decode(plan.entry)["next"] == {**at(5), "transfers": 8}
    assert plan.says[1].endswith("; transfers at 8")
    assert plan.says[-1].startswith("nobody knows what was spent") is (policy_then.budgeting is not None)
    state = {name: value for name, value in plan.changes if value is not None and name != LAYOUT_KEY}
    again = Fold.restore(1, plan.entry, state.items(), policy_then, partitions=4)
    made = again.transfers([Line(8, b"day", GRANT)])
    assert b'"kind":"credit"' in made.entries[0][1]
    assert again.next["transfers"] == 9


def decided(at_ms: int, *flags: str) -> bytes:
    return msgspec.json.encode({"kind": "decision", "at": at_ms, "flags": flags})


def begun(at_ms: int, **more: int) -> bytes:
    return msgspec.json.encode({"kind": "epoch", "at": at_ms, **more})


@pytest.mark.parametrize(
    ("chain", "state", "watermark_ms"),
    [
        ([decided(70), decided(90), decided(80, "late")], None, 90),
        ([decided(70), b"junk", b""], None, 70),  # what cannot be read has decided nothing
        ([decided(70)], head(watermark_ms=95), 95),  # the state got as far as the chain
        ([decided(70)], head(watermark_ms=95, next=at(4)), 70),  # it did not
        ([decided(70)], head(watermark_ms=95, partition=2), 70),
        ([decided(70), decided(9_999, "ahead")], None, None),  # nobody says how far it moved the clock
        ([decided(70), decided(9_999, "ahead")], head(watermark_ms=95), 95),
        ([], None, None),
        ([], head(watermark_ms=-1), None),
        # What an earlier epoch lost is lost still, also where it began with older events.
        ([decided(900), begun(5_000, accounts_from=901), decided(70)], None, 900),
        ([decided(900), begun(5_000, accounts_from=901), decided(70)], head(watermark_ms=95), 900),
        ([decided(900), begun(5_000), decided(70)], None, 4_999),
        ([decided(9_999, "ahead"), begun(5_000), decided(6_000)], None, 6_000),
    ],
)
def test_the_clock_is_the_last_that_state_or_entries_tell(chain, state, watermark_ms):
    last = LastTime()
    for line in chain:
        last.take(line)
    begin = Believed(at(5), POLICY.ref, "entry 4 at offset 4 says")
    assert last_watermark(begin, read_head(state), 3, last) == watermark_ms


def test_entries_tell_the_clock_that_the_state_does():
    last = LastTime()
    for line in LINES:
        last.take(line)
    assert last.ms == msgspec.json.decode(HEAD)["watermark_ms"] == FOLD.watermark_ms


@pytest.mark.parametrize(
    ("watermark_ms", "at_ms", "has_money"),
    [
        (PERIOD_MS - 1, PERIOD_MS - 1, False),  # of the period the clock stood in nobody knows what was spent
        (PERIOD_MS - 1, PERIOD_MS, True),
        (PERIOD_MS, 2 * PERIOD_MS - 1, False),
        (None, 2 * PERIOD_MS, False),  # by the person's clock, years later
    ],
)
def test_behind_an_epoch_accounts_wait_for_the_period_after_the_last_event(watermark_ms, at_ms, has_money):
    """Not for the clock of whoever repairs, where it is known how far event time had got; a replay says the same."""
    begin = Believed(at(5), SHARING.ref, "entry 4 at offset 4 says")
    plan = plan_epoch(0, 1, Broken(4, "ab" * 32, 4), begin, SHARING, [], LAYOUT, DEED, watermark_ms)
    opening = msgspec.json.decode(plan.entry)
    assert opening.get("accounts_from") == (None if watermark_ms is None else watermark_ms + 1)
    assert opening["at"] == DEED.at_ms
    state = {name: value for name, value in plan.changes if value is not None and name != LAYOUT_KEY}
    fold = Fold.restore(0, plan.entry, state.items(), SHARING, partitions=4)
    happened = records([{**event(5), "at": at_ms, "n": 1, "s": "a"}], 5)
    (_, line), *_ = fold.events(happened).entries
    assert (msgspec.json.decode(line)["budget"]["reserved"] is not None) is has_money
    again = Replayer(SHARING, 0, lambda _topic, _offset: happened[0], partitions=4)
    assert [again.take(one) for one in (plan.entry, line)] == [None, None]


def test_a_policy_without_accounts_has_none_to_wait():
    plan = plan_epoch(3, 1, Broken(4, "ab" * 32, 4), Believed(at(5), POLICY.ref, ""), POLICY, [], LAYOUT, DEED, 7)
    assert b"accounts_from" not in plan.entry


@pytest.mark.parametrize(
    ("span", "resume_at", "says"),
    [
        (Span(0, 3), None, "--resume-at 0, its beginning, .* --resume-at 3, its end"),
        (Span(9, 20), 8, "--resume-at 8 is not in events, which holds offsets 9 to 20"),
        (Span(9, 20), 21, "--resume-at 21 is not in events"),
    ],
)
def test_a_gap_nobody_can_place_is_not_sealed(span, resume_at, says):
    """Too early an end does not say whether the log is another one or has lost its last records."""
    fold = restored()
    with pytest.raises(UsageProblem, match=says):
        plan_gap(fold, "events", span, resume_at, DEED)
    assert fold.next["events"] == 5
    assert fold.changes() == []


@pytest.mark.parametrize("has_layout", [True, False])
def test_an_epoch_forgets_all_of_the_state_but_the_layout(has_layout):
    """Forgotten first, written then; the layout is the first record of a changelog that has none."""
    keys = [
        b"k:a",
        b"k:b",
        b"ids:0",
        b"head",
        b"plan:gone",
        b"list:lost",
        b"policy:ab",
        *([LAYOUT_KEY] if has_layout else []),
    ]
    begin = Believed(at(5), "web@9:ffffffffffff", "entry 4 at offset 4 says")
    plan = plan_epoch(3, 2, Broken(4, "ab" * 32, 4), begin, POLICY, keys, LAYOUT, DEED)
    names = [name for name, _ in plan.changes]
    forgotten = [name for name, value in plan.changes if value is None]
    assert forgotten == [b"ids:0", b"k:a", b"k:b", b"list:lost", b"plan:gone"]
    assert plan.says[-1].startswith("no list is in force: lost must be activated again")
    assert names[-1] == b"head"
    assert (names[0] == LAYOUT_KEY) is not has_layout
    assert "web@9:ffffffffffff was in force, and nobody has its text" in plan.says[2]
    assert plan.says[0] == f"epoch 2 begins behind seq 4, hash {'ab' * 8}, at offset 4"
    state = {name: value for name, value in plan.changes if value is not None and name != LAYOUT_KEY}
    assert Fold.restore(3, plan.entry, state.items(), POLICY).next == at(5)
