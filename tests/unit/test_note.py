"""Signed notes and checkpoints: the published examples check, every note has one form, and an error names its line."""

import subprocess
import sys
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidechain.models.proof import checkpoint as checkpoints
from sidechain.models.proof.checkpoint import Checkpoint, Origin
from sidechain.models.proof.merkle import EMPTY_ROOT
from sidechain.models.proof.note import (
    MAX_NOTE_BYTES,
    Malformed,
    Note,
    NotProved,
    SigningKey,
    VerifierKey,
    from_base64,
    parse,
    sign,
)
from tests.proofs import key

SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_SIGNATURE = "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
SPEC_NOTE = f"This is an example message.\n\n— example.com/foo {SPEC_SIGNATURE}\n"

# Published with the Go implementation, private half and all.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SECRET = "gQoUAtUUbI2E8kQzMPVAgOv5juF9nHT2JS/F1ccoMXM="
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


ANNA, BERT = key("anna", 1), key("bert", 2)


@pytest.mark.parametrize(("note", "verifier"), [(SPEC_NOTE, SPEC_KEY), (GO_NOTE, GO_KEY)])
def test_the_published_notes_check(note, verifier):
    """Of C2SP's signed-note, and of Go's package note."""
    assert parse(note).is_signed_by(VerifierKey.parse(verifier))
    assert str(parse(note)) == note
    assert str(VerifierKey.parse(verifier)) == verifier


def test_signing_gives_the_published_bytes():
    """Ed25519 has one signature for one text and key."""
    secret = from_base64(GO_SECRET)
    assert secret is not None
    signer = SigningKey("PeterNeumann", Ed25519PrivateKey.from_private_bytes(secret))
    assert str(signer.verifier) == GO_KEY
    assert str(sign(parse(GO_NOTE).text, [signer])) == GO_NOTE


@pytest.mark.parametrize(
    ("seed", "public", "message", "signature"),
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            (
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065"
                "224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
            ),
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "r",
            (
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223"
                "ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
            ),
        ),
    ],
)
def test_ed25519_is_that_of_rfc_8032(seed, public, message, signature):
    """Section 7.1, tests 1 and 2."""
    signer = SigningKey("x", Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed)))
    assert signer.verifier.public.hex() == public
    assert signer.sign(message).signature.hex() == signature
    assert signer.verifier.signed(message, bytes.fromhex(signature))


def test_the_text_ends_at_the_last_empty_line():
    """A text may hold empty lines, and letters of any alphabet."""
    for text in ("one\n\ntwo\n", "è subito sera.\n", "\n", "\n\n\nx\n", "— not a signature\n", "a\n\n"):
        note = sign(text, [ANNA, BERT])
        assert note.text == text
        assert parse(str(note).encode()) == note
        assert note.is_signed_by(ANNA.verifier)
        assert note.is_signed_by(BERT.verifier)


@pytest.mark.parametrize(
    "text", ["", "no newline at its end", "a\r\n", "tab\t\n", "a\n\n— b AAAAAAAA\n\n— c", "\ud800\n"]
)
def test_what_cannot_be_a_text_is_not_signed(text):
    with pytest.raises((Malformed, UnicodeEncodeError)):
        sign(text, [ANNA])


def test_a_note_nobody_signs_is_none():
    with pytest.raises(Malformed, match="line 3: no signature"):
        sign("x\n", [])


def test_a_signature_by_another_key_means_nothing_and_a_false_one_is_told():
    """Same name and other id: unknown. Same name and id, and it does not check: the text was changed."""
    note = sign("x\n", [ANNA])
    assert not note.is_signed_by(BERT.verifier)
    assert not note.is_signed_by(key("anna", 3).verifier)
    changed = Note("y\n", note.signatures)
    assert not changed.is_signed_by(BERT.verifier)
    with pytest.raises(NotProved, match="the signature of anna under y is false"):
        changed.is_signed_by(ANNA.verifier)


def test_every_flipped_bit_of_a_signed_note_is_refused():
    """Whichever byte it is in: text, name, id, signature."""
    whole = str(sign("sidechain/x/0/epoch-0\n7\n", [ANNA])).encode()
    for at in range(len(whole)):
        for bit in range(8):
            altered = bytearray(whole)
            altered[at] ^= 1 << bit
            assert not checks(bytes(altered)), (at, bit)
    assert checks(whole)


def checks(data: bytes) -> bool:
    try:
        return parse(data).is_signed_by(ANNA.verifier)
    except (Malformed, NotProved):
        return False


GOOD = str(sign("one\ntwo\n", [ANNA]))
LINE = GOOD.split("\n")[3]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no empty line"),
        ("one\ntwo\n", "no empty line"),
        (f"\n{LINE}\n", "no empty line"),
        ("one\ntwo\n\n", "line 4: no signature"),
        (GOOD[:-1], "line 4: the last line does not end with a newline"),
        (GOOD + "\n", "line 6: no signature"),
        (f"one\ntwo\n\n{LINE}\n{LINE}\n", "line 5: a second signature of anna"),
        (f"one\ntwo\n\n-{LINE[1:]}\n", "line 4: a signature line reads"),
        (f"one\ntwo\n\n{LINE}\nx\n", "line 5: a signature line reads"),
        ("one\ntwo\n\n— anna\n", "line 4: a signature line reads"),
        ("one\ntwo\n\n—  AAAAAAA=\n", "line 4: the key's name is empty"),
        (f"one\ntwo\n\n— a+{LINE[2:]}\n", "line 4: the key's name contains"),
        (f"one\ntwo\n\n— a\u2003{LINE[2:]}\n", "line 4: the key's name contains"),
        (f"one\ntwo\n\n— {'a' * 129} AAAAAAA=\n", "longer than 128 characters"),
        (f"one\ntwo\n\n{LINE} \n", "line 4: the signature is not base64"),
        (f"one\ntwo\n\n{LINE[:-1]}\n", "line 4: the signature is not base64"),
        ("one\ntwo\n\n— anna AAAAAAB=\n", "line 4: the signature is not base64"),  # bits nobody reads
        ("one\ntwo\n\n— anna AAAAAA==\n", "line 4: the signature is shorter"),
        ("one\r\ntwo\n\n— anna AAAAAAA=\n", "line 1: a control character"),
        (b"one\n\xfftwo\n\n", "not UTF-8"),
        ("x" * MAX_NOTE_BYTES + "\n", "longer than 131,072 bytes"),
        ("x\n\n" + "".join(f"— a{n} AAAAAAA=\n" for n in range(33)), "line 35: more than 32 signatures"),
    ],
)
def test_what_is_no_note_is_refused_with_the_line(text, problem):
    with pytest.raises(Malformed, match=problem):
        parse(text)


def test_sixteen_signatures_are_always_accepted():
    """The specification wants it, of 5 kB each too."""
    several = parse("x\n\n" + "".join(f"— a{n} {'AAAA' * 2_200}\n" for n in range(14)))
    assert len(several.signatures) == 14
    assert len(sign("x\n", [key(f"k{n}", n) for n in range(16)]).signatures) == 16


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "<name>.<id>.<base64>"),
        ("example.com/foo", "<name>.<id>.<base64>"),
        (SPEC_KEY + "\n", "not base64"),
        (SPEC_KEY.replace("530d903a", "530D903A"), "its id is 530d903a"),
        (SPEC_KEY.replace("foo", "fop"), "a character is wrong"),
        (SPEC_KEY.replace("Kv3U2k", "Kv3U2j"), "a character is wrong"),
        (SPEC_KEY.replace("+Aeky", "+Beky"), "not an Ed25519 key"),
        (SPEC_KEY[:-4], "32 bytes, not 29"),
        ("+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "name is empty"),
        ("\ud800+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "what is no character"),
        ("a b+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "contains a space"),
    ],
)
def test_what_is_no_key_is_refused(text, problem):
    """A character lost in copying is found by the id."""
    with pytest.raises(Malformed, match=problem):
        VerifierKey.parse(text)


def test_a_private_key_is_never_printed():
    private = ANNA.private.private_bytes_raw()
    for shown in (repr(ANNA), str(ANNA), f"{ANNA}", repr([ANNA])):
        assert "anna" in shown
        assert private.hex() not in shown
        assert repr(private) not in shown


def b64_of(data: bytes) -> str:
    """Base64, three bytes at a time."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    padded = data + bytes(-len(data) % 3)
    value = int.from_bytes(padded)
    count = len(padded) * 4 // 3
    text = "".join(digits[value >> 6 * (count - 1 - at) & 63] for at in range(count))
    return text[: count - len(padded) + len(data)] + "=" * (len(padded) - len(data))


ROOT = sha256(b"root").digest()
HEAD = "4d" * 32
POINT = Checkpoint(
    origin=Origin("web", 3, 0), size=20852163, root=ROOT, head=HEAD, totals={"rejected": 12, "entries": 20852163}
)


TEXT = f"sidechain/web/3/epoch-0\n20852163\n{b64_of(ROOT)}\nentries=20852163\nhead={HEAD}\nrejected=12\n"


def test_a_checkpoint_is_its_text():
    """Line by line, the counts and the head in the order of their names."""
    assert POINT.text() == TEXT
    assert checkpoints.parse(POINT.text()) == POINT
    bare = Checkpoint(origin=Origin("sidechain.web", 0, 12), size=0, root=EMPTY_ROOT)
    assert bare.text() == "sidechain/sidechain.web/0/epoch-12\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    assert checkpoints.parse(bare.text()) == bare


GOOD_POINT = POINT.text()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("sidechain/web", "side/web", "line 1: an origin reads"),
        ("web/3/", "web/03/", "line 1"),
        ("epoch-0", "epoch-", "line 1"),
        ("epoch-0", "epoch-0/x", "line 1"),
        ("sidechain/web", "sidechain/../web", "line 1"),
        ("20852163\n", "020852163\n", "line 2: the size is not"),
        ("20852163\n", "-1\n", "line 2"),
        ("20852163\n", "9223372036854775808\n", "line 2"),
        ("20852163\n", "٣\n", "line 2"),  # a digit, not one of ours
        ("20852163\n", "0\n", "line 3: the root of no entries"),
        ("=\n", "\n", "line 3: the root is not base64 of 32 bytes"),
        (b64_of(ROOT), b64_of(ROOT[1:]), "line 3"),
        (b64_of(ROOT), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "line 3: the root of no entries"),
        ("entries=", "Entries=", "line 4: a line below the root"),
        ("entries=", "entries ", "line 4"),
        ("entries=2", "entries=02", "line 4: entries is not a whole number"),
        ("entries=2", "entries=2.", "line 4"),
        ("head=4d", "head=4D", "line 5: head is the 64"),
        ("head=4d", "head=", "line 5"),
        ("rejected=", "accepted=", "line 6: accepted must stand once, in the order"),
        ("rejected=12\n", "rejected=12\nrejected=12\n", "line 7: rejected must stand once"),
        ("rejected=12\n", "rejected=12\n\n", "line 7"),
        ("rejected=12\n", "rejected=12", "a line each"),
        ("rejected=12\n", "rejected=12\n" + "".join(f"t{n}=1\n" for n in range(10, 72)), "line 68: more than 64"),
    ],
)
def test_what_is_no_checkpoint_is_refused_with_the_line(old, new, problem):
    assert old in GOOD_POINT
    with pytest.raises(Malformed, match=f"checkpoint.*{problem}" if "line" in problem else problem):
        checkpoints.parse(GOOD_POINT.replace(old, new, 1))


@pytest.mark.parametrize(
    "point",
    [
        {"size": -1},
        {"size": 2**63},
        {"root": b"x"},
        {"head": "x"},
        {"totals": {"Rejected": 1}},
        {"totals": {"rejected": -1}},
        {"totals": {"head": 1}},
        {"totals": {"x=1\ny": 1}},
        {"origin": Origin("a/b", 0, 0)},
        {"origin": Origin("web", -1, 0)},
    ],
)
def test_a_checkpoint_that_cannot_be_read_back_is_not_written(point):
    fields = {"origin": Origin("web", 0, 0), "size": 1, "root": ROOT, **point}
    with pytest.raises(Malformed):
        Checkpoint(**fields).text()


def test_the_dry_kernel_and_the_tree_know_no_cryptography():
    """A decider that signs nothing must not need the library."""
    code = (
        "import sys, sidechain.models.dry, sidechain.models.proof.merkle, sidechain.models.proof.paths\n"
        "print('cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "False\n")
