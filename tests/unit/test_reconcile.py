"""Settled costs against a statement: what is planted is found, each once, and nothing else."""

from random import Random

import msgspec
import pytest

from sidechain.models.amounts import minor_units
from sidechain.models.reconcile import Cost, Entry, Settled, StatementError, Unreadable, read_statement, reconcile

SETTLED = [
    Settled("a", 1_250, "EUR", Entry(0, 0, 3)),
    Settled("b", 700, "EUR", Entry(0, 0, 5)),
    Settled("c", 2, "count", Entry(2, 1, 9)),
]
GOOD = ["a,12.50,EUR", "b,7,EUR", "c,0.02,count"]


def found(lines: list[str], settled: list[Settled] = SETTLED) -> list[tuple[str, str | None, int | None]]:
    text = [f"{one}\n".encode() for one in ["id,amount,unit", *lines]]
    return [(one.kind, one.id, one.line) for one in reconcile(settled, read_statement(text)).mismatches]


@pytest.mark.parametrize(
    ("lines", "mismatches"),
    [
        (GOOD, []),
        (GOOD[::-1], []),
        (["", *GOOD, " "], []),
        (GOOD[:2], [("missing", "c", None)]),
        ([], [("missing", "a", None), ("missing", "b", None), ("missing", "c", None)]),
        ([*GOOD, "d,1,EUR"], [("extra", "d", 5)]),
        (["a,12.51,EUR", *GOOD[1:]], [("amount", "a", 2)]),
        (["a,12.49,EUR", *GOOD[1:]], [("amount", "a", 2)]),
        (["a,12.50,USD", *GOOD[1:]], [("unit", "a", 2)]),
        (["a,12.50,eur", *GOOD[1:]], [("unit", "a", 2)]),  # nobody guesses that they are the same
        ([*GOOD, GOOD[0]], [("duplicate", "a", 5)]),
        ([*GOOD, "a,1,EUR", "a,1,EUR"], [("duplicate", "a", 5), ("duplicate", "a", 6)]),
        (["d,1,EUR", "d,1,EUR", *GOOD], [("extra", "d", 2), ("duplicate", "d", 3)]),
        (["a,12.505,EUR", *GOOD[1:]], [("unreadable", None, 2), ("missing", "a", None)]),
        (["a,-12.50,EUR", *GOOD[1:]], [("unreadable", None, 2), ("missing", "a", None)]),
        (["a,12.50", *GOOD[1:]], [("unreadable", None, 2), ("missing", "a", None)]),
        (["a,,EUR", *GOOD[1:]], [("unreadable", None, 2), ("missing", "a", None)]),
        (['"a,12.50,EUR', *GOOD[1:]], [("unreadable", None, 2), ("missing", "a", None)]),
        (["A,12.50,EUR", *GOOD[1:]], [("extra", "A", 2), ("missing", "a", None)]),
    ],
)
def test_every_planted_mismatch_is_found(lines, mismatches):
    """With its line; missing ones at the end."""
    assert found(lines) == mismatches


def test_a_cost_settled_twice_is_named():
    """A chain does not do that; an export put together wrongly may."""
    twice = [*SETTLED, Settled("a", 1_250, "EUR", Entry(0, 1, 11))]
    assert found(GOOD, twice) == [("repeated", "a", None)]
    (told,) = reconcile(twice, read_statement([b"id,amount,unit", *map(str.encode, GOOD)])).mismatches
    assert (told.entry, told.why) == (Entry(0, 1, 11), "it was settled before, by entry 3 of partition 0")


def test_a_mismatch_names_its_line_and_its_entry():
    """Whatever of the two there is."""
    text = [b"id,amount,unit", b"a,12.51,EUR", b"c,2,EUR", b"c,0.02,count", b"d,1,EUR"]
    entries = {(one.kind, one.id): (one.line, one.entry) for one in reconcile(SETTLED, read_statement(text)).mismatches}
    assert entries == {
        ("amount", "a"): (2, Entry(0, 0, 3)),
        ("unit", "c"): (3, Entry(2, 1, 9)),
        ("duplicate", "c"): (4, Entry(2, 1, 9)),
        ("extra", "d"): (5, None),
        ("missing", "b"): (None, Entry(0, 0, 5)),
    }
    assert str(Entry(2, 1, 9)) == "entry 9 of epoch 1 of partition 2"


@pytest.mark.parametrize(
    ("due", "lines", "mismatches", "settled"),
    [
        ("", ["a,12.50,EUR"], [("extra", "a", 2)], {}),  # it was settled, and not in this period
        ("", [], [], {}),
        ("b", ["a,12.50,EUR", "b,7,EUR"], [("extra", "a", 2)], {"EUR": 700}),
        ("b", ["b,8,EUR"], [("amount", "b", 2)], {"EUR": 700}),
        ("abc", GOOD, [], {"EUR": 1_950, "count": 2}),
    ],
)
def test_what_was_settled_outside_the_period_is_not_missed(due, lines, mismatches, settled):
    """A line about it is told as one too many, with where it was settled."""
    ours = [one._replace(is_due=one.id in due) for one in SETTLED]
    assert found(lines, ours) == mismatches
    result = reconcile(ours, read_statement([b"id,amount,unit", *map(str.encode, lines)]))
    assert result.settled == settled
    for one in result.mismatches:
        assert one.kind != "extra" or (one.entry, one.why) == (Entry(0, 0, 3), "it was settled outside the period")


@pytest.mark.parametrize("order", [1, -1])
def test_settled_within_the_period_counts_before_what_lies_outside(order):
    """Two epochs may settle one id; the statement is about one of them."""
    both = [Settled("a", 5, "EUR", Entry(0, 0, 1), is_due=False), Settled("a", 1_250, "EUR", Entry(0, 1, 1))]
    assert found(["a,12.50,EUR"], both[::order]) == []


def test_totals_are_by_unit_and_a_reason_says_how_much():
    """What each side says, whether it matches or not."""
    lines = [b"id,amount,unit", b"a,12.51,EUR", b"b,7.00,EUR", b"x,1,USD"]
    result = reconcile(SETTLED, read_statement(lines))
    assert (result.settled, result.stated) == ({"EUR": 1_950, "count": 2}, {"EUR": 1_951, "USD": 100})
    assert result.matches == 1
    assert result.mismatches[0].why == "the statement says 1 more"
    assert msgspec.json.decode(msgspec.json.encode(result))["mismatches"][0]["stated"] == 1_251


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"id":"a","amount":"12.50","unit":"EUR"}', None),
        ('{"id":"a","amount":"12.50","unit":"EUR","memo":[1]}', None),
        ('{"id":"a","amount":12,"unit":"EUR"}', None),
        ('{"id":"a","amount":12.5,"unit":"EUR"}', "must be a text"),  # it has been through a float
        ('{"id":"a","amount":true,"unit":"EUR"}', "must be a text"),
        ('{"id":"a","amount":"1","amount":"2","unit":"EUR"}', "not strict JSON"),
        ('{"id":7,"amount":"1","unit":"EUR"}', "must be texts"),
        ('{"id":"a","amount":"1"}', "does not say unit"),
        ('{"id":"a","amount":null,"unit":"EUR"}', "does not say amount"),
        ('{"id":"a"', "not strict JSON"),
        ('{"id":"a","amount":"1e3","unit":"EUR"}', "is no amount"),
        ('{"id":"a","amount":"NaN","unit":"EUR"}', "is no amount"),
        ('{"id":"a","amount":"90071992547409.92","unit":"EUR"}', "more than 2**53 - 1"),
        ('{"id":"a","amount":"90071992547409.91","unit":"EUR"}', None),
        ('{"id":"a","amount":"' + "1" * 70_000 + '","unit":"EUR"}', "longer than"),
    ],
)
def test_lines_of_json(line, problem):
    """Amounts are texts or whole numbers; what cannot be read says why."""
    (one,) = read_statement([line.encode()])
    assert isinstance(one, Cost) if problem is None else problem in one.problem


@pytest.mark.parametrize(
    ("lines", "options", "sentence"),
    [
        ([], {}, "empty"),
        ([b"\n", b" \r\n"], {}, "empty"),
        ([b"id,amount"], {}, "must name the columns"),
        ([b"\xff\xfe"], {}, "must name the columns"),
        ([b"id,amount,unit"], {"decimals": 9}, "decimals"),
        ([b"id,amount,unit"], {"columns": ("id", "id", "unit")}, "different columns"),
    ],
)
def test_a_statement_that_cannot_be_read_at_all(lines, options, sentence):
    """Said before anything is compared."""
    with pytest.raises(StatementError, match=sentence):
        list(read_statement(lines, **options))


def test_columns_may_have_other_names_and_places_and_a_mark_before_them():
    """As other people's programs write them."""
    lines = [b"\xef\xbb\xbfunit,memo,reference,total\r\n", b'EUR,"a, b",r-1,3\r\n', b"\xff,,,\r\n"]
    first, second = read_statement(lines, columns=("reference", "total", "unit"), decimals=0)
    assert first == Cost("r-1", 3, "EUR", 2)
    assert isinstance(second, Unreadable)


@pytest.mark.parametrize(
    ("text", "decimals", "amount"),
    [
        ("12.5", 2, 1_250),
        ("12.50", 2, 1_250),
        ("12.5000", 2, 1_250),  # zeros say nothing
        ("12.", 2, 1_200),
        (" 12 ", 2, 1_200),
        ("0.01", 2, 1),
        ("-0.00", 2, 0),
        ("007", 0, 7),
        ("9007199254740991", 0, 2**53 - 1),
        ("0.00000001", 8, 1),
    ],
)
def test_amounts_as_people_write_them(text, decimals, amount):
    """Exactly."""
    assert minor_units(text, decimals) == amount


@pytest.mark.parametrize(
    ("text", "decimals", "sentence"),
    [
        ("12.505", 2, "3 decimals, and the unit has 2"),
        ("0.1", 0, "1 decimals, and the unit has 0"),
        ("-1", 2, "negative"),
        ("9007199254740992", 0, "2\\*\\*53"),
        ("9" * 21, 0, "no amount"),
        ("", 2, "no amount"),
        (".5", 2, "no amount"),
        ("1,50", 2, "no amount"),
        ("1 000", 2, "no amount"),
        ("1e2", 2, "no amount"),
        ("+1", 2, "no amount"),
        ("inf", 2, "no amount"),
        ("0x10", 2, "no amount"),
        ("١٢", 2, "no amount"),
    ],
)
def test_amounts_that_are_none(text, decimals, sentence):
    """Nothing is rounded, nothing guessed."""
    with pytest.raises(ValueError, match=sentence):
        minor_units(text, decimals)


@pytest.mark.parametrize("seed", range(5))
def test_planted_mismatches_among_many_are_all_found_and_nothing_else(seed):
    """2,000 settled costs, 60 planted differences in a shuffled statement."""
    random = Random(seed)
    settled = [Settled(f"r{at}", random.randrange(10**6), "EUR", Entry(0, 0, at)) for at in range(2_000)]
    lines = [(one.id, one.amount, one.unit) for one in settled]
    planted = set()
    for at in random.sample(range(2_000), 60):
        identifier, amount, unit = lines[at]
        kind = ("missing", "amount", "unit", "duplicate", "extra")[at % 5]
        planted.add((kind, f"x{at}" if kind == "extra" else identifier))
        if kind == "duplicate":
            lines.append(lines[at])
        elif kind == "extra":
            lines.append((f"x{at}", amount, unit))
        else:
            lines[at] = {
                "missing": None,
                "amount": (identifier, amount + 1, unit),
                "unit": (identifier, amount, "USD"),
            }[kind]
    stated = [one for one in lines if one is not None]
    random.shuffle(stated)
    text = [
        b"id,amount,unit",
        *(f"{name},{cents // 100}.{cents % 100:02d},{unit}".encode() for name, cents, unit in stated),
    ]
    result = reconcile(settled, read_statement(text))
    assert sorted((one.kind, one.id) for one in result.mismatches) == sorted(planted)
    assert result.matches == 2_000 - sum(kind in ("missing", "amount", "unit") for kind, _ in planted)
