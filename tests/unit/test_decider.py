"""The kernel as a library: what a notebook, a back-test or the test of a policy calls."""

import json

import pytest

import sidechain.models
from sidechain.models import Decider
from sidechain.models.dry import Fold, SignalValue
from sidechain.models.pack_file import load_pack
from sidechain.models.policy import Signal
from tests.support import T0, event, feature, line, policy, records, rule

POLICY = policy(features=[feature("seen", "count", "1m")], rules=[rule("often", "features.seen > 2", "review")])
WEB = {"id": "r-1", "host": "a.example", "at": 807_256_800_000, "method": "GET", "path": "/", "status": 200}
PACK = """
pack: tiny
version: 3
event:
  fields:
    id: {type: string, role: id}
    host: {type: string, role: key}
    at: {type: int, role: time}
    n: {type: int}
rules:
  - id: big
    when: event.n > 10
    then: block
    points: 2500
    reason: more than ten
    cases:
      fires: [{event.n: 11}]
      silent: [{event.n: 10}]
trust:
  alignment: {value: "10000"}
  risk: {value: score_bp}
  band: {value: "0"}
"""


@pytest.mark.parametrize(
    "form", [dict, json.dumps, lambda fields: json.dumps(fields).encode()], ids=["dict", "str", "bytes"]
)
def test_events_may_be_dicts_texts_or_bytes(form):
    """The same decisions from each."""
    entries = list(Decider(POLICY).decide(form(event(number)) for number in range(4)))
    assert [one["action"] for one in entries] == ["allow", "allow", "review", "review"]
    assert [one["source"] for one in entries] == [["events", 0, number] for number in range(4)]


def test_the_library_seals_the_bytes_a_partition_would_hold():
    """Line by line those of a fold over records, whatever the batches."""
    values = [line(event(number)) for number in range(7)]
    expected = [value for _, value in Fold(POLICY, 3).events(records([event(number) for number in range(7)])).entries]
    one = Decider(POLICY, partition=3)
    assert one.lines(values[:3]) + one.lines([]) + one.lines(values[3:]) == expected


def test_decide_is_lazy_and_goes_on_where_the_last_call_ended():
    """One decider is one chain; an endless input is fine."""

    def endless():
        number = 0
        while True:
            yield event(number)
            number += 1

    one = Decider(POLICY)
    source = endless()
    first = one.decide(source)
    entries = [next(first) for _ in range(3)]
    second = one.decide(source)
    entries += [next(second) for _ in range(2)]
    assert [entry["features"]["seen"] for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry["prev"] for entry in entries[1:]] == [entry["hash"] for entry in entries[:-1]]


@pytest.mark.parametrize(
    ("value", "reason", "field"),
    [
        ({**event(0), "d": float("nan")}, "not-finite", "d"),  # not a null that would read as unknown
        ({**event(0), "d": float("inf")}, "not-finite", "d"),
        ({**event(0), "n": None}, "wrong-type", "n"),
        ({**event(0), "s": "\ud800"}, "bad-utf8", None),
        ({**event(0), "n": 2**63}, "out-of-bounds", "n"),
        ({}, "missing-field", "id"),
        ("", "not-json", None),
        ("\ud800", "bad-utf8", None),
        (b"\xff", "bad-utf8", None),
    ],
)
def test_what_cannot_be_decided_is_an_entry_and_a_dead_letter(value, reason, field):
    """As on a topic; the decider goes on with the next event."""
    one = Decider(POLICY)
    entries = one.decide([value, event(1)])
    rejected = next(entries)
    assert (rejected["kind"], rejected["reason"], rejected["field"]) == ("rejected", reason, field)
    assert [dict(letter.headers)["dlq.reason"].decode() for letter in one.dead_letters] == [reason]
    assert next(entries)["kind"] == "decision"
    assert one.dead_letters == []


def test_a_null_value_among_lines_is_rejected():
    """A tombstone of a topic."""
    one = Decider(POLICY)
    (sealed,) = one.lines([None])
    assert b'"reason":"null-value"' in sealed


def test_what_the_wet_side_says_can_be_given():
    """Asked per key."""
    one = Decider(policy(signals=(Signal(name="risk", max_age_ms=10),), rules=[rule("r", "signals.risk > 5", "block")]))
    said = {"h": SignalValue(9, "m", T0, 0)}
    assert [entry["action"] for entry in one.decide([event(0), event(1, host="x", at=T0)], said.get)] == [
        "block",
        "allow",
    ]


def test_a_pack_is_named_or_read_from_a_file(tmp_path):
    """A name, a path as text, a path, a loaded policy."""
    path = tmp_path / "tiny.yaml"
    path.write_text(PACK)
    events = [{"id": "1", "host": "h", "at": T0, "n": 10}, {"id": "2", "host": "h", "at": T0, "n": 11}]
    for given in (str(path), path):
        assert [entry["action"] for entry in Decider(given).decide(events)] == ["allow", "block"]
    by_name, loaded = list(Decider("web").decide([WEB])), list(Decider(load_pack("web")).decide([WEB]))
    assert by_name == loaded
    assert by_name[0]["kind"] == "decision"


def test_importing_the_models_offers_the_decider_and_nothing_made_up():
    """`from sidechain.models import Decider` is the way in."""
    assert sidechain.models.Decider is Decider
    with pytest.raises(AttributeError, match="Decidr"):
        sidechain.models.Decidr  # noqa: B018
