"""What would have flipped a decision: held against trying every value, and a rule's limits in the pack's own words."""

from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidechain.models import Decider
from sidechain.models.cel import BOOL, INT, STRING, Variable, check
from sidechain.models.dry import Fold, SignalValue
from sidechain.models.explain import explain
from sidechain.models.limits import limits
from sidechain.models.nearest import NEAR, Nearest, Question
from sidechain.models.otherwise import otherwise
from sidechain.models.pack_file import load
from sidechain.models.policy import EventField, Policy, Signal
from tests.doors import doors
from tests.support import FIELDS, T0, decided, event, feature, fold, line, policy, rule, trust

RISK = (Signal(name="risk", max_age_ms=60_000),)
BOUNDED = tuple(
    EventField(name="n", type="int", minimum=-700, maximum=700) if one.name == "n" else one for one in FIELDS
)


def asked(one: Policy, given: dict[str, Any], risk: int | None = None) -> Question:
    """The decision about this event, to be asked again."""
    said = None if risk is None else SignalValue(risk, "m", T0, 0)
    (entry,) = fold(Fold(one, 0), [given], latest=lambda _key: said)
    return Question(entry, one, line(given))


def only(question: Question, name: str) -> tuple[Any, str] | None:
    """The nearest other value of one name, and what follows."""
    return next(((one.needed, one.action) for one in question.nearest() if one.name == name), None)


@pytest.mark.parametrize(
    ("n", "needed"),
    [
        (10, (11, "review")),  # one step
        (11, (10, "allow")),
        (0, (-5, "block")),  # the nearer of two ways
        (3, (-5, "block")),  # both are 8 away: the smaller
        (4, (11, "review")),
        (2_000_000, (1_000_000, "monitor")),  # far away: doubled and halved
        (1_000_000, (999_999, "review")),
    ],
)
def test_the_nearest_value_of_a_field(n: int, needed: tuple[int, str]) -> None:
    """On either side, however far."""
    rules = [
        rule("low", "event.n <= -5", "block"),
        rule("high", "event.n > 10 && event.n != 1000000", "review"),
        rule("round", "event.n == 1000000", "monitor"),
    ]
    assert only(asked(policy(rules=rules), event(0, n=n)), "event.n") == needed


@pytest.mark.parametrize("limit", [3_000_000, 3_000_001, 3_000_002, 9 * 10**15])
def test_far_from_every_number_the_policy_names_it_is_halved_down(limit: int) -> None:
    """To the very value, where the action changes once on the way."""
    one = policy(rules=[rule("triple", f"event.n * 3 > {limit}", "review")])
    assert only(asked(one, event(0, n=5)), "event.n") == (limit // 3 + 1, "review")
    assert only(asked(one, event(0, n=limit)), "event.n") == (limit // 3, "allow")


conditions = st.builds(
    "{} {} {}".format,
    st.sampled_from(["event.n", "event.n * 3", "event.n % 7", "features.twice", "signals.risk"]),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.integers(-300, 300),
)
whole = st.recursive(
    conditions, lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["&&", "||"]), inner), max_leaves=4
)
effects = st.sampled_from(["block", "review", "monitor", "allow", "note"])


@given(st.lists(st.tuples(whole, effects), min_size=1, max_size=3), st.integers(-150, 150), st.integers(0, 400))
@settings(max_examples=60)
def test_no_nearer_value_decides_otherwise(rules: list[tuple[str, str]], n: int, risk: int) -> None:
    """Every value up to NEAR away is tried by deciding its event; what is found beyond it is another action too."""
    one = policy(
        fields=BOUNDED,
        features=[feature("twice", "value", of="event.n * 2")],
        signals=RISK,
        rules=[rule(f"r{at}", when, then, 900) for at, (when, then) in enumerate(rules)],
        gate=trust("9000 - score_bp", "signals.risk", "2000"),
    )
    question = asked(one, event(0, n=n), risk)
    found = {near.name: near for near in question.nearest()}
    folded, numbers = Fold(one, 0), count()

    def action(value: int, said: int) -> str:
        latest = {"h": SignalValue(said, "m", T0, 0)}.get
        return str(fold(folded, [event(0, id=str(next(numbers)), n=value)], latest=latest)[0]["action"])

    for name, now, low, high, ask in (
        ("event.n", n, -700, 700, lambda value: action(value, risk)),
        ("signals.risk", risk, 0, 10_000, lambda value: action(n, value)),
    ):
        others = range(max(low, now - NEAR), min(high, now + NEAR) + 1)
        flipping = [value for value in others if ask(value) != question.action]
        nearest = min(flipping, key=lambda value: (abs(value - now), value), default=None)
        if nearest is not None:
            assert found[name].needed == nearest
        if name in found:
            assert (found[name].value, found[name].action) == (now, ask(found[name].needed))
            assert found[name].action != question.action


def test_texts_flags_and_what_is_unknown() -> None:
    """A text becomes one a rule names, or another; an unknown value becomes known."""
    fields = (*FIELDS, EventField(name="on", type="bool"))
    rules = [
        rule("named", "event.s == 'x'", "review"),
        rule("off", "!event.on", "block"),
        rule("risky", "signals.risk >= 8000", "review"),
        rule("extra", "event.m < -3", "block"),
    ]
    one = policy(fields=fields, signals=RISK, rules=rules)
    known = asked(one, event(0, on=True, s="y", m=0), risk=7_000)
    assert known.nearest() == [
        Nearest("signals.risk", 7_000, 8_000, "review"),
        Nearest("event.m", 0, -4, "block"),
        Nearest("event.on", True, False, "block"),
        Nearest("event.s", "y", "x", "review"),
    ]
    unknown = {near.name: (near.value, near.needed) for near in asked(one, event(0, on=True, s="x")).nearest()}
    assert unknown == {"event.on": (True, False), "event.s": ("x", "another value"), "event.m": (None, -4)}


def test_none_exists_is_said() -> None:
    """A policy that always blocks has no other answer."""
    one = policy(rules=[rule("all", "event.n == event.n", "block")])
    (entry,) = decided(one, [event(0)])
    said = list(explain(entry, one, line(event(0))))
    assert "  no other value of anything the rules read would alone have been decided otherwise" in said


STAFF = policy(
    features=[feature("seen", "count", "1m")],
    rules=[
        rule("many", "features.seen >= 2 || event.m > 3", "review"),
        rule("known", "event.s == 'staff'", "allow"),
        rule("late", "event.n > 5"),
    ],
)


def test_an_explanation_shows_limits_and_the_nearest_flip() -> None:
    """Fired or not; what stands behind an `allow` that fired was not asked."""
    given = event(0, s="staff")
    said = list(explain(*decided(STAFF, [given]), STAFF, line(given)))
    at = said.index("  would have been decided otherwise, all else as it was:")
    assert said[at : at + 12] == [
        "  would have been decided otherwise, all else as it was:",
        "    features.seen 2 instead of 1: review",
        "    event.m 4 instead of unknown: review",
        "  each rule's limits, and what was measured:",
        "    many did not fire",
        "      features.seen >= 2 does not hold: features.seen 1",
        "      event.m > 3 is unknown: event.m unknown",
        "    known fired",
        "      event.s == \"staff\" holds: event.s \"staff\"",
        "    late was not asked: a rule that allows had fired",
        said[at + 10],
        said[at + 11],
    ]  # fmt: skip
    assert said[at + 10].startswith("  input: events, ")


def test_limits_and_flips_are_data_too() -> None:
    """The same as the sentences, for whoever counts them."""
    given = event(0, s="staff")
    (entry,) = decided(STAFF, [given])
    assert msgspec.json.decode(msgspec.json.encode(otherwise(entry, STAFF, line(given)))) == {
        "unsaid": None,
        "nearest": [
            {"name": "features.seen", "value": 1, "needed": 2, "action": "review"},
            {"name": "event.m", "value": None, "needed": 4, "action": "review"},
        ],
        "rules": [
            {
                "id": "many",
                "fired": False,
                "limits": [
                    {"text": "features.seen >= 2", "measured": {"features.seen": 1}, "holds": False},
                    {"text": "event.m > 3", "measured": {"event.m": None}, "holds": None},
                ],
            },
            {
                "id": "known",
                "fired": True,
                "limits": [{"text": 'event.s == "staff"', "measured": {"event.s": "staff"}, "holds": True}],
            },
            {"id": "late", "fired": None, "limits": []},
        ],
    }
    assert otherwise(entry, STAFF, None).unsaid == "not without the event, which is not here"


def test_without_the_event_and_with_another_it_says_so() -> None:
    """Nothing is guessed."""
    one = policy(rules=[rule("big", "event.n > 5", "block")])
    (entry,) = decided(one, [event(0)])
    assert any("not without the event" in said for said in explain(entry, one))
    other = "  limits and what would have decided otherwise: not known, because under this policy the entry's values "
    assert any(said.startswith(other) for said in explain(entry, one, line(event(0, n=9))))
    assert any("not known, because the event is none" in said for said in explain(entry, one, b"{}"))


SOURCES = [
    "event.n >= 5",
    "event.n in [1, 2, 3]",
    "!(event.n == 3)",
    "event.s.startsWith('/health')",
    'event.s == "it\'s \\"so\\""',
    "has(event.s) && size(event.s) > 3",
    "event.n * 2 - 1 > -(event.n + 3)",
    "event.n > 3 ? event.n < 9 : event.n < -9",
    "(event.n > 3 ? 1 : 2) == 1",
    "event.on",
    "!event.on",
    "double(event.n) > 1.5",
    "string(event.n) == '5'",
    "!(event.n > 3 && event.on)",
]
VARIABLES = {"event.n": Variable(INT), "event.s": Variable(STRING, unknown=True), "event.on": Variable(BOOL)}


@pytest.mark.parametrize("source", SOURCES)
def test_limits_are_written_as_the_pack_could_have(source: str) -> None:
    """Each is an expression again that says of itself what is shown."""
    values = {"event.n": 5, "event.s": "/health", "event.on": True}
    shown = list(limits(check(source, VARIABLES, expect=BOOL), values))
    assert shown
    for one in shown:
        again = check(one.text, VARIABLES, expect=BOOL)
        assert [two.text for two in limits(again, values)] == [one.text]
        assert all(name in one.text for name in again.variables)
    if len(shown) == 1 and "?" not in source:
        assert check(shown[0].text, VARIABLES).tree == check(source, VARIABLES).tree


LISTED = doors("""\
    n: {type: int}
lists: {lost: {type: string}, limits: {type: string, value: int}}
rules:
  - {id: lost, when: event.badge in lists.lost, then: block, reason: Lost.}
  - {id: over, when: "event.n > lists.limits[event.badge]", then: review, reason: Over.}
""")


def test_limits_and_flips_ask_the_lists_the_entry_cites() -> None:
    """With their rows at hand; without them it says so and guesses nothing."""
    one = load(LISTED.encode(), name="doors")
    given = {"id": "e", "badge": "a", "at": 1, "n": 3}
    (entry,) = Decider(one, lists={"lost": ["b"], "limits": {"a": 5}}).decide([given])
    said = list(explain(entry, one, line(given), {"lost": {"b"}, "limits": {"a": 5}}))
    assert '      event.badge in lists.lost does not hold: event.badge "a", lists.lost of 1 rows' in said
    assert any(limit.startswith("      event.n > lists.limits[event.badge] does not hold: ") for limit in said)
    assert "    event.n 6 instead of 3: review" in said
    without = list(explain(entry, one, line(given)))
    assert any("not without the rows of its lists, which are not here (lost, limits)" in said for said in without)
    with pytest.raises(ValueError, match="the rows of list limits are not at hand"):
        Question(entry, one, line(given), {"lost": set()})
