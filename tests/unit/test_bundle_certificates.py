"""What a root key certifies: which key, for which chains and sizes; rotation, replacement, and who is refused."""

from datetime import date

import pytest

from sidechain.models.proof import certificate as certificates
from sidechain.models.proof.certificate import Certificate, Scope, certify, in_force, verify
from sidechain.models.proof.checkpoint import Checkpoint, Origin
from sidechain.models.proof.merkle import leaf_hash
from sidechain.models.proof.note import Malformed, Note, NotProved, parse, sign
from tests.proofs import NEW, OLD, OTHER_ROOT, ROOT, STRANGER, certificate


def point(size=100, origin="sidechain/web/3/epoch-0", signers=(OLD,)) -> Note:
    """A signed checkpoint."""
    made = Checkpoint(origin=Origin.parse(origin), size=size, root=leaf_hash(b"x"))
    return sign(made.text(), signers)


FIRST = certificate()


def test_a_certificate_is_its_text():
    """Every line a certificate can have, in its order."""
    note = certificate(
        2,
        1,
        NEW,
        ("sidechain/web", "sidechain/network/0/epoch-0 5..41000"),
        not_before=date(2026, 11, 1),
        not_after=date(2027, 11, 1),
    )
    assert note.text == (
        f"sidechain/key-certificate/v1\nserial=2\nprevious=1\nkey={NEW.verifier}\nnot-before=2026-11-01\n"
        "not-after=2027-11-01\nfor=sidechain/web 0..\nfor=sidechain/network/0/epoch-0 5..41000\n"
    )
    assert note.is_signed_by(ROOT.verifier)
    assert certificates.parse(note.text).text() == note.text


@pytest.mark.parametrize(
    ("scope", "origin", "covers"),
    [
        ("sidechain/web", "sidechain/web/0/epoch-0", True),
        ("sidechain/web", "sidechain/web2/0/epoch-0", False),
        ("sidechain/web", "sidechain/network/0/epoch-0", False),
        ("sidechain/web/1", "sidechain/web/1/epoch-7", True),
        ("sidechain/web/1", "sidechain/web/10/epoch-0", False),
        ("sidechain/web/1/epoch-1", "sidechain/web/1/epoch-1", True),
        ("sidechain/web/1/epoch-1", "sidechain/web/1/epoch-10", False),
    ],
)
def test_a_scope_covers_whole_parts_of_an_origin(scope, origin, covers):
    note = certificate(scopes=[scope])
    if covers:
        assert verify(point(origin=origin), [note], ROOT.verifier).certificate.serial == 1
    else:
        with pytest.raises(NotProved, match=f"certificate 1 of worker is not for {origin}"):
            verify(point(origin=origin), [note], ROOT.verifier)


@pytest.mark.parametrize(
    ("sizes", "size", "allows"),
    [
        ("", 0, True),
        ("", 2**63 - 1, True),
        (" 5..10", 4, False),
        (" 5..10", 5, True),  # both ends included
        (" 5..10", 10, True),
        (" 5..10", 11, False),
        (" 5..", 2**63 - 1, True),
    ],
)
def test_the_ends_of_the_sizes_are_included(sizes, size, allows):
    scope = Scope.parse(f"sidechain/web{sizes}")
    assert scope is not None
    assert scope.allows(size) == allows


def test_the_longest_origin_that_fits_decides():
    """So one chain can be bounded, and the others of the log stay open."""
    note = certificate(scopes=["sidechain/web", "sidechain/web/3/epoch-0 0..99", "sidechain/web/3 0..200"])
    assert verify(point(99), [note], ROOT.verifier)
    assert verify(point(150, "sidechain/web/3/epoch-1"), [note], ROOT.verifier)
    assert verify(point(1_000, "sidechain/web/4/epoch-0"), [note], ROOT.verifier)
    with pytest.raises(NotProved, match=r"allows sidechain/web/3/epoch-0 0\.\.99, and the checkpoint's size is 100"):
        verify(point(100), [note], ROOT.verifier)


@pytest.mark.parametrize(
    ("on", "why"),
    [
        (None, ""),
        (date(2026, 10, 31), "begins on 2026-11-01"),
        (date(2026, 11, 1), ""),
        (date(2027, 11, 1), ""),
        (date(2027, 11, 2), "ended on 2027-11-01"),
    ],
)
def test_dates_are_held_against_the_day_the_caller_gives(on, why):
    """The first and the last day belong to the certificate; without a day they say nothing."""
    note = certificate(not_before=date(2026, 11, 1), not_after=date(2027, 11, 1))
    if not why:
        assert verify(point(), [note], ROOT.verifier, on=on)
        return
    with pytest.raises(NotProved, match=why):
        verify(point(), [note], ROOT.verifier, on=on)


def test_a_rotation_leaves_the_old_certificate_good():
    """Yesterday's checkpoints were signed rightly; today's are signed by the new key."""
    both = [FIRST, certificate(2, 1, NEW)]
    assert verify(point(signers=[OLD]), both, ROOT.verifier).certificate.serial == 1
    assert verify(point(signers=[NEW]), both, ROOT.verifier).certificate.serial == 2
    assert verify(point(signers=[STRANGER, NEW]), both, ROOT.verifier).certificate.serial == 2


def test_the_same_key_again_replaces_the_certificate_it_names():
    """The key was taken: the root believes it up to size 50, and not beyond. Who has only the old one cannot know."""
    ended = certificate(2, 1, OLD, ["sidechain/web 0..50"])
    for order in ([FIRST, ended], [ended, FIRST]):
        assert verify(point(50), order, ROOT.verifier).certificate.serial == 2
        with pytest.raises(NotProved, match="certificate 2 of worker allows"):
            verify(point(51), order, ROOT.verifier)
    assert verify(point(51), [FIRST], ROOT.verifier)
    assert [one.serial for one in in_force([FIRST, ended], ROOT.verifier)] == [2]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([], "none of the 0 certificates"),
        ([certificate(signer=NEW)], "is signed by worker, and none of the 1 certificates"),
        ([sign(FIRST.text, [OTHER_ROOT])], "none of the 1 certificates"),  # same name, other key
        ([sign(FIRST.text, [OLD])], "none of the 1 certificates"),  # certified itself
        ([Note(certificate(scopes=["sidechain/x"]).text, FIRST.signatures)], "is false: the text was changed"),
        ([FIRST, certificate(scopes=["sidechain/web 0..5"])], "serial 1 to two certificates"),
    ],
)
def test_a_key_the_root_did_not_certify_signs_nothing(given, why):
    with pytest.raises(NotProved, match=why):
        verify(point(), given, ROOT.verifier)


def test_one_certificate_given_twice_is_one():
    assert verify(point(), [FIRST, FIRST], ROOT.verifier)


def test_the_root_key_signs_no_checkpoint_and_certifies_not_itself():
    with pytest.raises(NotProved, match="signed by root"):
        verify(point(signers=[ROOT]), [FIRST], ROOT.verifier)
    with pytest.raises(Malformed, match="cannot be a worker's key"):
        certify(Certificate(serial=1, key=ROOT.verifier, scopes=(Scope("sidechain/web"),)), ROOT)


def test_a_false_signature_of_a_certified_key_is_told():
    with pytest.raises(NotProved, match="the signature of worker under sidechain/web/3/epoch-0 is false"):
        verify(Note(point(7).text, point(8).signatures), [FIRST], ROOT.verifier)


def test_every_changed_character_of_a_certificate_is_refused():
    """Its text and its signature; what the root did not sign is passed over, so nothing covers the key."""
    whole = str(FIRST)
    for at in range(len(whole)):
        altered = whole[:at] + chr(ord(whole[at]) ^ 1) + whole[at + 1 :]
        with pytest.raises((Malformed, NotProved)):
            verify(point(), [parse(altered)], ROOT.verifier)


GOOD = certificate(2, 1, NEW, not_before=date(2026, 11, 1)).text


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("/v1", "/v2", "line 1: its first line is not"),
        ("serial=2", "serial=02", "line 2: serial is no whole number"),
        ("serial=2", "serial=0", "line 2: a serial is above 0"),
        ("previous=1", "previous=2", "above the previous one"),
        ("previous=1\n", "", "it has no line previous="),
        ("key=worker", "key=werker", "line 4: key: its id is"),
        ("not-before=2026-11-01", "not-before=20261101", "line 5: not written as it must be"),
        ("not-before=2026-11-01", "not-before=2026-11-31", "line 5: a date reads"),
        ("not-before=2026-11-01\n", "not-before=2026-11-02\nnot-after=2026-11-01\n", "ends before it begins"),
        ("for=sidechain/web 0..\n", "", "it is for no chain"),
        ("for=sidechain/web 0..", "for=sidechain/web", "line 6: not written as it must be"),
        ("for=sidechain/web 0..", "for=sidechain 0..", "line 6: it reads for="),
        ("for=sidechain/web 0..", "for=sidechain/web/ 0..", "line 6: it reads for="),
        ("for=sidechain/web 0..", "for=sidechain/web 5..4", "line 6: it reads for="),
        ("for=sidechain/web 0..", "for=sidechain/web 0..9223372036854775808", "line 6: it reads for="),
        ("for=sidechain/web 0..\n", "for=sidechain/web 0..\nfor=sidechain/web 0..9\n", "two lines are for one origin"),
        ("serial=2\nprevious=1", "previous=1\nserial=2", "line 2: not written as it must be"),
        ("serial=2\n", "serial=2\nserial=2\n", "line 3: no line of a certificate, or a second"),
        ("serial=2\n", "serial=2\nx=1\n", "line 3: no line of a certificate"),
        ("0..\n", "0..\n\n", "line 7: no line of a certificate"),
        ("0..\n", "0..\n" * 2, "line 7: no line of a certificate"),
        ("0..\n", "0..", "it is for no chain"),
        ("0..\n", "0..\n" + "for=sidechain/x 0..\n" * 1_030, "more than 1024 chains"),
    ],
)
def test_what_is_no_certificate_is_refused_with_the_line(old, new, problem):
    """Also when the root key signed it: a tool that writes such a thing is broken."""
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    with pytest.raises(Malformed, match=problem):
        certificates.parse(text)
    if text.endswith("\n") and text.startswith(certificates.ORIGIN):
        with pytest.raises(Malformed):
            verify(point(), [sign(text, [ROOT])], ROOT.verifier)


@pytest.mark.parametrize(
    "fields",
    [
        {"serial": 0},
        {"serial": 1, "previous": 1},
        {"serial": 1, "scopes": ()},
        {"serial": 1, "scopes": (Scope("sidechain/web", 5, 4),)},
        {"serial": 1, "scopes": (Scope("web"),)},
    ],
)
def test_a_certificate_that_cannot_be_read_back_is_not_signed(fields):
    with pytest.raises(Malformed):
        certify(Certificate(**{"key": OLD.verifier, "scopes": (Scope("sidechain/web"),), **fields}), ROOT)
