"""The byte contract, read out of topics/README.md: its examples are real, chained, and told whole."""

import json
import re
from hashlib import sha256

import msgspec
import pytest

from sidechain.agents.believing import UNTRUSTING, Believer
from sidechain.agents.checkpoints import Keys
from sidechain.models.columns import read as read_row
from sidechain.models.dry.budget import REASONS as REASONS_OF_BUDGETS
from sidechain.models.dry.budget.records import Transfer
from sidechain.models.dry.parse import REASONS
from sidechain.models.dry.settling import VERDICTS
from sidechain.models.pack_file import load
from sidechain.models.proof import certificate as certificates
from sidechain.models.proof import note as notes
from sidechain.models.proof.chain_check import ChainCheck
from sidechain.models.proof.checkpoint import Origin
from sidechain.models.proof.ledger import Ledger
from sidechain.models.proof.note import VerifierKey
from sidechain.models.report.document import Chain, Known, document, seal
from sidechain.models.report.tally import Ask
from sidechain.models.report.what_if import gates_of
from sidechain.topics import alerts, dry, human, wet
from sidechain.topics.catalog import catalog
from sidechain.topics.codec import encode
from tests.page import BLOCKS, EVENT_OFFSETS, TEXT, entries, lines
from tests.proofs import OLD, ROOT, certificate

SEAL = 75


def test_every_hash_is_sha256_over_all_but_the_last_75_bytes():
    """Recomputed with hashlib alone, as a stranger would."""
    for line in lines("dry.decisions"):
        stated = json.loads(line)["hash"]
        assert line[-SEAL:] == b',"hash":"%b"}' % stated.encode()
        assert sha256(line[:-SEAL]).hexdigest() == stated


def test_the_checkpoint_is_what_a_worker_signs_over_these_entries():
    """Ed25519 signs the same bytes the same way, so the example is a test vector; so is the key that checks it."""
    [line] = lines("dry.checkpoints")
    record = json.loads(line)
    assert record["note"].rstrip("\n") == BLOCKS["note"]
    root = VerifierKey.parse(BLOCKS["root.pub"])
    given = [notes.parse(record["certificate"])]
    assert certificates.verify(notes.parse(record["note"]), given, root).checkpoint.size == 5
    note = certificate(scopes=["sidechain/sidechain.doors"])
    [certified] = certificates.in_force([note], ROOT.verifier)
    ledger = Ledger()
    ledger.extend(lines("dry.decisions"))
    assert Keys(OLD, certified, note, ROOT.verifier).record(Origin("sidechain.doors", 0, 0), ledger) == line


def test_every_entry_names_the_hash_of_the_one_before():
    chain = entries()
    assert [one["seq"] for one in chain] == [0, 1, 2, 3, 4]
    assert [one["prev"] for one in chain] == ["0" * 64, *(one["hash"] for one in chain[:-1])]
    assert [one["kind"] for one in chain] == ["decision", "duplicate", "rejected", "policy", "decision"]


def test_every_digest_is_that_of_the_input_the_source_names():
    inputs = {("events", offset): value for offset, value in zip(EVENT_OFFSETS, lines("events"), strict=True)}
    inputs["control", 0] = lines("control")[0]
    for one in entries():
        topic, partition, offset = one["source"]
        assert partition == 0
        assert one["digest"] == sha256(inputs[topic, offset]).hexdigest()


def test_next_is_one_more_than_the_last_offset_with_an_entry():
    reached = {"events": 0, "outcomes": 0, "control": 0}
    for one in entries():
        topic, _, offset = one["source"]
        reached[topic] = offset + 1
        assert one["next"] == reached


def test_a_policy_is_named_by_the_digest_of_its_text():
    text = BLOCKS["doors.yaml"].encode() + b"\n"
    change = json.loads(lines("control")[0])
    chain = entries()
    assert chain[0]["policy"] == f"doors@1:{sha256(text).hexdigest()[:12]}"
    assert change["digest"] == sha256(change["text"].encode()).hexdigest()
    assert chain[3]["policy"] == chain[4]["policy"] == f"doors@2:{change['digest'][:12]}"
    assert chain[3]["previous"] == chain[0]["policy"]


def test_the_digest_of_the_state_is_the_sum_the_page_defines():
    """Worked out from the page's own lines, with hashlib alone."""
    records = [line.split("  ", 1) for line in BLOCKS["dry.state"].splitlines()]
    summed = [one for one in records if one[0].startswith(("k:", "p:", "ids:"))]
    parts = [sha256(f"{key}\0{value}".encode()).digest()[:16] for key, value in summed]
    total = sum(int.from_bytes(one, "big") for one in parts) % 2**128
    assert json.loads(dict(records)["head"])["digest"] == f"{total:032x}"


@pytest.mark.parametrize(
    ("topic", "type_"),
    [
        ("control", human.PolicyRecord),
        ("rows", human.RowsRecord),
        ("list", human.ListRecord),
        ("dry.transfers", Transfer),
        ("wet.taps", wet.Tap),
        ("wet.cases", wet.Case),
        ("wet.signals", wet.LearnedSignal),
        ("wet.models", human.ModelRecord),
        ("wet.scores", wet.Score),
        ("wet.metadata", wet.Metadata),
        ("wet.compensations", wet.Compensation),
        ("alerts", alerts.Alert),
        ("incidents", alerts.IncidentRecord),
    ],
)
def test_a_record_comes_back_as_it_was(topic, type_):
    """Byte for byte: field order, spacing and numbers."""
    written = lines("lists") if topic in ("rows", "list") else lines(topic)
    for line in (one for one in written if topic not in ("rows", "list") or f'"kind":"{topic}"'.encode() in one):
        assert encode(msgspec.json.decode(line, type=type_)) == line


def test_an_outcome_comes_back_as_it_was():
    """The last one is what the page calls unreadable."""
    *right, wrong = lines("outcomes")
    assert [encode(msgspec.json.decode(line, type=human.Outcome)) for line in right] == right
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(wrong, type=human.Outcome)


def test_the_page_names_every_reason_an_outcome_can_be_refused_for():
    told = re.search(r"`reason` of a `refused-outcome` is one of (.*?)\. Then", TEXT, re.DOTALL)
    assert told is not None
    assert tuple(re.findall(r"`([a-z]+-[a-z-]+)`", told[1])) == VERDICTS


def test_every_reason_of_a_refused_reservation_is_on_the_page():
    told = re.search(r"`reason` of a refusal is one of (.*?)`balance-too-large`", TEXT, re.DOTALL)
    assert told is not None
    of_transfers = {"period-over", "repeated-transfer", "foreign-transfer"}
    unused = {"unknown-reservation", "unknown-unit"}  # the entry of such a settlement says null, or settles as reserved
    of_page = re.search(r"`reason` of a `debit` or `credit` is null (.*?)What was given", TEXT, re.DOTALL)
    assert of_page is not None
    also = {"exhausted", "unknown-account", "too-many-accounts", "balance-too-large"}
    assert set(re.findall(r"`([a-z]+-[a-z-]+|exhausted)`", of_page[1])) == of_transfers | also
    named = {*re.findall(r"`([a-z]+-[a-z-]+|exhausted|owing|expired)`", told[1]), "balance-too-large"}
    assert named == REASONS_OF_BUDGETS.keys() - of_transfers - unused


def test_a_list_is_named_by_the_digest_of_its_sorted_rows():
    """Worked out from the page's own records, with hashlib alone; `LC_ALL=C sort` sorts bytes."""
    *chunks, change = (json.loads(one) for one in lines("lists"))
    text = "".join(one["rows"] for one in chunks)
    rows = text.splitlines()
    assert rows == sorted(rows, key=str.encode)
    assert (change["digest"], change["rows"]) == (sha256(text.encode()).hexdigest(), len(rows))
    assert change["chunks"] == list(range(len(chunks)))


def test_an_entry_comes_back_as_it_was():
    blocks = ("dry.decisions", "settlements", "repairs", "listed", "budgeted", "governed", "transferred", "learned")
    for block in [*(lines(name) for name in blocks), lines("proposed")[1:]]:
        found = [dry.decode_entry(line) for line in block]
        assert [type(one) for one in found] == [dry.ENTRIES[one.kind] for one in found]
        assert [encode(one) for one in found] == block
    assert not dry.decode_entry(lines("dry.decisions")[0]).used_signals
    assert dry.decode_entry(lines("dry.decisions")[4]).used_signals


@pytest.mark.parametrize(
    "line",
    [b'{"v":2,"kind":"decision"}', b'{"v":1,"kind":"adopted"}', b"{}", b"not json"],
    ids=["another version", "another kind", "empty", "no JSON"],
)
def test_an_unknown_entry_is_refused_rather_than_mistaken(line):
    with pytest.raises(msgspec.DecodeError):
        dry.decode_entry(line)


def test_a_reader_passes_over_fields_it_does_not_know():
    tap = lines("wet.taps")[0]
    wider = tap[:-1] + b',"new":1}'
    assert msgspec.json.decode(wider, type=wet.Tap) == msgspec.json.decode(tap, type=wet.Tap)


def test_a_dead_letters_headers_are_typed():
    headers = [line.split(": ", 1) for line in BLOCKS["dry.deadletters"].partition("\n\n")[0].splitlines()]
    letter = dry.letter([(name, text.encode()) for name, text in headers])
    rejected = entries()[2]
    assert (letter.topic, letter.partition, letter.offset) == tuple(rejected["source"])
    assert (letter.reason, letter.field, letter.digest) == (rejected["reason"], rejected["field"], rejected["digest"])
    assert letter.length == rejected["length"] == len(lines("events")[2])
    assert not letter.truncated


def test_the_report_is_what_these_entries_come_to():
    """Counted anew from the page: five entries, and the checkpoint over them."""
    texts = [BLOCKS["doors.yaml"].encode() + b"\n", json.loads(lines("control")[0])["text"].encode()]
    policies = {one.ref: one for one in (load(text, name="doors.yaml") for text in texts)}
    ask = Ask(gates=gates_of(policies.values()))
    tally = ask.tally(0)
    check = ChainCheck(with_points=True, seen=tally.take)
    Believer(UNTRUSTING, 0).tell(check, lines("dry.checkpoints")[0], "the page")
    assert check.take(lines("dry.decisions")).fault is None
    check.finish()
    tally.finish()
    sealed = seal(document([Chain(0, check.epochs, tally)], ask, Known(policies)))
    assert sealed == lines("report")[0]
    assert sha256(sealed[:-77]).hexdigest() == json.loads(sealed)["digest"]


def test_a_report_and_a_table_can_read_every_entry_of_the_page():
    """Those of kinds that no chain above has, too."""
    sealed = [
        line.encode() for block in BLOCKS.values() for line in block.splitlines() if line.startswith('{"v":1,"seq"')
    ]
    tally = Ask().tally(0)
    for line in sealed:
        tally.take(0, [line])
    tally.finish()
    assert tally.unreadable == 0
    assert sum(tally.inside.by_name("kind").values()) == len(sealed) >= 7
    assert all(read_row(line) is not None for line in sealed)


def test_the_page_speaks_of_every_topic_and_of_no_other():
    headings = set(re.findall(r"^## `([a-z.]+)`$", TEXT, re.MULTILINE))
    later = set(re.findall(r"`([a-z.]+)`", TEXT.rpartition("## Topics without records")[2]))
    assert headings | later == set(catalog())
    assert not headings & later


def test_the_page_lists_every_reason_and_every_kind():
    reasons = re.search(r"`reason` of `rejected` is one of (.*?);", TEXT, re.DOTALL)
    assert reasons is not None
    assert tuple(re.findall(r"`([a-z0-9-]+)`", reasons[1])) == REASONS
    assert set(re.findall(r"^\| `([\w-]+)` \| (?:one |none)", TEXT, re.MULTILINE)) == set(dry.ENTRIES)


def test_the_table_of_kinds_names_each_kinds_own_fields():
    common = ["v", "seq", "prev", "kind", "id", "key", "at", "source", "digest", "next", "policy"]
    for kind, type_ in dry.ENTRIES.items():
        row = re.search(rf"^\| `{kind}` \|.*\| (.*) \|$", TEXT, re.MULTILINE)
        assert row is not None
        own = re.findall(r"`(\w+)`(?:: `seq`)?", row[1])
        assert [*common, *own, "hash"] == list(type_.__struct_encode_fields__)
