"""`bench kernel`: every part that is compared is really there in one fold and really gone from the other."""

import pytest

from sidechain.agents.bench.kernel import PARTS, _has, _without, kernel
from sidechain.agents.problems import UsageProblem
from sidechain.models.pack_file import load_pack

PAYMENTS = load_pack("payments")


def test_it_times_every_policy_and_says_where_it_ran() -> None:
    """Small: whether it works, not how fast."""
    figures = kernel("payments", 1_000, 1, 10, lambda _text: None)
    assert list(figures["us_per_event"]) == ["on", *(f"without {one}" for one in PARTS), "off"]
    assert list(figures["ratios"]) == list(PARTS)
    assert min(figures["us_per_event"].values()) > 0
    assert figures["pack"] == PAYMENTS.ref
    assert figures["machine"]["cores"] > 0


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_taken_out_alone(part: str) -> None:
    left = _without(PAYMENTS, part)
    assert [one for one in PARTS if _has(left, one)] == [one for one in PARTS if one != part]
    assert {one.id for one in PAYMENTS.rules} - {one.id for one in left.rules} == (
        {"terminal_blocked", "above_own_limit"} if part == "lists" else set()
    )


def test_a_pack_without_any_of_them_is_no_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidechain.agents.bench.kernel.load_pack", lambda _name: _without(PAYMENTS, *PARTS))
    with pytest.raises(UsageProblem, match="has none of budgets, lists, typologies"):
        kernel("payments", 1_000, 1, 10, lambda _text: None)
