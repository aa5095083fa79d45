"""What cannot be decided: one entry, one dead letter with the bytes, and nothing lost around it."""

from hashlib import sha256

import msgspec
import pytest

from sidechain.models.dry import Fold, Line
from sidechain.models.dry.records import DEAD_LETTER_MAX_BYTES, KEY_MAX_BYTES
from tests.support import T0, decided, event, feature, line, policy, records

SEEN = feature("seen", "count", "1m")


def entry_of(one: Fold, record: Line) -> dict:
    """The one entry of one record."""
    ((_, value),) = one.events([record]).entries
    return msgspec.json.decode(value)


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

    one._deciding._key_updates[0] = planted
    with pytest.raises(ZeroDivisionError, match="planted"):
        one.events(records([event(0)]))
