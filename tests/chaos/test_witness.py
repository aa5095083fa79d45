"""The witness of the fault runs finds what it is there to find: each case spoils one thing of a sound history."""

import random
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
import pytest

from sidechain.models.dry import Fold, Line
from sidechain.models.pack_file import load, load_pack
from sidechain.models.proof.checkpoint import Checkpoint, Origin
from sidechain.models.proof.merkle import Frontier, leaves_of
from sidechain.models.proof.note import sign
from sidechain.topics.dry import CheckpointRecord
from tests.chaos.report import Outcome, written
from tests.chaos.scene import Terms
from tests.chaos.sender import Sender
from tests.chaos.witness import Witness
from tests.lanes import request
from tests.proofs import key

HOST = "h1.example"
POLICY = load_pack("web")


class Letter(NamedTuple):
    """A dead letter as Kafka hands it over."""

    headers: Any


class History(NamedTuple):
    """What stands on the topics of one partition."""

    events: list[Line]
    entries: list[bytes]
    letters: list[Letter]
    checkpoints: list[bytes]


def signed(lines: list[bytes], size: int, root: bytes | None = None) -> bytes:
    """A checkpoint over the first entries."""
    tree = Frontier()
    tree.extend(leaves_of(lines[:size]))
    stated = Checkpoint(origin=Origin("t", 0, 0), size=size, root=root or tree.root())
    note = sign(stated.text(), [key("worker")])
    return msgspec.json.encode(CheckpointRecord(note=str(note), peaks=tuple(tree.dump()), certificate=""))


def history() -> History:
    """Forty events, every tenth of them no JSON, and a checkpoint every ten entries."""
    events = [
        Line(number + number // 7, HOST.encode(), b"not json" if number % 10 == 9 else request(number, HOST))
        for number in range(40)
    ]
    folded = Fold(POLICY, 0).events(events)
    lines = [value for _, value in folded.entries]
    letters = [Letter(one.headers) for one in folded.dead_letters]
    return History(events, lines, letters, [signed(lines, size) for size in (10, 20, 30, 40)])


def watched(found: History) -> Witness:
    """A witness that has seen it all; entries first, as may happen."""
    witness = Witness(0, POLICY, lambda text: load(text, name="control"))
    for offset, line in enumerate(found.entries):
        witness.entry(line, offset)
    for one in found.letters:
        witness.letter(one)
    for one in found.checkpoints:
        witness.checkpoint(one)
    witness.settle()
    for event in found.events:
        witness.event(event)
    witness.settle()
    return witness


def with_outcomes() -> tuple[History, list[Line]]:
    """The same events, and behind them an outcome of the first, once more, and one that is no JSON."""
    told = [msgspec.json.encode({"id": "req-000000", "at": 1, "label": "bad"})] * 2 + [b"not json"]
    outcomes = [Line(3 * number, HOST.encode(), value) for number, value in enumerate(told)]
    fold = Fold(POLICY, 0)
    events = history().events
    folded, settled = fold.events(events), fold.outcomes(outcomes)
    lines = [value for _, value in folded.entries + settled.entries]
    letters = [Letter(one.headers) for one in folded.dead_letters + settled.dead_letters]
    return History(events, lines, letters, [signed(lines, 43)]), outcomes


def test_outcomes_are_accounted_for_as_events_are() -> None:
    """Each has one entry, in their order; one that is missing or comes twice is named."""
    found, outcomes = with_outcomes()
    witness = watched(found)
    assert witness.seq == 40, "their entries wait for them"
    for one in outcomes:
        witness.outcome(one)
    witness.settle()
    assert (witness.faults, witness.outcomes, witness.unmatched, witness.outcomes_waiting) == ([], 3, None, None)
    assert witness.kinds["settlement"] == 1
    late = outcomes[-1]._replace(offset=99)
    witness.outcome(late)
    assert witness.outcomes_waiting == 99, "visible, and without an entry"
    witness.outcome(outcomes[1])
    assert "outcome 3 was read again" in witness.faults[-1]
    missing = watched(found)
    for one in outcomes[1:]:
        missing.outcome(one)
    missing.settle()
    assert "decides outcome 0 where outcome 3 was due" in missing.faults[0]


def test_a_sound_history_is_found_sound() -> None:
    """All of it is checked: nothing waits, nothing is unmatched."""
    witness = watched(history())
    assert witness.faults == []
    assert (witness.seq, witness.visible, witness.checkpoints) == (40, 40, 4)
    assert witness.decided_next == witness.events_next
    assert witness.unmatched is None
    assert witness.kinds == {"decision": 36, "rejected": 4}


def _lost(found: History) -> None:
    """One event has no entry, and the chain is sealed anew without it."""
    fold = Fold(POLICY, 0)
    found.entries[:] = [value for _, value in fold.events([*found.events[:20], *found.events[21:]]).entries]
    found.checkpoints.clear()


def _twice(found: History) -> None:
    """One event is decided again, sealed behind the others."""
    fold = Fold(POLICY, 0)
    found.entries[:] = [value for _, value in fold.events([*found.events, found.events[-1]]).entries]


def _forked(found: History) -> None:
    """Two entries of one seq."""
    found.entries.insert(21, found.entries[20])


def _shortened(found: History) -> None:
    """An entry is missing, and its event too."""
    del found.entries[20], found.events[20]


def _resealed(found: History) -> None:
    """The last entry says another action, and its seal is right."""
    body = found.entries[-2][: -len(',"hash":""}') - 64].replace(b'"action":"', b'"action":"not-')
    found.entries[-2] = body + b',"hash":"%b"}' % sha256(body).hexdigest().encode()
    del found.entries[-1], found.events[-1]
    found.checkpoints.clear()


def _two_roots(found: History) -> None:
    """Two checkpoints of one size."""
    found.checkpoints.insert(2, signed(found.entries, 20, bytes(32)))


def _wrong_root(found: History) -> None:
    found.checkpoints[1] = signed(found.entries, 20, bytes(32))


def _letter_twice(found: History) -> None:
    found.letters.append(found.letters[0])
    found.letters.append(found.letters[0])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_lost, "where event 22 was due"),
        (_twice, "was decided twice"),
        (_forked, "was decided twice"),
        (_shortened, "out of sequence"),
        (_resealed, "`action` differs"),
        (_two_roots, "two checkpoints of size 20 have two roots"),
        (_wrong_root, "has another root than its entries"),
        (_letter_twice, "was rejected twice"),
    ],
)
def test_each_spoiled_history_is_found_out(spoil: Callable[[History], None], sentence: str) -> None:
    """One thing is wrong, and the sentence says which."""
    found = history()
    spoil(found)
    witness = watched(found)
    assert any(sentence in fault for fault in witness.faults), witness.faults


def test_a_missing_half_of_a_rejection_is_named() -> None:
    """A rejection without its dead letter is no fault yet, as it may still come; it is named until it does."""
    found = history()
    del found.letters[1]
    assert watched(found).unmatched == found.events[19].offset


def test_entries_whose_input_never_becomes_visible_wait() -> None:
    """The chain says it decided what nobody can read: the witness does not follow, and the run does not settle."""
    found = history()
    del found.events[30:]
    witness = watched(found)
    assert witness.seq == 30


def test_a_refusal_without_its_dead_letter_keeps_an_outcome_waiting() -> None:
    """An unreadable outcome has both or the run does not settle."""
    found, outcomes = with_outcomes()
    unread = found.letters.pop()
    witness = watched(found)
    for one in outcomes:
        witness.outcome(one)
    witness.settle()
    assert (witness.faults, witness.outcomes_waiting) == ([], outcomes[-1].offset)
    witness.letter(unread)
    assert witness.outcomes_waiting is None


def test_the_load_holds_what_cannot_be_decided_and_what_was_decided_before() -> None:
    """A load of good events alone would leave dead letters and repeated ids untested under every fault."""
    sender = Sender.__new__(Sender)
    sender.made, sender._partitions, sender._chance = 0, 2, random.Random(1)
    fold = {one: Fold(POLICY, one) for one in range(2)}
    kinds: Counter[str] = Counter()
    for partition, records in sender.due(4_000).items():
        lines = [Line(offset, key, value) for offset, (key, value) in enumerate(records)]
        kinds.update(msgspec.json.decode(value)["kind"] for _, value in fold[partition].events(lines).entries)
    assert kinds == {"decision": 3_976, "rejected": 20, "duplicate": 4}


def test_the_load_holds_outcomes_of_every_sort() -> None:
    """Settled in part and in full, twice, astray, of what nobody decided, unreadable: each sort, many times."""
    sender = Sender.__new__(Sender)
    sender.made, sender._partitions, sender._chance = 0, 2, random.Random(1)
    fold = {one: Fold(POLICY, one) for one in range(2)}
    for partition, records in sender.due(20_000).items():
        fold[partition].events([Line(offset, key, value) for offset, (key, value) in enumerate(records)])
    reasons, settled = Counter[str](), Counter[tuple[str, bool]]()
    misplaced = {one: list[tuple[bytes, bytes]]() for one in range(2)}
    for partition, records in sender.outcomes_due(0, 20_000).items():
        folded = fold[partition].outcomes([Line(offset, key, value) for offset, (key, value) in enumerate(records)])
        for one in folded.misplaced:
            misplaced[one.partition].append((one.record.key, one.record.value))
        entries = [msgspec.json.decode(value) for _, value in folded.entries]
        reasons.update(one["reason"] for one in entries if one["kind"] == "refused-outcome")
        settled.update((one["label"], one["cost_minor"] is None) for one in entries if one["kind"] == "settlement")
    assert reasons.keys() >= {"wrong-partition", "already-settled", "unknown-decision", "not-json", "missing-field"}
    assert min(settled[label, without] for label in ("good", "bad") for without in (True, False)) > 0
    assert reasons["wrong-partition"] == sum(map(len, misplaced.values())) > 50
    assert settled.total() > 1_500


def test_what_a_run_comes_to_says_what_became_of_outcomes() -> None:
    """The page for whoever was not there has them beside the events."""
    outcome = Outcome(command="again", seed=1, rate=1.0, terms=Terms(seed=1), outcomes=1_234)
    outcome.kinds.update({"settlement": 1_200, "refused-outcome": 34})
    assert "1,234 visible outcomes: 1,200 settle a decision, 34 are refused, and why" in written(outcome)
    assert outcome.summary()["outcomes"] == 1_234
