"""Anything may be handed to somebody who checks proofs: the answer is what is proved, or a sentence, never a crash."""

from contextlib import suppress

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from sidechain.models.proof import certificate as certificates
from sidechain.models.proof import checkpoint as checkpoints
from sidechain.models.proof.bundle import Consistency, Inclusion, verify_bundle
from sidechain.models.proof.note import Malformed, NotProved, VerifierKey, parse, sign
from tests.proofs import OLD, ROOT, certificate, key
from tests.support import event, line

TEXT = st.text(max_size=40)
LINES = st.lists(
    TEXT | st.sampled_from(["sidechain/web/0/epoch-0", "12", "0", "head=", "for=sidechain/web 0..", "serial=1", ""]),
    max_size=8,
).map("\n".join)
NOTES = st.builds(lambda text, end: text + end, LINES, st.sampled_from(["\n", "\n\n— a AAAAAAA=\n", "\n\n", ""]))


@settings(max_examples=200)
@given(NOTES | st.binary(max_size=200))
def test_any_text_is_a_note_or_refused_and_what_is_read_is_written_alike(data):
    try:
        note = parse(data)
    except Malformed:
        return
    assert str(note) == (data.decode() if isinstance(data, bytes) else data)
    assert not note.is_signed_by(OLD.verifier)


@settings(max_examples=200)
@given(LINES.map(lambda text: text + "\n"))
def test_any_text_is_a_checkpoint_or_a_certificate_or_neither(text):
    for module in (checkpoints, certificates):
        try:
            found = module.parse(text)
        except Malformed:
            continue
        assert found.text() == text


@settings(max_examples=200)
@given(TEXT | st.tuples(TEXT, TEXT, TEXT).map("+".join))
def test_any_line_is_a_key_or_none(text):
    with suppress(Malformed):
        assert str(VerifierKey.parse(text)) == text


@settings(max_examples=100)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=60), st.integers(0, 9))
def test_whatever_is_signed_is_read_back(text, number):
    signer = key("k", number)
    note = sign(text + "\n", [signer])
    assert parse(str(note).encode()) == note
    assert note.is_signed_by(signer.verifier)


CERTIFICATE = str(certificate())
POINT = str(sign(f"sidechain/web/0/epoch-0\n1\n{'A' * 43}=\n", [OLD]))
GIVEN = st.lists(NOTES | st.just(CERTIFICATE), max_size=3).map(tuple)
PATH = st.lists(TEXT | st.just("A" * 43 + "="), max_size=4).map(tuple)
ENTRY = TEXT | st.just(line(event(0)).decode() + ',"hash":"' + "0" * 64 + '"}')
INCLUSIONS = st.builds(
    Inclusion,
    entry=ENTRY,
    index=st.integers(-1, 2),
    size=st.integers(-1, 2),
    path=PATH,
    checkpoint=NOTES | st.just(POINT),
    certificates=GIVEN,
)
POINTS = NOTES | st.just(POINT)
CONSISTENCIES = st.builds(Consistency, old=POINTS, new=POINTS, path=PATH, certificates=GIVEN)
JSON = st.recursive(st.none() | st.integers() | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner))


@settings(max_examples=300)
@given(INCLUSIONS | CONSISTENCIES | st.binary(max_size=100) | JSON.map(msgspec.json.encode))
def test_any_document_proves_something_or_is_refused(document):
    """The one thing these parts can prove: a checkpoint continues itself."""
    try:
        verify_bundle(document, ROOT.verifier)
    except (Malformed, NotProved):
        return
    assert isinstance(document, Consistency)
    assert document.old == document.new == POINT
