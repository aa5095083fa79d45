"""How the bench of the payments rules counts: tables worked out by hand, and a terminal's history told in time."""

import gzip
from importlib.resources import files

import pytest

from sidechain.models.pack_file import load_pack
from tests.bench.payments_rules import DAY_MS, Row, TerminalRisk, average_precision, card_precision, decided

GOOD, BAD = False, True


@pytest.mark.parametrize(
    ("scored", "expected"),
    [
        ([(9, BAD), (8, GOOD)], 1.0),
        ([(9, GOOD), (8, BAD)], 1 / 2),
        ([(9, BAD), (8, GOOD), (7, BAD)], (1 / 1 + 2 / 3) / 2),
        ([(9, BAD), (9, GOOD)], 1 / 2),  # one rank for both, whichever comes first
        ([(9, GOOD), (9, BAD)], 1 / 2),
        ([(0, BAD), (0, GOOD), (0, GOOD), (0, GOOD)], 1 / 4),  # nothing ranked is the share of the bad
        ([(5, GOOD)], 0.0),
        ([], 0.0),
    ],
)
def test_average_precision_by_hand(scored, expected):
    assert average_precision(scored) == pytest.approx(expected)


def test_card_precision_looks_at_the_hundred_highest_of_each_day():
    """Day one: 101 customers, the 40 highest of them defrauded; day two: one customer, defrauded."""
    first = [Row(0, f"{at:03}", int(at < 40), 1_000 - at, "allow") for at in range(101)]
    first += [Row(5, "100", 1, 0, "allow")]  # the 101st; nobody looks
    assert card_precision(first) == pytest.approx(0.4)
    assert card_precision([*first, Row(DAY_MS, "7", 2, 0, "allow")]) == pytest.approx((0.4 + 1.0) / 2)


def test_a_terminal_is_known_by_labels_seven_days_old_and_of_28_days():
    """Two payments, one bad; what is known changes when a label comes due, and the oldest is forgotten then."""
    risk = TerminalRisk()
    risk.paid(0, "t", BAD)
    risk.paid(DAY_MS, "t", GOOD)
    assert risk.at(7 * DAY_MS - 1, "t") is None
    assert risk.at(7 * DAY_MS, "t").value == 10_000
    assert risk.at(8 * DAY_MS, "t").value == 5_000
    assert risk.at(9 * DAY_MS, "elsewhere") is None
    risk.paid(28 * DAY_MS, "t", GOOD)
    said = risk.at(35 * DAY_MS, "t")  # the label of day 7 is 28 days old by now
    assert (said.value, said.as_of) == (0, 35 * DAY_MS)


def test_every_decision_is_ranked_with_its_own_truth_and_its_own_terminal():
    """Over the sample: as many of each kind as its last column says, and the risk finds what nothing else does."""
    packed = files("sidechain.models") / "packs" / "samples" / "payments_150_customers.csv.gz"
    lines = gzip.decompress(packed.read_bytes()).splitlines(keepends=True)[:12_001]
    policy = load_pack("payments")
    without, sealed = (list(decided(policy, lines, with_terminals=one)) for one in (False, True))
    assert [one.kind for one in sealed] == [int(line.rstrip()[-1:]) for line in lines[1:]]
    assert [(one.at_ms, one.customer) for one in sealed] == [(one.at_ms, one.customer) for one in without]
    raised = [
        with_risk.kind for with_risk, one in zip(sealed, without, strict=True) if with_risk.score_bp > one.score_bp
    ]
    assert raised.count(2) > 10
    average = [average_precision((one.score_bp, one.kind > 0) for one in some) for some in (without, sealed)]
    assert average[0] < average[1]
