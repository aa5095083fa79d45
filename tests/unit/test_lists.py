"""Lists: rows in canonical form, the record that puts them in force, what decisions cite, and what is refused."""

from hashlib import sha256

import msgspec
import pytest

from sidechain.models import Decider
from sidechain.models.dry import Fold, Line, StateMismatch
from sidechain.models.dry.completeness import Booked, Completeness
from sidechain.models.dry.entry import Broken
from sidechain.models.dry.lists import KEY_MAX, LISTS_MAX, ROWS_MAX, Activation, Content, RowsGone, Table
from sidechain.models.dry.replay import Replayer
from sidechain.models.list_file import CHUNK_BYTES, ListError, of_values, offline_control
from sidechain.models.list_rows import ListRows
from sidechain.models.pack_file import load
from sidechain.models.policy import ListSchema
from tests.doors import activation, chunk, doors

PACK = doors("""\
    n: {type: int, optional: true}
lists:
  lost: {type: string}
  limits: {type: string, value: int}
  names: {type: int, value: string, default: nobody}
features:
  - {name: limit, aggregate: value, of: "lists.limits[event.badge]"}
rules:
  - {id: lost, when: event.badge in lists.lost, then: block, reason: Lost.}
  - {id: over, when: "event.n > lists.limits[event.badge]", then: review, reason: Over.}
  - {id: named, when: 'lists.names[event.n] != "nobody"', then: monitor, reason: Named.}
""")
POLICY = load(PACK.encode(), name="doors.yaml")
WITHOUT = load(PACK.partition("lists:")[0].encode() + b"rules: []\n", name="doors.yaml")


def event(number: int, badge: str = "a", n: int | None = None) -> dict:
    return {"id": f"e-{number}", "badge": badge, "at": 1_000 * number, **({} if n is None else {"n": n})}


def written(one: dict) -> bytes:
    return msgspec.json.encode(one)


def asked(records: list[bytes], policy=POLICY) -> tuple[Fold, list[dict]]:
    """The fold behind these control records, and its entries."""
    fold, lines = Fold(policy, 0), [Line(at, b"doors/lost", one) for at, one in enumerate(records)]
    rows = ListRows({one.offset: one for one in lines})
    entries = [value for one in lines for _, value in fold.control(one, rows=rows.of).entries]
    return fold, [msgspec.json.decode(one) for one in entries]


def decide(fold: Fold, *events: dict) -> list[dict]:
    lines = [Line(fold.next["events"] + at, one["badge"].encode(), written(one)) for at, one in enumerate(events)]
    return [msgspec.json.decode(value) for _, value in fold.events(lines).entries]


def test_rules_and_features_ask_lists_and_decisions_say_which_version():
    """Membership, lookup, lookup with a default; in force from the first entry behind their own."""
    decider = Decider(POLICY, lists={"lost": ["b", "a"], "limits": {"a": 5, "c": 7}, "names": {3: "x", 9: "nobody"}})
    opening = [msgspec.json.decode(one) for one in decider.opening]
    refs = {one["list"].partition("@")[0]: one["list"] for one in opening}
    entries = list(decider.decide([event(1, "a", 6), event(2, "c", 7), event(3, "z", 3), event(4, "c", 9)]))
    assert [[one[1] for one in entry["reasons"]] for entry in entries] == [["lost", "over"], [], ["named"], ["over"]]
    assert [entry["features"]["limit"] for entry in entries] == [5, 7, None, 7]
    assert all(entry["lists"] == refs for entry in entries)
    assert [one["replaces"] for one in opening] == [None] * 3
    assert [one["seq"] for one in opening + entries] == list(range(7))


def test_a_list_is_unknown_until_it_is_in_force():
    """Neither on it nor not: no rule fires, and the decision says that there was none."""
    (entry,) = Decider(POLICY).decide([event(1, "a", 6)])
    assert (entry["reasons"], entry["features"]) == ([], {"limit": None})
    assert entry["lists"] == {"lost": None, "limits": None, "names": None}


def test_a_decision_under_a_policy_without_lists_says_nothing_of_lists():
    """Its bytes are those of the releases before, also where a list is in force."""
    (before,) = Decider(WITHOUT).lines([written(event(1))])
    assert b"lists" not in before
    fold, entries = asked([chunk("a\n"), activation("a\n")], WITHOUT)
    assert [one["kind"] for one in entries] == ["list"]
    assert "lists" not in decide(fold, event(1))[0]


def test_a_list_takes_effect_between_two_events_and_is_sealed():
    """The entry names list, version, digest, rows, what was before, who, and where the policy stood."""
    rows = [chunk("a\n"), activation("a\n"), chunk("b\n"), activation("b\n", [2], version=2, by="ben")]
    fold = Fold(POLICY, 0)
    lines = [Line(at, b"doors/lost", one) for at, one in enumerate(rows)]
    found, source = [], ListRows({one.offset: one for one in lines})
    for number, one in enumerate(lines):
        found += [msgspec.json.decode(value) for _, value in fold.control(one, rows=source.of).entries]
        found += decide(fold, event(number, "a"))
    assert [(one["kind"], one.get("action")) for one in found] == [
        ("decision", "allow"),
        ("list", None),
        ("decision", "block"),
        ("decision", "block"),
        ("list", None),
        ("decision", "allow"),
    ]
    sealed = found[4]
    assert sealed == {
        **{name: sealed[name] for name in ("prev", "hash")},
        "v": 1,
        "seq": 4,
        "kind": "list",
        "id": None,
        "key": "doors/lost",
        "at": 5,
        "source": ["control", 0, 3],
        "digest": sha256(rows[3]).hexdigest(),
        "next": {"events": 3, "outcomes": 0, "control": 4},
        "policy": POLICY.ref,
        "list": f"lost@2:{sha256(b'b' + bytes([10])).hexdigest()[:12]}",
        "content": sha256(b"b\n").hexdigest(),
        "rows": 1,
        "replaces": f"lost@1:{sha256(b'a' + bytes([10])).hexdigest()[:12]}",
        "by": "ben",
    }
    assert sealed["prev"] == found[3]["hash"]


@pytest.mark.parametrize(
    "records",
    [
        [chunk("a\n")],  # rows alone
        [b'{"kind":"rows",' + b"junk"],
        [chunk("a\n"), activation("a\n", name="other")],  # another pack's
    ],
)
def test_records_that_change_nothing_make_no_entry(records):
    """Nor do they move the position."""
    fold, entries = asked(records)
    assert (entries, fold.next["control"]) == ([], 0)


def test_what_is_in_force_already_makes_no_entry_and_another_version_of_the_same_rows_does():
    """So the version a decision cites is the one a person meant."""
    same = [chunk("a\n"), activation("a\n"), activation("a\n"), activation("a\n", version=2), activation("a\n")]
    assert [one["list"].split(":")[0] for one in asked(same)[1]] == ["lost@1", "lost@2", "lost@1"]


BAD = {
    "rows behind it": [activation("a\n", [1]), chunk("a\n")],
    "itself": [activation("a\n", [0])],
    "no rows there": [b"{}", activation("a\n", [0])],
    "rows that are no JSON": [b'{"kind":"rows",', activation("a\n", [0])],
    "rows of another shape": [b'{"kind":"rows","rows":["a"]}', activation("a\n", [0])],
    "half a character": [b'{"kind":"rows","name":"doors","list":"lost","rows":"\\ud800\\n"}', activation("a\n")],
    "a negative offset": [chunk("a\n"), activation("a\n", [-1])],
    "other rows": [chunk("b\n"), activation("a\n")],
    "fewer rows": [chunk("a\n"), activation("a\n", rows=0)],
    "more rows": [chunk("a\n"), activation("a\n", rows=2)],
    "unsorted": [chunk("b\na\n"), activation("b\na\n")],
    "unsorted between records": [chunk("b\n"), chunk("a\n"), activation("b\na\n", [0, 1])],
    "twice": [chunk("a\na\n"), activation("a\na\n")],
    "twice between records": [chunk("a\n"), activation("a\na\n", [0, 0])],
    "no end of line": [chunk("a"), activation("a", rows=1)],
    "an empty row": [chunk("\na\n"), activation("\na\n")],
    "an empty row at the end": [chunk("a\n\n"), activation("a\n\n")],
    "a blank before": [chunk(" a\n"), activation(" a\n")],
    "a blank behind": [chunk("a \n"), activation("a \n")],
    "a control character": [chunk("a\rb\n"), activation("a\rb\n")],
    "a value too many": [chunk("a\t1\n"), activation("a\t1\n")],
    "too long": [chunk("a" * (KEY_MAX + 1) + "\n"), activation("a" * (KEY_MAX + 1) + "\n")],
    "empty rows record": [chunk(""), activation("")],
    "another type than declared": [chunk("1\n"), activation("1\n", type="int")],
    "values that are not declared": [chunk("a\tb\n"), activation("a\tb\n", value="string")],
    "version 0": [chunk("a\n"), activation("a\n", version=0)],
    "a digest too short": [chunk("a\n"), activation("a\n", digest="ab")],
    "too many rows stated": [chunk("a\n"), activation("a\n", rows=ROWS_MAX + 1)],
    "no such type": [chunk("a\n"), activation("a\n", type="bool")],
    "a name with an end of line": [chunk("a\n"), activation("a\n", list="lost\n")],
    "a field twice": [chunk("a\n"), activation("a\n").replace(b'"kind"', b'"by":"x","kind"', 1)],
    "nobody": [chunk("a\n"), activation("a\n", by=None)],
}


@pytest.mark.parametrize("records", BAD.values(), ids=BAD)
def test_a_list_that_is_not_as_it_says_is_rejected_and_nothing_changes(records):
    """With a dead letter and an entry; the list in force stays."""
    fold = Fold(POLICY, 0)
    first = [chunk("z\n"), activation("z\n", [0])]
    moved = [one.replace(b'"chunks":[0', b'"chunks":[2').replace(b"[1]", b"[3]") for one in records]
    if records is not BAD["twice between records"]:
        moved = [one.replace(b"[2,1]", b"[2,3]") for one in moved]
    lines = [Line(at, b"doors/lost", one) for at, one in enumerate([*first, *moved])]
    rows = ListRows({one.offset: one for one in lines})
    folded = [fold.control(one, rows=rows.of) for one in lines]
    kinds = [msgspec.json.decode(value)["kind"] for one in folded for _, value in one.entries]
    assert kinds[0] == "list"
    assert kinds[1:] == ["rejected"] * len(kinds[1:])
    assert len(kinds) > 1
    assert sum(len(one.dead_letters) for one in folded) == len(kinds) - 1
    assert decide(fold, event(1, "z"))[0]["action"] == "block"


@pytest.mark.parametrize(
    ("kinds", "text", "rows"),
    [
        (("string", None), "a\nb c\né\n", {"a", "b c", "é"}),
        (("int", None), "-5\n10\n9\n", {-5, 10, 9}),
        (("string", "int"), "a\t-1\nb\t9223372036854775807\n", {"a": -1, "b": 2**63 - 1}),
        (("int", "string"), "0\tx y\n7\tz\n", {0: "x y", 7: "z"}),
        (("int", "int"), "0\t0\n", {0: 0}),
        (("string", "string"), "a\tb\n", {"a": "b"}),
        (("int", None), "01\n", None),
        (("int", None), "-0\n", None),
        (("int", None), "9223372036854775808\n", None),
        (("int", None), "٣\n", None),
        (("string", "int"), "a\t1_0\n", None),
        (("string", "int"), "a\t1\na\t2\n", None),
        (("string", "int"), "a\t1\t2\n", None),
        (("string", "int"), "a\n", None),
        (("string", "string"), "a\t\n", None),
        (("string", "string"), "\tb\n", None),
        (("string", "string"), "a \tb\n", None),
        (("string", "string"), "a\t b\n", None),
        (("string", "int"), f"{'a' * (KEY_MAX + 1)}\t1\n", None),
    ],
)
def test_rows_have_one_spelling(kinds, text, rows):
    """What two readers could take for two things is refused."""
    content = Content(sha256(text.encode()).hexdigest(), text.count("\n"), *kinds)
    if rows is None:
        with pytest.raises(ValueError, match=r"\w"):
            Table(content, [text])
    else:
        assert Table(content, text.splitlines(keepends=True)).rows == rows


def test_a_list_may_come_before_the_policy_that_asks_it_and_not_as_the_65th():
    """A list that no policy declares is bounded by number."""
    many = [chunk("a\n")]
    many += [activation("a\n", list=f"x{number}") for number in range(LISTS_MAX + 1)]
    fold, entries = asked(many)
    assert [one["kind"] for one in entries] == ["list"] * LISTS_MAX + ["rejected"]
    assert len([name for name, _ in fold.changes() if name.startswith(b"list:")]) == LISTS_MAX


def test_a_list_of_other_types_than_a_later_policy_declares_is_unknown_to_it():
    """It stays in force on the chain: a policy that declares it as it is finds it again."""
    other = load(
        PACK.replace("lost: {type: string}", "lost: {type: int}")
        .replace("event.badge in lists", "event.n in lists")
        .encode(),
        name="x",
    )
    fold, _ = asked([chunk("5\n"), activation("5\n")])
    for policy, ref in ((other, None), (POLICY, "lost@1")):
        fold.change_policy(policy, 9, "", at_ms=0, by="x")
        (entry,) = decide(fold, event(fold.seq, "5", 5))
        assert (entry["lists"]["lost"] or "").split(":")[0] == (ref or "")
        assert (["rule", "lost", 0] in entry["reasons"]) == (ref is not None)


def test_a_takeover_has_the_lists_and_refuses_a_changelog_without_one():
    """The record of a list is in the sum; its rows are brought, or a decision that asks them raises."""
    control = [Line(at, b"", one) for at, one in enumerate([chunk("a\n"), activation("a\n")])]
    rows = ListRows({one.offset: one for one in control})
    fold = Fold(POLICY, 0)
    for one in control:
        fold.control(one, rows=rows.of)
    ((_, last),) = fold.events([Line(0, b"b", written(event(0, "b")))]).entries
    changes = fold.changes()
    tables = rows.standing(dict(changes))
    back = Fold.restore(0, last, changes, POLICY, tables)
    following = Line(1, b"a", written(event(1)))
    assert back.events([following]) == fold.events([following])
    with pytest.raises(StateMismatch, match="sum up"):
        Fold.restore(0, last, [one for one in changes if one[0] != b"list:lost"], POLICY, tables)
    with pytest.raises(RowsGone, match="list lost"):
        Fold.restore(0, last, changes, POLICY).events([following])
    with pytest.raises(StateMismatch, match=r"list:lost.* cannot be read"):
        Fold.restore(0, last, [*changes, (b"list:lost", b"[]")], POLICY)


def test_an_epoch_begins_without_lists_and_the_same_version_takes_effect_again():
    """The state is empty: what was in force is unknown until somebody activates it again."""
    fold, _ = asked([chunk("a\n"), activation("a\n")])
    begun, _ = Fold.begin_epoch(POLICY, 0, 1, Broken(None, None, None), fold.next, at_ms=0, by="x", why="y")
    assert decide(begun, event(1, "a"))[0]["lists"]["lost"] is None
    control = {2: Line(2, None, chunk("a\n")), 3: Line(3, None, activation("a\n", [2]))}
    assert begun.control(control[3], rows=ListRows(control).of).entries
    assert decide(begun, event(2, "a"))[0]["action"] == "block"


def test_a_replay_needs_the_rows_and_says_so():
    """The chain is replayed from control and events; without the rows their absence is named, not a difference."""
    decider = Decider(POLICY, lists={"lost": ["a"]})
    entries = [*decider.opening, *decider.lines([written(event(1))])]
    for lacking in (False, True):
        control = {one.offset: one for one in offline_control(POLICY, {"lost": ["a"]})}
        if lacking:
            del control[0]
        inputs = {"control": control, "events": {0: Line(0, None, written(event(1)))}}
        replayer = Replayer(
            POLICY, 0, lambda topic, at, known=inputs: known[topic].get(at), keyed=False, rows=ListRows(control).of
        )
        fault = replayer.take(entries[0])
        assert (fault is None) == (not lacking)
        if lacking:
            assert "its input is gone" in str(fault)
            assert "the rows of lost@1" in str(fault)
        else:
            assert replayer.take(entries[1]) is None


def test_the_books_know_which_list_records_make_an_entry():
    """Rows and what is in force make none; an activation that was passed over is found."""
    rows = [chunk("a\n"), activation("a\n"), activation("a\n"), activation("a\n", version=2)]
    _, entries = asked(rows)
    control = {at: Line(at, None, one) for at, one in enumerate(rows)}
    for given, missing in ((entries, []), (entries[1:], [1, 2])):
        books = Completeness(control)
        for one in given:
            books.take(msgspec.convert(one, Booked))
        assert books.missing_control == missing


def test_the_same_rows_in_any_order_have_one_digest_and_many_records():
    """Records are cut at lines, far below what the topic takes."""
    keys = [f"key-{number:06d}" for number in range(60_000)]
    texts = [of_values(one, ListSchema(name="lost")) for one in (keys, reversed(keys))]
    assert texts[0] == texts[1]
    assert len(texts[0].chunks) > 1
    assert max(len(one.encode()) for one in texts[0].chunks) <= CHUNK_BYTES
    assert texts[0].content.digest == sha256("".join(f"{one}\n" for one in keys).encode()).hexdigest()
    assert Table(texts[0].content, texts[0].chunks).rows == set(keys)


def test_an_activation_is_read_alike_by_cli_and_kernel():
    """The record type of the wire and that of the kernel have the same fields."""
    from sidechain.topics.human import ListRecord

    line = activation("a\n")
    assert msgspec.json.encode(msgspec.json.decode(line, type=ListRecord)) == line
    assert msgspec.json.encode(msgspec.json.decode(line, type=Activation)) == line


def test_a_list_nobody_declared_is_refused_with_what_may_have_been_meant():
    """Offline a typing error has no other victim than its author."""
    with pytest.raises(ListError, match='declares no list "limit"; did you mean "limits"'):
        Decider(POLICY, lists={"limit": {"a": 1}})
