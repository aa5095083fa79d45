"""Verifying and replaying: every altered byte is found, and so is a chain that was sealed anew around a lie."""

from hashlib import sha256

import msgspec
import pytest

from sidechain.models.dry import Fold, Line, SignalValue
from sidechain.models.dry.chain import Verifier
from sidechain.models.dry.replay import Replayer
from sidechain.models.policy import Signal
from tests.support import T0, control, event, feature, line, loader, policy, rule

POLICY = policy(
    features=[feature("seen", "count", "1m"), feature("gap", "gap")],
    rules=[rule("often", "features.seen > 3", "review", 2_500), rule("risky", "signals.risk > 5000", "block")],
    signals=(
        Signal(name="risk", max_age_ms=20_000, maximum=9_000),
        Signal(name="slow", max_age_ms=90_000, minimum=1_000),
    ),
)
NEXT = policy(features=[feature("seen", "count", "5m")], version=2)
SAID = {
    "a": None,
    "b": SignalValue(8_000, "forest-3", T0 + 10_000, 1),  # future, then of use, then stale for one, then for both
    "c": SignalValue(9_500, "forest-3", T0 + 20_000, 2),  # out of bounds for one
    "d": SignalValue(500, "forest-3", T0 + 1_000, 3),  # out of bounds for the other, then stale for one
}


def inputs(count: int) -> list[Line]:
    """Events of four keys, every ninth one no event, every eleventh a repetition."""
    events = [
        b"junk %d" % n if n % 9 == 8 else event(n - 1 if n % 11 == 10 else n, host="abcd"[n % 4]) for n in range(count)
    ]
    return [
        Line(offset, b"abcd"[offset % 4 : offset % 4 + 1], one if isinstance(one, bytes) else line(one))
        for offset, one in enumerate(events)
    ]


INPUTS = inputs(200)
CONTROL = control(NEXT, 5)
load = loader(NEXT)


def made() -> list[bytes]:
    """200 events and a policy change after 150 of them."""
    one = Fold(POLICY, 1)
    parts = [one.events(INPUTS[:150], SAID.get), one.control(CONTROL, load), one.events(INPUTS[150:], SAID.get)]
    return [value for part in parts for _, value in part.entries]


CHAIN = made()


def input_of(topic: str, offset: int) -> Line | None:
    """Everything is still there."""
    return CONTROL if (topic, offset) == ("control", 5) else INPUTS[offset] if topic == "events" else None


def verified(lines) -> tuple[int, object]:
    """How many entries are right, and the first fault."""
    verifier = Verifier()
    for one in lines:
        if fault := verifier.take(one):
            return verifier.count, fault
    return verifier.count, None


def replayed(lines, find=input_of, **options) -> tuple[int, object]:
    """How many entries are made again byte for byte, and the first fault."""
    replayer = Replayer(POLICY, 1, find, load=load, **options)
    for position, one in enumerate(lines):
        if fault := replayer.take(one):
            return position, fault
    return len(lines), None


def resealed(lines, position: int, change) -> list[bytes]:
    """What an attacker with the whole log can do: change one entry and compute every later hash anew."""
    found, prev = list(lines[:position]), None
    for at, one in enumerate(lines[position:]):
        entry = msgspec.json.decode(one)
        del entry["hash"]
        if at == 0:
            change(entry)
        else:
            entry["prev"] = prev
        body = msgspec.json.encode(entry)[:-1]
        prev = sha256(body).hexdigest()
        found.append(body + b',"hash":"' + prev.encode() + b'"}')
    return found


def test_the_chain_these_tests_alter_is_right_and_holds_everything():
    """Each kind of entry, each reason for an unknown signal, and a decision that turned on one."""
    assert verified(CHAIN) == (201, None)
    assert replayed(CHAIN) == (201, None)
    entries = [msgspec.json.decode(one) for one in CHAIN]
    assert {entry["kind"] for entry in entries} == {"decision", "duplicate", "rejected", "policy"}
    found = {
        (name, used.get("unknown", "used")) for entry in entries for name, used in entry.get("signals", {}).items()
    }
    expected = {(name, reason) for name in ("risk", "slow") for reason in ("absent", "future", "stale", "used")}
    assert found == expected | {("risk", "bounds"), ("slow", "bounds")}
    pairs = {tuple(used.get("unknown", "used") for used in entry.get("signals", {}).values()) for entry in entries}
    assert {("stale", "bounds"), ("used", "bounds"), ("bounds", "used"), ("stale", "used")} <= pairs
    assert any(reason[1] == "risky" for entry in entries for reason in entry.get("reasons", ()))


def test_every_changed_byte_of_every_entry_is_found_at_its_entry():
    """Each byte of 200 entries with its lowest bit flipped, and again with its highest: no one passes."""
    verifier = Verifier()
    for position, one in enumerate(CHAIN):
        seq, head, count = verifier.seq, verifier.head, verifier.count
        for at in range(len(one)):
            for bit in (1, 0x80):
                altered = bytearray(one)
                altered[at] ^= bit
                probe = Verifier(seq=seq, prev=head)
                assert probe.take(bytes(altered)) is not None, (position, at, bit)
                assert (probe.seq, probe.head, probe.count) == (seq, head, 0)
        assert verifier.take(one) is None
        assert verifier.count == count + 1


@pytest.mark.parametrize("at", [0, 1, 100, 199])
def test_a_removed_repeated_moved_or_cut_entry_is_found_where_it_stands(at):
    """At the beginning, in the middle, at the end."""
    assert verified(CHAIN[:at] + CHAIN[at + 1 :])[0] == at
    assert verified([*CHAIN[: at + 1], *CHAIN[at:]])[0] == at + 1
    swapped = [*CHAIN[:at], CHAIN[at + 1], CHAIN[at], *CHAIN[at + 2 :]]
    assert verified(swapped)[0] == at
    for length in (0, 1, len(CHAIN[at]) // 2, len(CHAIN[at]) - 1):
        assert verified([*CHAIN[:at], CHAIN[at][:length], *CHAIN[at + 1 :]])[0] == at
    assert verified([*CHAIN[:at], CHAIN[at] + b"\n"])[0] == at


def test_an_entry_of_another_chain_is_found():
    """Sealed well, and not a link of this one."""
    other = [value for _, value in Fold(POLICY, 2).events(INPUTS[:10]).entries]
    position, fault = verified([*CHAIN[:5], *other[5:]])
    assert position == 5
    assert "does not follow" in fault.problem


@pytest.mark.parametrize(
    ("line_", "problem"),
    [
        (CHAIN[3], "out of sequence"),
        (CHAIN[1][:-10], "not a sealed entry"),
        (CHAIN[1].replace(b"decision", b"decisiom"), "not those that were sealed"),
        (resealed(CHAIN[:2], 1, lambda entry: entry.update(v=2))[1], "record version"),
        (resealed(CHAIN[:2], 1, lambda entry: entry.update(prev="0" * 64))[1], "does not follow"),
        (resealed(CHAIN[:2], 1, lambda entry: entry.update(seq="1"))[1], "not readable"),
        (b"\xff" * 200, "not a sealed entry"),
        (b"[" * 100_000, "not a sealed entry"),
        (b"", "not a sealed entry"),
    ],
)
def test_a_fault_says_what_was_expected_and_what_was_found(line_, problem):
    """In words, with both values."""
    _, fault = verified([CHAIN[0], line_])
    assert problem in fault.problem
    assert fault.expected != fault.found
    assert f"entry 1 (states seq {'?' if fault.seq is None else fault.seq})" in str(fault)


def test_a_verifier_can_start_in_the_middle():
    """From the hash of an entry somebody kept."""
    verifier = Verifier(seq=100, prev=msgspec.json.decode(CHAIN[99])["hash"])
    assert [verifier.take(one) for one in CHAIN[100:]] == [None] * 101
    assert Verifier(seq=100, prev="f" * 64).take(CHAIN[100]) is not None


LIES = {
    "action": "allow",
    "tier": "block",
    "trust_bp": 1,
    "trust_inputs_bp": [1, 2, 3],
    "score_bp": 9_999,
    "reasons": [],
    "flags": ["late"],
    "features": {"seen": 1, "gap": 7},
    "id": "e-999",
    "key": "z",
    "at": T0 + 1,
    "digest": "0" * 64,
    "policy": "test@9:000000000000",
    "next": {"events": 1_000, "outcomes": 0, "control": 0},
    "source": ["events", 2, 30],  # the right record of another partition
}


def decision_at(position: int, **wanted) -> int:
    """The first entry from `position` on that is a decision with these fields."""
    for at, one in enumerate(CHAIN[position:], position):
        entry = msgspec.json.decode(one)
        if entry["kind"] == "decision" and all(entry[name] == value for name, value in wanted.items()):
            return at
    raise AssertionError("the chain holds no such decision")


@pytest.mark.parametrize("field", LIES)
def test_a_lie_sealed_anew_verifies_and_does_not_replay(field):
    """The attacker recomputed every hash; the inputs still say otherwise, and the fault names the field."""
    at = decision_at(30, action="review")
    forged = resealed(CHAIN, at, lambda entry: entry.update({field: LIES[field]}))
    assert verified(forged) == (201, None)
    position, fault = replayed(forged)
    assert position == at
    assert field in fault.problem


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry.update(signals={"risk": {"unknown": "absent"}, "slow": {"unknown": "absent"}}),
        lambda entry: entry["signals"]["risk"].update(value=1),
        lambda entry: entry["signals"].update(risk={"unknown": "stale"}),
        lambda entry: entry["signals"]["risk"].update(as_of=T0 - 10**9),
        lambda entry: entry["signals"].update(more={"value": 1, "model": "m", "as_of": T0, "offset": 1}),
        lambda entry: entry.update(signals={}),
        lambda entry: entry.update(signals={"risk": 7}),
        lambda entry: entry.update(signals={"risk": {}}),
        lambda entry: entry.update(signals=[]),
        lambda entry: entry.pop("signals"),
        lambda entry: entry.update(source=["events", 1]),
        lambda entry: entry.update(source=["outcomes", 1, 30]),
        lambda entry: entry.update(source=["control", 0, 5]),
        lambda entry: entry.update(source=["control", 0, 4]),
        lambda entry: entry.update(kind="rejected"),
        lambda entry: entry.update(extra=1),
    ],
)
def test_a_forged_record_is_a_fault_whatever_its_shape(change):
    """A blocked decision whose signal was altered, taken away or made nonsense: found, and never an exception."""
    at = decision_at(0, action="block")
    position, fault = replayed(resealed(CHAIN, at, change), lambda topic, at_: input_of("events", at_)
                               if topic == "outcomes" else input_of(topic, at_))  # fmt: skip
    assert position == at
    assert fault.expected
    assert str(fault)


@pytest.mark.parametrize("value", [b"", b"{}", b"null", b"\xff", b"[" * 100_000, b'{"seq":1,"source":7}'])
def test_replaying_what_is_no_entry_is_a_fault(value):
    """Replay may run without verify before it."""
    assert replayed([*CHAIN[:3], value])[0] == 3


def test_an_altered_input_is_found():
    """The digest of the entry is of other bytes."""
    at = decision_at(50)
    changed = line({**msgspec.json.decode(INPUTS[at].value), "n": 2})

    def find(topic: str, offset: int) -> Line | None:
        found = input_of(topic, offset)
        return found._replace(value=changed) if (topic, offset) == ("events", at) else found

    position, fault = replayed(CHAIN, find)
    assert (position, fault.problem) == (at, "`digest` differs")


def test_an_input_that_is_gone_is_said_to_be_gone():
    """Beyond retention one can verify, not replay."""
    position, fault = replayed(CHAIN, lambda topic, offset: None if offset == 60 else input_of(topic, offset))
    assert position == 60
    assert "gone" in fault.problem
    assert "events, partition 1, offset 60" in fault.expected


def test_replay_without_signals_shows_what_the_wet_side_changed():
    """The same chain, decided as if nobody had advised: other bytes where a signal was used, none where it was not."""
    replayer = Replayer(POLICY, 1, input_of, load=load, use_signals=False)
    differ = []
    for one in CHAIN:
        again = msgspec.json.decode(replayer.again(one))
        entry = msgspec.json.decode(one)
        if again.get("action") != entry.get("action"):
            differ.append((entry["key"], entry["action"], again["action"]))
    assert differ
    assert {(key, before) for key, before, _ in differ} == {("b", "block")}
    assert {after for _, _, after in differ} <= {"allow", "review"}


def test_a_chain_replays_under_the_policy_it_began_with_only():
    """Another threshold is another policy, and its name is in the first entry."""
    replayer = Replayer(NEXT, 1, input_of, load=load)
    assert "policy" in replayer.take(CHAIN[0]).problem


def test_records_keyed_otherwise_replay_as_they_were_folded():
    """Lines of a file have no key; replaying them as records would reject them."""
    lines = [Line(n, None, line(event(n))) for n in range(5)]
    chain = [value for _, value in Fold(policy(), 0, keyed=False).events(lines).entries]
    for keyed, fault in ((False, None), (True, "`kind` differs")):
        replayer = Replayer(policy(), 0, lambda _topic, offset: lines[offset], keyed=keyed)
        found = replayer.take(chain[0])
        assert (found and found.problem) == fault


def test_the_verifier_finds_nothing_wrong_with_a_chain_cut_at_its_end():
    """What only a checkpoint kept elsewhere can show; stated here so that nobody believes otherwise."""
    assert verified(CHAIN[:100]) == (100, None)
