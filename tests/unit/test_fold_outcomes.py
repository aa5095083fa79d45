"""Outcomes: what settles a decision, what is refused and why, and what a partition remembers of it."""

from itertools import product

import msgspec
import pytest

from sidechain.models import Decider
from sidechain.models.dry import Fold, Line, StateMismatch
from sidechain.models.dry.replay import Replayer
from sidechain.models.dry.settled import Settled
from tests.support import T0, control, event, fold, line, loader, policy, records

AT = T0 + 7 * 86_400_000  # a week later


def outcome(identifier: str = "e-0", **more) -> bytes:
    return line({"id": identifier, "at": AT, **more})


def told(one: Fold, *values: bytes | None, key: bytes | None = b"h") -> list[dict]:
    """The entries of outcomes, decoded; offsets go on where the fold stands."""
    first = one.next["outcomes"]
    made = one.outcomes([Line(offset, key, value) for offset, value in enumerate(values, first)])
    return [msgspec.json.decode(value) for _, value in made.entries]


def decided(count: int = 2, **more) -> Fold:
    """A chain with so many decisions: `e-0` is entry 0."""
    one = Fold(policy(**more), 0)
    fold(one, [event(number) for number in range(count)])
    return one


def test_a_settlement_names_the_decision_and_says_what_the_outcome_says():
    [entry] = told(decided(), outcome("e-1", label="bad", cost_minor=1250, by="claims"))
    assert (entry["kind"], entry["id"], entry["key"], entry["at"]) == ("settlement", "e-1", "h", AT)
    assert entry["source"] == ["outcomes", 0, 0]
    assert entry["next"] == {"events": 2, "outcomes": 1, "control": 0}
    assert (entry["settles"], entry["label"], entry["cost_minor"], entry["by"]) == (1, "bad", 1250, "claims")
    assert entry["budget"] is None


def test_an_outcome_moves_no_watermark_and_no_window():
    """It is about what was decided, not about what is."""
    one, other = decided(), decided()
    told(one, outcome(label="bad"))
    after = [fold(each, [event(2)])[0] for each in (one, other)]
    assert one.watermark_ms == other.watermark_ms
    assert after[0]["features"] == after[1]["features"]
    assert after[0]["flags"] == []


@pytest.mark.parametrize(
    ("value", "reason", "field"),
    [
        (None, "null-value", None),
        (b"", "not-json", None),
        (b"not json", "not-json", None),
        (b"\xff", "bad-utf8", None),
        (b"[]", "not-an-object", None),
        (b"[" * 40 + b"]" * 40, "too-deep", None),
        (b'{"id":"e-0","at":1,"label":"good"' + b" " * 16_384 + b"}", "too-large", None),
        (line({"at": AT, "label": "good"}), "missing-field", "id"),
        (line({"id": "e-0", "label": "good"}), "missing-field", "at"),
        (line({"id": "", "at": AT, "label": "good"}), "out-of-bounds", "id"),
        (line({"id": 7, "at": AT, "label": "good"}), "wrong-type", "id"),
        (line({"id": "e-0", "at": -1, "label": "good"}), "time-out-of-bounds", "at"),
        (line({"id": "e-0", "at": 10**14, "label": "good"}), "time-out-of-bounds", "at"),
        (outcome(label="fraud"), "out-of-bounds", "label"),
        (outcome(label=True), "wrong-type", "label"),
        (outcome(cost_minor=-1), "out-of-bounds", "cost_minor"),
        (outcome(cost_minor=2**53), "out-of-bounds", "cost_minor"),
        (outcome(cost_minor=10**30), "out-of-bounds", "cost_minor"),
        (outcome(cost_minor=12.5), "wrong-type", "cost_minor"),
        (outcome(cost_minor=12.0), "wrong-type", "cost_minor"),  # a float is no money, whole or not
        (outcome(cost_minor="12"), "wrong-type", "cost_minor"),
        (b'{"id":"e-0","at":1,"cost_minor":NaN}', "not-finite", "cost_minor"),
        (b'{"id":"e-0","at":1,"cost_minor":1e400}', "not-finite", "cost_minor"),
        (b'{"id":"e-0","at":1,"cost_minor":1,"cost_minor":2}', "duplicate-field", "cost_minor"),
        (outcome(cost=12), "unknown-field", "cost"),
        (outcome(label="good", partition=-1), "out-of-bounds", "partition"),
        (outcome(label="good", partition=2**31), "out-of-bounds", "partition"),
        (outcome(label="good", seq=0.0), "wrong-type", "seq"),
        (outcome(label="good", by="x" * 257), "out-of-bounds", "by"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_bytes_kept(value, reason, field):
    one = decided()
    folded = one.outcomes([Line(0, b"h", value)])
    entry = msgspec.json.decode(folded.entries[0][1])
    assert (entry["kind"], entry["reason"], entry["field"]) == ("refused-outcome", reason, field)
    assert (entry["id"], entry["at"], entry["label"], entry["cost_minor"]) == (None, None, None, None)
    [letter] = folded.dead_letters
    assert letter.value == value
    assert dict(letter.headers)["dlq.topic"] == b"outcomes"
    assert dict(letter.headers)["dlq.reason"].decode() == reason
    assert told(one, outcome(label="good", cost_minor=1))[0]["kind"] == "settlement", "nothing was settled by it"


@pytest.mark.parametrize(
    ("value", "reason", "named"),
    [
        (outcome(), "nothing-stated", [None, None]),
        (outcome(label=None, cost_minor=None), "nothing-stated", [None, None]),
        (outcome("e-9", label="good"), "unknown-decision", [None, None]),
        (outcome("e-9", label="good", seq=1), "unknown-decision", [None, 1]),
        (outcome("e-9", label="good", seq=10**9), "unknown-decision", [None, 10**9]),
        (outcome("e-1", label="good", seq=0), "other-decision", [None, 0]),
        (outcome("e-1", label="good", seq=2), "other-decision", [None, 2]),  # the repetition, which decided nothing
        (outcome("e-1", label="good", partition=3), "wrong-partition", [3, None]),
        (outcome("e-9", label="good", partition=3, seq=7), "wrong-partition", [3, 7]),
        (outcome(label="good"), "already-settled", [None, None]),
        (outcome(label="bad", cost_minor=3), "already-settled", [None, None]),  # and its cost is not settled by it
        (outcome(label="bad", partition=0, seq=0), "already-settled", [0, 0]),
    ],
)
def test_what_settles_nothing_says_why_and_what_it_said(value, reason, named):
    """Nothing of it is lost: it stands in the entry, so no dead letter repeats it."""
    one = decided()
    fold(one, [event(1)])
    told(one, outcome(label="bad"))
    folded = one.outcomes([Line(1, b"h", value)])
    entry, stated = msgspec.json.decode(folded.entries[0][1]), msgspec.json.decode(value)
    assert (entry["kind"], entry["reason"], entry["named"]) == ("refused-outcome", reason, named)
    assert [entry[name] for name in ("id", "at", "label", "cost_minor")] == [
        stated.get(name) for name in ("id", "at", "label", "cost_minor")
    ]
    assert entry["length"] == len(value)
    assert folded.dead_letters == []
    assert [(each.partition, each.record.value) for each in folded.misplaced] == (
        [(3, value)] if reason == "wrong-partition" else []
    )
    assert told(one, outcome(cost_minor=5))[0]["kind"] == "settlement"


STATES = {"label": {"label": "bad"}, "cost": {"cost_minor": 5}, "both": {"label": "bad", "cost_minor": 5}}


@pytest.mark.parametrize("order", list(product(STATES, repeat=3)), ids="-".join)
def test_label_and_cost_are_each_settled_once(order):
    """Every sequence of three outcomes: one settles what it states unless some of it is settled already."""
    one, settled = decided(), set()
    for states in order:
        facts = set(STATES[states])
        [entry] = told(one, outcome(**STATES[states]))
        assert entry["kind"] == ("refused-outcome" if settled & facts else "settlement"), (order, states)
        if not settled & facts:
            settled |= facts


@pytest.mark.parametrize("states", STATES)
@pytest.mark.parametrize("number", [0, 1, 255, 256, 511])
def test_each_decision_is_settled_apart_from_its_neighbours(number, states):
    """Two bits for each: the first and last of a block, and its neighbours on both sides."""
    one = decided(512)
    told(one, outcome(f"e-{number}", **STATES[states]))
    for neighbour in {0, 1, 254, 255, 256, 257, 510, 511} - {number}:
        assert told(one, outcome(f"e-{neighbour}", label="good", cost_minor=1))[0]["settles"] == neighbour


def test_an_outcome_of_what_is_no_longer_remembered_is_too_late_where_it_names_the_decision():
    """A horizon of 256 entries: block 0 is forgotten when the first decision of block 2 is made."""
    one = decided(512, duplicate_horizon=256)
    assert told(one, outcome("e-3", label="good", seq=3))[0]["reason"] == "too-late"  # as of entry 512
    assert told(one, outcome("e-3", label="good"))[0]["reason"] == "unknown-decision"
    assert told(one, outcome("e-300", label="good", seq=300))[0]["settles"] == 300


def test_a_decision_made_anew_behind_the_horizon_is_settled_anew():
    one = decided(512, duplicate_horizon=256)
    told(one, outcome("e-3", label="good", seq=3))
    [again] = fold(one, [event(3)])
    assert again["kind"] == "decision"
    assert told(one, outcome("e-3", label="good"))[0]["settles"] == again["seq"]
    assert told(one, outcome("e-3", cost_minor=1, seq=3))[0]["reason"] == "other-decision"


def test_what_falls_out_of_the_horizon_is_forgotten_on_the_changelog_too():
    one = decided(256, duplicate_horizon=256)
    told(one, outcome("e-3", label="good"))
    assert (b"settled:0", b'[0,"40"]') in one.changes()
    fold(one, [event(number) for number in range(256, 512)])
    assert (b"settled:0", None) in one.changes()


def test_a_rejected_event_has_no_decision_to_settle():
    one = Fold(policy(), 0)
    assert fold(one, [b'{"id":"e-0","host":"h"}'])[0]["kind"] == "rejected"
    assert told(one, outcome(label="bad"))[0]["reason"] == "unknown-decision"


@pytest.mark.parametrize(
    ("stated", "key", "shown", "record_key"),
    [
        ({}, b"h", "h", b"h"),
        ({"key": "k"}, b"h", "k", b"k"),
        ({}, None, None, None),
        ({}, b"\xff", None, b"\xff"),
        ({"key": "k"}, None, "k", b"k"),
    ],
)
def test_the_key_is_the_one_stated_else_the_records(stated, key, shown, record_key):
    made = decided().outcomes([Line(0, key, outcome(label="bad", **stated))])
    assert msgspec.json.decode(made.entries[0][1])["key"] == shown
    assert made.entries[0][0] == record_key


def test_a_takeover_remembers_what_was_settled():
    """Also from a changelog in which the newest record of each key is all there is."""
    one = decided()
    told(one, outcome(label="bad"))
    changelog = dict(one.changes())
    last = one.outcomes([Line(1, b"h", outcome("e-1", cost_minor=1))]).entries[0][1]
    changelog |= dict(one.changes())
    heir = Fold.restore(0, last, changelog.items(), policy())
    values = [outcome(label="good"), outcome(cost_minor=2), outcome("e-1", label="good"), outcome("e-1", cost_minor=1)]
    assert told(heir, *values) == told(one, *values)
    assert heir.changes() == one.changes()


@pytest.mark.parametrize("loss", ["gone", "other bits"])
def test_a_takeover_finds_that_a_settlement_is_missing_from_the_state(loss):
    one = decided()
    entry = one.outcomes([Line(0, b"h", outcome(label="bad"))]).entries[0][1]
    changelog = dict(one.changes())
    assert changelog[b"settled:0"] == b'[0,"1"]'
    if loss == "gone":
        del changelog[b"settled:0"]
    else:
        changelog[b"settled:0"] = b'[0,"2"]'
    with pytest.raises(StateMismatch, match="is not the one that stood at entry"):
        Fold.restore(0, entry, changelog.items(), policy())


@pytest.mark.parametrize("value", [b"junk", b'[1,"1"]', b'[0,"-1"]', b'[0,"x"]', b'[0,""]', b'{"a":1}'])
def test_a_settled_record_that_is_none_is_refused(value):
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        Settled().restore(b"settled:0", value)


def test_a_state_written_before_there_were_outcomes_goes_on():
    """Nothing is settled in it, and everything in it can be."""
    one = decided()
    last = one.events(records([event(2)], 2)).entries[0][1]
    changes = one.changes()
    assert not any(name.startswith(b"settled:") for name, _ in changes)
    heir = Fold.restore(0, last, changes, policy())
    assert told(heir, outcome("e-2", label="good"))[0]["settles"] == 2


def test_outcomes_are_replayed_from_their_records():
    one = Fold(policy(), 4)
    events = records([event(0), event(1), b"junk"])
    values = [
        outcome(label="bad"),
        b"junk",
        outcome("e-1", cost_minor=3),
        outcome(label="bad"),
        outcome("e-7", label="bad"),
    ]
    outcomes = [Line(offset, b"h", value) for offset, value in enumerate(values)]
    entries = one.events(events[:2]).entries + one.outcomes(outcomes[:2]).entries
    entries += one.events(events[2:]).entries + one.outcomes(outcomes[2:]).entries
    inputs = {"events": events, "outcomes": outcomes}
    replayer = Replayer(policy(), 4, lambda topic, offset: inputs[topic][offset])
    assert [replayer.take(value) for _, value in entries] == [None] * 8
    cheated = entries[2][1].replace(b'"label":"bad"', b'"label":"good"')
    assert "differs" in str(Replayer.behind(_upto(entries, 2), lambda topic, at: inputs[topic][at]).take(cheated))


def _upto(entries, count: int) -> Fold:
    one = Fold(policy(), 4)
    one.events(records([event(0), event(1)]))
    assert one.seq == count
    return one


def test_a_policy_that_remembers_less_forgets_what_was_settled():
    """And one that remembers more does not bring it back."""
    first, short = policy(duplicate_horizon=512), policy(version=2, duplicate_horizon=0)
    one = Fold(first, 0)
    fold(one, [event(number) for number in range(300)])
    told(one, outcome("e-3", label="bad"), outcome("e-299", label="bad"))
    one.changes()
    one.control(control(short), loader(short))
    assert (b"settled:0", None) in one.changes()
    assert told(one, outcome("e-3", cost_minor=1, seq=3))[0]["reason"] == "too-late"
    assert told(one, outcome("e-299", cost_minor=1, seq=299))[0]["settles"] == 299


def test_a_decider_takes_outcomes_beside_events():
    """As a notebook asks it."""
    decider = Decider(policy())
    assert [one["kind"] for one in decider.decide([event(0)])] == ["decision"]
    given = [{"id": "e-0", "at": AT, "label": "bad"}, {"id": "e-0", "at": AT, "label": "bad"}, "junk"]
    kinds = [(one["kind"], one.get("reason")) for one in decider.outcomes(given)]
    assert kinds == [("settlement", None), ("refused-outcome", "already-settled"), ("refused-outcome", "not-json")]
    assert [letter.value for letter in decider.dead_letters] == [b"junk"]
