"""Signals learned from outcomes: declared in the pack, sealed with what they are of, asked for by the same name."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from sidechain.agents.lane.signals import SignalsTable
from sidechain.agents.lane.tally import count
from sidechain.agents.metrics import DryMetrics
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.pseudonym import pseudonym
from sidechain.agents.subjects import KEY_MAX_BYTES, signal_key, subject_names
from sidechain.agents.tap import Decision, Mask, Settlement, entry_in
from sidechain.models import Decider
from sidechain.models.dry import Fold, SignalValue
from sidechain.models.dry.replay import Replayer
from sidechain.models.explain import explain
from sidechain.models.pack_file import load
from sidechain.models.pack_reader import PackError
from sidechain.models.policy import Learn, Policy, Wet
from sidechain.topics.wet import Case
from tests.support import T0, records

PACK = """\
pack: doors
version: 1
event:
  fields:
    id: {type: string, role: id}
    badge: {type: string, role: key, personal: true}
    at: {type: int, role: time}
    door: {type: string, optional: true}
signals:
  door_risk: {of: event.door, max_age: 7d, learn: {share: bad, window: 28d}}
rules:
  - {id: bad_door, when: signals.door_risk >= 2000, then: review, reason: Much went wrong here.}
"""
SECRET = b"0123456789abcdef0123456789abcdef"
DAY_MS = 86_400_000


def pack(old: str = "", new: str = "") -> Policy:
    assert old in PACK
    return load(PACK.replace(old, new, 1).encode(), name="doors.yaml")


def event(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"d-{number}", "badge": f"b-{number % 3}", "at": T0 + number, "door": "east", **more}


def sealed(one: Policy, *events: dict[str, Any], said: SignalValue | None = None) -> list[bytes]:
    return Decider(one).lines([json.dumps(each).encode() for each in events], latest_of=lambda *_: said)


def test_how_it_is_learned_stands_in_the_pack() -> None:
    """A window of 28 panes, and a value from the first outcome on, unless the pack says otherwise."""
    [signal] = pack().signals
    assert signal.learn == Learn(share="bad", window_ms=28 * DAY_MS, panes=28, least=1)
    [signal] = pack("window: 28d", "window: 1h, panes: 6, least: 5").signals
    assert signal.learn == Learn(share="bad", window_ms=3_600_000, panes=6, least=5)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("share: bad, ", "", 'missing field "share" in "learn" of signal door_risk'),
        ("share: bad", "share: worse", '"share" must be one of good, bad, not "worse"'),
        ("window: 28d", "windw: 28d", 'unknown field "windw" in "learn" of signal door_risk; did you mean "window"?'),
        ("window: 28d", "window: 367d", '"window" must be at most 366d'),
        ("window: 28d", "window: 29d, panes: 7", "do not divide into 7 panes"),
        ("window: 28d", "window: 28d, least: 0", '"least" must be a whole number from 1'),
        ("of: event.door, ", "", 'what is learned is of something that outcomes have in common: say what with "of"'),
        ("max_age: 7d", "max_age: 23h", '"max_age" is shorter than a pane of 86400000 ms'),
        ("learn: {share: bad, window: 28d}", "learn: bad", '"learn" of signal door_risk must be a mapping'),
    ],
)
def test_a_mistake_in_it_is_named(old: str, new: str, said: str) -> None:
    """As every mistake of a pack, with its place."""
    with pytest.raises(PackError) as refused:
        pack(old, new)
    assert said in str(refused.value)
    assert str(refused.value).startswith("doors.yaml:10:")


KNOWN = SignalValue(2_500, "bad-share-28d", T0 - 5, 9)


@pytest.mark.parametrize(
    ("door", "said", "recorded"),
    [
        ("east", KNOWN, {**KNOWN._asdict(), "of": "east"}),
        ("east", None, {"unknown": "absent", "of": "east"}),
        ("east", KNOWN._replace(as_of=T0 - 8 * DAY_MS), {"unknown": "stale", "of": "east"}),
        (None, KNOWN, {"unknown": "absent", "of": None}),
    ],
)
def test_the_entry_says_what_it_is_of_and_replays(door: str | None, said: SignalValue | None, recorded: Any) -> None:
    """Whoever learns reads entries and no events; a replay needs neither the topic nor the aggregator."""
    one, given = pack(), event(0) if door else {name: v for name, v in event(0).items() if name != "door"}
    fold = Fold(one, 0, keyed=False)
    lines = records([json.dumps(given).encode()])
    [(_, entry)] = fold.events(lines, latest_of=lambda *_: said).entries
    assert json.loads(entry)["signals"] == {"door_risk": recorded}
    assert Replayer(one, 0, lambda _topic, offset: lines[offset], keyed=False).take(entry) is None


def test_a_signal_nobody_learns_is_sealed_as_it_always_was() -> None:
    """Entries under the policies of before keep their bytes."""
    [entry] = sealed(pack(", learn: {share: bad, window: 28d}"), event(0), said=KNOWN)
    assert json.loads(entry)["signals"] == {"door_risk": KNOWN._asdict()}


def test_a_worker_counts_what_decisions_found_of_it() -> None:
    """An entry that says what a signal is of is counted as any other."""
    from prometheus_client import CollectorRegistry

    registered = CollectorRegistry()
    metrics = DryMetrics(registered)
    entries = sealed(pack(), event(0), event(1)) + sealed(pack(), event(2), said=KNOWN)
    output = SimpleNamespace(entries=[(None, one) for one in entries], changes=[], dead_letters=[], forwards=[])
    count(metrics, SimpleNamespace(checkpoints=0, outputs=[output], total_s=0.0, transaction_s=0.0))
    found = {
        state: registered.get_sample_value("sidechain_signals_total", {"found": state}) for state in metrics.signals
    }
    assert found == {"value": 1, "absent": 2, "stale": 0, "future": 0, "bounds": 0}


@pytest.mark.parametrize(
    ("door", "said", "words"),
    [
        ("east", KNOWN, f"2500 about event.door (east) from bad-share-28d, as of {T0 - 5} (wet.signals offset 9)"),
        ("east", None, "unknown, nothing was said about event.door (east)"),
        ("east", KNOWN._replace(as_of=T0 + 5), "unknown, not known by then"),
        (None, None, "unknown, because event.door is"),
    ],
)
def test_an_explanation_says_what_it_is_about(door: str | None, said: SignalValue | None, words: str) -> None:
    """Not the key: what was said of a door was said of nobody's badge."""
    given = event(0) if door else {name: v for name, v in event(0).items() if name != "door"}
    [entry] = sealed(pack(), given, said=said)
    assert f"  signal door_risk: {words}" in list(explain(json.loads(entry), pack()))


def test_without_learning_an_explanation_still_names_it() -> None:
    """The entry does not say which door; the policy says that it is one."""
    one = pack(", learn: {share: bad, window: 28d}")
    [entry] = sealed(one, event(0))
    assert "  signal door_risk: unknown, nothing was said about event.door" in list(explain(json.loads(entry), one))


def cases(one: Policy, secret: bytes | None = None) -> list[Case]:
    """What the tap makes of a decision with a door, one without, a label and a cost."""
    decider = Decider(one)
    lines = decider.lines([json.dumps(event(0)).encode(), json.dumps({**event(1), "door": None}).encode()])
    for told in ({"label": "bad"}, {"cost_minor": 5}):
        lines += decider.outcome_lines([json.dumps({"id": "d-0", "at": T0 + DAY_MS, **told}).encode()])
    mask = Mask(one, SECRET if secret is None else secret)
    found = [mask.case(3, offset, entry) for offset, line in enumerate(lines, 70) if (entry := entry_in(line))]
    return [one[1] for one in found if one is not None]


def test_the_tap_makes_cases_of_decisions_and_of_labels() -> None:
    """A decision without a door is one too: it says how far the chain has come. A cost alone is none."""
    assert cases(pack()) == [
        Case(partition=3, offset=70, seq=0, at=T0, of={"door_risk": "east"}),
        Case(partition=3, offset=71, seq=1, at=T0 + 1, of={}),
        Case(partition=3, offset=72, seq=0, at=T0 + DAY_MS, label="bad"),
    ]


def test_where_nothing_is_learned_there_are_no_cases() -> None:
    """Whoever has no use for it pays nothing for it."""
    assert cases(pack(", learn: {share: bad, window: 28d}")) == []


def test_where_only_scores_are_calibrated_cases_are_labels_alone() -> None:
    """A pack that scores features, and learns no signal."""
    one = replace(pack(", learn: {share: bad, window: 28d}"), wet=Wet(vector=("gap",)))
    assert cases(one) == [Case(partition=3, offset=72, seq=0, at=T0 + DAY_MS, label="bad")]


def test_what_a_case_is_of_is_a_pseudonym_where_it_is_personal() -> None:
    """Of its own purpose: the same badge as a key has another one, so the two cannot be matched."""
    one = pack("event.door, max", "event.badge, max")
    decided = cases(one)[0]
    assert decided.of == {"door_risk": pseudonym(SECRET, "signals.door_risk", "b-0")}
    assert b"b-0" not in msgspec.json.encode(cases(one))
    with pytest.raises(EnvironmentProblem, match="signal door_risk is of a personal field"):
        subject_names(one, None)


def test_what_would_have_too_long_a_key_is_not_learned() -> None:
    """The topic's keys are bounded, and so is what anybody remembers of them."""
    longest = "x" * (KEY_MAX_BYTES - len("door_risk/"))
    mask = Mask(pack(), SECRET)
    for door, is_told in ((longest, True), (longest + "x", False)):
        [line] = sealed(pack(), event(0, door=door))
        decided = entry_in(line)
        assert isinstance(decided, Decision)
        made = mask.case(0, 0, decided)
        assert made is not None
        assert bool(made[1].of) is is_told


def test_a_settlement_that_is_none_is_unreadable() -> None:
    """It is told by its kind, and then held to it."""
    with pytest.raises(msgspec.DecodeError):
        entry_in(b'{"kind":"settlement","seq":1,"settles":"0","at":1}')
    found = entry_in(b'{"kind":"settlement","seq":1,"settles":0,"at":1,"label":null}')
    assert found == Settlement(kind="settlement", settles=0, at=1)


WORD = (
    b'{"signal":"door_risk","of":"east","value":2500,"model":"bad-share-28d","as_of":5,"known":4,"hits":1,'
    b'"rationale":"","panes":[[0,4,1]]}'
)


def said(key: bytes | None, value: bytes | None, offset: int = 0) -> Any:
    return SimpleNamespace(key=key, value=value, offset=offset)


def test_the_table_knows_the_latest_of_each_subject() -> None:
    """By the name the wet side uses; another signal of the same subject is another word."""
    table = SignalsTable({"door_risk": lambda of: f"p:{of}"})
    table.take([said(b"door_risk/p:east", WORD, 3), said(b"door_risk/p:east", WORD.replace(b"2500", b"100"), 4)])
    table.take([said(b"other/east", WORD, 5)])
    assert table.latest_of("door_risk", "east") == SignalValue(100, "bad-share-28d", 5, 4)
    assert table.latest_of("other", "east") == SignalValue(2_500, "bad-share-28d", 5, 5)
    assert table.latest_of("door_risk", "p:east") is None
    table.take([said(b"door_risk/p:east", None, 6)])
    assert table.latest_of("door_risk", "east") is None
    assert (table.read, table.unreadable, len(table)) == (4, 0, 1)


def test_where_too_few_outcomes_are_known_nothing_is_said() -> None:
    """Not a zero."""
    table = SignalsTable({})
    table.take([said(b"door_risk/east", WORD, 3), said(b"door_risk/east", WORD.replace(b"2500", b"null"), 4)])
    assert table.latest_of("door_risk", "east") is None
    assert table.unreadable == 0


@pytest.mark.parametrize(
    "value",
    [
        b"not json",
        b"\xff",
        b"{}",
        WORD.replace(b"2500", b"25.5"),
        WORD.replace(b"2500", b"99999999999999999999"),
        WORD.replace(b'"as_of":5', b'"as_of":null'),
        WORD.replace(b"bad-share-28d", b"m" * 129),
    ],
)
def test_a_lie_that_cannot_be_read_is_passed_over_and_counted(value: bytes) -> None:
    """What is in the table ends in sealed entries; a value of the wrong size is the policy's to refuse."""
    table = SignalsTable({})
    table.take([said(b"door_risk/east", WORD), said(b"door_risk/east", value)])
    assert table.latest_of("door_risk", "east") is None
    assert (table.read, table.unreadable) == (2, 1)


def test_the_table_is_bounded() -> None:
    """The subject heard of longest ago goes first; a key longer than any of ours is never kept."""
    table = SignalsTable({}, max_subjects=2)
    table.take([said(signal_key("s", of), WORD) for of in ("a", "b", "a", "c", "x" * KEY_MAX_BYTES)])
    assert [table.latest_of("s", of) is not None for of in "abc"] == [True, False, True]
    table.take([said(None, WORD)])
    assert (len(table), table.unreadable, table.forgotten) == (2, 2, 1)


def test_a_pack_without_learning_names_no_subjects() -> None:
    """So neither tap nor decider needs a secret for it."""
    one = pack(", learn: {share: bad, window: 28d}")
    assert not subject_names(replace(one), None)


@pytest.mark.parametrize(
    ("said", "value"),
    [(SignalValue(2500, "bad-share-28d", T0, 7), 2500), (None, None)],  # unknown is said, not left out
)
def test_the_tap_passes_what_outcomes_taught_and_nothing_the_wet_side_said_itself(
    said: SignalValue | None, value: int | None
) -> None:
    """A model that reads what another said of the same entity would hear itself."""
    one = pack("signals:\n", "signals:\n  risk: {max_age: 1h}\n")
    entry = entry_in(sealed(one, event(1), said=said)[0])
    assert isinstance(entry, Decision)
    assert "risk" in entry.signals
    tap = Mask(one, SECRET).tap(0, entry)
    assert tap is not None
    assert tap.signals == {"door_risk": value}
