"""Whatever somebody sends, a partition remembers no more than its policy allows, and its changelog no more than that.

The model of the changelog is a dictionary; what stands in it at the end of each batch is what compaction would leave.
"""

from collections.abc import Iterator
from unittest.mock import patch

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from sidechain.models.dry import Fold, state
from tests.support import T0, feature, line, policy, records

MAX_KEYS, HORIZON, DISTINCT, PANES = 5, 8, 3, 4
SMALL = 4  # entries in a block of ids, instead of 256
POLICY = policy(
    features=[
        feature("seen", "count", "1m", panes=PANES),
        feature("texts", "distinct", "10m", panes=PANES, of="event.s", max_distinct=DISTINCT),
        feature("ratio", "ratio", "10m", panes=PANES, of="event.n"),
        feature("all", "distinct", "10m", panes=PANES, of="event.s", max_distinct=DISTINCT, scope="partition"),
    ],
    max_keys=MAX_KEYS,
    duplicate_horizon=HORIZON,
)
# A pane, a count or a seq takes at most 20 characters; a text that is kept at most 25, which escaped are 150.
RECORD_MOST = 20 + 3 * 20 + 3 * 20 * (2 + 4 * PANES) + PANES * DISTINCT * 155
BLOCK_MOST = 30 + SMALL * 60

FAR_MS = 2**41  # years ahead; within what the schema accepts
HOSTILE = {
    "new keys": lambda n: {"host": f"new-{n}"},
    "one key": lambda n: {"host": "one"},
    "few keys": lambda n: {"host": f"h{n % (MAX_KEYS + 1)}"},
    "far future": lambda n: {"at": min(4_102_444_000_000, T0 + FAR_MS + n)},
    "far past": lambda n: {"at": n},
    "sawtooth": lambda n: {"at": T0 + (n % 7) * 3_600_000 * (-1) ** n},
    "one id": lambda n: {"id": "again"},
    "ids just behind the horizon": lambda n: {"id": f"r{n % (HORIZON + SMALL + 1)}"},
    "long texts": lambda n: {"s": f"{n}" * 200},
    "texts to escape": lambda n: {"s": "\x01" * (n % 24) + chr(0x20 + n % 90)},
    "numbers": lambda n: {"n": (2**63 - 1) * (-1) ** n},
    "junk": lambda n: None,
}


def stream(segments) -> Iterator[bytes]:
    number = 0
    for kinds, count in segments:
        for _ in range(count):
            number += 1
            event = {"id": f"e-{number}", "host": f"h{number % 3}", "at": T0 + number * 1_000, "n": number, "s": "x"}
            changes = [HOSTILE[kind](number) for kind in kinds]
            if None in changes:
                yield b"{" * number
                continue
            for one in changes:
                event |= one
            yield line(event)


segments = st.lists(
    st.tuples(st.sets(st.sampled_from(sorted(HOSTILE)), min_size=1, max_size=3), st.integers(1, 40)),
    min_size=1,
    max_size=8,
)


@patch.object(state, "BLOCK", SMALL)
def run(values: list[bytes], size: int) -> tuple[dict[bytes, bytes], list[dict], int]:
    """The changelog at the end, the entries, and how many keys were evicted; the bounds hold behind every batch."""
    one, changelog, entries = Fold(POLICY, 0), {}, []
    for at in range(0, len(values), size):
        entries += [msgspec.json.decode(value) for _, value in folded(one, values[at : at + size], at)]
        for name, value in one.changes():
            if value is None:
                changelog.pop(name, None)
            else:
                changelog[name] = value
        check(changelog)
        assert one.keys == sum(name.startswith(b"k:") for name in changelog)
    return changelog, entries, one._memory.by_key.evicted


def folded(one: Fold, values: list[bytes], at: int):
    hosts = [_host(value) for value in values]
    keyed = [record._replace(key=host) for record, host in zip(records(values, at), hosts, strict=True)]
    return one.events(keyed).entries


def _host(value: bytes) -> bytes:
    try:
        return msgspec.json.decode(value)["host"].encode()
    except msgspec.DecodeError:
        return b"junk"


def check(changelog: dict[bytes, bytes]) -> None:
    keys = [value for name, value in changelog.items() if name.startswith((b"k:", b"p:"))]
    blocks = [value for name, value in changelog.items() if name.startswith(b"ids:")]
    assert len(keys) <= MAX_KEYS + 1
    assert len(blocks) <= HORIZON // SMALL + 1
    assert max(map(len, keys), default=0) <= RECORD_MOST
    assert max(map(len, blocks), default=0) <= BLOCK_MOST
    others = {name.split(b":")[0] for name in changelog if not name.startswith((b"k:", b"p:", b"ids:"))}
    assert others <= {b"head", b"plan", b"policy"}


@settings(max_examples=120)
@given(segments, st.integers(1, 60))
def test_the_state_is_bounded_by_the_policy_and_what_is_forgotten_is_said(segments, size):
    """Behind every batch; each eviction is flagged in the entry that caused it; batches change nothing."""
    values = list(stream(segments))
    changelog, entries, evicted = run(values, size)
    assert len(entries) == len(values)
    assert sum("evicted" in one.get("flags", ()) for one in entries) == evicted
    assert run(values, len(values))[0] == changelog


def test_ten_times_as_many_new_keys_as_fit_evict_each_other_in_order():
    """What stands at the end is the last keys, and every entry behind the first few says that one was forgotten."""
    values = list(stream([({"new keys"}, 10 * MAX_KEYS)]))
    changelog, entries, evicted = run(values, 7)
    assert evicted == 9 * MAX_KEYS
    assert {name for name in changelog if name.startswith(b"k:")} == {b"k:new-%d" % n for n in range(46, 51)}
    assert [one["seq"] for one in entries if "evicted" in one["flags"]] == list(range(MAX_KEYS, 10 * MAX_KEYS))


def test_a_time_far_ahead_moves_the_watermark_by_one_step_only():
    """One event years ahead empties nobody's windows: it is counted at the old watermark, beside those before it."""
    values = list(stream([({"one key"}, 3), ({"one key", "far future"}, 1)]))
    _, entries, _ = run(values, 5)
    assert [one["features"]["seen"] for one in entries] == [1, 2, 3, 4]
    assert entries[3]["flags"] == ["ahead"]
