"""The signals of terminals: the bench's are an aggregator's, and what no rule asks for changes no decision."""

import json
import math
from typing import Any

import numpy as np

from sidechain.models import Decider, samples
from sidechain.models.dry import SignalValue
from sidechain.models.pack_file import load_pack
from sidechain.models.wet.aggregate import Case, Shares
from tests.bench.payments_rows import DELAY_MS
from tests.bench.payments_signals import sealed

HOUR_MS = 3_600_000
BEGIN_MS = 1_522_540_800_000


def test_they_are_those_of_the_aggregator_row_by_row() -> None:
    """Two months of 12 terminals, payments hours apart; every label is told before the first payment it is known at."""
    policy, random = load_pack("payments"), np.random.default_rng(3)
    at = BEGIN_MS + np.cumsum(random.integers(1, 6 * HOUR_MS, 700))
    terminal, is_bad = random.integers(0, 12, len(at)), random.random(len(at)) < 0.2
    made = sealed(policy, at, terminal, is_bad)
    signals = {one.name: one for one in policy.signals if one.learn is not None}
    shares, words, offset, due = Shares(policy), {}, 0, 0
    for row, now in enumerate(at.tolist()):
        shares.take(0, Case(offset, 2 * row, now, {name: str(terminal[row]) for name in signals}))
        offset += 1
        while at[due] + DELAY_MS <= now:
            shares.take(0, Case(offset, 2 * due, int(at[due]) + DELAY_MS, None, "bad" if is_bad[due] else "good"))
            words.update(shares.told())
            offset, due = offset + 1, due + 1
        for name, signal in signals.items():
            word = words.get((name, str(terminal[row])))
            is_used = word is not None and word.value_bp is not None and now - word.as_of <= signal.max_age_ms
            expected = word.value_bp if is_used else None
            assert (None if math.isnan(made[name][row]) else made[name][row]) == expected
    assert due > 500
    assert all(40 < np.isnan(one).sum() < len(at) - 40 for one in made.values())


def test_a_signal_that_no_rule_asks_for_is_sealed_and_changes_no_decision() -> None:
    """Known to one of two deciders: the entries are the same but for what they say of it."""
    policy = load_pack("payments")
    events = samples.events(policy)[:400]

    def decided(*known: str) -> list[dict[str, Any]]:
        def latest_of(signal: str, of: str) -> SignalValue | None:
            value = 100 * (int(of) % 100)
            return SignalValue(value, "bad-share", json.loads(events[0])["at"], 1) if signal in known else None

        return [json.loads(one) for one in Decider(policy).lines(events, latest_of=latest_of)]

    without, beside = decided("terminal_risk"), decided("terminal_risk", "terminal_risk_7d")
    told = {one["signals"]["terminal_risk_7d"].get("unknown") for one in without}
    assert told == {"absent"}
    assert sum("value" in one["signals"]["terminal_risk_7d"] for one in beside) > 300
    assert len({one["action"] for one in without}) > 1
    for one in (*without, *beside):
        for name in ("hash", "prev"):
            del one[name]
        del one["signals"]["terminal_risk_7d"]
    assert without == beside
