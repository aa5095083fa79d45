"""`policy diff`: each kind of change in its words, and no field of a policy that could change unseen."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from sidechain.agents.cli import build
from sidechain.models.cel import INT, STRING, Expression, Variable, check
from sidechain.models.pack_file import load, load_pack
from sidechain.models.policy import ListSchema
from sidechain.models.policy_diff import changes

DOORS = """
pack: doors
version: 1
event:
  fields:
    id: {type: string, role: id}
    badge: {type: string, role: key, personal: true}
    at: {type: int, role: time}
    opened: {type: bool}
    held_s: {type: int, optional: true, min: 0}
features:
  - {name: refusals, aggregate: count, window: 10m, panes: 10, where: "!event.opened"}
signals:
  risk: {max_age: 15m}
rules:
  - {id: trying, when: "!event.opened && features.refusals >= 4", then: review, points: 4000, reason: Again.}
  - {id: held, when: event.held_s > 60, then: monitor, points: 1500, reason: Long.}
  - {id: never, when: "!(event.held_s <= 9) && event.at < 5", then: note, reason: Never.}
typologies:
  - {id: wandering, rules: {trying: 60, held: 40}, review_at: 100}
"""


def said(*replaced: tuple[str, str]) -> list[str]:
    """The changes after these replacements."""
    text = DOORS
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    return [str(one) for one in changes(load(DOORS.encode(), name="a"), load(text.encode(), name="b"))]


@pytest.mark.parametrize(
    ("replaced", "words"),
    [
        ([("version: 1", "version: 2  # later")], []),
        ([(">= 4", ">= 5")], [("rule trying: when `!event.opened && features.refusals >= 4` becomes "
                              "`!event.opened && features.refusals >= 5`: 4 -> 5, holds for fewer inputs")]),
        ([("> 60", "> 59")], [("rule held: when `event.held_s > 60` becomes `event.held_s > 59`: 60 -> 59, "
                              "holds for more inputs")]),
        # Inside a negation a raised limit works the other way round; two limits against each other say nothing.
        ([("<= 9", "<= 10")], [("rule never: when `!(event.held_s <= 9) && event.at < 5` becomes "
                               "`!(event.held_s <= 10) && event.at < 5`: 9 -> 10, holds for fewer inputs")]),
        ([("<= 9", "<= 10"), ("< 5", "< 6")], [("rule never: when `!(event.held_s <= 9) && event.at < 5` becomes "
                                               "`!(event.held_s <= 10) && event.at < 6`: 9 -> 10, 5 -> 6")]),
        ([("event.held_s > 60", "event.held_s >= 60")],
         ["rule held: when `event.held_s > 60` becomes `event.held_s >= 60`"]),
        ([("then: monitor", "then: block")], ["rule held: then monitor becomes block"]),
        ([("points: 4000", "points: 4001")], ["rule trying: points 4000 becomes 4001"]),
        ([("reason: Long.", "reason: Too long.")], ["rule held: reason Long. becomes Too long."]),
        ([("window: 10m", "window: 20m")], ["feature refusals: window 10m becomes 20m"]),
        ([("name: refusals", "name: turned_away"), ("features.refusals", "features.turned_away")],
         ["feature refusals is now called turned_away"]),
        ([("id: held", "id: open_long"), ("held: 40", "open_long: 40")], ["rule held is now called open_long"]),
        ([("id: wandering", "id: lost")], ["typology wandering is now called lost"]),
        ([("held: 40", "held: 41")],
         ["typology wandering: weights {trying: 60, held: 40} becomes {trying: 60, held: 41}"]),
        ([("max_age: 15m", "max_age: 1h")], ["signal risk: max_age 15m becomes 1h"]),
        ([("min: 0", "min: 1")], ["field held_s: minimum 0 becomes 1"]),
        ([("personal: true", "personal: false")], ["field badge: personal True becomes False"]),
        ([("typologies:\n", "trust: {tiers: {block: 2400}}\ntypologies:\n")], ["trust: block 2500 becomes 2400"]),
        ([("rules:\n", "lists: {lost: {type: string, value: int}}\nrules:\n")],
         ["list lost is new: value_type int"]),
        ([("typologies:\n", "state: {max_keys: 9}\ntypologies:\n")], ["max_keys 1000000 becomes 9"]),
        ([("  - {id: never, when: \"!(event.held_s <= 9) && event.at < 5\", then: note, reason: Never.}\n", "")],
         ["rule never is gone; it was when `!(event.held_s <= 9) && event.at < 5`, then note"]),
        ([("typologies:\n", "  - {id: shut, when: \"!event.opened\", then: note, reason: No.}\ntypologies:\n")],
         ["rule shut is new: when `!event.opened`, then note"]),
    ],
)  # fmt: skip
def test_every_kind_of_change_has_its_words(replaced: list[tuple[str, str]], words: list[str]) -> None:
    """The file's own words, and what a moved limit does where that can be said."""
    assert said(*replaced) == words


def test_rules_that_change_places_are_told() -> None:
    """An `allow` rule ends the list: order decides."""
    rules = DOORS[DOORS.index("  - {id: trying") : DOORS.index("  - {id: never")]
    first, second = rules.splitlines(keepends=True)
    assert said((rules, second + first)) == [
        "rule held moved from place 2 to 1: of those that both have",
        "rule trying moved from place 1 to 2: of those that both have",
    ]


def other(value: Any) -> Any:
    """Something else of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, Expression):
        variables = {name: Variable(INT) for name in value.variables}
        return check("1 + 1", variables) if value.type == INT else check("'x' == 'y'", variables)
    if isinstance(value, int | str):
        return value + type(value)(1) if isinstance(value, int) else value + "x"
    if isinstance(value, tuple):
        return (*value[1:],) if value else ("x",)
    return {**value, "x": 1} if isinstance(value, dict) else check("'x'", {"x": Variable(STRING)})


def altered(one: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every way to change one field, however deep it lies."""
    for at in fields(one):
        value, where = getattr(one, at.name), f"{path}.{at.name}"
        is_part = is_dataclass(value) and not isinstance(value, Expression)
        if not is_part:
            yield where, replace(one, **{at.name: other(value)})
        if is_part:
            for deeper, changed in altered(value, where):
                yield deeper, replace(one, **{at.name: changed})
        if isinstance(value, tuple) and value and is_dataclass(value[0]):
            for deeper, changed in altered(value[0], where):
                yield deeper, replace(one, **{at.name: (changed, *value[1:])})


IDENTITY = (".text", ".digest", ".name", ".version")


@pytest.mark.parametrize("pack", ["network", "payments", "web"])
def test_no_field_changes_unseen(pack: str) -> None:
    """Also one that a later release adds: it shows by its name."""
    policy, seen = replace(load_pack(pack), lists=(ListSchema(name="held"),), budgeting=None), 0
    for path, changed in altered(policy):
        if path in (*IDENTITY, ".budgeting") or path.endswith(".line"):
            continue
        seen += 1
        assert changes(policy, changed), path
        assert all(map(str, changes(policy, changed)))
    assert seen > 60
    assert changes(policy, policy) == []


BUDGETS = """\
budgets:
  timeout: 7d
  cost_unit: EUR
  accounts:
    - {name: house_day, unit: EUR, period: 1d, limit: 500}
    - {name: badge_day, unit: EUR, period: 1d, per: event.badge, limit: 300, limits: {a: 5}, parent: house_day}
    - {name: reviews_day, unit: count, period: 1d, limit: 2}
  reserve:
    - {account: badge_day, amount: "2", when: event.opened, then: review}
    - {account: reviews_day, amount: "1", for: [review]}
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("timeout: 7d", "timeout: 8d", "budgets: timeout 7d becomes 8d"),
        ("timeout: 7d", "timeout: 7d\n  on_timeout: commit", "budgets: on_timeout release becomes commit"),
        ("timeout: 7d", "timeout: 7d\n  max_open: 9", "budgets: max_open 100000 becomes 9"),
        ("timeout: 7d", "timeout: 7d\n  max_accounts: 9", "budgets: max_accounts 1000000 becomes 9"),
        ("timeout: 7d", "timeout: 7d\n  remembered: 9", "budgets: remembered 65536 becomes 9"),
        ("cost_unit: EUR", "cost_unit: count", "budgets: cost_unit EUR becomes count"),
        ("limit: 500", "limit: 501", "account house_day: limit 500 becomes 501"),
        ("limit: 2}", "limit: 3}", "account reviews_day: limit 2 becomes 3"),
        ("unit: count", "unit: reviews", "account reviews_day: unit count becomes reviews"),
        ("period: 1d, limit: 2}", "period: 7d, limit: 2}", "account reviews_day: period 1d becomes 7d"),
        ("{a: 5}", "{a: 6}", "account badge_day: limits {a: 5} becomes {a: 6}"),
        ("per: event.badge", "per: event.id", "account badge_day: per `event.badge` becomes `event.id`"),
        (", parent: house_day", "", "account badge_day: parent house_day becomes none"),
        ('amount: "2"', 'amount: "3"', "reserve badge_day for allow monitor: amount `2` becomes `3`: 2 -> 3"),
        (", when: event.opened", "", "reserve badge_day for allow monitor: when `event.opened` becomes none"),
        ("opened, then: review", "opened, then: flag", "reserve badge_day for allow monitor: then review becomes flag"),
        ("for: [review]}", "for: [block]}", None),
    ],
)
def test_no_field_of_budgets_changes_unseen(old: str, new: str, told: str | None) -> None:
    text = DOORS + BUDGETS
    assert old in text
    before, after = (load(one.encode(), name="doors.yaml") for one in (text, text.replace(old, new, 1)))
    found = list(map(str, changes(before, after)))
    assert found if told is None else told in found
    assert changes(before, load(text.encode(), name="doors.yaml")) == []
    without = load(DOORS.encode(), name="doors.yaml")
    assert {one.kind for one in changes(without, before)} == {"added"}
    assert {one.kind for one in changes(before, without)} == {"removed"}


def run(*words: str | Path) -> Result:
    name = ["policy", "diff"]
    return CliRunner().invoke(build(name), [*name, *map(str, words)], catch_exceptions=False)


def test_the_command_takes_files_and_packs(tmp_path: Path) -> None:
    """Grouped by what a change can do; as data, each with its words."""
    file = tmp_path / "web2.yaml"
    file.write_text(load_pack("web").text.replace("monitor: 7500", "monitor: 7600"), encoding="utf-8")
    shown = run("web", file).stdout.splitlines()
    assert shown[0].startswith("from web@1:")
    assert shown[2:] == ["What follows from the rules that fire", "  trust: monitor 7500 becomes 7600"]
    told = json.loads(run(file, "web", "--json").stdout)
    assert [one["words"] for one in told["changes"]] == ["trust: monitor 7600 becomes 7500"]
    assert "the files are the same" in run("web", "web").stdout
    assert "they are of different packs" in run("web", "network").stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["web", "wbe"], "wbe is no file, and no pack"),
        (["web", "web@1:0123456789ab", "--export", "."], "is no export"),
    ],
)
def test_what_is_not_known_is_a_sentence(words: list[str], sentence: str) -> None:
    """And exit 2."""
    done = run(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert sentence in done.stderr
