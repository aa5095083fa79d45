"""The record: fields in their order, one spelling, and a seal over all bytes before it."""

from hashlib import sha256

import msgspec
import pytest

from sidechain.models.dry import Fold
from sidechain.models.dry.entry import GENESIS, SEAL_LENGTH, body_and_hash
from tests.support import control, event, feature, loader, policy, records

FIRST = ["v", "seq", "prev", "kind", "id", "key", "at", "source", "digest", "next", "policy"]
DECISION = ["action", "tier", "trust_bp", "trust_inputs_bp", "score_bp", "reasons", "flags", "features", "signals"]
ORDER = {
    "decision": [*FIRST, *DECISION, "route", "budget", "hash"],
    "duplicate": [*FIRST, "first", "hash"],
    "rejected": [*FIRST, "reason", "field", "length", "hash"],
    "policy": [*FIRST, "previous", "by", "hash"],
}


def chain() -> list[bytes]:
    """One entry of each kind."""
    one, two = policy(features=[feature("seen", "count", "1m")]), policy(version=2)
    fold = Fold(one, 0)
    parts = [
        fold.events(records([event(0, host="é\U0001f600"), event(0, host="é\U0001f600"), b"junk"])),
        fold.control(control(two), loader(two)),
    ]
    return [value for part in parts for _, value in part.entries]


CHAIN = chain()


@pytest.mark.parametrize("sealed", CHAIN, ids=list(ORDER))
def test_fields_stand_in_their_order(sealed):
    """Fixed, because the bytes are what is sealed."""
    entry = msgspec.json.decode(sealed)
    assert list(entry) == ORDER[entry["kind"]]


@pytest.mark.parametrize("sealed", CHAIN, ids=list(ORDER))
def test_the_hash_is_sha256_of_everything_before_the_last_75_bytes(sealed):
    """Anybody can check it with two shell commands."""
    assert SEAL_LENGTH == 75
    assert sealed[-75:] == b',"hash":"%b"}' % sha256(sealed[:-75]).hexdigest().encode()
    assert body_and_hash(sealed) == (sealed[:-75], sha256(sealed[:-75]).hexdigest())


def test_each_entry_names_the_hash_of_the_one_before():
    """The first names 64 zeros."""
    hashes = [msgspec.json.decode(sealed)["hash"] for sealed in CHAIN]
    assert [msgspec.json.decode(sealed)["prev"] for sealed in CHAIN] == [GENESIS, *hashes[:-1]]
    assert GENESIS == "0" * 64


def test_no_entry_holds_a_float_or_a_second_spelling():
    """Compact separators, text as UTF-8, integers only."""

    def kinds(value) -> set[type]:
        if isinstance(value, dict):
            return {str} | {kind for one in value.values() for kind in kinds(one)}
        return {kind for one in value for kind in kinds(one)} if isinstance(value, list) else {type(value)}

    for sealed in CHAIN:
        entry = msgspec.json.decode(sealed)
        assert kinds(entry) <= {str, int, type(None)}
        assert msgspec.json.encode(entry) == sealed
    assert "é\U0001f600".encode() in CHAIN[0]


@pytest.mark.parametrize(
    "value",
    [b"", b"{}", CHAIN[0][:-1], CHAIN[0][1:-2], CHAIN[0] + b"\n", CHAIN[0][-75:], b"x" * 200, CHAIN[0][:-76] + b"}"],
)
def test_what_has_no_seal_is_not_an_entry(value):
    """Truncated, extended, empty, only a seal."""
    assert body_and_hash(value) is None
