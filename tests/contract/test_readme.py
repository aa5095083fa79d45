"""The byte contract, read out of topics/README.md: its examples are real, chained, and what the code writes."""

import hmac
import json
import re
from base64 import b32encode
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from sidechain.agents.believing import UNTRUSTING, Believer
from sidechain.agents.checkpoints import Keys
from sidechain.agents.lane.outcomes import Forward, forwards
from sidechain.agents.lane.signals import SignalsTable
from sidechain.agents.subjects import signal_key
from sidechain.agents.tap import Mask, entry_in
from sidechain.agents.wet.aggregator import learned_record
from sidechain.agents.wet.sentinel import heard, incident
from sidechain.models import proposal as proposals
from sidechain.models.columns import read as read_row
from sidechain.models.compare_fields import figures
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.accounts import BUDGET_PREFIXES
from sidechain.models.dry.budget import REASONS as REASONS_OF_BUDGETS
from sidechain.models.dry.budget.records import Transfer
from sidechain.models.dry.entry import stated
from sidechain.models.dry.governance import GOVERNED_PREFIXES
from sidechain.models.dry.parse import REASONS
from sidechain.models.dry.program import SignalValue
from sidechain.models.dry.settling import VERDICTS
from sidechain.models.list_rows import ListRows
from sidechain.models.pack_file import load
from sidechain.models.policy import PANEL, Policy
from sidechain.models.proof import certificate as certificates
from sidechain.models.proof import note as notes
from sidechain.models.proof.chain_check import ChainCheck
from sidechain.models.proof.checkpoint import Origin
from sidechain.models.proof.ledger import Ledger
from sidechain.models.proof.note import VerifierKey
from sidechain.models.report.document import Chain, Known, document, seal
from sidechain.models.report.tally import Ask
from sidechain.models.report.what_if import gates_of
from sidechain.models.shadow import Shadow
from sidechain.models.wet.aggregate import Case, Shares
from sidechain.models.wet.incidents import GATHER_MS, SETTLED_MS, Correlator
from sidechain.models.wet.selector import labels
from sidechain.topics import alerts, dry, human, wet
from sidechain.topics.catalog import catalog
from sidechain.topics.codec import encode
from tests.proofs import OLD, ROOT, certificate

README = Path(__file__).resolve().parents[2] / "topics" / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```\w+ (\S+)\n(.*?)\n```$", TEXT, re.MULTILINE | re.DOTALL))
SEAL = 75
EVENT_OFFSETS = (0, 1, 2, 4)


def lines(topic: str) -> list[bytes]:
    return [line.encode() for line in BLOCKS[topic].splitlines()]


def entries() -> list[dict]:
    return [json.loads(line) for line in lines("dry.decisions")]


def folded() -> tuple[list[bytes], list, Fold]:
    """The kernel's own entries for the inputs of the page."""
    policy = load(BLOCKS["doors.yaml"].encode() + b"\n", name="doors.yaml")
    fold = Fold(policy, 0)
    inputs = [Line(offset, b"b-17", value) for offset, value in zip(EVENT_OFFSETS, lines("events"), strict=True)]
    first = fold.events(inputs[:3])
    change = fold.control(Line(0, b"doors", lines("control")[0]), lambda text: load(text, name="control"))
    signal = entries()[4]["signals"]["risk"]
    known = SignalValue(**signal)
    last = fold.events(inputs[3:], lambda _key: known)
    made = [value for _, value in first.entries + change.entries + last.entries]
    return made, first.dead_letters, fold


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


def test_the_kernel_writes_these_bytes():
    made, letters, fold = folded()
    assert made == lines("dry.decisions")
    headers, _, value = BLOCKS["dry.deadletters"].partition("\n\n")
    assert [(name, text.decode()) for name, text in letters[0].headers] == [
        tuple(line.split(": ", 1)) for line in headers.splitlines()
    ]
    assert letters[0].value == value.encode()
    assert [_state_line(key, change) for key, change in fold.changes()] == BLOCKS["dry.state"].splitlines()


def _state_line(key: bytes, value: bytes) -> str:
    if not key.startswith(b"policy:"):
        return f"{key.decode()}  {value.decode()}"
    policy = load(value, name="dry.state")
    assert key.decode() == f"policy:{policy.digest}"
    return f"{key.decode()}  <the text of {policy.ref}>"


def test_the_kernel_writes_these_settlements():
    """Behind the last entry of the example: the entries, the one that goes elsewhere, and what the state remembers."""
    _, _, fold = folded()
    fold.changes()
    settled = fold.outcomes([Told(offset, b"b-17", value) for offset, value in enumerate(lines("outcomes"))])
    assert [value for _, value in settled.entries] == lines("settlements")
    assert [letter.value for letter in settled.dead_letters] == [lines("outcomes")[4]]
    assert forwards(settled.misplaced, 0, 3) == [
        Forward(2, b"b-17", lines("outcomes")[3], (("forwarded.from", b"0@3"),))
    ]
    assert fold.changes()[0] == (b"settled:0", b'[0,"300"]')
    assert '`settled:0  [0,"300"]`' in TEXT


class Told(NamedTuple):
    """An outcome as it was written."""

    offset: int
    key: bytes
    value: bytes
    headers: tuple = ()


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


def test_the_kernel_writes_these_repairs():
    """A gap behind the example's last entry, and an epoch behind the gap."""
    _, _, fold = folded()
    gap, epoch = (dry.decode_entry(line) for line in lines("repairs"))
    assert fold.gap("events", gap.to, at_ms=gap.at, by=gap.by, why=gap.why) == lines("repairs")[0]
    about = {"at_ms": epoch.at, "by": epoch.by, "why": epoch.why}
    begun = Fold.begin_epoch(fold.policy, 0, 1, stated(lines("repairs")[0], 5), fold.next, **about)
    assert begun[1] == lines("repairs")[1]


def test_the_kernel_writes_these_entries_of_a_list():
    """An event, the records that put a list in force, and an event behind them."""
    policy = load(BLOCKS["lists.yaml"].encode() + b"\n", name="lists.yaml")
    control = {at: Line(at, b"doors/lost", value) for at, value in enumerate(lines("lists"))}
    rows = ListRows(control)
    fold = Fold(policy, 0)
    event = lines("events")[0]
    made = fold.events([Line(0, b"b-17", event)]).entries
    for one in control.values():
        made += fold.control(one, rows=rows.of).entries
    later = event.replace(b"door-1", b"door-2").replace(b"807256800000", b"807256861000")
    made += fold.events([Line(1, b"b-17", later)]).entries
    assert [value for _, value in made] == lines("listed")
    listed = [f"{name.decode()}  {value.decode()}" for name, value in fold.changes() if name.startswith(b"list:")]
    assert listed == BLOCKS["list.state"].splitlines()


def test_the_kernel_writes_these_entries_of_budgets():
    """Two events and the cost of the first."""
    fold = Fold(load(BLOCKS["budgets.yaml"].encode() + b"\n", name="budgets.yaml"), 0, partitions=2)
    first = lines("events")[0]
    second = first.replace(b"door-1", b"door-2").replace(b"807256800000", b"807256861000")
    made = fold.events([Line(0, b"b-17", first), Line(1, b"b-17", second)]).entries
    made += fold.outcomes([Line(0, b"b-17", b'{"id":"door-1","at":807861700000,"cost_minor":120}')]).entries
    assert [value for _, value in made] == lines("budgeted")
    live = [(name, value) for name, value in fold.changes() if name.startswith(BUDGET_PREFIXES) and value is not None]
    assert [f"{name.decode()}  {value.decode()}" for name, value in live] == BLOCKS["budget.state"].splitlines()


def test_the_kernel_writes_these_entries_of_governance():
    """An event, its cost, and an event about the same."""
    fold = Fold(load(BLOCKS["governed.yaml"].encode() + b"\n", name="governed.yaml"), 0, partitions=2)
    first = lines("events")[0]
    second = first.replace(b"door-1", b"door-2").replace(b"807256800000", b"807256861000")
    made = fold.events([Line(0, b"b-17", first)]).entries
    made += fold.outcomes([Line(0, b"b-17", b'{"id":"door-1","at":807256860000,"cost_minor":170}')]).entries
    made += fold.events([Line(1, b"b-17", second)]).entries
    assert [value for _, value in made] == lines("governed")
    live = [(name, value) for name, value in fold.changes() if name.startswith(GOVERNED_PREFIXES) and value is not None]
    assert [f"{name.decode()}  {value.decode()}" for name, value in live] == BLOCKS["governed.state"].splitlines()


def transferred() -> tuple[list[bytes], list[bytes]]:
    """What goes between the partitions of the page's budgets, and the entries."""
    policy = load(BLOCKS["budgets.yaml"].encode() + b"\n", name="budgets.yaml")
    here, there = (Fold(policy, one, partitions=2) for one in (0, 1))
    first = lines("events")[0]
    at = [b"807256800000", b"807256861000", b"807256921000", b"807256981000"]
    events = [first.replace(b"door-1", b"door-%d" % (n + 1)).replace(at[0], at[n]) for n in range(4)]
    events[2:] = [one.replace(b"b-17", b"b-23") for one in events[2:]]
    here.events([Line(n, b"b-17", one) for n, one in enumerate(events[:2])])
    here.outcomes([Line(0, b"b-17", b'{"id":"door-1","at":807861700000,"cost_minor":120}')])
    refused = here.events([Line(2, b"b-23", events[2])])
    [ask] = refused.sent
    debit = there.transfers([Line(0, ask.key, ask.value)])
    [grant] = debit.sent
    credit = here.transfers([Line(0, grant.key, grant.value)])
    allowed = here.events([Line(3, b"b-23", events[3])])
    assert (ask.partition, grant.partition, ask.key, grant.key) == (1, 0, b"house_day", b"house_day")
    made = [value for folded in (refused, debit, credit, allowed) for _, value in folded.entries]
    return [ask.value, grant.value], made


def test_the_kernel_writes_these_transfers_and_their_entries():
    """A refusal, its question, the answer, and what is allowed by it."""
    sent, made = transferred()
    assert sent == lines("dry.transfers")
    assert made == lines("transferred")
    assert [json.loads(one)["kind"] for one in made] == ["decision", "debit", "credit", "decision"]
    assert [json.loads(made[n])["action"] for n in (0, 3)] == ["review", "allow"]


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


def doors(text: bytes) -> Policy:
    return load(text, name="doors.yaml")


def test_a_candidate_beside_these_entries_comes_to_these_figures():
    """The policy activated later, beside the three entries before it."""
    stated = json.loads(lines("wet.shadow")[0])
    inputs = {
        ("events", at): Line(at, b"b-17", value) for at, value in zip(EVENT_OFFSETS, lines("events"), strict=True)
    }
    one = Shadow(doors(activated()), 0, lambda topic, at: inputs.get((topic, at)), lambda _value: None)
    for line in lines("dry.decisions")[:3]:
        one.take(line)
    assert (stated["entries"], stated["seq"], stated["head"]) == (one.entries, one.seq, entries()[2]["hash"])
    assert (stated["policy"], stated["digest"]) == (one.policy.ref, one.policy.digest)
    assert msgspec.json.encode(stated["figures"]) == msgspec.json.encode(figures(one.found, None))
    assert encode(msgspec.json.decode(lines("wet.shadow")[0], type=wet.ShadowRecord)) == lines("wet.shadow")[0]


def activated() -> bytes:
    """The text of the policy on `control`."""
    return json.loads(lines("control")[0])["text"].encode()


def test_a_proposal_is_named_by_what_it_says():
    """With hashlib alone; its words are those of the diff, its evidence that of the shadow."""
    value = lines("human.proposals")[0]
    stated = json.loads(value)
    assert stated["id"] == sha256(value[:-73]).hexdigest()
    found = proposals.read(value)
    old, new = doors(BLOCKS["doors.yaml"].encode() + b"\n"), doors(activated())
    assert found.change == proposals.to_policy(new, old)
    shown = {name: one for name, one in found.evidence[0].figures.items() if name != "chains"}
    assert shown == json.loads(lines("wet.shadow")[0])["figures"]
    assert encode(found) == value


def test_the_kernel_seals_which_proposal_a_policy_follows():
    """The same record with one field more, and the entry it makes."""
    change, sealed = lines("proposed")
    assert json.loads(change) == {
        **json.loads(lines("control")[0]),
        "proposal": json.loads(lines("human.proposals")[0])["id"],
    }
    fold = Fold(doors(BLOCKS["doors.yaml"].encode() + b"\n"), 0)
    inputs = [Line(at, b"b-17", value) for at, value in zip(EVENT_OFFSETS, lines("events"), strict=True)]
    fold.events(inputs[:3])
    made = fold.control(Line(0, b"doors", change), doors)
    assert [value for _, value in made.entries] == [sealed]


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


def test_the_pseudonym_is_the_one_the_page_describes():
    mac = hmac.digest(b"sixteen bytes or more", b"badge|b-17", "sha256")
    expected = "p:" + b32encode(mac[:16]).decode().rstrip("=").lower()
    assert {json.loads(line)["key"] for line in lines("wet.taps") + lines("wet.metadata")} == {expected}


def test_what_is_learned_of_these_cases_is_what_the_page_says():
    """Events and outcomes through kernel, tap, aggregator and table, to the entry on another partition that uses it."""
    policy = load(BLOCKS["learned.yaml"].encode() + b"\n", name="learned.yaml")
    week_ms, at_ms = 604_860_000, 807256800000
    passed = [("door-1", "b-17", at_ms, "east"), ("door-2", "b-17", at_ms + 1_000, "east")]
    passed += [("door-3", "b-17", at_ms + week_ms, "west"), ("door-4", "b-23", at_ms + week_ms + 2_000, "east")]
    events = [msgspec.json.encode(dict(zip(("id", "badge", "at", "door"), one, strict=True))) for one in passed]
    chain = Fold(policy, 0)
    sealed = chain.events([Line(at, b"b-17", value) for at, value in enumerate(events[:3])]).entries
    for at, (name, label) in enumerate((("door-1", "bad"), ("door-2", "good"))):
        outcome = {"id": name, "at": at_ms + week_ms + 1_000, "label": label}
        sealed += chain.outcomes([Told(at, b"b-17", msgspec.json.encode(outcome))]).entries
    mask, shares = Mask(policy, b"sixteen bytes or more"), Shares(policy)
    cases = [mask.case(0, offset, entry_in(value)) for offset, (_, value) in enumerate(sealed)]
    assert [encode(one) for _, one in cases] == lines("wet.cases")
    assert [key for key, _ in cases] == [b"0/0", b"0/1", b"0/2", b"0/0", b"0/1"]
    for _, one in cases:
        shares.take(0, Case(one.offset, one.seq, one.at, one.of, one.label))
    [(subject, word)] = shares.told()
    assert encode(learned_record(word)) == lines("wet.signals")[0]
    table = SignalsTable({})
    table.take([Word(0, signal_key(*subject), lines("wet.signals")[0])])
    last = Fold(policy, 1).events([Line(0, b"b-23", events[3])], latest_of=table.latest_of)
    assert [value for _, value in last.entries] == lines("learned")


class Word(NamedTuple):
    """A record of wet.signals."""

    offset: int
    key: bytes
    value: bytes


def test_a_scores_parts_sum_to_it():
    for line in lines("wet.scores"):
        score = json.loads(line)
        if score["state"] == "scored" and score["score"] < 0.8:
            assert (score["base"], score["reasons"]) == (None, [])
        elif score["state"] == "scored":
            assert (score["expert"], score["chosen"]) in labels(PANEL)
            assert abs(score["base"] + sum(part for _, part in score["reasons"]) - score["score"]) < 1e-6
            assert score["reasons"] == sorted(score["reasons"], key=lambda one: -abs(one[1]))
        else:
            assert score["score"] is score["base"] is score["model"] is None


def test_a_compensations_id_follows_from_its_decision():
    asked = json.loads(lines("wet.compensations")[0])
    decision = asked["decision"]
    named = f"{decision['id']}|{decision['partition']}|{decision['seq']}".encode()
    assert asked["id"] == f"cmp-{sha256(named).hexdigest()[:32]}"
    assert decision["action"] == entries()[decision["seq"]]["action"]


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


def test_the_alerts_of_the_page_are_the_incident_of_the_page():
    """Heard at the times they state, told half a minute later and two minutes after the end."""
    page = [msgspec.json.decode(line, type=alerts.Alert) for line in lines("alerts")]
    correlator, told = Correlator(), []
    for one in page:
        correlator.hear(heard(one, one.at))
        told += correlator.tick(one.at + GATHER_MS)
    told += correlator.tick(page[-1].at + SETTLED_MS)
    assert [encode(incident(one)) for one in told] == lines("incidents")


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
