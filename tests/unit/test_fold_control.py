"""Control records: a policy takes effect between two events, or the record is passed over or rejected."""

from hashlib import sha256

import msgspec
import pytest

from sidechain.models.dry import Fold, Folded, Line
from tests.support import T0, control, event, feature, fold, loader, policy, rule

SEEN = feature("seen", "count", "1m")


def test_a_policy_takes_effect_between_two_events_and_is_sealed():
    """The entry names who, what was before and what is in force from there on."""
    before = policy(features=[SEEN], rules=[rule("r", "features.seen > 5", "block")])
    after = policy(features=[SEEN], rules=[rule("r", "features.seen > 1", "block")], version=2)
    one = Fold(before, 0)
    entries = fold(one, [event(0), event(1)])
    folded = one.control(control(after, 4), loader(after))
    ((key, value),) = folded.entries
    sealed = msgspec.json.decode(value)
    entries += fold(one, [event(2)])
    assert [entry["action"] for entry in entries] == ["allow", "allow", "block"]
    assert [entry["policy"] for entry in entries] == [before.ref, before.ref, after.ref]
    assert (key, folded.dead_letters) == (b"test", [])
    assert sealed == {
        "v": 1,
        "seq": 2,
        "prev": entries[1]["hash"],
        "kind": "policy",
        "id": None,
        "key": "test",
        "at": T0,
        "source": ["control", 0, 4],
        "digest": sha256(control(after, 4).value).hexdigest(),
        "next": {"events": 2, "outcomes": 0, "control": 5},
        "policy": after.ref,
        "previous": before.ref,
        "by": "anna",
        "hash": sealed["hash"],
    }
    assert entries[2]["prev"] == sealed["hash"]
    assert entries[2]["next"] == {"events": 3, "outcomes": 0, "control": 5}


AFTER = policy(version=2)


@pytest.mark.parametrize(
    "record",
    [
        control(policy()),  # in force already
        control(policy(), text="not even its text"),
        control(policy(name="other", version=2)),  # another pack's
        control(AFTER, kind="wish"),
    ],
)
def test_control_records_that_change_nothing_make_no_entry(record):
    """Nor do they move the position, so that a restart reads them again and passes over them again."""
    one = Fold(policy(), 0)
    assert one.control(record, loader(policy(), AFTER)) == Folded([], [])
    assert (one.seq, one.next["control"]) == (0, 0)


@pytest.mark.parametrize(
    "record",
    [
        Line(0, b"test", None),
        Line(0, b"test", b""),
        Line(0, b"test", b"{}"),
        Line(0, b"test", b"\xff"),
        Line(0, None, b"not json"),
        Line(0, b"test", b"[" * 100_000),
        Line(0, b"test", control(AFTER).value[:-1] + b',"x":' + b"[" * 40 + b"]" * 40 + b"}"),
        Line(0, b"test", control(AFTER).value[:-1] + b',"version":3}'),  # a member twice
        control(AFTER, text="no policy"),
        control(AFTER, text=policy().text),  # the digest is another text's
        control(AFTER, text="\ud800"),
        control(AFTER, digest="0" * 64),
        control(AFTER, version="2"),
    ],
)
def test_a_control_record_that_is_no_policy_is_rejected_and_the_old_policy_stays(record):
    """One entry, one dead letter, and events are decided as before."""
    one = Fold(policy(), 6)
    folded = one.control(record, loader(policy(), AFTER))
    entry, (letter,) = msgspec.json.decode(folded.entries[0][1]), folded.dead_letters
    assert (entry["kind"], entry["reason"], entry["source"]) == ("rejected", "bad-control", ["control", 0, 0])
    assert dict(letter.headers)["dlq.topic"] == b"control"
    assert (one.policy.version, one.next["control"]) == (1, 1)
    assert fold(one, [event(0)])[0]["policy"] == policy().ref


def test_control_records_the_chain_is_past_are_passed_over():
    """After a takeover the reader may start too early."""
    one, two = Fold(policy(), 0), policy(version=2)
    load = loader(policy(), two)
    assert len(one.control(control(two, 3), load).entries) == 1
    assert one.control(control(policy(), 2), load) == Folded([], [])
    assert one.control(Line(3, b"test", b"junk"), load) == Folded([], [])
    assert one.policy.version == 2
    assert len(one.control(control(policy(), 4), load).entries) == 1  # a rollback is one more change
