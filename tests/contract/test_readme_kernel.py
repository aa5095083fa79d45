"""The byte contract's entries: for the inputs of the page the kernel writes the bytes of the page."""

import json

from sidechain.agents.lane.outcomes import Forward, forwards
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.accounts import BUDGET_PREFIXES
from sidechain.models.dry.entry import stated
from sidechain.models.dry.governance import GOVERNED_PREFIXES
from sidechain.models.list_rows import ListRows
from sidechain.models.pack_file import load
from sidechain.topics import dry
from tests.page import BLOCKS, EVENT_OFFSETS, TEXT, Told, doors, folded, lines


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
