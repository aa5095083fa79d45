"""What the wet side said: used, or the entry says why not."""

import pytest

from sidechain.models.dry import SignalValue
from sidechain.models.policy import Signal
from tests.support import T0, decided, event, policy, rule

AGES = (Signal(name="risk", max_age_ms=1_000), Signal(name="old", max_age_ms=5_000, minimum=10, maximum=20))


@pytest.mark.parametrize(
    ("value", "age_ms", "risk", "old"),
    [
        (15, 0, 15, 15),
        (15, 1_000, 15, 15),  # ages are inclusive
        (15, 1_001, "stale", 15),
        (15, 5_001, "stale", "stale"),
        (15, -1, "future", "future"),
        (10, 0, 10, 10),  # bounds are inclusive
        (20, 0, 20, 20),
        (9, 0, 9, "bounds"),
        (21, 0, 21, "bounds"),
        (10_001, 0, "bounds", "bounds"),
        (-1, 0, "bounds", "bounds"),
        (9, 1_001, "stale", "bounds"),
        (None, 0, "absent", "absent"),
    ],
)
def test_a_signal_is_used_or_its_entry_says_why_not(value, age_ms, risk, old):
    """Two signals read the same word of the wet side, each within its own age and bounds."""
    said = None if value is None else SignalValue(value, "m-1", T0 - age_ms, 7)
    rules = [rule("r", "has(signals.risk)"), rule("o", "has(signals.old)")]
    (entry,) = decided(policy(signals=AGES, rules=rules), [event(0)], latest=lambda _key: said)

    def recorded(found):
        return {"unknown": found} if isinstance(found, str) else said._asdict()

    assert entry["signals"] == {"risk": recorded(risk), "old": recorded(old)}
    fired = {reason[1] for reason in entry["reasons"]}
    assert fired == {name for name, found in (("r", risk), ("o", old)) if isinstance(found, int)}


def test_a_policy_that_takes_no_signals_does_not_ask():
    """Whatever the wet side says, it says it to nobody."""

    def never(_key: str) -> None:
        raise AssertionError("asked")

    assert decided(policy(), [event(0)], latest=never)[0]["signals"] == {}
