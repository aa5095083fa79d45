"""The `lists` of a pack: what is declared, what a case may say of them, and what is refused with its place."""

import pytest

from sidechain.models.pack_cases import run_cases
from sidechain.models.pack_file import load
from sidechain.models.pack_reader import PackError
from sidechain.models.policy import ListSchema
from tests.doors import doors

PACK = doors("""\
    n: {type: int, optional: true}
lists:
  lost: {type: string, title: Reported lost}
  limits: {type: string, value: int, default: 3}
  names: {type: int, value: string}
rules:
  - id: lost
    when: event.badge in lists.lost
    then: block
    reason: Lost.
    cases:
      fires: [{event.badge: a, lists.lost: [a, b]}]
      silent: [{event.badge: c, lists.lost: [a, b]}, {event.badge: a, lists.lost: []}, {event.badge: a}]
  - id: over
    when: event.n > lists.limits[event.badge]
    then: review
    reason: Over.
    cases:
      fires: [{event.badge: a, event.n: 4, lists.limits: {}}, {event.badge: a, event.n: 1, lists.limits: {a: 0}}]
      silent: [{event.badge: a, event.n: 4, lists.limits: {a: 4}}, {event.badge: a, event.n: 4}]
  - id: named
    when: lists.names[event.n] == "x"
    then: note
    reason: Named.
    cases:
      fires: [{event.n: -7, lists.names: {-7: x}}]
      silent: [{event.n: 7, lists.names: {-7: x}}, {lists.names: {7: x}}]
""")


def test_lists_are_declared_with_types_and_a_default():
    """In the order of the pack."""
    assert load(PACK.encode(), name="doors.yaml").lists == (
        ListSchema(name="lost", title="Reported lost"),
        ListSchema(name="limits", value_type="int", default=3),
        ListSchema(name="names", key_type="int", value_type="string"),
    )


def test_cases_say_what_is_on_a_list():
    """And a list that a case says nothing of is unknown, as before its first version."""
    results = list(run_cases(load(PACK.encode(), name="doors.yaml")))
    assert len(results) == 11
    assert [one for one in results if not one.passed] == []
    assert [one.got for one in results if not one.case.fires] == [False, False, None, False, None, None, None]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("lost: {type: string,", "lost: {type: bool,", '10:16: "type" must be one of string, int'),
        ("lost: {type: string,", "lost: {", 'missing field "type" in list lost'),
        ("  lost: {", "  Lost: {", 'list name "Lost" must be lower-case letters'),
        ("value: int, default: 3", "value: int, default: x", '"default" must be a value of the list, which are int'),
        ("value: int, default: 3", "value: string, default: 3", '"default" must be a value of the list, which are str'),
        ("value: int, default: 3", "value: int, default: true", '"default" must be a value of the list'),
        ("title: Reported lost", "default: 3", 'without a "value" there is nothing a "default" could stand for'),
        ("title: Reported lost", "rows: [a]", 'unknown field "rows" in list lost'),
        ("in lists.lost\n", "in lists.lots\n", 'lists.lots is not declared; did you mean "lists.lost"?'),
        (
            "event.badge in lists.lost\n",
            "event.n in lists.lost\n",
            "in looks for an int, and the keys of this list are",
        ),
        ("lists.lost: [a, b]}]\n      silent", "lists.lost: [1]}]\n      silent", "lists.lost is table(string)"),
        ("lists.lost: []", "lists.lost: {a: 1}", "lists.lost is table(string), and {'a': 1} does not fit"),
        ("lists.limits: {a: 4}", "lists.limits: [a]", "lists.limits is table(string, int), and ['a'] does not fit"),
        ("lists.names: {7: x}", "lists.names: {z: x}", "lists.names is table(int, string)"),
    ],
)
def test_what_is_wrong_with_a_list_is_said_with_its_place(old, new, complaint):
    """As with every other part of a pack."""
    assert old in PACK
    with pytest.raises(PackError) as refused:
        load(PACK.replace(old, new, 1).encode(), name="doors.yaml")
    assert complaint in str(refused.value), str(refused.value)


def test_a_pack_has_at_most_64_lists():
    """As many as can be in force on a chain."""
    many = "".join(f"  x{number}: {{type: string}}\n" for number in range(62))
    with pytest.raises(PackError, match="a pack has at most 64 lists, and this one has 65"):
        load(PACK.replace("rules:\n", many + "rules:\n", 1).encode(), name="doors.yaml")
