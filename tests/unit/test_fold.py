"""The fold: one entry a record, whatever the record; what goes to the dead letters; what refuses to go on."""

import subprocess
import sys
from hashlib import sha256

import msgspec
import pytest

from sidechain.models.dry import Fold, Line, SignalValue, StateMismatch, program
from sidechain.models.dry.fold import DEAD_LETTER_MAX_BYTES, KEY_MAX_BYTES
from sidechain.models.policy import EventField, Signal, Typology
from tests.support import T0, decided, event, feature, fold, line, policy, records, rule, trust

SEEN = feature("seen", "count", "1m")


def entry_of(one: Fold, record: Line) -> dict:
    """The one entry of one record."""
    ((_, value),) = one.events([record]).entries
    return msgspec.json.decode(value)


def control_of(one, offset: int = 0, **more) -> Line:
    """The control record that activates policy `one`."""
    value = {"kind": "policy", "name": one.name, "version": one.version, "digest": one.digest}
    return Line(offset, one.name.encode(), line(value | {"by": "anna", "at": T0, "text": one.text} | more))


def loader(*policies):
    """Reads the texts of these policies and refuses others, as a pack loader does."""
    known = {one.text.encode(): one for one in policies}

    def load(text: bytes):
        if text not in known:
            raise ValueError("no such policy")
        return known[text]

    return load


# --- what an entry says


def test_an_entry_says_what_was_decided_from_what():
    """Every field of a decision, worked out by hand."""
    one = policy(
        features=[SEEN, feature("half", "value", of="event.n / 2")],
        rules=[rule("big", "event.n > 10", "note", 700), rule("twice", "features.seen >= 2", "monitor", 300)],
        typologies=[Typology(id="both", title="", weights={"big": 3, "twice": 4}, review_at=7)],
    )
    records_ = [Line(40, b"h", line(event(0, n=11))), Line(43, b"h", line(event(1, n=11)))]
    first, second = [msgspec.json.decode(value) for _, value in Fold(one, 3).events(records_).entries]
    assert second == {
        "v": 1,
        "seq": 1,
        "prev": first["hash"],
        "kind": "decision",
        "id": "e-1",
        "key": "h",
        "at": T0 + 1_000,
        "source": ["events", 3, 43],
        "digest": sha256(line(event(1, n=11))).hexdigest(),
        "next": {"events": 44, "outcomes": 0, "control": 0},  # 41 and 42 were markers
        "policy": one.ref,
        "action": "review",
        "tier": "pass",
        "trust_bp": 10_000,
        "trust_inputs_bp": [10_000, 1_000, 0],
        "score_bp": 1_000,
        "reasons": [["rule", "big", 700], ["rule", "twice", 300], ["typology", "both", 7, "review"]],
        "flags": [],
        "features": {"half": 5, "seen": 2},
        "signals": {},
        "route": None,
        "budget": None,
        "hash": second["hash"],
    }
    assert first["prev"] == "0" * 64


@pytest.mark.parametrize(
    ("fired", "action", "score", "typology"),
    [
        ([], "allow", 0, None),
        ([0], "allow", 1_000, None),
        ([1], "monitor", 1_000, None),
        ([0, 1], "monitor", 2_000, None),
        ([0, 2], "review", 2_000, ["typology", "t", 5, "review"]),
        ([1, 2], "review", 2_000, ["typology", "t", 6, "review"]),
        ([0, 1, 2], "block", 3_000, ["typology", "t", 7, "block"]),
        ([3], "review", 1_000, None),
        ([4], "block", 1_000, None),
        ([3, 4], "block", 2_000, None),
    ],
)
def test_the_strictest_demand_wins(fired, action, score, typology):
    """Rules note, monitor, note, review, block; the typology weighs 1, 2, 4 and asks for review at 5, block at 7."""
    effects = ("note", "monitor", "note", "review", "block")
    one = policy(
        rules=[rule(f"r{at}", f"event.tags[{at}] == 'y'", then, 1_000) for at, then in enumerate(effects)],
        typologies=[Typology(id="t", title="", weights={"r0": 1, "r1": 2, "r2": 4}, review_at=5, block_at=7)],
        fields=(*policy().event.fields, EventField(name="tags", type="list<string>")),
        gate=trust(risk="0"),
    )
    (entry,) = decided(one, [event(0, tags=["y" if at in fired else "n" for at in range(5)])])
    assert (entry["action"], entry["score_bp"]) == (action, score)
    assert [reason for reason in entry["reasons"] if reason[0] == "typology"] == ([typology] if typology else [])


@pytest.mark.parametrize(
    ("condition", "fires"),
    [
        ("event.m > 0", False),  # unknown does not fire
        ("!(event.m > 0)", False),  # nor does its negation
        ("event.m > 0 || event.n == 1", True),
        ("event.m > 0 && event.n == 2", False),
        ("!has(event.m)", True),
        ("event.n + 9223372036854775807 > 0", False),  # overflow is unknown
        ("event.n / 0 == 0", False),
        ("features.gap > 0", False),  # no event before this one
        ("!has(features.gap)", True),
        ("signals.risk < 10000", False),  # nothing was said
        ("true", True),
    ],
)
def test_unknown_is_not_true(condition, fires):
    """An absent field, a feature without history, an overflow, a silent wet side."""
    signals = (Signal(name="risk", max_age_ms=1_000),)
    (entry,) = decided(
        policy(features=[feature("gap", "gap")], signals=signals, rules=[rule("r", condition)]), [event(0)]
    )
    assert [reason[1] for reason in entry["reasons"]] == (["r"] if fires else [])


def test_policies_without_features_signals_or_rules_decide():
    """The smallest policy there is."""
    (entry,) = decided(policy(), [event(0)])
    assert (entry["action"], entry["features"], entry["signals"], entry["reasons"]) == ("allow", {}, {}, [])


def test_features_of_the_partition_count_every_key():
    """Two keys, one partition window beside one key window, and a policy that has nothing else."""
    hosts = ["a", "b", "a", "b"]
    both = policy(features=[feature("all", "count", "1m", scope="partition"), SEEN])
    events = [event(number, host=host) for number, host in enumerate(hosts)]
    assert [one["features"] for one in decided(both, events)] == [
        {"seen": 1, "all": 1},
        {"seen": 1, "all": 2},
        {"seen": 2, "all": 3},
        {"seen": 2, "all": 4},
    ]
    only = policy(features=[feature("all", "count", "1m", scope="partition")])
    assert [one["features"]["all"] for one in decided(only, events)] == [1, 2, 3, 4]


def test_huge_sums_are_written_and_compared_as_the_largest_int():
    """Three times the largest int: the rule still compares, the entry holds an integer of 64 bits."""
    one = policy(features=[feature("s", "sum", "1m", of="event.n")], rules=[rule("r", "features.s > 5")])
    entries = decided(one, [event(number, n=2**63 - 1) for number in range(3)])
    assert [entry["features"]["s"] for entry in entries] == [2**63 - 1] * 3
    assert all(entry["reasons"] for entry in entries)


def test_the_memory_of_outcomes_is_bounded_and_changes_speed_only():
    """Fifty distinct outcomes where seven are remembered: the same decisions."""
    one = policy(gate=trust(alignment="event.n"))
    remembered = Fold(one, 0)
    expected = [judged["trust_bp"] for judged in fold(remembered, [event(n, n=n) for n in range(50)])]
    before, program.MEMO_LIMIT = program.MEMO_LIMIT, 7
    try:
        small = Fold(one, 0)
        again = [judged["trust_bp"] for judged in fold(small, [event(n, n=n) for n in range(50)])]
        assert len(small._program._outcomes) <= 7
    finally:
        program.MEMO_LIMIT = before
    assert again == expected


# --- time


def test_one_event_far_ahead_evicts_nobodys_windows():
    """In 2099, within the schema's bounds: flagged, counted at the partition's time, and the next ones go on."""
    one = policy(features=[SEEN, feature("all", "count", "1m", scope="partition"), feature("gap", "gap")])
    late_2099 = 4_102_444_799_000
    hosts = [("a", 0), ("b", 1), ("b", None), ("a", 2), ("b", 3)]
    events = [
        event(number, host=host, at=late_2099 if second is None else T0 + second * 1_000)
        for number, (host, second) in enumerate(hosts)
    ]
    entries = decided(one, events)
    assert [entry["flags"] for entry in entries] == [[], [], ["ahead"], ["late"], ["late"]]
    assert [entry["features"]["seen"] for entry in entries] == [1, 1, 2, 2, 3]
    assert [entry["features"]["all"] for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[2]["at"] == late_2099


@pytest.mark.parametrize(
    ("seconds", "flags"),
    [
        ([0, 3_600], [[], []]),
        ([0, 3_601], [[], ["ahead"]]),  # max_step is inclusive
        ([0, 3_601, 3_600], [[], ["ahead"], []]),  # the watermark moved by one step
        ([0, 99_999, 7_200, 7_201], [[], ["ahead"], [], []]),
        ([0, 99_999, 7_201], [[], ["ahead"], ["ahead"]]),
        ([100, 60], [[], []]),  # 40 s late: pane 5 s, 12 of them
        ([60, 5], [[], []]),  # the oldest pane of the window
        ([60, 4], [[], ["late"]]),
        ([64, 5], [[], []]),
        ([65, 9], [[], ["late"]]),
        ([65, 10], [[], []]),
        ([60, 4, 60], [[], ["late"], []]),
    ],
)
def test_flags_say_how_an_events_time_stands_to_the_partitions(seconds, flags):
    """A window of a minute in panes of five seconds; T0 stands on a pane's edge."""
    base = T0 // 60_000 * 60_000
    entries = decided(policy(features=[SEEN]), [event(n, at=base + at * 1_000) for n, at in enumerate(seconds)])
    assert [entry["flags"] for entry in entries] == flags


def test_what_a_window_does_not_count_is_flagged():
    """Every distance from the watermark: an event is counted or its entry says `late`."""
    base = T0 // 60_000 * 60_000
    for watermark in (0, 1, 4_999, 5_000, 59_999):
        for behind in range(54_000, 66_000, 500):
            at = base + watermark
            entries = decided(policy(features=[SEEN]), [event(0, at=at), event(1, at=at - behind)])
            counted = entries[1]["features"]["seen"] == 2
            assert counted != (entries[1]["flags"] == ["late"]), (watermark, behind)


# --- the wet side


AGES = (Signal(name="risk", max_age_ms=1_000), Signal(name="old", max_age_ms=5_000, minimum=10, maximum=20))


@pytest.mark.parametrize(
    ("value", "age_ms", "risk", "old"),
    [
        (15, 0, 15, 15),
        (15, 1_000, 15, 15),  # ages are inclusive
        (15, 1_001, "stale", 15),
        (15, 5_001, "stale", "stale"),
        (15, -1, "future", "future"),
        (10, 0, 10, 10),  # bounds are inclusive
        (20, 0, 20, 20),
        (9, 0, 9, "bounds"),
        (21, 0, 21, "bounds"),
        (10_001, 0, "bounds", "bounds"),
        (-1, 0, "bounds", "bounds"),
        (9, 1_001, "stale", "bounds"),
        (None, 0, "absent", "absent"),
    ],
)
def test_a_signal_is_used_or_its_entry_says_why_not(value, age_ms, risk, old):
    """Two signals read the same word of the wet side, each within its own age and bounds."""
    said = None if value is None else SignalValue(value, "m-1", T0 - age_ms, 7)
    rules = [rule("r", "has(signals.risk)"), rule("o", "has(signals.old)")]
    (entry,) = decided(policy(signals=AGES, rules=rules), [event(0)], latest=lambda _key: said)

    def recorded(found):
        return {"unknown": found} if isinstance(found, str) else said._asdict()

    assert entry["signals"] == {"risk": recorded(risk), "old": recorded(old)}
    fired = {reason[1] for reason in entry["reasons"]}
    assert fired == {name for name, found in (("r", risk), ("o", old)) if isinstance(found, int)}


def test_a_policy_that_takes_no_signals_does_not_ask():
    """Whatever the wet side says, it says it to nobody."""

    def never(_key: str) -> None:
        raise AssertionError("asked")

    assert decided(policy(), [event(0)], latest=never)[0]["signals"] == {}


# --- duplicates, keys, rejections


def test_a_repeated_id_points_to_the_first_decision_and_counts_nothing():
    """Also when everything else about the event differs."""
    entries = decided(policy(features=[SEEN]), [event(0), event(1), event(0, host="other", n=9), event(2)])
    assert [entry["kind"] for entry in entries] == ["decision", "decision", "duplicate", "decision"]
    assert (entries[2]["first"], entries[2]["key"], entries[2]["source"][2]) == (0, "other", 2)
    assert entries[3]["features"]["seen"] == 3


@pytest.mark.parametrize(
    ("key", "kind", "reason", "stated"),
    [
        (b"h", "decision", None, "h"),
        (None, "rejected", "null-key", None),
        (b"", "rejected", "key-mismatch", ""),
        (b"H", "rejected", "key-mismatch", "H"),
        (b"h ", "rejected", "key-mismatch", "h "),
        (b"\xff", "rejected", "key-mismatch", None),  # no text
        (b"x" * KEY_MAX_BYTES, "rejected", "key-mismatch", "x" * KEY_MAX_BYTES),
        (b"x" * (KEY_MAX_BYTES + 1), "rejected", "key-mismatch", None),
    ],
)
def test_a_record_whose_key_is_not_its_events_key_is_rejected(key, kind, reason, stated):
    """Its history lives on another partition."""
    entry = entry_of(Fold(policy(), 0), Line(0, key, line(event(0))))
    assert (entry["kind"], entry.get("reason"), entry["key"]) == (kind, reason, stated)


def test_outside_kafka_the_key_is_the_events_own():
    """Lines of a file have no key."""
    ((key, value),) = Fold(policy(), 0, keyed=False).events([Line(0, None, line(event(0)))]).entries
    assert (key, msgspec.json.decode(value)["kind"]) == (b"h", "decision")


@pytest.mark.parametrize("size", [0, 1, DEAD_LETTER_MAX_BYTES, DEAD_LETTER_MAX_BYTES + 1, 2_000_000, 3_000_000])
def test_what_cannot_be_decided_goes_to_the_dead_letters_with_its_bytes(size):
    """Up to the output limit all bytes, above it a prefix; digest and length always of the whole."""
    value = b"\xff" * size
    folded = Fold(policy(), 5).events([Line(17, b"h", value)])
    ((key, sealed),) = folded.entries
    entry, (letter,) = msgspec.json.decode(sealed), folded.dead_letters
    reason = "not-json" if size == 0 else "bad-utf8" if size == 1 else "too-large"
    assert (entry["reason"], entry["length"], entry["digest"]) == (reason, size, sha256(value).hexdigest())
    assert len(sealed) < 1_000
    assert (key, letter.key, letter.value) == (b"h", b"h", value[:DEAD_LETTER_MAX_BYTES])
    assert dict(letter.headers) == {
        "dlq.reason": reason.encode(),
        "dlq.field": b"",
        "dlq.topic": b"events",
        "dlq.partition": b"5",
        "dlq.offset": b"17",
        "dlq.digest": sha256(value).hexdigest().encode(),
        "dlq.length": str(size).encode(),
        "dlq.truncated": b"true" if size > DEAD_LETTER_MAX_BYTES else b"false",
    }


def test_a_null_value_is_told_from_an_empty_one():
    """No bytes have no digest."""
    folded = Fold(policy(), 0).events([Line(0, b"h", None)])
    entry, (letter,) = msgspec.json.decode(folded.entries[0][1]), folded.dead_letters
    assert (entry["reason"], entry["digest"], entry["length"]) == ("null-value", None, 0)
    assert (letter.value, dict(letter.headers)["dlq.digest"]) == (None, b"")


def test_the_field_at_fault_is_named_in_both_places():
    """Entry and dead letter."""
    folded = Fold(policy(), 0).events([Line(0, b"h", line(event(0, n="1")))])
    assert msgspec.json.decode(folded.entries[0][1])["field"] == "n"
    assert dict(folded.dead_letters[0].headers)["dlq.field"] == b"n"


def test_nothing_is_lost_around_bad_input():
    """Bad records between good ones: one entry each, in order, and the good ones count as if alone."""
    bad = [b"{", None, b"x" * 2_000_000, line(event(0, n=1.5)), b"[" * 1_000, line(event(0, at=0)), b'{"\\ud800":1}']
    mixed = [one for pair in zip([event(n) for n in range(len(bad))], bad, strict=True) for one in pair]
    entries = decided(policy(features=[SEEN], earliest_ms=T0), mixed)
    assert [entry["source"][2] for entry in entries] == list(range(len(mixed)))
    good = [entry["features"]["seen"] for entry in entries if entry["kind"] == "decision"]
    assert good == list(range(1, len(bad) + 1))
    assert [entry["kind"] for entry in entries[1::2]] == ["rejected"] * len(bad)


def test_a_bug_of_ours_stops_instead_of_becoming_a_dead_letter():
    """A feature function that raises: no entry, no dead letter, the error itself."""
    one = Fold(policy(features=[SEEN]), 0)

    def planted(*_args):
        raise ZeroDivisionError("planted")

    one._key_updates[0] = planted
    with pytest.raises(ZeroDivisionError, match="planted"):
        one.events(records([event(0)]))


# --- control


def test_a_policy_takes_effect_between_two_events_and_is_sealed():
    """The entry names who, what was before and what is in force from there on."""
    before = policy(features=[SEEN], rules=[rule("r", "features.seen > 5", "block")])
    after = policy(features=[SEEN], rules=[rule("r", "features.seen > 1", "block")], version=2)
    one = Fold(before, 0)
    entries = fold(one, [event(0), event(1)])
    folded = one.control(control_of(after, 4), loader(after))
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
        "digest": sha256(control_of(after, 4).value).hexdigest(),
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
        control_of(policy()),  # in force already
        control_of(policy(), text="not even its text"),
        control_of(policy(name="other", version=2)),  # another pack's
        control_of(AFTER, kind="list"),
    ],
)
def test_control_records_that_change_nothing_make_no_entry(record):
    """Nor do they move the position, so that a restart reads them again and passes over them again."""
    one = Fold(policy(), 0)
    assert one.control(record, loader(policy(), AFTER)) == ([], [])
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
        Line(0, b"test", control_of(AFTER).value[:-1] + b',"x":' + b"[" * 40 + b"]" * 40 + b"}"),
        Line(0, b"test", control_of(AFTER).value[:-1] + b',"version":3}'),  # a member twice
        control_of(AFTER, text="no policy"),
        control_of(AFTER, text=policy().text),  # the digest is another text's
        control_of(AFTER, text="\ud800"),
        control_of(AFTER, digest="0" * 64),
        control_of(AFTER, version="2"),
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
    assert len(one.control(control_of(two, 3), load).entries) == 1
    assert one.control(control_of(policy(), 2), load) == ([], [])
    assert one.control(Line(3, b"test", b"junk"), load) == ([], [])
    assert one.policy.version == 2
    assert len(one.control(control_of(policy(), 4), load).entries) == 1  # a rollback is one more change


# --- state


def test_nothing_new_writes_nothing():
    """A poll without records makes no transaction."""
    one = Fold(policy(features=[SEEN]), 0)
    assert one.changes() == []
    fold(one, [event(0)])
    assert one.changes()[-1][0] == b"head"
    assert one.changes() == []
    back = Fold(policy(features=[SEEN]), 0)
    entry = back.events(records([event(0)])).entries[0][1]
    assert Fold.restore(0, entry, back.changes(), policy(features=[SEEN])).changes() == []


def test_state_is_bounded_by_keys_not_by_events():
    """Ten thousand events of one key: one key record, and it does not grow."""
    one = Fold(policy(features=[SEEN, feature("all", "distinct", "1m", of="event.id")], duplicate_horizon=0), 0)
    sizes = []
    for start in range(0, 10_000, 1_000):
        fold(one, [event(number) for number in range(start, start + 1_000)])
        sizes.append(sum(len(value) for name, value in one.changes() if name == b"k:h"))
    assert one.keys == 1
    assert max(sizes) < 1.5 * sizes[0]


def restored(entry: bytes, changes, one, partition: int = 0) -> Fold:
    return Fold.restore(partition, entry, changes, one)


def test_a_takeover_refuses_what_does_not_belong_together():
    """Deciding on would fork the history."""
    one = policy(features=[SEEN])
    first = Fold(one, 0)
    entries = [first.events(records([event(n)], n)).entries[0][1] for n in range(3)]
    changes = first.changes()
    assert restored(entries[2], changes, one).seq == 3
    with pytest.raises(StateMismatch, match="written at entry 2"):
        restored(entries[1], changes, one)  # the chain is behind the state
    with pytest.raises(StateMismatch, match="written at nothing"):
        restored(entries[2], [], one)
    with pytest.raises(StateMismatch, match="fork"):
        restored(entries[2], changes, one, partition=1)
    with pytest.raises(StateMismatch, match="in force"):
        restored(entries[2], changes, policy(features=[SEEN], version=2))
    with pytest.raises(StateMismatch, match="no kind"):
        restored(entries[2], [(b"later:x", b"[]"), *changes], one)


def test_a_takeover_refuses_state_of_a_plan_nothing_describes():
    """A key last seen under the policy before, and no record that says what its slots were."""
    before, after = policy(features=[SEEN]), policy(version=2)
    one = Fold(before, 0)
    fold(one, [event(0)])
    entry = one.control(control_of(after), loader(after)).entries[0][1]
    changes = one.changes()
    assert restored(entry, changes, after).seq == 2
    with pytest.raises(StateMismatch, match="lacks plan"):
        restored(entry, [found for found in changes if not found[0].startswith(b"plan:")], after)


def test_of_several_state_records_for_one_key_the_last_counts():
    """A compacted topic still holds older ones, and tombstones."""
    one = policy(features=[SEEN], max_keys=2)
    first, log = Fold(one, 0), []
    for number, host in enumerate("aabcab"):
        entry = first.events(records([event(number, host=host)], number)).entries[0][1]
        log += first.changes()
    again = restored(entry, log, one)
    events = [event(number, host=host) for number, host in enumerate("abc", 6)]
    assert fold(again, events) == fold(first, events)


def test_the_policy_in_force_is_read_from_the_last_entry():
    """So that a new owner knows which text to load."""
    one, two = Fold(policy(), 0), policy(version=2)
    assert Fold.policy_ref_of(one.events(records([event(0)])).entries[0][1]) == policy().ref
    assert Fold.policy_ref_of(one.control(control_of(two), loader(two)).entries[0][1]) == two.ref
    assert Fold.policy_ref_of(one.events(records([b"junk"], 1)).entries[0][1]) == two.ref


PROGRAM = """
import hashlib, random
from tests.support import event, feature, line, policy, records, rule
from sidechain.models.dry import Fold
draw = random.Random(7)
one = policy(
    features=[feature("seen", "count", "1m"), feature("texts", "distinct", "1m", of="event.s", max_distinct=3)],
    rules=[rule("r", "event.s in ['a','b','c','d','e','f']", "review", 100)], max_keys=4,
)
letters = "abcdefghij"
events = [
    event(n, id=f"e-{draw.randrange(300)}", host=draw.choice(letters), s=draw.choice(letters)) for n in range(400)
]
fold = Fold(one, 0)
digest = hashlib.sha256()
for at in range(0, 400, 50):
    for part in (fold.events(records(events[at : at + 50], at)).entries, fold.changes()):
        digest.update(repr(part).encode())
print(fold.seq, digest.hexdigest())
"""


def test_the_bytes_do_not_depend_on_the_process():
    """Entries and state records, with different hash seeds, time zones and locales."""
    said = set()
    for seed, zone, language in (
        ("0", "UTC", "C"),
        ("1", "Asia/Tokyo", "tr_TR.UTF-8"),
        ("4242", "America/Lima", "C.UTF-8"),
    ):
        environment = {"PYTHONHASHSEED": seed, "TZ": zone, "LANG": language, "LC_ALL": language, "PYTHONPATH": "."}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        )
        said.add(done.stdout)
    assert len(said) == 1
    assert said.pop().startswith("400 ")
