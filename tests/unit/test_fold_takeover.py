"""State and chain: what is written down, who may go on with it, and that no process shows in the bytes."""

import subprocess
import sys

import pytest

from sidechain.models.dry import Fold, StateMismatch
from tests.support import control, event, feature, fold, loader, policy, records

SEEN = feature("seen", "count", "1m")


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
    with pytest.raises(StateMismatch, match="partition 1 holds the state of partition 0"):
        restored(entries[2], changes, one, partition=1)
    with pytest.raises(StateMismatch, match="in force"):
        restored(entries[2], changes, policy(features=[SEEN], version=2))
    with pytest.raises(StateMismatch, match="no kind"):
        restored(entries[2], [(b"later:x", b"[]"), *changes], one)
    for name in (b"head", b"k:a", b"p:", b"ids:0", b"plan:0"):
        with pytest.raises(StateMismatch, match=f"{name.decode()}.* cannot be read"):
            restored(entries[2], [*changes, (name, b"junk")], one)


def test_a_takeover_refuses_state_of_a_plan_nothing_describes():
    """A key last seen under the policy before, and no record that says what its slots were."""
    before, after = policy(features=[SEEN]), policy(version=2)
    one = Fold(before, 0)
    fold(one, [event(0)])
    entry = one.control(control(after), loader(after)).entries[0][1]
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
    assert Fold.policy_ref_of(one.control(control(two), loader(two)).entries[0][1]) == two.ref
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
