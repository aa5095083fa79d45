"""One file for a stranger: it proves what it says to the holder of the root's public key, and nothing altered does."""

from hashlib import sha256

import msgspec
import pytest

from sidechain.models.dry import Fold
from sidechain.models.proof import bundle
from sidechain.models.proof.bundle import (
    Consistency,
    Document,
    Extended,
    Included,
    Inclusion,
    decode,
    encode,
    verify_bundle,
    verify_consistency,
)
from sidechain.models.proof.checkpoint import Checkpoint, Origin
from sidechain.models.proof.merkle import EMPTY_ROOT, leaves_of
from sidechain.models.proof.note import Malformed, Note, NotProved, parse, sign, to_base64
from sidechain.models.proof.paths import prove
from tests.proofs import NEW, OLD, OTHER_ROOT, ROOT, certificate
from tests.support import event, policy, records

ORIGIN = Origin("web", 0, 0)


def chain(count: int, partition: int = 0, first: int = 0) -> list[bytes]:
    """A real chain, as it stands on the topic."""
    events = [event(first + n) if n % 7 else b"junk" for n in range(count)]
    return [value for _, value in Fold(policy(), partition).events(records(events)).entries]


LINES = chain(20)
LEAVES = leaves_of(LINES)
CERTIFICATES = [certificate(), certificate(2, 1, NEW)]


def point(size: int, leaves=LEAVES, signers=(OLD,), **more) -> Note:
    """The signed checkpoint of the first `size` entries."""
    fields = {"origin": ORIGIN, "size": size, "root": prove(leaves, size).root, **more}
    return sign(Checkpoint(**fields).text(), signers)


def included(index: int, size: int, **more) -> Inclusion:
    """The proof of one entry."""
    path = prove(LEAVES, size, inclusion=[index]).inclusion[index]
    return bundle.inclusion(LINES[index], index, path, more.get("note", point(size)), CERTIFICATES)


def extended(old: int, size: int) -> Consistency:
    """The proof that one checkpoint continues another; the key was rotated in between."""
    path = prove(LEAVES, size, consistency=[old]).consistency[old]
    return bundle.consistency(point(old), point(size, signers=[NEW]), path, CERTIFICATES)


def proves(document: Document | bytes) -> bool:
    try:
        verify_bundle(document, ROOT.verifier)
    except (Malformed, NotProved):
        return False
    return True


def changed(document: Document, **fields) -> Document:
    return msgspec.structs.replace(document, **fields)


def test_every_entry_of_every_size_is_proved():
    """From the file's bytes and the root's public key, nothing else."""
    for size in range(1, len(LINES) + 1):
        for index in range(size):
            found = verify_bundle(encode(included(index, size)), ROOT.verifier)
            assert isinstance(found, Included)
            assert (found.entry, found.index) == (LINES[index], index)
            assert (found.checkpoint.origin, found.checkpoint.size) == (ORIGIN, size)
            assert found.certificate.serial == 1


def test_every_later_checkpoint_is_proved_to_continue_every_earlier_one():
    """Under two keys, of which the root certified both."""
    for size in range(1, len(LINES) + 1):
        for old in range(1, size + 1):
            found = verify_bundle(encode(extended(old, size)), ROOT.verifier)
            assert isinstance(found, Extended)
            assert (found.old.checkpoint.size, found.new.checkpoint.size) == (old, size)
            assert (found.old.certificate.serial, found.new.certificate.serial) == (1, 2)
    assert verify_bundle(bundle.consistency(point(0, root=EMPTY_ROOT), point(9), [], CERTIFICATES), ROOT.verifier)


@pytest.mark.parametrize("document", [included(5, 13), extended(5, 13)], ids=["inclusion", "consistency"])
def test_no_altered_byte_of_a_document_proves_anything_else(document):
    """Every byte, two of its bits. What still passes says the same: a space of JSON, a certificate nobody needed."""
    whole = encode(document)
    right = verify_bundle(whole, ROOT.verifier)
    for at in range(len(whole)):
        for bit in (0x01, 0x20):
            altered = bytearray(whole)
            altered[at] ^= bit
            try:
                found = verify_bundle(bytes(altered), ROOT.verifier)
            except (Malformed, NotProved):
                continue
            assert found == right, (at, bit)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"entry": LINES[6].decode()}, "the entry states seq 6, and index 5"),
        ({"index": 6}, "the entry states seq 5, and index 6"),
        ({"entry": LINES[6].decode(), "index": 6}, "does not lead from this entry at 6"),
        ({"entry": LINES[5].decode().replace('"score_bp":0', '"score_bp":1')}, "not those that were sealed"),
        ({"entry": LINES[5].decode() + "\n"}, "does not end with a seal"),
        ({"entry": ""}, "does not end with a seal"),
        ({"size": 12}, "states size 12, its checkpoint 13"),
        ({"path": ()}, "does not lead"),
        ({"path": included(5, 13).path[::-1]}, "does not lead"),
        ({"path": (*included(5, 13).path, to_base64(bytes(32)))}, "does not lead"),
        ({"path": (to_base64(b"short"), *included(5, 13).path[1:])}, "does not lead"),
        ({"path": included(5, 13).path * 40}, "does not lead"),
        ({"checkpoint": str(point(13, leaves=LEAVES[::-1]))}, "does not lead"),
        ({"checkpoint": str(point(13, signers=[NEW])), "certificates": (str(CERTIFICATES[0]),)}, "none of the 1"),
        ({"checkpoint": str(point(13, origin=Origin("other", 0, 0)))}, "not for sidechain/other/0"),
        ({"checkpoint": str(point(13, origin=Origin("web", 3, 0)))}, "the entry is of partition 0, the checkpoint of"),
        ({"certificates": ()}, "none of the 0"),
    ],
)
def test_an_inclusion_of_something_else_says_what_is_wrong(fields, why):
    with pytest.raises(NotProved, match=why):
        verify_bundle(changed(included(5, 13), **fields), ROOT.verifier)


def test_an_entry_sealed_anew_is_not_the_one_in_the_tree():
    """Whoever has the code can seal anything; the signed root knows the entry that stood there."""
    body = LINES[5][:-75].replace(b'"action":"allow"', b'"action":"block"')
    forged = body + b',"hash":"' + sha256(body).hexdigest().encode() + b'"}'
    assert body != LINES[5][:-75]
    with pytest.raises(NotProved, match="does not lead"):
        verify_bundle(changed(included(5, 13), entry=forged.decode()), ROOT.verifier)


def test_another_root_key_proves_nothing():
    for document in (included(5, 13), extended(5, 13)):
        with pytest.raises(NotProved, match="none of the 2 certificates"):
            verify_bundle(document, OTHER_ROOT.verifier)


def test_the_head_a_checkpoint_names_is_the_last_entry():
    """Signed by the same key, so a difference is the worker's own contradiction."""
    right = point(13, head=LEAVES[12].hex())
    assert verify_bundle(included(12, 13, note=right), ROOT.verifier)
    with pytest.raises(NotProved, match="another head"):
        verify_bundle(included(12, 13, note=point(13, head=LEAVES[11].hex())), ROOT.verifier)


FORKED = leaves_of(chain(20, first=100))


@pytest.mark.parametrize(
    ("old", "new", "path", "why"),
    [
        (point(5), point(13, origin=Origin("web", 1, 0)), (), "two chains"),
        (point(5), point(13, origin=Origin("web", 0, 1)), (), "two chains"),
        (point(13), point(5), (), "the older checkpoint has size 13, the newer one 5"),
        (point(13), point(13, leaves=FORKED), (), "a fork: sidechain/web/0/epoch-0 was signed at size 13"),
        (point(13, head="0" * 64), point(13, head="1" * 64), (), "with two heads"),
        (point(5, leaves=FORKED), point(13), extended(5, 13).path, "the history was changed in between"),
        (point(5), point(13), extended(4, 13).path, "the path does not lead from size 5 to size 13"),
        (point(5), point(13), (), "the path does not lead"),
        (point(5, totals={"rejected": 3}), point(13, totals={"rejected": 2}), extended(5, 13).path, "rejected fell"),
    ],
)
def test_a_history_that_is_no_continuation_says_why(old, new, path, why):
    document = Consistency(old=str(old), new=str(new), path=path, certificates=tuple(map(str, CERTIFICATES)))
    with pytest.raises(NotProved, match=why):
        verify_bundle(document, ROOT.verifier)


def test_totals_may_grow_appear_and_go():
    old, new = point(5, totals={"a": 1, "b": 2}), point(13, totals={"b": 2, "c": 0})
    assert verify_bundle(changed(extended(5, 13), old=str(old), new=str(new)), ROOT.verifier)


def test_the_older_checkpoint_must_be_the_one_somebody_held():
    """Else the log's owner would show a pair that fits and is not ours. Who signed it again does not matter."""
    document = extended(5, 13)
    assert verify_consistency(document, ROOT.verifier, held=point(5))
    assert verify_consistency(document, ROOT.verifier, held=sign(point(5).text, [NEW]))
    for held in (point(6), point(5, leaves=FORKED)):
        with pytest.raises(NotProved, match="is not the one you hold"):
            verify_consistency(document, ROOT.verifier, held=held)


GOOD = encode(included(5, 13))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not a document"),
        (b"null", "not a document"),
        (b"[" * 100_000, "not a document"),
        (b"\xff", "not a document"),
        (LINES[0], "not a document"),
        (GOOD.replace(b'"entry":"', b'"entry":"\\ud800'), "not a document"),
        (GOOD.replace(b'"v":1,"entry"', b'"v":2,"entry"'), "not a document"),
        (GOOD.replace(b'"kind":"inclusion"', b'"kind":"exclusion"'), "exclusion"),
        (GOOD.replace(b'"index":5', b'"index":5.5'), r"\$.index"),
        (GOOD.replace(b'"index":5', b'"index":5,"more":1'), "more"),
        (GOOD.replace(b'"path":["', b'"path":["*'), "step 1 of the path is not base64"),
        (GOOD.replace(b'"checkpoint":"sidechain', b'"checkpoint":"\\tsidechain'), "checkpoint, line 1: a control"),
        (GOOD.replace(b'"checkpoint":"sidechain', b'"checkpoint":"side'), "checkpoint, line 1: an origin"),
        (
            GOOD.replace(b'"certificates":["sidechain', b'"certificates":["x","sidechain'),
            "certificate 1: no empty line",
        ),
        (b" " * (bundle.MAX_BYTES + 1), "longer than 8,388,608 bytes"),
        (encode(changed(included(5, 13), certificates=(str(CERTIFICATES[0]),) * 257)), "more than 256 certificates"),
    ],
)
def test_what_is_no_document_is_refused_in_words(data, problem):
    with pytest.raises(Malformed, match=problem):
        verify_bundle(data, ROOT.verifier)


def test_documents_round_trip_and_an_entry_that_is_no_text_has_none():
    for document in (included(5, 13), extended(5, 13)):
        assert decode(encode(document)) == document
        assert encode(document).count(b"\n") == 1
    with pytest.raises(Malformed, match="not UTF-8"):
        bundle.inclusion(b"\xff", 0, [], point(1), [])


def test_the_same_proof_by_hand():
    """Two entries, one step, and SHA-256 of this test's own: what a stranger's program would do."""
    found = decode(encode(included(0, 2)))
    assert isinstance(found, Inclusion)
    leaf = sha256(b"\x00" + sha256(found.entry.encode()[:-75]).digest()).digest()
    sibling = sha256(b"\x00" + bytes.fromhex(msgspec.json.decode(LINES[1])["hash"])).digest()
    assert found.path == (to_base64(sibling),)
    assert parse(found.checkpoint).text.split("\n")[2] == to_base64(sha256(b"\x01" + leaf + sibling).digest())
