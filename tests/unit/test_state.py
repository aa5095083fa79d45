"""What a partition remembers: which key is forgotten first, how long an id stands, what survives a policy change."""

import itertools
import random
from unittest.mock import patch

import msgspec
import pytest

from sidechain.models.dry import Fold, state
from sidechain.models.dry.state import BLOCK, Ids, Plan, Table
from tests.support import control, decided, event, feature, fold, loader, policy

COUNT = feature("seen", "count", "1h")


def seen(entries) -> list[int]:
    return [one["features"]["seen"] for one in entries]


def test_the_least_recently_seen_key_is_forgotten_first():
    """Two keys fit. Which one goes depends on the order of entries alone."""
    hosts = ["a", "b", "a", "c", "a", "b", "c"]
    #        1    1    2    1, b goes; a: 3; b is new, c goes; c is new, a goes
    entries = decided(policy(features=[COUNT], max_keys=2), [event(n, host=host) for n, host in enumerate(hosts)])
    assert seen(entries) == [1, 1, 2, 1, 3, 1, 1]


@pytest.mark.parametrize("max_keys", [1, 2, 3, 5])
def test_eviction_agrees_with_a_list_of_keys(max_keys):
    """The model: a list, the seen key moved to its end, the first one dropped."""
    random_hosts = random.Random(max_keys)
    hosts = [random_hosts.choice("abcdefg") for _ in range(400)]
    order: list[str] = []
    counts: dict[str, int] = {}
    expected = []
    for host in hosts:
        counts[host] = counts.get(host, 0) + 1 if host in order else 1
        order = [one for one in order if one != host] + [host]
        order = order[-max_keys:]
        expected.append(counts[host])
    one = policy(features=[COUNT], max_keys=max_keys)
    assert seen(decided(one, [event(n, host=host) for n, host in enumerate(hosts)])) == expected


def test_a_table_never_holds_more_than_its_keys_and_says_what_it_forgot():
    """Also at once, when a policy allows fewer."""
    plan = Plan((), ())
    table = Table(b"k:", plan, 3)
    for seq, key in enumerate("abcd"):
        table.slots(key, seq)
        assert len(table) <= 3
    assert table.evicted == 1
    assert [name for name, value in table.changes() if value is None] == [b"k:a"]
    table.change(plan, 1)
    assert (len(table), table.evicted) == (1, 3)
    assert list(table.changes()) == [(b"k:b", None), (b"k:c", None)]
    assert list(table.changes()) == []


def test_a_key_that_comes_back_after_eviction_is_written_again():
    """Forgotten and new within one batch: the changelog holds the new state, not the tombstone."""
    one = Fold(policy(features=[COUNT], max_keys=1), 0)
    fold(one, [event(0, host="a"), event(1, host="b"), event(2, host="a")])
    changes = dict(one.changes())
    assert changes[b"k:b"] is None
    assert msgspec.json.decode(changes[b"k:a"])[1] == 2


@pytest.mark.parametrize("ring", [0, 1, 3])
def test_an_id_stands_through_its_block_and_as_many_after_it_as_the_horizon_says(ring):
    """The exact boundary, for an id of the first, a middle and the last entry of a block."""
    ids = Ids(ring * BLOCK)
    for at in (0, 7, BLOCK - 1):
        name, found = ids.first(f"id-{at}", at)
        assert found is None
        ids.add(name, at)
    last = (ring + 1) * BLOCK - 1
    for at in (0, 7, BLOCK - 1):
        assert ids.first(f"id-{at}", last)[1] == at
        assert ids.first(f"id-{at}", last + 1)[1] is None  # although nothing has been added in between


def test_after_the_horizon_an_id_is_decided_anew_and_before_it_points_to_the_first():
    """Entries 256 to 511 are the last that remember entry 5; 512 does not. Rejected ones count as entries."""
    one = Fold(policy(features=[COUNT], duplicate_horizon=BLOCK), 0)
    fold(one, [event(n) for n in range(10)])
    fold(one, [b"not an event"] * (2 * BLOCK - 12))
    first, second, third = fold(one, [event(5), event(5), event(5)])
    assert (first["seq"], first["kind"], first["first"]) == (2 * BLOCK - 2, "duplicate", 5)
    assert (second["seq"], second["kind"], second["first"]) == (2 * BLOCK - 1, "duplicate", 5)
    assert (third["seq"], third["kind"]) == (2 * BLOCK, "decision")
    assert fold(one, [event(5)])[0]["first"] == 2 * BLOCK


@pytest.mark.parametrize("seed", range(5))
def test_ids_agree_with_a_dictionary(seed):
    """The model keeps every id for ever and does the division. Blocks of 4 entries; the horizon changes on the way."""
    draw = random.Random(seed)
    with patch.object(state, "BLOCK", 4):
        ring, ids, kept = 2, Ids(8), {}
        for seq in range(3_000):
            if draw.random() < 0.01:
                newest = max(kept.values(), default=0) // 4
                ring = draw.randrange(4)
                ids.change_horizon(ring * 4)
                kept = {name: at for name, at in kept.items() if newest - at // 4 <= ring}
            identifier = f"id-{draw.randrange(30)}"
            if draw.random() < 0.3:
                continue  # an entry that decides nothing
            at = kept.get(identifier)
            expected = at if at is not None and seq // 4 - at // 4 <= ring else None
            name, found = ids.first(identifier, seq)
            assert found == expected, seq
            if found is None:
                ids.add(name, seq)
                kept = {name: at for name, at in kept.items() if seq // 4 - at // 4 <= ring} | {identifier: seq}


def test_ids_are_bounded_by_the_horizon():
    """After ten thousand entries no more than four blocks are held, in memory and in the changelog."""
    ids, changelog = Ids(3 * BLOCK), {}
    for seq in range(10_000):
        ids.add(ids.first(f"id-{seq}", seq)[0], seq)
        if seq % 100 == 99:
            changelog.update(ids.changes())
    changelog.update(ids.changes())
    held = {name: value for name, value in changelog.items() if value is not None}
    assert len(ids._seq_of) <= 4 * BLOCK
    assert len(held) == len(ids._blocks) == 4
    restored = Ids(3 * BLOCK)
    for name, value in reversed(held.items()):
        restored.restore(name, value)
    assert restored.total == ids.total
    assert restored._seq_of == ids._seq_of
    assert {block: restored._blocks[block] for block in ids._blocks} == ids._blocks


TOTAL = feature("total", "sum", "1h", of="event.n")
POLICIES = {
    "kept": [COUNT, TOTAL],
    "renamed": [feature("seen_too", "count", "1h"), TOTAL],
    "reordered": [TOTAL, COUNT],
    "other window": [feature("seen", "count", "2h"), TOTAL],
    "other panes": [feature("seen", "count", "1h", panes=6), TOTAL],
    "other condition": [feature("seen", "count", "1h", where="event.n > 0"), TOTAL],
    "other value": [COUNT, feature("total", "sum", "1h", of="event.n + 0")],
    "one gone": [COUNT],
    "one twice": [COUNT, feature("again", "count", "1h"), TOTAL],
}


@pytest.mark.parametrize(
    ("after", "features"),
    [
        ("kept", {"seen": 4, "total": 40}),
        ("renamed", {"seen_too": 4, "total": 40}),  # a name is no content
        ("reordered", {"total": 40, "seen": 4}),
        ("other window", {"seen": 1, "total": 40}),
        ("other panes", {"seen": 1, "total": 40}),
        ("other condition", {"seen": 1, "total": 40}),
        ("other value", {"seen": 4, "total": 10}),
        ("one gone", {"seen": 4}),
        ("one twice", {"seen": 4, "again": 4, "total": 40}),
    ],
)
@pytest.mark.parametrize("restored", [False, True])
def test_a_policy_change_keeps_the_history_of_unchanged_features_only(after, features, restored):
    """Three events under one policy, then another takes effect, then the fourth; also across a takeover."""
    before, changed = policy(features=POLICIES["kept"]), policy(features=POLICIES[after], version=2)
    one = Fold(before, 0)
    fold(one, [event(n, n=10) for n in range(3)])
    last = one.control(control(changed), loader(changed)).entries[-1][1]
    if restored:
        one = Fold.restore(0, last, one.changes(), changed)
    assert fold(one, [event(3, n=10)])[0]["features"] == features


@pytest.mark.parametrize("restored", [False, True])
def test_a_feature_that_left_comes_back_only_for_keys_not_seen_in_between(restored):
    """A key moves over to the policy in force when it is seen; one that slept through it has lost nothing."""
    both, gone = policy(features=[COUNT]), policy(features=[feature("seen", "count", "2h")], version=2)
    one, changelog = Fold(both, 0), {}
    policies = {1: both, 2: gone}
    fold(one, [event(n, host=host) for n, host in enumerate("ababab")])
    offsets = itertools.count()
    entries = []
    for number, version in ((6, 2), (7, 1)):
        change = one.control(control(policies[version], next(offsets)), loader(both, gone))
        changelog.update(one.changes())
        if restored:
            one = Fold.restore(0, change.entries[-1][1], changelog.items(), policies[version])
        entries += fold(one, [event(number, host="a")])
    entries += fold(one, [event(8, host="b")])
    assert seen(entries) == [1, 1, 4]
