"""One event, one entry: what it says, and when an event counts."""

from hashlib import sha256

import msgspec
import pytest

from sidechain.models.dry import Fold, Line, program
from sidechain.models.policy import EventField, Signal, Typology
from tests.support import T0, decided, event, feature, fold, line, policy, rule, trust

SEEN = feature("seen", "count", "1m")


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


def test_the_entry_that_pushes_a_key_out_says_so():
    """A third key in a table of two is flagged; keys that fit, and keys that return to their place, are not."""
    one = policy(features=[SEEN], max_keys=2)
    events = [event(at, host=key) for at, key in enumerate("ababcb")]
    assert [entry["flags"] for entry in decided(one, events)] == [[], [], [], [], ["evicted"], []]
