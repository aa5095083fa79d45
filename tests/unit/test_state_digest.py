"""The digest in the head of the state: a takeover notices what is lost, altered, old or too much in a changelog."""

import msgspec
import pytest

from sidechain.models.dry import Fold, StateMismatch
from sidechain.models.dry.head import Head
from sidechain.models.dry.state import BLOCK, HEAD_KEY
from tests.support import control, event, feature, fold, loader, policy, records

FEATURES = [feature("seen", "count", "1m"), feature("all", "count", "1m", scope="partition")]
POLICY = policy(features=FEATURES, max_keys=4, duplicate_horizon=BLOCK)
HOSTS = "abcdefabbacf"


def decided(count: int = 2 * BLOCK) -> tuple[bytes, list[tuple[bytes, bytes | None]]]:
    """The last entry of a fold that evicted keys and forgot ids, and every record it ever wrote."""
    one, log, entry = Fold(POLICY, 0), [], b""
    for at in range(0, count, 32):
        numbers = range(at, at + 32)
        made = one.events(records([event(n, host=HOSTS[n % len(HOSTS)]) for n in numbers], at))
        entry = made.entries[-1][1]
        log += one.changes()
    return entry, log


ENTRY, LOG = decided()
STATE = {name: value for name, value in dict(LOG).items() if value is not None}
SUMMED = [name for name in STATE if name.startswith((b"k:", b"p:", b"ids:"))]
NAMED = [name for name in STATE if name.startswith((b"plan:", b"policy:"))]


def restored(state: dict[bytes, bytes | None]) -> Fold:
    return Fold.restore(0, ENTRY, state.items(), POLICY)


def test_what_these_tests_alter_is_there():
    """Four keys, one record of the partition, two blocks of ids, some that were forgotten; two plans and a policy."""
    assert len(SUMMED) == 4 + 1 + 2
    assert len(NAMED) == 3
    assert any(value is None for _, value in LOG)
    assert restored(STATE).state_digest == msgspec.json.decode(STATE[HEAD_KEY], type=Head).digest


@pytest.mark.parametrize("name", SUMMED)
def test_a_lost_record_is_noticed(name):
    """Whichever it is."""
    with pytest.raises(StateMismatch, match="is not the one that stood at entry 511"):
        restored({other: value for other, value in STATE.items() if other != name})


@pytest.mark.parametrize("name", SUMMED + NAMED)
def test_an_altered_record_is_noticed(name):
    """One bit of any byte (of every 31st in a block of ids): it cannot be read, or is not what was summed up."""
    for at in range(0, len(STATE[name]), 31 if name.startswith(b"ids:") else 1):
        altered = bytearray(STATE[name])
        altered[at] ^= 1 << at % 8
        with pytest.raises(StateMismatch):
            restored({**STATE, name: bytes(altered)})


def test_every_older_version_of_every_record_is_noticed():
    """A changelog that lost its end for one key, and a tombstone that was lost."""
    tried = 0
    for name, value in LOG:
        if name in (HEAD_KEY, *NAMED) or value is None or STATE.get(name) == value:
            continue
        tried += 1
        with pytest.raises(StateMismatch, match="is not the one that stood"):
            restored({**STATE, name: value})
    assert tried > 50


def test_one_lost_and_one_too_much_do_not_cancel_out():
    """Two records whose values are exchanged, and one under another name."""
    first, second = SUMMED[:2]
    with pytest.raises(StateMismatch, match="is not the one that stood"):
        restored({**STATE, first: STATE[second], second: STATE[first]})
    moved = {b"k:zz" if name == first else name: value for name, value in STATE.items()}
    with pytest.raises(StateMismatch, match="is not the one that stood"):
        restored(moved)


def test_state_from_before_there_was_a_digest_is_taken_over_and_gets_one():
    """All of it is read then, so what stands there can be summed up; and what cannot be read is refused at once."""
    head = msgspec.json.decode(STATE[HEAD_KEY])
    of_today = head.pop("digest")
    old = {**STATE, HEAD_KEY: msgspec.json.encode(head)}
    assert restored(old).state_digest == of_today
    with pytest.raises(StateMismatch, match=r"k:a.* cannot be read"):
        restored({**old, b"k:a": STATE[b"k:a"][:-3]})
    one = restored(old)
    one.events(records([event(9_999, host="a")], 512))
    written = dict(one.changes())
    assert msgspec.json.decode(written[HEAD_KEY], type=Head).digest is not None


def test_the_policy_in_force_and_those_before_it_stand_in_the_state_once():
    """Also for a state that was written before they did; a text that is not its name is refused."""
    after = policy(version=2, features=FEATURES)
    one = Fold(POLICY, 0)
    fold(one, [event(0)])
    first = dict(one.changes())
    assert first[b"policy:" + POLICY.digest.encode()] == POLICY.text.encode()
    fold(one, [event(1)])
    between = dict(one.changes())
    assert not any(name.startswith(b"policy:") for name in between)
    entry = one.control(control(after), loader(after)).entries[0][1]
    second = dict(one.changes())
    assert [name for name in second if name.startswith(b"policy:")] == [b"policy:" + after.digest.encode()]
    state = {**first, **between, **second}
    heir = Fold.restore(0, entry, state.items(), after)
    fold(heir, [event(2)])
    assert not any(name.startswith(b"policy:") for name, _ in heir.changes())
    before = {name: value for name, value in state.items() if not name.startswith(b"policy:")}
    heir = Fold.restore(0, entry, before.items(), after)
    fold(heir, [event(2)])
    assert [name for name, _ in heir.changes() if name.startswith(b"policy:")] == [b"policy:" + after.digest.encode()]
