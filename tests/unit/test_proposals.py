"""Proposals: named by what they say, refused with a reason when anything in them does not hold."""

import json
from hashlib import sha256

import msgspec
import pytest

from sidechain.agents.problems import UsageProblem
from sidechain.agents.proposals import Proposed, must_allow, waiting
from sidechain.models.dry import Fold
from sidechain.models.dry.replay import Replayer
from sidechain.models.pack_file import load
from sidechain.models.policy import Policy
from sidechain.models.proposal import (
    WORDS_AT_MOST,
    BadProposal,
    Draft,
    ListRows,
    evidence_of,
    read,
    sealed,
    to_policy,
)
from tests.support import control, loader, policy, rule

PACK = """
pack: doors
version: {version}
event:
  fields:
    id: {{type: string, role: id}}
    host: {{type: string, role: key}}
    at: {{type: int, role: time}}
    n: {{type: int}}
rules:
  - {{id: big, when: event.n > {limit}, then: review, reason: Big.}}
"""
CREATED, DAY_MS = 807_256_800_000, 86_400_000
BEFORE, AFTER = (load(PACK.format(version=v, limit=at).encode(), name="doors") for v, at in ((1, 10), (2, 8)))
FOUND = {
    "candidate": AFTER.ref,
    "verdict": "PROMOTE",
    "why": ["every threshold is kept"],
    "inputs": 5_000,
    "entries": [{"partition": 0, "from": 0, "to": 4_999}],
    "moves": [{"before": "allow", "after": "review", "flips": 3, "examples": [{"id": "personal"}]}],
}


def draft(**more: object) -> Draft:
    """A proposal that everybody takes, before it has its name; `more` replaces fields of it."""
    fields = {
        "pack": "doors",
        "change": to_policy(AFTER, BEFORE),
        "author": "anna",
        "why": "Smaller ones were bad, too.",
        "evidence": (evidence_of("backtest", FOUND),),
        "created": CREATED,
        "expires": CREATED + DAY_MS,
    }
    return Draft(**{**fields, **more})


def again(change) -> bytes:
    """The record with some of its content changed, under the name that then is right."""
    body = {name: one for name, one in json.loads(sealed(draft())).items() if name != "id"}
    change(body)
    value = json.dumps(body, separators=(",", ":")).encode()[:-1]
    return b'%b,"id":"%b"}' % (value, sha256(value).hexdigest().encode())


def test_it_says_what_changes_and_rests_on_what_was_found() -> None:
    """And names no event: it is kept for ever."""
    value = sealed(draft())
    found = read(value)
    assert found.id == sha256(value[:-73]).hexdigest()
    assert (found.target, found.change.replaces) == (AFTER.ref, BEFORE.ref)
    assert found.change.words == (
        "rule big: when `event.n > 10` becomes `event.n > 8`: 10 -> 8, holds for more inputs",
    )
    assert found.evidence[0].figures["entries"] == FOUND["entries"]
    assert b"personal" not in value
    assert msgspec.json.encode(found) == value


def test_every_byte_of_it_counts() -> None:
    """Whichever one is flipped, it is refused or it is another proposal's bytes altogether."""
    value = sealed(draft())
    for at in range(len(value)):
        with pytest.raises(BadProposal):
            read(value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda one: one.update(v=2), "it is of version 2, and 1 is known here"),
        (lambda one: one.update(more=1), "unknown field `more`"),
        (lambda one: one["change"].update(more=1), "unknown field `more`"),
        (lambda one: one["change"].update(kind="code"), "Invalid value 'code'"),
        (lambda one: one["change"].update(text="pack: other"), "is not that of its text"),
        (lambda one: one["change"].update(policy=BEFORE.ref), "is not the name of its text"),
        (lambda one: one.update(pack="windows"), "is not the name of its text, which is of pack windows"),
        (lambda one: one.update(author=" "), "`author` says nothing"),
        (lambda one: one.update(why=""), "`why` says nothing"),
        (lambda one: one.update(why="x" * 4_001), "`why` says nothing, or more than 4,000 characters"),
        (lambda one: one.update(expires=one["created"]), "it expires before it was created"),
        (lambda one: one.update(created=-1), "it expires before it was created"),
        (lambda one: one.update(expires="soon"), "Expected `int`, got `str`"),
        (lambda one: one["evidence"][0].update(policy=BEFORE.ref), "its evidence is about doors@1:"),
        (lambda one: one["evidence"][0].update(kind="hearsay"), "Invalid enum value 'hearsay'"),
        (lambda one: one["evidence"][0].update(verdict="YES"), "Invalid enum value 'YES'"),
        (lambda one: one.pop("why"), "missing required field `why`"),
    ],
)
def test_what_does_not_hold_is_refused(change, why) -> None:
    """Under a name that is right, so that the reason is the one that is told."""
    with pytest.raises(BadProposal, match=why):
        read(again(change))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "not strict JSON: not-json"),
        (b"", "not strict JSON: not-json"),
        (b"null", "none that this release reads"),
        (b"\xff", "not strict JSON: bad-utf8"),
        (b'{"v":1,"v":1}', "not strict JSON: duplicate-field"),
        (b"[" * 5_000, "not strict JSON: too-deep"),
        (sealed(draft()) + b" ", "its id is not the SHA-256"),
        (b'{"v":1,"why":"' + b"x" * 2_000_000, "it has 2,000,014 bytes, and 2,000,000 are taken"),
    ],
)
def test_what_is_none_is_refused(value, why) -> None:
    with pytest.raises(BadProposal, match=why):
        read(value)


@pytest.mark.parametrize(
    "told",
    [{}, {**FOUND, "candidate": 1}, {**FOUND, "verdict": "YES"}, {**FOUND, "moves": 3}, {**FOUND, "moves": [3]}],
    ids=["nothing", "candidate", "verdict", "moves", "move"],
)
def test_evidence_is_what_a_back_test_prints(told) -> None:
    with pytest.raises(BadProposal, match="it is not what `sidechain policy backtest --json` prints"):
        evidence_of("backtest", told)


def test_a_policy_nobody_had_the_predecessor_of_says_no_words() -> None:
    """And very many words are counted, not written."""
    assert to_policy(AFTER, None, "doors@1:000000000000").words == ()
    many = [f"  - {{id: r{at}, when: event.n > {at}, then: review, reason: x}}" for at in range(WORDS_AT_MOST + 5)]
    wide = load((PACK.format(version=3, limit=1) + "\n".join(many) + "\n").encode(), name="doors")
    words = to_policy(wide, BEFORE).words
    assert (len(words), words[-1][:12]) == (WORDS_AT_MOST + 1, "... and 6 mo")


ROWS = ListRows(list="lost@2:" + "a" * 12, replaces=None, digest="a" * 64, rows=2, words=())


@pytest.mark.parametrize(
    ("change", "file", "at_ms", "why"),
    [
        (to_policy(AFTER, BEFORE), AFTER, CREATED, None),
        (to_policy(AFTER, BEFORE), AFTER, CREATED + DAY_MS - 1, None),
        (to_policy(AFTER, BEFORE), AFTER, CREATED + DAY_MS, "has expired"),
        (to_policy(AFTER, BEFORE), BEFORE, CREATED, "is about doors@2:[0-9a-f]{12}, and the file is doors@1:"),
        (ROWS, AFTER, CREATED, "is about list lost@2:aaaaaaaaaaaa, not about a policy"),
    ],
    ids=["in time", "at its last moment", "expired", "another policy", "a list"],
)
def test_what_it_is_ground_for(change: object, file: Policy, at_ms: int, why: str | None) -> None:
    """To activate the policy it asks for, in its time."""
    one = Proposed(read(sealed(draft(change=change, evidence=()))), 0, None)
    if why is None:
        must_allow(one, file, at_ms)
        return
    with pytest.raises(UsageProblem, match=why):
        must_allow(one, file, at_ms)


def test_rows_go_by_their_digest() -> None:
    """A list's name ends in it."""
    wrong = msgspec.structs.replace(ROWS, digest="b" * 64)
    with pytest.raises(BadProposal, match="is not the name of rows with SHA-256 bbbb"):
        sealed(draft(change=wrong, evidence=()))


def test_what_became_of_it() -> None:
    """Activated, whenever that was; else open until it expires."""
    one = read(sealed(draft()))
    assert Proposed(one, 0, None).state(CREATED) == "open"
    assert Proposed(one, 0, None).state(CREATED + DAY_MS) == "expired"
    assert Proposed(one, 0, 7).state(CREATED + DAY_MS) == "activated"


def test_who_waits_is_said_in_a_line_each() -> None:
    """Neither what was activated nor what has expired."""
    one = read(sealed(draft()))
    later = read(sealed(draft(expires=CREATED + 2 * DAY_MS, change=ROWS, evidence=())))
    found = [Proposed(one, 0, None), Proposed(one, 1, 7), Proposed(later, 2, None)]
    told = waiting(found, CREATED)
    assert told[0] == f"{AFTER.ref} by anna, until 1995-08-02T06:00:00Z ({one.id[:12]})"
    assert [one.split(" ")[0] for one in told] == [AFTER.ref, ROWS.list]
    assert [one.split(" ")[0] for one in waiting(found, CREATED + DAY_MS)] == [ROWS.list]


NAME = "ab" * 32


@pytest.mark.parametrize(
    ("proposal", "kind"),
    [(NAME, "policy"), (None, "policy"), (NAME[:-1], "rejected"), (NAME + "\n", "rejected"), (5, "rejected")],
    ids=["named", "null", "short", "longer", "a number"],
)
def test_the_chain_names_it_and_replays(proposal: object, kind: str) -> None:
    """With the control record at hand, and from the entry alone when it is gone; an entry without one has no field."""
    old, new = policy(rules=[rule("big", "event.n > 1")]), policy(rules=[rule("big", "event.n > 2")], version=2)
    record, fold = control(new, proposal=proposal), Fold(old, 0)
    ((_, line),) = fold.control(record, loader(new)).entries
    entry = json.loads(line)
    assert entry["kind"] == kind
    assert entry.get("proposal", "absent") == (NAME if proposal == NAME else "absent")
    for kept in (True, False) if kind == "policy" else ():
        replayer = Replayer(old, 0, lambda *_: record if kept else None, load=loader(new), known=[old, new])  # noqa: B023
        assert replayer.take(line) is None
    plain, without = Fold(old, 0), control(new)
    assert b"proposal" not in plain.control(without, loader(new)).entries[0][1]
