"""A chain that people have repaired: what is altered is still found, and a repair that lies is a fault itself."""

import msgspec
import pytest

from sidechain.models.dry import Fold
from sidechain.models.dry.chain import Verifier
from sidechain.models.dry.entry import Broken, is_epoch, stated
from sidechain.models.dry.replay import Replayer
from sidechain.models.explain import explain
from sidechain.models.policy import Policy
from sidechain.models.proof.replay_check import ReplayCheck
from tests.ruins import following, resealed
from tests.support import control, event, feature, loader, policy, records

POLICY = policy(features=[feature("seen", "count", "1m")])
NEXT = policy(features=[feature("seen", "count", "5m")], version=2)
INPUTS = records([event(n, host="abc"[n % 3]) for n in range(40)])
CONTROL = control(NEXT, 3)
DEED = {"at_ms": 1_700_000_000_000, "by": "anna", "why": "the drill"}
JUNK = b"somebody else wrote this"


def lines_of(fold: Fold, first: int, last: int) -> list[bytes]:
    """The entries of some events."""
    return [line for _, line in fold.events(INPUTS[first:last]).entries]


def made() -> tuple[list[bytes], int]:
    """Ten entries, a gap over five events, another policy, ten entries, junk, an epoch, ten entries; where it is."""
    fold = Fold(POLICY, 0)
    lines = lines_of(fold, 0, 10)
    lines.append(fold.gap("events", 15, **DEED))
    lines += [line for _, line in fold.control(CONTROL, loader(NEXT)).entries]
    lines += [*lines_of(fold, 15, 25), JUNK]
    again, epoch = Fold.begin_epoch(NEXT, 0, 1, stated(JUNK, 99), fold.next, **DEED)
    return [*lines, epoch, *lines_of(again, 25, 35)], len(lines)


CHAIN, EPOCH = made()
RIGHT = [line for line in CHAIN if line != JUNK]


def reports(lines):
    """What verifying says of every epoch, and every fault told on the way."""
    verifier = Verifier()
    told = [fault for line in lines if (fault := verifier.take(line))]
    return verifier.reports, told


def test_verifying_goes_on_at_an_epoch_that_names_the_broken_head():
    """Twenty-two right entries, then the junk; the new epoch is whole and says who began it."""
    (before, after), told = reports(CHAIN)
    assert (before.number, before.entries, before.is_whole) == (0, 22, False)
    assert (after.number, after.entries, after.is_whole) == (1, 11, True)
    assert told == [before.fault]
    assert before.fault.position == 22
    assert before.head == msgspec.json.decode(CHAIN[21])["hash"]
    assert after.head == msgspec.json.decode(CHAIN[-1])["hash"]
    assert after.begun is not None
    assert after.begun.broken == Broken(None, None, 99)
    assert (after.begun.by, after.begun.why) == ("anna", "the drill")


def test_an_epoch_begun_although_nothing_was_wrong_is_visible_as_such():
    """The state can be lost while the chain is whole, or somebody forged it: who reads it asks."""
    fold = Fold(POLICY, 0)
    lines = lines_of(fold, 0, 10)
    again, epoch = Fold.begin_epoch(POLICY, 0, 1, stated(lines[-1], 9), fold.next, **DEED)
    (before, after), told = reports([*lines, epoch, *lines_of(again, 10, 12)])
    assert before.is_whole
    assert (before.entries, after.entries) == (10, 3)
    assert after.begun is not None
    assert told == []


def test_every_changed_byte_of_a_repaired_chain_is_found():
    """In the gap, in the epoch entry, before and behind them: each byte with its lowest and with its highest bit."""
    sound = [report.fault for report in reports(CHAIN)[0]]
    for position in (0, 9, 10, 11, 12, EPOCH - 2, EPOCH, EPOCH + 1, len(CHAIN) - 1):
        for at in range(len(CHAIN[position])):
            for bit in (1, 0x80):
                altered = bytearray(CHAIN[position])
                altered[at] ^= bit
                found, _ = reports([*CHAIN[:position], bytes(altered), *CHAIN[position + 1 :]])
                assert [report.fault for report in found] != sound, (position, at, bit)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"epoch": 0}, "begins the wrong epoch"),
        ({"epoch": -1}, "begins the wrong epoch"),
        ({"broken": {"seq": 21, "hash": None, "offset": 99}}, "begins an epoch behind another head"),
        ({"broken": {"seq": None, "hash": "ab" * 32, "offset": 99}}, "begins an epoch behind another head"),
    ],
)
def test_an_epoch_that_names_the_wrong_head_or_number_is_a_fault(change, problem):
    """It is told although the epoch was broken before, and nothing behind it counts."""
    found, told = reports([*CHAIN[:EPOCH], resealed(CHAIN[EPOCH], **change), *CHAIN[EPOCH + 1 :]])
    assert [one.problem for one in told] == ["not a sealed entry", problem]
    assert [report.number for report in found] == [0]


def test_a_number_may_be_left_out_where_epochs_were_lost():
    """A chain restored from before epoch 1, whose checkpoints somebody holds, goes on with epoch 2."""
    found, told = reports([*CHAIN[:EPOCH], resealed(CHAIN[EPOCH], epoch=2)])
    assert [report.number for report in found] == [0, 2]
    assert len(told) == 1


def test_an_epoch_in_the_middle_must_name_the_entry_before_it():
    """Inserted behind entry 4 of a whole chain: either it names that one, and the rest does not follow, or it lies."""
    fold = Fold(POLICY, 0)
    lines = lines_of(fold, 0, 10)
    _, epoch = Fold.begin_epoch(POLICY, 0, 1, stated(lines[4], 4), {}, **DEED)
    found, told = reports([*lines[:5], epoch, *lines[5:]])
    assert [report.is_whole for report in found] == [True, False]
    assert [one.problem for one in told] == ["out of sequence"]
    _, epoch = Fold.begin_epoch(POLICY, 0, 1, stated(lines[9], 9), {}, **DEED)
    found, told = reports([*lines[:5], epoch, *lines[5:]])
    assert [one.problem for one in told] == ["begins an epoch behind another head"]


def test_without_an_epoch_a_broken_chain_stays_broken():
    """Entries that would continue it are passed over: one fault, told once."""
    found, told = reports([*CHAIN[:EPOCH], *(one for one in RIGHT[:22])])
    assert len(told) == 1
    assert [report.number for report in found] == [0]
    assert found[0].entries == 22


def test_a_chain_broken_in_its_first_record_does_not_begin_behind_it():
    """The right first entry does not mend what stands before it; only a person's decision does."""
    verifier = Verifier()
    told = [verifier.take(line) for line in (JUNK, *CHAIN[:10])]
    assert [fault is None for fault in told] == [False, *[True] * 10]
    assert (verifier.count, verifier.head, verifier.reports[0].entries) == (0, "0" * 64, 0)


def test_a_second_repair_names_what_broke_the_first():
    """Epoch 2 stands behind the junk behind epoch 1."""
    _, epoch = Fold.begin_epoch(NEXT, 0, 2, stated(JUNK, 120), {"events": 35}, **DEED)
    found, told = reports([*CHAIN, JUNK, epoch])
    assert [report.number for report in found] == [0, 1, 2]
    assert [report.is_whole for report in found] == [False, False, True]
    assert len(told) == 2


def test_a_chain_kept_from_an_epoch_on_is_verified_from_there():
    """What was before may have been deleted; the number is the entry's own."""
    [only], told = reports(CHAIN[EPOCH:])
    assert (only.number, only.entries, told) == (1, 11, [])


def replayed(lines, known: tuple[Policy, ...] = ()):
    """The first fault of a replay from the first line on, and where."""
    inputs = {("events", one.offset): one for one in INPUTS} | {("control", CONTROL.offset): CONTROL}
    replayer = Replayer(POLICY, 0, lambda *at: inputs.get(at), load=loader(NEXT), known=known)
    return next(((at, fault) for at, line in enumerate(lines) if (fault := replayer.take(line))), None)


def test_a_repaired_chain_is_made_again_byte_for_byte():
    """Gap and epoch consume no input; the epoch begins under a policy that was met before, with an empty state."""
    assert replayed(RIGHT) is None
    assert replayed(CHAIN[EPOCH:], known=(NEXT,)) is None
    at, fault = replayed(CHAIN[EPOCH:])
    assert at == 0
    assert NEXT.ref in fault.found


@pytest.mark.parametrize(
    ("position", "change", "problem"),
    [
        (10, {"from": 11}, "`from` differs"),
        (10, {"to": 14}, "`next` differs"),
        (10, {"topic": "coffee"}, "what it names is unknown"),
        (10, {"by": 7}, "not readable as a repair"),
        (10, {"id": "x"}, "not readable as a repair"),
        (EPOCH, {"epoch": 0}, "begins the wrong epoch"),
        (EPOCH, {"next": {"events": 25}}, "`next` differs"),
        (EPOCH, {"kind": "policy"}, "`kind` differs"),
    ],
)
def test_a_repair_that_says_what_cannot_be_is_found_by_replay(position, change, problem):
    """Sealed anew by somebody with the code; the kernel makes another entry of the same fields."""
    altered = resealed(CHAIN[position], **change)
    at, fault = replayed([*RIGHT[: position - (position == EPOCH)], altered])
    assert at == position - (position == EPOCH)
    assert fault.problem == problem


def checked(lines, known=(NEXT,), fault=None):
    """What replaying says of every epoch."""
    inputs = {("events", one.offset): one for one in INPUTS} | {("control", CONTROL.offset): CONTROL}
    check = ReplayCheck(Replayer(POLICY, 0, lambda *at: inputs.get(at), load=loader(NEXT), known=known), fault)
    check.take(lines)
    return check.finish()


def test_replay_goes_on_at_the_next_epoch_and_counts_each():
    """The junk is epoch 0's fault; what stands between it and the epoch is passed over, right or wrong."""
    before, after = checked([*CHAIN[:EPOCH], RIGHT[3], b"", *CHAIN[EPOCH:]])
    assert (before.number, before.entries, before.fault.position) == (0, 22, 22)
    assert (after.number, after.entries, after.fault, after.begun.by) == (1, 11, None, "anna")
    altered = resealed(CHAIN[EPOCH + 4], tier="other")
    before, after = checked([*RIGHT[:22], *CHAIN[EPOCH : EPOCH + 4], altered, *CHAIN[EPOCH + 5 :]])
    assert (before.entries, before.fault) == (22, None)
    assert (after.entries, after.fault.position, after.fault.problem) == (4, 22 + 4, "`tier` differs")


def test_an_epoch_that_may_not_follow_ends_no_fault():
    """Its number is not above the one before: nothing behind it counts."""
    [only] = checked([*RIGHT[:22], resealed(CHAIN[EPOCH], epoch=0), *CHAIN[EPOCH + 1 :]])
    assert (only.entries, only.fault.problem) == (22, "begins the wrong epoch")


def test_an_epoch_under_a_policy_nobody_has_is_at_fault_itself():
    """The one before is not."""
    before, after = checked([*RIGHT[:11], *CHAIN[EPOCH:]], known=())
    assert (before.entries, before.fault) == (11, None)
    assert (after.number, after.entries, after.fault.problem) == (1, 0, "what it names is unknown")


@pytest.mark.parametrize(("known", "problem"), [((NEXT,), None), ((), "its input is gone")])
def test_a_policy_entry_is_made_again_from_the_text_it_cites(known, problem):
    """Where the control record is gone; without either, nothing can be said."""
    inputs = {("events", one.offset): one for one in INPUTS}
    check = ReplayCheck(Replayer(POLICY, 0, lambda *at: inputs.get(at), known=known))
    check.take(RIGHT[:22])
    [only] = check.finish()
    assert (only.entries, only.fault and only.fault.problem) == ((22, None) if known else (11, problem))
    if known:
        for change in ({"previous": "web@9:0"}, {"key": "x"}, {"source": ["control", 0, 9]}):
            check = ReplayCheck(Replayer(POLICY, 0, lambda *at: inputs.get(at), known=known))
            check.take([*RIGHT[:11], resealed(RIGHT[11], **change)])
            assert check.finish()[0].fault is not None, change


def test_a_gap_moves_one_input_and_keeps_the_state():
    """The key's window goes on across it; what was due is named."""
    fold = Fold(POLICY, 0)
    lines_of(fold, 0, 9)
    gap = msgspec.json.decode(fold.gap("events", 15, **DEED))
    [after] = [msgspec.json.decode(line) for line in lines_of(fold, 15, 16)]
    assert (gap["topic"], gap["from"], gap["to"]) == ("events", 9, 15)
    assert gap["next"] == {"events": 15, "outcomes": 0, "control": 0}
    assert (gap["source"], gap["digest"], gap["id"], gap["key"]) == (None, None, None, None)
    assert after["features"] == {"seen": 3 + 1}


def test_an_epoch_forgets_windows_and_ids():
    """An id decided before is decided again, because nothing remembers it: that is the price, and it is said."""
    again, _ = Fold.begin_epoch(POLICY, 0, 1, stated(JUNK), {"events": 9}, **DEED)
    [first] = [msgspec.json.decode(line) for line in lines_of(again, 9, 10)]
    assert (first["seq"], first["kind"], first["features"]) == (1, "decision", {"seen": 1})
    assert again.epoch == 1
    assert msgspec.json.decode(dict(again.changes())[b"head"])["epoch"] == 1


@pytest.mark.parametrize(
    ("line", "seq", "digest"),
    [
        (b"", None, None),
        (b"not json", None, None),
        (b'{"seq":3}', 3, None),
        (b'{"seq":-1}', None, None),
        (b'{"seq":%d}' % 2**53, None, None),
        (b'{"seq":3,"hash":"%b"}' % (b"ab" * 32), 3, "ab" * 32),
        (b'{"seq":3,"hash":"%b"}' % (b"AB" * 32), 3, None),
        (b"[" * 5_000, None, None),
    ],
)
def test_what_any_bytes_state_of_themselves(line, seq, digest):
    """The broken head may be anything at all."""
    assert stated(line, 7) == Broken(seq, digest, 7)


def test_only_a_rightly_sealed_first_entry_begins_an_epoch():
    """One that is altered, of another seq, or of another kind does not."""
    epoch = CHAIN[EPOCH]
    assert is_epoch(epoch)
    for other in (b"", JUNK, CHAIN[10], epoch.replace(b"anna", b"hans"), resealed(epoch, seq=1), following(epoch)):
        assert not is_epoch(other)
    assert not is_epoch(resealed(epoch, by=None))


def test_explain_says_what_a_person_decided():
    """In sentences, with who and why."""
    gap = list(explain(msgspec.json.decode(CHAIN[10])))
    assert gap[:2] == ["events goes on at offset 15; 10 was due. Decided by anna:", "  the drill"]
    epoch = list(explain(msgspec.json.decode(CHAIN[EPOCH])))
    assert epoch[0] == "Epoch 1 begins here, with an empty state. Decided by anna:"
    assert epoch[2] == "  it stands behind the record at offset 99 (seq unreadable, hash unreadable)"
