"""What passes the tap, and what does not."""

from dataclasses import replace
from hashlib import sha256
from hmac import new
from pathlib import Path

import msgspec
import pytest

from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.pseudonym import CACHED, Pseudonyms, pseudonym, read_secret
from sidechain.agents.tap import Decision, Mask, entry_in
from sidechain.agents.wet.feed import UNREADABLE
from sidechain.models import Decider
from sidechain.models.policy import EventField, Policy, Wet
from tests.support import FIELDS, event, feature, line, policy

SECRET = b"a secret of 32 bytes, or so I say"
CANARY = "canary-7.example"
FEATURES = (
    feature("seen", "count", "1m"),
    feature("texts", "distinct", "1m", of="event.s"),
    feature("length", "value", of="size(event.s)"),
    feature("n_now", "value", of="event.n"),
    feature("n_sum", "sum", "1m", of="event.n"),
)


def pack(*personal: str, sample_bp: int = 10_000) -> Policy:
    """A policy whose fields named are personal."""
    fields: tuple[EventField, ...] = tuple(replace(one, personal=one.name in personal) for one in FIELDS)
    return replace(policy(fields=fields, features=FEATURES), wet=Wet(sample_bp=sample_bp))


def decisions(one: Policy, count: int = 3) -> list[Decision]:
    """Real entries, read as the tap reads them."""
    events = [line(event(at, host=CANARY, s=f"{CANARY}/{at}")) for at in range(count)]
    return [msgspec.json.decode(sealed, type=Decision) for sealed in Decider(one).lines(events)]


def test_a_pseudonym_is_the_first_half_of_the_hmac_in_base32() -> None:
    """Checked against Python's own base32 of the MAC, bit by bit."""
    mac = new(SECRET, b"host|a.example", sha256).digest()[:16]
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    number = int.from_bytes(mac, "big") << 2  # 128 bits in 26 groups of 5, two bits of padding
    expected = "".join(alphabet[(number >> shift) & 31] for shift in range(125, -1, -5))
    assert pseudonym(SECRET, "host", "a.example") == "p:" + expected


def test_a_pseudonym_depends_on_value_purpose_and_secret() -> None:
    """The same in two fields cannot be matched, and neither can two installations."""
    made = {
        pseudonym(secret, purpose, value)
        for secret in (SECRET, SECRET + b"!")
        for purpose in ("host", "id")
        for value in ("a", "b", "")
    }
    assert len(made) == 12


def test_the_cache_of_pseudonyms_is_bounded_and_changes_nothing() -> None:
    """Emptied when full; the same names come out."""
    names = Pseudonyms(SECRET, "host")
    first = names("a")
    for number in range(CACHED + 1):
        names(str(number))
    assert len(names._known) <= CACHED
    assert names("a") == first == pseudonym(SECRET, "host", "a")


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read"), (b"short\n", "holds 5 bytes")])
def test_a_missing_or_short_secret_is_the_operators_to_fix(tmp_path: Path, content: bytes | None, said: str) -> None:
    """The sentence says what to do."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EnvironmentProblem, match=said):
        read_secret(path)
    path.write_bytes(b" 0123456789abcdef\n")
    assert read_secret(path) == b"0123456789abcdef"


@pytest.mark.parametrize(
    ("personal", "key", "id_", "features"),
    [
        ((), CANARY, "e-0", {"seen", "texts", "length", "n_now", "n_sum"}),
        (("host",), "p:", "e-0", {"seen", "texts", "length", "n_now", "n_sum"}),
        (("id",), CANARY, "p:", {"seen", "texts", "length", "n_now", "n_sum"}),
        # A number read off a personal field could give it away; how many different ones there were cannot.
        (("host", "s"), "p:", "e-0", {"seen", "texts", "n_now", "n_sum"}),
        (("host", "s", "n"), "p:", "e-0", {"seen", "texts"}),
    ],
)
def test_what_is_personal_leaves_under_a_pseudonym_or_not_at_all(
    personal: tuple[str, ...], key: str, id_: str, features: set[str]
) -> None:
    """Key and id by their field, features by the fields they are computed from."""
    one = pack(*personal)
    tap = Mask(one, SECRET).tap(3, decisions(one)[0])
    assert tap is not None
    assert tap.key.startswith(key)
    assert tap.id.startswith(id_)
    assert set(tap.features) == features
    assert (tap.partition, tap.seq, tap.policy) == (3, 0, one.ref)
    if "host" in personal:
        assert CANARY not in str(tap)


def test_a_feature_this_policy_does_not_know_stays_out() -> None:
    """A policy activated later may compute it from a field this process knows nothing about."""
    known, newer = pack(), replace(pack(), features=())
    tap = Mask(newer, SECRET).tap(0, decisions(known)[0])
    assert tap is not None
    assert tap.features == {}


def test_a_personal_key_without_a_secret_is_refused_at_start() -> None:
    """Not at the first event, and never by passing the key in the clear."""
    with pytest.raises(EnvironmentProblem, match="marks host as personal"):
        Mask(pack("host"), None)
    assert Mask(pack(), None).tap(0, decisions(pack())[0]) is not None


@pytest.mark.parametrize("sample_bp", [0, 1_000, 5_000, 10_000])
def test_the_sample_is_a_share_chosen_by_position(sample_bp: int) -> None:
    """The same decisions every time, about as many as asked for, different ones on another partition."""
    one = pack(sample_bp=sample_bp)
    first = decisions(one, 1)[0]
    entries = [msgspec.structs.replace(first, seq=seq) for seq in range(4_000)]
    masks = Mask(one, None), Mask(one, None)
    taken = [[mask.tap(partition, one) is not None for one in entries] for mask in masks for partition in (0, 1)]
    assert taken[0] == taken[2]
    assert sum(taken[0]) == pytest.approx(4_000 * sample_bp / 10_000, abs=120)
    assert (taken[0] != taken[1]) is (sample_bp in (1_000, 5_000))


@pytest.mark.parametrize(
    ("line", "is_entry"),
    [
        (b'{"kind":"rejected","seq":1,"id":null}', True),
        (b'{"kind":"gap","seq":1}', True),
        (b'{"kind":"decision","seq":1}', False),  # somebody else's: a decision has an id, a key, a time
        (b'{"kind":"decision","seq":1,"id":null,"key":null}', False),
        (b'{"kind":"gap"}', False),
        (b"", False),
        (b"\xff", False),
        (b"[]", False),
    ],
)
def test_what_is_no_decision_is_passed_over_and_what_is_no_entry_is_said_to_be_none(line: bytes, is_entry: bool):
    """It ended the agent before, again and again: a name was made of nothing."""
    if is_entry:
        assert entry_in(line) is None
        return
    with pytest.raises(UNREADABLE):
        entry_in(line)
