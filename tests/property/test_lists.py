"""What lists must not depend on: how records are batched, who takes over where, and whether a value is known.

The inputs are events, rows and activations of two lists, right and wrong, and policies that declare both, one or none.
"""

import itertools
from collections.abc import Sequence

import cel
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidechain.models.cel import BOOL, INT, STRING, Variable, check, evaluator, table_of
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.chain import Verifier
from sidechain.models.dry.replay import Replayer
from sidechain.models.list_rows import ListRows
from sidechain.models.pack_file import load
from tests.doors import DOORS, LOST, LOST_RULE, chunk
from tests.doors import activation as activated
from tests.support import T0

HEAD = DOORS.replace("version: 1", "version: %d")
LIMITS = "  limits: {type: string, value: int%s}\n"
RULES = "rules:\n  - {id: never, when: event.badge.size() > 99, then: note, reason: None.}\n"
LIMIT_RULE = '  - {id: over, when: "lists.limits[event.badge] < 5", then: review, reason: Over.}\n'
COUNTED = 'features:\n  - {name: lost_1m, aggregate: count, window: 1m, where: "event.badge in lists.lost"}\n'
POLICIES = [
    load(text.encode(), name="doors.yaml")
    for text in (
        HEAD % 1 + "lists:\n" + LOST + LIMITS % "" + COUNTED + RULES + LOST_RULE + LIMIT_RULE,
        HEAD % 2 + "lists:\n" + LOST + RULES + LOST_RULE,
        HEAD % 3 + "lists:\n" + "  lost: {type: int}\n" + LIMITS % ", default: 3" + RULES + LIMIT_RULE,
        HEAD % 4 + RULES,
    )
]
BY_TEXT = {one.text.encode(): one for one in POLICIES}
BY_REF = {one.ref: one for one in POLICIES}

TEXTS = {"lost": ["a\nb\n", "b\nc\n", "c\n"], "limits": ["a\t1\nb\t9\n", "c\t4\n"]}
Step = tuple[str, bytes | None, bytes | None]


def event(number: int, badge: str, seconds: int) -> Step:
    value = msgspec.json.encode({"id": f"e-{number}", "badge": badge, "at": T0 + 1_000 * seconds})
    return "events", badge.encode(), value


def rows(name: str, text: str) -> Step:
    return "control", b"k", chunk(text, listed=name)


def activation(name: str, text: str, version: int, back: int, values: bool) -> Step:
    """`back`: how many control records before it the rows are said to stand; made good when offsets are known."""
    fields = {"list": name, "version": version, "value": "int" if values else None}
    return "control", b"k", activated(text, [-back], **fields)


def change(number: int) -> Step:
    one = POLICIES[number]
    asked = {"kind": "policy", "name": one.name, "version": one.version, "digest": one.digest, "by": "x", "at": 1}
    return "control", b"doors", msgspec.json.encode({**asked, "text": one.text})


lists = st.sampled_from(sorted(TEXTS))
texts = lists.flatmap(lambda name: st.tuples(st.just(name), st.sampled_from(TEXTS[name])))
pairs = st.builds(  # rows, and the record behind them that names them
    lambda of, version: [rows(*of), activation(*of, version, 1, of[0] == "limits")], texts, st.integers(1, 2)
)
wild = st.builds(
    lambda of, version, back, values: [activation(*of, version, back, values)],
    texts,
    st.integers(1, 2),
    st.integers(-1, 4),
    st.booleans(),
)
events = st.builds(lambda *of: [event(*of)], st.integers(0, 99), st.sampled_from("abc"), st.integers(0, 90))
changes = st.integers(0, 3).map(lambda number: [change(number)])
steps = st.lists(st.one_of(events, events, events, pairs, pairs, wild, changes), min_size=8, max_size=30).map(
    lambda many: [one for few in many for one in few]
)
cuts = st.lists(st.booleans(), min_size=60, max_size=60)


def records(given_: Sequence[Step]) -> list[tuple[str, Line]]:
    """The inputs with their offsets; what an activation says of its rows' place is made an offset."""
    offsets, found = {"events": 0, "control": 0}, []
    for topic, key, value in given_:
        at = offsets[topic]
        if value is not None and b'"kind":"list"' in value:
            asked = msgspec.json.decode(value)
            asked["chunks"] = [at + one for one in asked["chunks"]]
            value = msgspec.json.encode(asked)
        found.append((topic, Line(at, key, value)))
        offsets[topic] += 1
    return found


def take(fold: Fold, batch: Sequence[tuple[str, Line]], source: ListRows) -> list[tuple[bytes | None, bytes]]:
    entries = []
    for topic, group in itertools.groupby(batch, lambda one: one[0]):
        run = [one for _, one in group]
        if topic == "events":
            entries += fold.events(run).entries
        for one in run if topic == "control" else ():
            entries += fold.control(one, BY_TEXT.__getitem__, source.of).entries
    return entries


def source_of(whole: Sequence[tuple[str, Line]]) -> ListRows:
    return ListRows({one.offset: one for topic, one in whole if topic == "control"})


@settings(max_examples=60)
@given(steps, cuts)
def test_batches_and_takeovers_change_no_byte(given_, ends):
    """After every batch an heir is made of the changelog; from there on it seals and writes what the first one does."""
    whole = records(given_)
    together = take(Fold(POLICIES[0], 0), whole, source_of(whole))
    apart, changelog, batch, heirs = [], {}, [], []
    one = Fold(POLICIES[0], 0)
    for record, end in zip(whole, [*ends, True], strict=False):
        batch.append(record)
        if not end and record is not whole[-1]:
            continue
        entries = take(one, batch, source_of(whole))
        changed = one.changes()
        for heir in heirs:
            assert take(heir, batch, source_of(whole)) == entries
            assert heir.changes() == changed
        apart += entries
        changelog |= dict(changed)
        batch = []
        if apart:
            policy = BY_REF[Fold.policy_ref_of(apart[-1][1])]
            tables = source_of(whole).standing(changelog)
            heirs = [*heirs[-2:], Fold.restore(0, apart[-1][1], changelog.items(), policy, tables)]
    if len(whole) <= len(ends):
        assert apart == together


@settings(max_examples=60)
@given(steps)
def test_every_chain_with_lists_verifies_and_replays(given_):
    """From inputs alone: rows are found among the control records."""
    whole = records(given_)
    inputs = {(topic, one.offset): one for topic, one in whole}
    replayer = Replayer(POLICIES[0], 0, lambda topic, offset: inputs.get((topic, offset)), load=BY_TEXT.__getitem__)
    verifier = Verifier()
    for _, line in take(Fold(POLICIES[0], 0), whole, source_of(whole)):
        assert verifier.take(line) is None
        assert replayer.take(line) is None


def test_the_inputs_of_these_tests_reach_what_they_are_about():
    """Lists that took effect, were refused, were asked and were unknown, under each policy."""
    found: set[str] = set()

    @settings(max_examples=100, database=None, derandomize=True)
    @given(steps)
    def look(given_):
        whole = records(given_)
        for _, line in take(Fold(POLICIES[0], 0), whole, source_of(whole)):
            entry = msgspec.json.decode(line)
            found.add(entry["kind"])
            found.update(reason[1] for reason in entry.get("reasons", ()))
            found.update(f"{name} {'known' if ref else 'unknown'}" for name, ref in entry.get("lists", {}).items())
            if entry["kind"] == "list":
                found.add("replaced" if entry["replaces"] else "first")

    look()
    assert found >= {"decision", "list", "rejected", "policy", "lost", "over", "replaced", "first"}
    assert found >= {"lost known", "lost unknown", "limits known", "limits unknown"}


VARIABLES = {
    "lists.held": Variable(table_of(STRING), unknown=True),
    "lists.limits": Variable(table_of(STRING, INT), unknown=True),
    "lists.fixed": Variable(table_of(STRING, INT, 7), unknown=True),
    "event.k": Variable(STRING, unknown=True),
    "event.b": Variable(BOOL, unknown=True),
}
KEYS = (None, "a", "z")
TABLES = (None, {}, {"a": 3})


def both(left, right):
    return False if left is False or right is False else None if None in (left, right) else True


def inside(key, table):
    return None if key is None or table is None else key in table


def value(key, table, default=None):
    return None if key is None or table is None else table.get(key, default)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("event.k in lists.held", lambda k, t, b: inside(k, t)),
        ("!(event.k in lists.held)", lambda k, t, b: None if inside(k, t) is None else not inside(k, t)),
        ("event.k in lists.held && event.b", lambda k, t, b: both(inside(k, t), b)),
        ("event.b && event.k in lists.held", lambda k, t, b: both(inside(k, t), b)),
        ("lists.limits[event.k]", lambda k, t, b: value(k, t)),
        ("lists.fixed[event.k]", lambda k, t, b: value(k, t, 7)),
        ("lists.fixed[event.k] + 1", lambda k, t, b: None if value(k, t, 7) is None else value(k, t, 7) + 1),
        ("event.b && lists.limits[event.k] > 2", lambda k, t, b: both(b, None if value(k, t) is None else True)),
        ("has(lists.held) && event.b", lambda k, t, b: both(t is not None, b)),
    ],
)
def test_unknown_spreads_through_lists_as_through_everything(source, expected):
    """Every combination of unknown key, unknown list, absent row and bool, against a second, dumber reading."""
    ask = evaluator(check(source, VARIABLES))
    for key, table, flag in itertools.product(KEYS, TABLES, (None, True, False)):
        held = None if table is None else list(table)
        given_ = {"event.k": key, "event.b": flag, "lists.held": held, "lists.limits": table, "lists.fixed": table}
        assert ask(given_) is expected(key, table, flag) or ask(given_) == expected(key, table, flag), (
            key,
            table,
            flag,
        )


@pytest.mark.parametrize(("source", "ours"), [("k in t", "event.k in lists.held"), ("t[k]", "lists.limits[event.k]")])
def test_lists_are_maps_to_another_implementation_of_cel(source, ours):
    """What is known here is what it says there, and unknown is its error."""
    for key, table in itertools.product(("a", "z"), ({}, {"a": 3})):
        try:
            theirs = cel.evaluate(source, {"k": key, "t": table})
        except (KeyError, ValueError, RuntimeError):
            theirs = None
        got = evaluator(check(ours, VARIABLES))({"event.k": key, "lists.held": list(table), "lists.limits": table})
        assert got == theirs


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("event.k == lists.held", "lists.held can only be asked, with in or"),
        ("lists.held == lists.held", "can only be asked"),
        ("1 in lists.held", "in looks for an int, and the keys of this list are string"),
        ("lists.held[event.k]", "its rows have no values.*event.k in lists.held"),
        ("lists.limits[1]", "its keys are string, not int"),
        ("size(lists.held)", "size takes a string or a list, not a table"),
        ("[lists.held]", "can only be asked"),
        ("event.b ? lists.held : lists.held", "can only be asked"),
        ("event.k in lists.gone", "lists.gone is not declared; did you mean"),
        ("lists.held", "must be bool, and it is table"),
    ],
)
def test_what_a_list_cannot_be_asked_is_refused(source, complaint):
    """A million rows are not compared, counted or carried about by accident."""
    with pytest.raises(ValueError, match=complaint):
        check(source, VARIABLES, expect=BOOL)
