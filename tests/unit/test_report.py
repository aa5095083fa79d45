"""The audit report: every total is the one a dumber program comes to, and a report that says anything else is named."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidechain.models.proof.chain_check import ChainCheck
from sidechain.models.report.compare import Stated
from sidechain.models.report.document import ABSENT, Chain, Known, digest_of, document, seal
from sidechain.models.report.tally import Ask, Period, band
from sidechain.models.report.totals import OTHERS, PLACES_MAX, Totals
from sidechain.models.report.what_if import Asked, Gate, action_under, asked, gates_of
from tests import dumb_report
from tests.reported import CHAINS, FIRST, GATES, JUNK, SECOND, T0
from tests.ruins import resealed

POLICIES = {one.ref: one for one in (FIRST, SECOND)}
ASK = Ask(gates=gates_of(POLICIES.values()))
OUTCOMES = ("settlement", "refused-outcome")
MIDDLE = Period(T0 + 300_000, T0 + 700_000)


def made(
    chains: Mapping[int, Sequence[bytes]] = CHAINS, ask: Ask = ASK, sizes: Sequence[int] = (10_000,)
) -> dict[str, Any]:
    """The report of these chains, given to the check in pieces of these sizes, over and over."""
    found = []
    for partition, lines in chains.items():
        tally = ask.tally(partition)
        check = ChainCheck(seen=tally.take)
        done, turn = 0, 0
        while done < len(lines):
            done += check.take(lines[done : done + sizes[turn % len(sizes)]]).taken
            turn += 1
        check.finish()
        tally.finish()
        found.append(Chain(partition, check.epochs, tally))
    return document(found, ask, Known(POLICIES))


EVER = Period()


def dumb(period: Period = EVER, gates: Any = GATES) -> dict[str, Any]:
    chains = {at: [json.loads(line) for line in lines if line != JUNK] for at, lines in CHAINS.items()}
    return dumb_report.totals(chains, gates, *period)


def test_the_chains_hold_what_the_totals_are_about():
    """Else equality would say little: every kind, action, tier, flag, reason, state of a signal, and a what-if."""
    totals = made()["totals"]
    people = {"policy", "list", "gap", "epoch"}
    assert set(totals["entries"]["kinds"]) == {"decision", "duplicate", "rejected", *OUTCOMES, *people}
    assert totals["outcomes"]["costs"] == {"outcomes": 2, "sum_minor": 1_349}
    assert totals["outcomes"]["labels"] == {"good": 1, "bad": 1}
    assert all(totals["actions"].values())
    assert all(totals["tiers"].values())
    assert set(totals["rules"]) == {"guest", "many", "large", "huge", "odd"}
    assert set(totals["typologies"]["rush"]) == {"review", "block"}
    assert set(totals["trust_marks"]) == {"floor", "entropy"}
    assert set(totals["flags"]) == {"late", "ahead", "evicted"}
    assert len(totals["rejected"]) == 4
    assert len(totals["policies"]) == 2
    assert set(totals["signals"]["risk"]["unknown"]) == {"absent", "stale", "future", "bounds"}
    assert len(totals["signals"]["mood"]["models"]) == 2
    scenarios = totals["what_if"]["scenarios"]
    assert scenarios["conservative"]["changed"]
    assert scenarios["aggressive"]["changed"]


@pytest.mark.parametrize(
    "period",
    [Period(), MIDDLE, Period(since=MIDDLE.since), Period(until=MIDDLE.since), Period(until=T0), Period(T0 + 10**9)],
    ids=["all", "a part", "to the end", "from the beginning", "early events only", "none"],
)
def test_a_dumber_program_comes_to_the_same_totals(period):
    assert made(ask=Ask(period, ASK.gates))["totals"] == dumb(period)


def test_without_a_policy_s_text_its_decisions_have_no_what_if():
    """All the other totals are the same; nothing is guessed."""
    some = {FIRST.ref: GATES[FIRST.ref]}
    found = made(ask=Ask(gates=gates_of([FIRST])))["totals"]
    assert found == dumb(gates=some)
    assert set(found["what_if"]["not_recomputed"]) == {SECOND.ref}


def test_with_no_shift_every_action_is_the_sealed_one():
    """The formula is that of the kernel."""
    balanced = made()["totals"]["what_if"]["scenarios"]["balanced"]
    assert balanced == {"shift_bp": 0, "actions": made()["totals"]["actions"], "changed": {}}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
@settings(max_examples=15)
def test_no_split_into_batches_changes_a_byte(sizes):
    assert seal(made(sizes=sizes)) == seal(made())


def test_a_list_of_changes_says_who_and_where():
    changes = made()["changes"]
    policies = [(one["partition"], one["seq"], one["by"], one["policy"]) for one in changes["policies"]]
    assert policies == [(0, 81, "anna", SECOND.ref), (1, 51, "anna", SECOND.ref), (2, 31, "anna", SECOND.ref)]
    assert [(one["partition"], one["epoch"], one["by"], one["to"] - one["from"]) for one in changes["gaps"]] == [
        (2, 0, "ben", 5)
    ]
    assert [(one["partition"], one["epoch"], one["seq"]) for one in changes["epochs"]] == [(2, 1, 0)]
    assert [(one["partition"], one["list"], one["rows"]) for one in changes["lists"]] == [(1, "lost@1:d3fa11034b31", 2)]
    assert changes["not_listed"] == {"policies": 0, "lists": 0, "gaps": 0, "epochs": 0}


def test_a_change_before_the_first_decision_is_of_the_first_decision_s_time():
    """When a person acted is that person's clock; a rejection has no time at all."""
    early = made({0: CHAINS[0][:2]}, Ask(Period(until=T0 + 10_000)))
    assert early["totals"]["entries"]["kinds"] == {"decision": 1, "rejected": 1}
    late = made({0: CHAINS[0][:2]}, Ask(Period(since=T0 + 10_000)))
    assert late["totals"]["entries"]["outside"] == {"decision": 1, "rejected": 1}


@pytest.mark.parametrize(("period", "inside"), [(Period(), 1), (Period(since=0), 0)], ids=["all there is", "a period"])
def test_a_chain_without_a_decision_is_in_no_period(period, inside):
    assert made({0: CHAINS[0][:1]}, Ask(period))["totals"]["entries"]["in_period"] == inside


# The digest of a report, and what `verify --report` makes of an altered one.


def test_a_report_states_its_own_digest():
    sealed = seal(made())
    stated, digest = digest_of(sealed)
    assert stated == digest
    assert sealed.endswith(b',"digest":"%b"}' % digest.encode())
    assert Stated(sealed + b"\n").differences(made()) == []


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Any:
    """Every number and text in a document, with the way to it."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from leaves(one, (*path, name))
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from leaves(one, (*path, at))
    elif value is not None:
        yield path, value


def test_every_altered_number_of_a_report_is_named():
    """Also when whoever altered it has sealed it anew."""
    right = made()
    for path, value in leaves({name: right[name] for name in ("totals", "changes")}):
        report = json.loads(msgspec.json.encode(right))
        at = report
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = f"{value}x" if isinstance(value, str) else not value if isinstance(value, bool) else value + 1
        where = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in path)[1:]
        assert [one.where for one in Stated(seal(report)).differences(right)] == [where]


def test_a_report_that_was_not_sealed_anew_has_another_digest():
    altered = seal(made()).replace(b'"decisions":', b'"decisionz":', 1)
    assert "digest" in [one.where for one in Stated(altered).differences(made())]


def test_a_report_is_held_against_the_entries_there_were():
    """The chains go on; what was reported of their beginning stays right."""
    shorter = {at: lines[:-7] for at, lines in CHAINS.items()}
    stated = Stated(seal(made(shorter)))
    assert stated.differences(made(ask=stated.ask(dict(ASK.gates)))) == []
    assert stated.differences(made())  # without looking at where it ended


def test_a_report_of_more_than_there_is_differs():
    stated = Stated(seal(made()))
    shorter = {at: lines[:-1] for at, lines in CHAINS.items()}
    differences = stated.differences(made(shorter, stated.ask(dict(ASK.gates))))
    assert "partition 0, epoch 0.entries" in [one.where for one in differences]


def test_a_chain_that_a_report_leaves_away_is_named():
    stated = Stated(seal(made({0: CHAINS[0]})))
    found = stated.differences(made({0: CHAINS[0], 1: CHAINS[1]}, stated.ask(dict(ASK.gates))))
    assert [str(one) for one in found] == ["partition 1: the report says nothing, the chains come to a chain"]


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"\xff", b"[" * 9_000, b'{"v":2}', seal(made()).replace(b'"v":1', b'"v":9', 1)],
    ids=["empty", "no fields", "a list", "no text", "deep", "few fields", "another version"],
)
def test_what_is_no_report_is_said_to_be_none(data):
    with pytest.raises(ValueError):  # noqa: PT011 - each its own sentence
        Stated(data)


def spoilt(report: dict[str, Any], path: tuple[Any, ...], value: Any) -> bytes:
    """The report with one value replaced, sealed anew."""
    at = report = json.loads(msgspec.json.encode(report))
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    return seal(report)


@pytest.mark.parametrize("value", [-1, [], {}, "x", [{}], {"a": []}, 2.5], ids=str)
def test_whatever_stands_in_a_report_is_refused_or_named(value):
    """Every place of its chains, policies and period, and the first of each table; the other places are alike."""
    right = made()
    parts = {name: right[name] for name in ("chains", "policies", "period", "changes")}
    for path, _ in leaves(parts):
        try:
            stated = Stated(spoilt(right, path, value))
        except ValueError:
            continue
        assert stated.differences(made(ask=stated.ask({}))) or path[0] == "chains", path


@given(st.integers(0, len(seal(made())) - 1), st.integers(1, 255))
@settings(max_examples=60)
def test_a_flipped_byte_is_refused_or_named(at, flip):
    data = bytearray(seal(made()))
    data[at] ^= flip
    try:
        stated = Stated(bytes(data))
    except ValueError:
        return
    assert stated.differences(made())


# The what-if, by hand.


@pytest.mark.parametrize(
    ("trust_bp", "shift_bp", "action"),
    [
        (2500, 0, "block"),  # upper edges are inclusive
        (2501, 0, "review"),
        (5000, 0, "review"),
        (5001, 0, "monitor"),
        (7500, 0, "monitor"),
        (7501, 0, "allow"),
        (3000, 500, "block"),
        (3001, 500, "review"),
        (8000, 500, "monitor"),
        (8001, 500, "allow"),
        (2000, -500, "block"),
        (2001, -500, "review"),
        (7001, -500, "allow"),
    ],
)
def test_tiers_move_with_their_edges(trust_bp, shift_bp, action):
    gate = Gate((2500, 5000, 7500), {})
    assert action_under(gate, shift_bp, trust_bp, asked(gate, [])) == action


@pytest.mark.parametrize(
    ("reasons", "rank", "is_settled"),
    [
        ([], 0, False),
        ([["rule", "a", 0]], 0, True),
        ([["rule", "n", 900]], 0, False),
        ([["rule", "m", 0], ["rule", "r", 100]], 2, False),
        ([["rule", "b", 0], ["rule", "a", 0]], 3, True),
        ([["rule", "n", 0], ["typology", "t", 70, "block"]], 3, False),
        ([["trust", "floor", "flag"], ["trust", "entropy", "review"]], 2, False),
    ],
)
def test_what_rules_typologies_and_marks_ask_for(reasons, rank, is_settled):
    gate = Gate((0, 0, 0), {"a": "allow", "n": "note", "m": "monitor", "r": "review", "b": "block"})
    assert asked(gate, reasons) == Asked(rank, is_settled)


def test_an_allow_rule_silences_the_tiers_and_not_the_rules():
    gate = Gate((9_000, 9_500, 9_900), {})
    assert action_under(gate, 500, 0, Asked(0, is_settled=True)) == "allow"
    assert action_under(gate, 500, 0, Asked(2, is_settled=True)) == "review"


@pytest.mark.parametrize(
    ("value_bp", "number"),
    [(0, 0), (1, 0), (500, 0), (501, 1), (2500, 4), (2501, 5), (9500, 18), (9501, 19), (10000, 19)],
)
def test_bands_end_where_tiers_do(value_bp, number):
    assert band(value_bp) == number
    assert dumb_report.band(value_bp) == number


# Entries nobody of ours wrote.


@pytest.mark.parametrize(
    "change",
    [
        {"trust_bp": 10_001},
        {"trust_bp": "many"},
        {"action": "shrug"},
        {"reasons": [["rule"]]},
        {"reasons": [[]]},
        {"reasons": [[{}, 1]]},
        {"reasons": [["rule", {}, 1]]},
        {"reasons": [["trust", "floor", {}]]},
        {"reasons": None},
        {"flags": [1]},
        {"signals": {"risk": 3}},
        {"at": None},
        {"at": 2**64},
    ],
)
def test_an_entry_that_says_what_no_entry_says_is_counted_as_unreadable(change):
    """It is rightly sealed, so the chain is whole; the report must not pass it over in silence."""
    totals = made({0: [resealed(CHAINS[0][1], seq=0, prev="0" * 64, **change)]})["totals"]
    assert totals["entries"]["unreadable"] == 1
    assert totals["decisions"] == 0


@pytest.mark.parametrize(
    ("age_ms", "up_to"),
    [
        (0, "1s"),
        (1_000, "1s"),
        (1_001, "1m"),
        (60_000, "1m"),
        (600_000, "10m"),
        (3_600_001, "1d"),
        (86_400_001, "older"),
    ],
)
def test_ages_up_to_an_edge_include_it(age_ms, up_to):
    at = json.loads(CHAINS[0][1])["at"]
    used = {"risk": {"value": 1, "model": "m", "as_of": at - age_ms, "offset": 0}}
    line = resealed(CHAINS[0][1], seq=0, prev="0" * 64, signals=used)
    found = made({0: [line]})["totals"]["signals"]["risk"]["age"]["up_to"]
    assert [name for name, count in found.items() if count] == [up_to]


def test_ages_that_no_honest_entry_has_can_be_written_down():
    """An entry anybody with the code could seal: as of the beginning of time, or of its end."""
    lines, head = [], "0" * 64
    for number, as_of in enumerate((-(2**63), -(2**63), 2**63 - 1)):
        used = {"risk": {"value": 1, "model": "m", "as_of": as_of, "offset": 0}}
        lines.append(resealed(CHAINS[0][1], seq=number, prev=head, signals=used))
        head = json.loads(lines[-1])["hash"]
    age = made({0: lines})["totals"]["signals"]["risk"]["age"]
    assert (age["sum_ms"], age["max_ms"]) == (2**63 - 1, 2**63 - 1)
    assert seal(made({0: lines}))


def test_a_kind_of_another_release_is_counted_by_its_name():
    lines = [resealed(CHAINS[0][1], seq=0, prev="0" * 64)]
    head = json.loads(lines[0])["hash"]
    lines.append(resealed(CHAINS[0][2], seq=1, prev=head, kind="settled-elsewhere"))
    totals = made({0: lines})["totals"]
    assert totals["entries"]["kinds"] == {"decision": 1, "settled-elsewhere": 1}


def test_a_sort_of_reason_of_another_release_is_counted_by_its_name():
    line = resealed(CHAINS[0][1], seq=0, prev="0" * 64, reasons=[["moon", {}, "review"], ["sun", {}]])
    totals = made({0: [line]})["totals"]
    assert totals["other_reasons"] == {"moon": 1, "sun": 1}
    assert totals["what_if"]["scenarios"]["balanced"]["actions"]["review"] == 1


def test_a_table_holds_so_many_names_and_counts_the_others_together():
    totals = Totals()
    for number in range(PLACES_MAX + 5):
        totals.add("rule", (f"r-{number}", "allow"))
    totals.add("rule", ("r-0", "allow"))
    assert totals.tables["rule"]["r-0", "allow"] == 2
    assert totals.tables["rule"][OTHERS, "allow"] == 5
    assert len(totals.tables["rule"]) == PLACES_MAX + 1


def test_what_is_not_in_a_report_is_said():
    assert made()["absent"] == ABSENT
