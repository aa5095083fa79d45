"""A bad pack is refused with file, line, column and what may have been meant."""

# ruff: noqa: E501 - a row of the table is one mistake and one complaint

import pytest

from sidechain.models.pack_file import load, load_file, load_pack
from sidechain.models.pack_reader import PackError
from tests.doors import doors

GOOD = doors("""\
    opened: {type: bool}
    held_s: {type: int, optional: true}
    load: {type: double}
features:
  - {name: refusals_10m, aggregate: count, window: 10m, panes: 10, where: "!event.opened"}
  - {name: held_1h, aggregate: sum, window: 1h, of: event.held_s}
signals:
  risk: {max_age: 15m}
rules:
  - id: trying_doors
    when: "!event.opened && features.refusals_10m >= 4"
    then: review
    reason: Refused four times.
    cases:
      fires: [{event.opened: false, features.refusals_10m: 4}]
      silent: [{event.opened: true, features.refusals_10m: 4}]
  - id: held_open
    when: >-
      event.held_s > 60 &&
        features.held_1h > 600
    then: monitor
    points: 1500
    reason: Open for long.
typologies:
  - {id: wandering, rules: {trying_doors: 60, held_open: 40}, review_at: 100}
trust:
  weights: {alignment: 4500, risk: 3500, band: 2000}
wet: {vector: [refusals_10m], words: {refusals_10m: many refusals}}
sources:
  export:
    format: csv
    columns: [time, badge, result, load]
    fields:
      badge: badge
      at: int(time)
      opened: result == "GRANTED"
      load: double(load)
""")


def complaints(text: str) -> list[str]:
    """What is said about `text`, a line each."""
    with pytest.raises(PackError) as refused:
        load(text.encode(), name="doors.yaml")
    return str(refused.value).splitlines()


def test_the_pack_the_table_starts_from_is_good() -> None:
    """Otherwise the table below would prove nothing."""
    assert load(GOOD.encode(), name="doors.yaml").name == "doors"


@pytest.mark.parametrize(
    ("good", "bad", "at", "said"),
    [
        # names
        ("version: 1\n", "verson: 1\n", "verson", 'unknown field "verson" in the pack; did you mean "version"?'),
        ("window: 10m", "windw: 10m", "windw", 'unknown field "windw" in feature refusals_10m; did you mean "window"?'),
        ("    then: monitor\n", "", "id: held_open", 'missing field "then" in rule held_open'),
        ("id: held_open", "id: trying_doors", "trying_doors\n    when: >-", 'duplicate id "trying_doors" in rule trying_doors'),
        ("name: held_1h", "name: refusals_10m", "refusals_10m, aggregate: sum", 'duplicate name "refusals_10m" in feature refusals_10m'),
        ("version: 1\n", "version: 1\nversion: 1\n", "version: 1\nevent", '"version" stands twice, first on line 2'),
        ("name: held_1h", "name: Held-1h", "Held-1h", '"name" must be lower-case letters, digits and _, beginning with a letter, in feature Held-1h'),
        # types and values
        ("version: 1\n", "version: one\n", "one\n", '"version" must be a whole number from 1 to 1000000000, not "one", in the pack'),
        ("version: 1\n", "version: 0\n", "0\n", '"version" must be a whole number from 1 to 1000000000, not 0, in the pack'),
        ("version: 1\n", "version: 1.0\n", "1.0\n", '"version" must be a whole number from 1 to 1000000000, not 1.0, in the pack'),
        ("optional: true", "optional: yes", "yes}", '"optional" must be true or false, not "yes", in field held_s'),
        ("type: bool", "type: boolean", "boolean", '"type" must be one of string, int, double, bool, list<string>, not "boolean", in field opened; did you mean "bool"?'),
        ("then: monitor", "then: blok", "blok", '"then" must be one of block, review, monitor, allow, note, not "blok", in rule held_open; did you mean "block"?'),
        ("aggregate: sum", "aggregate: total", "total", '"aggregate" must be one of count, sum, min, max, distinct, mean, deviation, ratio, gap, value, not "total", in feature held_1h'),
        ("max_age: 15m", "max_age: 15", "15}", '"max_age" must be a duration such as 250ms, 30s, 5m, 1h or 7d, not 15, in signal risk'),
        ("event:\n", "event:\n  earliest: 1995-08-01T00:00:00\n", "1995", '"earliest" must be a time such as 1995-08-01T00:00:00Z or whole milliseconds, not "1995-08-01T00:00:00", in event'),
        ("event:\n", "event:\n  stake: load\n", "load", '"stake" must name an int field, and load is none, in event'),
        ("event:\n", "event:\n  stake: held\n", "held", '"stake" must name an int field, and held is none, in event; did you mean "held_s"?'),
        ("event:\n", "event:\n  duplicate_horizon: 1000\n", "1000", '"duplicate_horizon" must be a multiple of 256 in event'),
        ("event:\n", "event:\n  duplicate_horizon: 1048832\n", "1048832", '"duplicate_horizon" must be at most 1048576, because each partition keeps that many ids in memory, 150 bytes each, in event'),
        ("wet: {", "wet: {warmup: 4, ", "4, vector", '"warmup" must be a whole number from 16 to 1000000, not 4, in wet'),
        ("signals:\n", "signals: none\nother:\n", "none\n", "signals must be a mapping"),
        # the event
        (", role: key", "", "id: {type", "no field has role: key"),
        ("type: double}", "type: int, role: time}", "id: {type", "at and load have role: time, and only one can"),
        ("type: int, role: time", "type: bool, role: time", "bool, role", "the time of an event must be an int in field at"),
        ("type: string, role: id", "type: string, role: id, optional: true", "true}\n    badge", "the id of an event cannot be optional in field id"),
        ("load: {type: double}", "load: {type: double, min: 0}", "0}\nfeatures", "only an int has bounds in field load"),
        # windows
        ("window: 1h", "window: 0s", "0s,", '"window" must be longer than zero in feature held_1h'),
        ("window: 10m, panes: 10", "window: 10m, panes: 7", "7, where", '600000 ms do not divide into 7 panes in feature refusals_10m; did you mean "panes: 6"?'),
        ("window: 1h", "window: 5ms", "5ms", '5 ms do not divide into 12 panes in feature held_1h; did you mean "panes: 5"?'),
        ("aggregate: count, window", "aggregate: gap, window", "10m, panes", 'a gap has no window: remove "window" in feature refusals_10m'),
        (", of: event.held_s", "", "{name: held_1h", 'missing field "of" in feature held_1h'),
        # expressions, at their place inside the file
        ("event.held_s > 60", "event.held > 60", "event.held >", '"when" of rule held_open: event.held is not declared; did you mean "event.held_s"?'),
        ("features.held_1h > 600", "features.held > 600", "features.held >", '"when" of rule held_open: features.held is not declared; did you mean "features.held_1h"?'),
        ('"!event.opened && features', '"!event.opened and features', "and features", '"when" of rule trying_doors: unexpected and; did you mean "&&"?'),
        ("event.held_s > 60 &&", "event.held_s > 60 & ", "& \n", '"when" of rule held_open: unexpected character \'&\'; did you mean "&&"?'),
        ("features.held_1h > 600", "features.held_1h >", "\n    then: monitor", '"when" of rule held_open: the expression ends too early'),
        ("of: event.held_s", "of: event.load", "event.load}", '"of" of feature held_1h: the expression must be int, and it is double'),
        ("at: int(time)", "at: time", "time\n      opened", 'field "at" of source export: the expression must be int, and it is string'),
        ("badge: badge\n", "badge: bagde\n", "bagde", 'field "badge" of source export: bagde is not declared; did you mean "badge"?'),
        # cases
        ("fires: [{event.opened: false, ", "fires: [{event.open: false, ", "event.open:", 'rule trying_doors does not read "event.open"; did you mean "event.opened"?'),
        ("fires: [{event.opened: false", "fires: [{event.opened: 0", "0, features", "event.opened is bool, and 0 does not fit"),
        ("fires: [{event.opened: false, ", "fires: [{", "{features.refusals_10m: 4}", "a case of rule trying_doors must say what event.opened is: it is always known"),
        # typologies, trust, wet, sources
        ("held_open: 40", "held_opn: 40", "held_opn", 'unknown rule "held_opn" in typology wandering; did you mean "held_open"?'),
        ("review_at: 100}", "review_at: 101}", "101", '"review_at" is 101 and all weights together are 100: unreachable in typology wandering'),
        ("review_at: 100}", "review_at: 90, block_at: 80}", "80", '"block_at" is below "review_at" in typology wandering'),
        ("band: 2000", "band: 1000", "{alignment", "the weights must sum to 10000, and they sum to 9000 in trust"),
        ("trust:\n", "trust:\n  tiers: {block: 6000}\n", "{block", 'the edges must rise: "block" <= "review" <= "monitor" in trust'),
        ("vector: [refusals_10m]", "vector: [refusals]", "refusals]", 'unknown feature "refusals" in "vector" of wet; did you mean "refusals_10m"?'),
        ("wet: {", "wet: {experts: [forrest], ", "forrest", 'unknown expert "forrest" in "experts" of wet; did you mean "forest"?'),
        ("wet: {", "wet: {experts: [forest, forest], ", "[forest, forest]", "an expert stands twice among the experts in wet"),
        ("wet: {", "wet: {experts: [consensus, forest], ", "[consensus", "the first expert is the baseline, and a consensus alone is none in wet"),
        ("wet: {", "wet: {explain_above: 8401, ", "8401", '"explain_above" must be a whole number from 0 to 8400, not 8401, in wet'),
        ("wet: {", "wet: {groups: [refusals_1h], ", "refusals_1h", 'unknown feature "refusals_1h" in "groups" of wet; did you mean "refusals_10m"?'),
        ("wet: {", "wet: {groups: [doors_1h, doors_1h], ", "[doors_1h", "a feature stands twice in the groups in wet"),
        ("wet: {", "wet: {clear_at: 9000, ", "{clear_at", 'thresholds must rise: "clear_at" < "raise_at" <= "critical_at" in wet'),
        ("      opened: result", "      opend: result", "opend:", 'unknown event field "opend" in source export; did you mean "opened"?'),
        ("      load: double(load)\n", "", "badge: badge", 'missing field "load" in source export'),
        # YAML itself
        ("version: 1\n", "version: [1\n", ":\n  fields", "while parsing a flow sequence expected ',' or ']', but got ':'"),
        ("version: 1\n", "version: &one 1\n", "&one", "anchors and aliases are not supported: write it out"),
        ("version: 1\n", "version: !!int 1\n", "!!int", "tags (tag:yaml.org,2002:int) are not supported: remove it"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(good: str, bad: str, at: str, said: str) -> None:
    """The first line says what is wrong, and its line and column point at `at`."""
    assert GOOD.count(good) == 1, good
    text = GOOD.replace(good, bad)
    found = complaints(text)
    _, line, column, message = found[0].split(":", 3)
    assert message.removeprefix(" ") == said
    pointed = "".join(text.splitlines(keepends=True)[int(line) - 1 :])[int(column) - 1 :]
    assert pointed.startswith(at), f"{line}:{column} is {pointed[:30]!r}"


def test_a_complaint_reads_as_a_compiler_would_say_it() -> None:
    """The whole line, counted by hand: editors jump to file, line and column."""
    assert complaints(GOOD.replace("window: 1h", "windw: 1h")) == [
        'doors.yaml:13:37: unknown field "windw" in feature held_1h; did you mean "window"?'
    ]


@pytest.mark.parametrize(
    ("written", "column", "line"),
    [
        ("when: event.helt_s > 60 && event.opened", 11, 17),
        ("when: 'event.opened && event.helt_s > 60'", 28, 17),
        ("when: \"event.opened && 'a\\u0041\\\"' == 'b' && event.helt_s > 60\"", 50, 17),
        ("when: 'event.opened && ''its'' == ''é'' && event.helt_s > 60'", 48, 17),
        ("when: |\n      event.opened &&\n\n      event.helt_s > 60", 7, 20),
        ("when: >-\n\n        event.opened\n        && event.helt_s > 60", 12, 20),
        ("when: event.opened\n      &&   event.helt_s > 60", 12, 18),
    ],
    ids=["plain", "single quotes", "escapes", "doubled quotes", "literal block", "folded block", "continued"],
)
def test_a_place_inside_an_expression_is_a_place_in_the_file(written: str, column: int, line: int) -> None:
    """However YAML folds, quotes or indents an expression, the complaint points at the misspelt name."""
    text = f"{GOOD[: GOOD.index('    when:')]}    {written}\n    then: review\n    reason: x\n"
    # The emoji ahead is one character in four bytes: places count characters.
    (found,) = complaints(text.replace("version: 1\n", "version: 1  # 🙂\n"))
    assert found == (
        f'doors.yaml:{line + 1}:{column}: "when" of rule trying_doors: event.helt_s is not declared; '
        'did you mean "event.held_s"?'
    )


def test_all_mistakes_are_told_in_one_run() -> None:
    """Nobody wants to run a checker once per typing error; they come in the order of the file."""
    text = GOOD.replace("window: 10m", "window: 0m").replace("then: review", "then: revue").replace("15m", "soon")
    assert [one.split(":")[1] for one in complaints(text)] == ["12", "15", "19"]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("window: 10m", "windw: 10m"),  # one name is missing, one unknown
        ("type: bool", "type: boolean"),  # the expressions that read it
        ("event.held_s > 60", "event.held > 60"),  # the cases of a rule without a condition
        ("event.opened: false,", "event.open: false,"),  # the case that says nothing about the right name
        ("held_open: 40", "held_opn: 40"),  # weights that no longer reach the threshold
        ("aggregate: sum", "aggregate: total"),  # fields that would not belong to another aggregate
        ("      opened: result", "      opend: result"),
    ],
)
def test_what_only_follows_from_a_mistake_is_not_told(good: str, bad: str) -> None:
    """One slip of the pen is one line."""
    assert len(complaints(GOOD.replace(good, bad))) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "doors.yaml:1:1: the file is empty"),
        (b"doors", 'doors.yaml:1:1: a pack is a mapping that begins with "pack: <name>"'),
        (b"pack: d\xff", "doors.yaml: byte 7 is not UTF-8"),
        (b"a: " + b"[" * 100_000, "doors.yaml:1:19: nested more than 16 deep"),
        (b"a: {" * 100_000, "doors.yaml:1:64: nested more than 16 deep"),
        (b"a: &x [1]\nb: *x\n", "doors.yaml:1:4: anchors and aliases are not supported: write it out"),
        (b"#" * 1_048_577, "doors.yaml:1:1: the file is larger than 1048576 bytes"),
        (b"a: b\n---\nc: d\n", "doors.yaml:2:1: a pack is one document: remove everything from the second --- on"),
        (b"a: \x01\n", "doors.yaml:1:1: "),
        (b"[a]: b\n", "doors.yaml:1:1: a list or mapping cannot be a name"),
    ],
    ids=["empty", "text", "latin-1", "lists", "mappings", "alias", "large", "documents", "control", "list as name"],
)
def test_hostile_text_is_refused_with_a_sentence(text: bytes, said: str) -> None:
    """No input reaches the recursion limit or another exception than ours."""
    with pytest.raises(PackError) as refused:
        load(text, name="doors.yaml")
    assert str(refused.value).startswith(said)


def test_a_missing_file_and_an_unknown_pack_are_named(tmp_path) -> None:
    """Both are the caller's slip, not a traceback."""
    with pytest.raises(PackError, match=r"no_such\.yaml: cannot be read: No such file or directory"):
        load_file(tmp_path / "no_such.yaml")
    with pytest.raises(
        PackError, match='there is no such pack, there are network, payments and web; did you mean "network"'
    ):
        load_pack("netwrok")


def test_every_cut_of_a_good_pack_is_loaded_or_refused() -> None:
    """A file that was not written to its end never ends in another exception."""
    for end in range(0, len(GOOD), 7):
        try:
            load(GOOD[:end].encode(), name="doors.yaml")
        except PackError as refused:
            assert refused.problems  # noqa: PT017 - both outcomes are right, a third is not
