"""The byte contract's advice: what the wet side makes of the page's entries is what the page says."""

import hmac
import json
from base64 import b32encode
from hashlib import sha256
from typing import NamedTuple

import msgspec

from sidechain.agents.lane.signals import SignalsTable
from sidechain.agents.subjects import signal_key
from sidechain.agents.tap import Mask, entry_in
from sidechain.agents.wet.aggregator import learned_record
from sidechain.agents.wet.sentinel import heard, incident
from sidechain.models import proposal as proposals
from sidechain.models.compare_fields import figures
from sidechain.models.dry import Fold, Line
from sidechain.models.pack_file import load
from sidechain.models.policy import PANEL
from sidechain.models.shadow import Shadow
from sidechain.models.wet.aggregate import Case, Shares
from sidechain.models.wet.incidents import GATHER_MS, SETTLED_MS, Correlator
from sidechain.models.wet.selector import labels
from sidechain.topics import alerts, wet
from sidechain.topics.codec import encode
from sidechain.topics.metrics import metric_value
from tests.page import BLOCKS, EVENT_OFFSETS, Told, activated, doors, entries, lines


def test_a_candidate_beside_these_entries_comes_to_these_figures():
    """The policy activated later, beside the three entries before it."""
    stated = json.loads(lines("wet.shadow")[0])
    inputs = {
        ("events", at): Line(at, b"b-17", value) for at, value in zip(EVENT_OFFSETS, lines("events"), strict=True)
    }
    one = Shadow(doors(activated()), 0, lambda topic, at: inputs.get((topic, at)), lambda _value: None)
    for line in lines("dry.decisions")[:3]:
        one.take(line)
    assert (stated["entries"], stated["seq"], stated["head"]) == (one.entries, one.seq, entries()[2]["hash"])
    assert (stated["policy"], stated["digest"]) == (one.policy.ref, one.policy.digest)
    assert msgspec.json.encode(stated["figures"]) == msgspec.json.encode(figures(one.found, None))
    assert encode(msgspec.json.decode(lines("wet.shadow")[0], type=wet.ShadowRecord)) == lines("wet.shadow")[0]


def test_a_proposal_is_named_by_what_it_says():
    """With hashlib alone; its words are those of the diff, its evidence that of the shadow."""
    value = lines("human.proposals")[0]
    stated = json.loads(value)
    assert stated["id"] == sha256(value[:-73]).hexdigest()
    found = proposals.read(value)
    old, new = doors(BLOCKS["doors.yaml"].encode() + b"\n"), doors(activated())
    assert found.change == proposals.to_policy(new, old)
    shown = {name: one for name, one in found.evidence[0].figures.items() if name != "chains"}
    assert shown == json.loads(lines("wet.shadow")[0])["figures"]
    assert encode(found) == value


def test_the_pseudonym_is_the_one_the_page_describes():
    mac = hmac.digest(b"sixteen bytes or more", b"badge|b-17", "sha256")
    expected = "p:" + b32encode(mac[:16]).decode().rstrip("=").lower()
    assert {json.loads(line)["key"] for line in lines("wet.taps") + lines("wet.metadata")} == {expected}


def test_what_is_learned_of_these_cases_is_what_the_page_says():
    """Events and outcomes through kernel, tap, aggregator and table, to the entry on another partition that uses it."""
    policy = load(BLOCKS["learned.yaml"].encode() + b"\n", name="learned.yaml")
    week_ms, at_ms = 604_860_000, 807256800000
    passed = [("door-1", "b-17", at_ms, "east"), ("door-2", "b-17", at_ms + 1_000, "east")]
    passed += [("door-3", "b-17", at_ms + week_ms, "west"), ("door-4", "b-23", at_ms + week_ms + 2_000, "east")]
    events = [msgspec.json.encode(dict(zip(("id", "badge", "at", "door"), one, strict=True))) for one in passed]
    chain = Fold(policy, 0)
    sealed = chain.events([Line(at, b"b-17", value) for at, value in enumerate(events[:3])]).entries
    for at, (name, label) in enumerate((("door-1", "bad"), ("door-2", "good"))):
        outcome = {"id": name, "at": at_ms + week_ms + 1_000, "label": label}
        sealed += chain.outcomes([Told(at, b"b-17", msgspec.json.encode(outcome))]).entries
    mask, shares = Mask(policy, b"sixteen bytes or more"), Shares(policy)
    cases = [mask.case(0, offset, entry_in(value)) for offset, (_, value) in enumerate(sealed)]
    assert [encode(one) for _, one in cases] == lines("wet.cases")
    assert [key for key, _ in cases] == [b"0/0", b"0/1", b"0/2", b"0/0", b"0/1"]
    for _, one in cases:
        shares.take(0, Case(one.offset, one.seq, one.at, one.of, one.label))
    [(subject, word)] = shares.told()
    assert encode(learned_record(word)) == lines("wet.signals")[0]
    table = SignalsTable({})
    table.take([Word(0, signal_key(*subject), lines("wet.signals")[0])])
    last = Fold(policy, 1).events([Line(0, b"b-23", events[3])], latest_of=table.latest_of)
    assert [value for _, value in last.entries] == lines("learned")


class Word(NamedTuple):
    """A record of wet.signals."""

    offset: int
    key: bytes
    value: bytes


def test_a_scores_parts_sum_to_it():
    for line in lines("wet.scores"):
        score = json.loads(line)
        if score["state"] == "scored" and score["score"] < 0.8:
            assert (score["base"], score["reasons"]) == (None, [])
        elif score["state"] == "scored":
            assert (score["expert"], score["chosen"]) in labels(PANEL)
            assert abs(score["base"] + sum(part for _, part in score["reasons"]) - score["score"]) < 1e-6
            assert score["reasons"] == sorted(score["reasons"], key=lambda one: -abs(one[1]))
        else:
            assert score["score"] is score["base"] is score["model"] is None


def test_a_compensations_id_follows_from_its_decision():
    asked = json.loads(lines("wet.compensations")[0])
    decision = asked["decision"]
    named = f"{decision['id']}|{decision['partition']}|{decision['seq']}".encode()
    assert asked["id"] == f"cmp-{sha256(named).hexdigest()[:32]}"
    assert decision["action"] == entries()[decision["seq"]]["action"]


def test_a_metric_may_be_told_in_three_ways():
    """The first is the one we write ourselves; the others say the same, a minute later each."""
    told = [metric_value(b"doors.waiting_s", line) for line in lines("metrics")]
    assert encode(told[0]) == lines("metrics")[0]
    assert [one.at - told[0].at for one in told] == [0, 60_000, 120_000]
    assert {one.metric for one in told} == {"doors.waiting_s"}


def test_the_alerts_of_the_page_are_the_incident_of_the_page():
    """Heard at the times they state, told half a minute later and two minutes after the end."""
    page = [msgspec.json.decode(line, type=alerts.Alert) for line in lines("alerts")]
    correlator, told = Correlator(), []
    for one in page:
        correlator.hear(heard(one, one.at))
        told += correlator.tick(one.at + GATHER_MS)
    told += correlator.tick(page[-1].at + SETTLED_MS)
    assert [encode(incident(one)) for one in told] == lines("incidents")
