"""A chain beside its checkpoints: what only a signed size can show is found, and what is right is not blamed."""

import re
from collections.abc import Sequence
from hashlib import sha256
from random import Random

import msgspec
import pytest

from sidechain.agents.believing import Believer, Trust
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.entry import Broken, stated
from sidechain.models.proof.chain_check import ChainCheck, Point
from sidechain.models.proof.checkpoint import Origin
from sidechain.models.proof.note import Note, sign
from tests.proofs import NEW, OTHER_ROOT, ROOT, STRANGER, certificate
from tests.signed import CERTIFICATE, EVENTS, POLICY, chain, note, record
from tests.signed import stated as signed_as

SEED = 807_256_900
SUFFIXES = 1_000
LINES = chain()
SHORT = EVENTS[:16]  # of what is sealed anew a thousand times
ORIGIN = Origin("web", 0, 0)


def checked(
    lines: Sequence[bytes],
    records: Sequence[bytes] = (),
    *,
    trust: Trust | None = None,
    held: Sequence[Point] = (),
    batch: int = 7,
    log: str | None = "web",
) -> ChainCheck:
    """Everything given in the order in which a reader gives it."""
    check = ChainCheck(held, with_points=bool(records))
    believer, source = Believer(trust or Trust(ROOT.verifier), 0, log), enumerate(records)

    def reach(count: int) -> None:
        while check.wants(count) and (one := next(source, None)) is not None:
            believer.tell(check, one[1], f"record {one[0]}")

    rest = list(lines)
    while rest:
        reach(len(rest[:batch]))
        taken = check.take(rest[:batch]).taken
        assert taken > 0
        rest = rest[taken:]
    reach(0)
    check.finish()
    return check


def signed(*sizes: int, lines: Sequence[bytes] = LINES, **more) -> list[bytes]:
    return [record(note(lines, size, **more)) for size in sizes]


@pytest.mark.parametrize("batch", [1, 2, 7, 1_000])
@pytest.mark.parametrize("sizes", [(120,), (1,), (1, 2, 3), (40, 80), (0, 120), tuple(range(1, 121)), (5, 5, 9)])
def test_a_chain_agrees_with_what_was_signed_of_it(batch: int, sizes: tuple[int, ...]) -> None:
    """Whatever the batches are; the same checkpoint twice is one."""
    (found,) = checked(LINES, signed(*sizes), batch=batch).epochs
    assert found.fault is None
    assert (found.entries, found.checkpoints, found.covered) == (120, len(set(sizes)), sizes[-1])
    assert found.origin == "sidechain/web/0/epoch-0"


def resealed(random: Random) -> tuple[int, list[bytes]]:
    """The chain of somebody with the code who changed one input and decided and sealed all that follows anew."""
    at = random.randrange(len(SHORT))
    events = list(SHORT)
    events[at] = events[at].replace(b'"path":"/', b'"path":"/%x' % random.randrange(1 << 32), 1)
    assert events[at] != SHORT[at]
    return at, chain(events=events)


def test_every_suffix_sealed_anew_is_found_against_an_earlier_checkpoint() -> None:
    """A thousand of them; each is unbroken in itself, and not the history that was signed."""
    random = Random(SEED)
    for number in range(SUFFIXES):
        at, forged = resealed(random)
        size = random.randrange(at + 1, len(SHORT) + 1)
        held = Point(signed_as(LINES, size, ORIGIN), "kept")
        (alone,) = checked(forged).epochs
        (found,) = checked(forged, held=[held]).epochs
        assert alone.fault is None, f"{number} of seed {SEED}"
        assert found.fault is not None, f"{number} of seed {SEED} was not found"
        assert "are not those that were signed" in found.fault.problem
        assert found.where == "kept"


def test_the_stretch_between_two_checkpoints_is_named() -> None:
    events = [*EVENTS[:60], EVENTS[60].replace(b"GET", b"PUT"), *EVENTS[61:]]
    (found,) = checked(chain(events=events), signed(40, 80, 110)).epochs
    assert found.fault is not None
    assert found.fault.problem == "entries 40 to 79 are not those that were signed at size 80"
    assert (found.where, found.checkpoints, found.covered) == ("record 1", 1, 40)


@pytest.mark.parametrize("left", [0, 1, 79, 109])
def test_a_missing_end_is_found_against_the_last_checkpoint(left: int) -> None:
    (found,) = checked(LINES[:left], signed(110)).epochs
    assert found.fault is not None
    assert found.fault.problem == "the chain ends before what was signed at size 110"
    assert found.fault.found == str(left)


@pytest.mark.parametrize("lacking", ["next", "kind"])
def test_a_sealed_record_that_is_no_entry_is_a_fault_where_books_are_kept(lacking: str) -> None:
    """Anybody with the code can seal one; it must not look like a mistake of ours."""
    fields = msgspec.json.decode(LINES[-1])
    del fields[lacking], fields["hash"]
    body = msgspec.json.encode(fields)[:-1]
    forged = b'%b,"hash":"%b"}' % (body, sha256(body).hexdigest().encode())
    (found,) = checked([*LINES[:-1], forged], signed(110)).epochs
    assert found.fault is not None
    assert found.fault.problem == "sealed, and not readable as an entry"
    assert found.checkpoints == 1


FORK = chain(events=[EVENTS[0].replace(b"GET", b"PUT"), *EVENTS[1:]])


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([*signed(80), *signed(80, lines=FORK)], "a fork: size 80 was signed twice"),
        ([*signed(80), *signed(40)], "signed behind a later one"),
        (signed(80, lines=FORK), "are not those that were signed"),
        (signed(80, head="ab" * 32), "names another head"),
        (signed(80, totals={"decision": 79}), "states another decision"),
        (signed(80, totals={"decision": 80, "next.events": 81}), "states another next.control"),
        (signed(80, signer=STRANGER), "none of the 1 certificates"),
        (signed(80, partition=1), "a checkpoint of another chain"),
        ([record(note(LINES, 80), certificate(scopes=["sidechain/web/0/epoch-0 0..40"]))], "allows"),
        ([record(sign(signed_as(LINES, 80, Origin("shop", 0, 0)).text(), [NEW]), certificate(signer=NEW))], "not for"),
        ([record(note(LINES, 80)).replace(b"decision=80", b"decision=81")], "the text was changed"),
        ([b""], "truncated"),
        ([b"null"], "Expected"),
        ([b'{"v":2}'], "note"),
        ([b"\xff"], "note|malformed|UTF-8|utf-8"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_said(records: list[bytes], why: str) -> None:
    (found,) = checked(LINES, records).epochs
    assert found.fault is not None
    assert re.search(why, found.fault.problem), found.fault.problem
    assert found.where == f"record {len(records) - 1}"


def test_without_the_root_only_the_history_is_compared() -> None:
    """A stranger's signature goes unnoticed then, another history does not."""
    anyone = Trust()
    assert checked(LINES, signed(80, signer=STRANGER), trust=anyone).epochs[0].fault is None
    assert checked(FORK, signed(80), trust=anyone).epochs[0].fault is not None


def test_another_root_believes_none_of_it() -> None:
    (found,) = checked(LINES, signed(80), trust=Trust(OTHER_ROOT.verifier)).epochs
    assert found.fault is not None
    assert found.checkpoints == 0


def test_a_newer_certificate_ends_a_key_for_the_sizes_behind_it() -> None:
    """As the root does when a key fell into other hands: it states the last size it believes."""
    ended = certificate(2, 1, scopes=["sidechain/web 0..50"])
    trust = Trust(ROOT.verifier, (ended,))
    (found,) = checked(LINES, signed(40, 80), trust=trust).epochs
    assert found.fault is not None
    assert found.where == "record 1"
    assert "allows sidechain/web 0..50, and the checkpoint's size is 80" in found.fault.problem
    assert checked(LINES, signed(40, 80), trust=Trust(ROOT.verifier, (CERTIFICATE,))).epochs[0].fault is None


def of_epoch(signed_note: Note) -> bytes:
    return record(signed_note)


def test_each_epoch_has_its_own_tree() -> None:
    """What broke stays broken, what began behind it is right, and each is held against what was signed of it."""
    broken = [*LINES[:50], LINES[50].replace(b'"action":"', b'"action":"x', 1)]
    last = stated(broken[-1])
    fold, opening = Fold.begin_epoch(
        POLICY, 0, 1, Broken(last.seq, last.hash, 50), {"events": 50, "outcomes": 0, "control": 0},
        at_ms=1, by="ben", why="one entry was altered", keyed=False,
    )  # fmt: skip
    new = [opening, *(line for _, line in fold.events([Line(50 + n, None, EVENTS[50 + n]) for n in range(30)]).entries)]
    second = Origin("web", 0, 1)
    records = [*signed(40), *(of_epoch(sign(signed_as(new, size, second).text(), [NEW])) for size in (1, 10, 31))]
    trust = Trust(ROOT.verifier, (certificate(2, 1, NEW),))
    for batch in (1, 7, 1_000):
        first, later = checked([*broken, *new], records, trust=trust, batch=batch).epochs
        assert (first.entries, first.covered, first.number) == (50, 40, 0)
        assert first.fault is not None
        assert (later.entries, later.covered, later.checkpoints, later.number) == (31, 31, 3, 1)
        assert later.fault is None
        assert later.begun is not None
        assert later.begun.by == "ben"
    *_, later = checked([*broken, *new[:20]], records, trust=trust).epochs
    assert later.fault is not None
    assert later.fault.problem == "the chain ends before what was signed at size 31"
    (only,) = checked(LINES, records, trust=trust).epochs
    assert only.fault is not None
    assert only.fault.expected == "at least 1 entries of epoch 1"
