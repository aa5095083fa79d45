"""What the wet side said: used, or the entry says why not."""

import json

import pytest

from sidechain.models.cel import STRING, Variable, check
from sidechain.models.dry import Fold, SignalValue
from sidechain.models.dry.replay import Replayer
from sidechain.models.policy import Signal
from tests.support import T0, decided, event, policy, records, rule

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


OTHERS = (
    Signal(name="risk", max_age_ms=1_000),
    Signal(
        name="door_risk",
        max_age_ms=5_000,
        of=check("event.s", {"event.s": Variable(STRING, unknown=True)}, expect=STRING),
    ),
)


def told(name: str, about: str) -> SignalValue | None:
    """Somebody who has heard of one door."""
    return SignalValue(8_000, "aggregate", T0, 3) if (name, about) == ("door_risk", "/a") else None


@pytest.mark.parametrize(
    ("path", "risk", "found"),
    [
        ("/a", None, 8_000),
        ("/b", None, "absent"),
        (None, None, "absent"),  # what it is about is unknown, and so is the signal; the key's own is not taken for it
        ("/a", 50, 8_000),
        (None, 50, "absent"),
    ],
)
def test_a_signal_of_something_else_is_looked_up_under_that_and_replays_from_its_entry(path, risk, found):
    """The key's own signal and the other's are two words of two speakers, and neither answers for the other."""
    one = policy(signals=OTHERS, rules=[rule("bad_door", "signals.door_risk >= 8000", points=700)])
    given = event(0) if path is None else event(0, s=path)
    own = None if risk is None else SignalValue(risk, "m-1", T0, 7)
    fold = Fold(one, 0)
    [(_, sealed)] = fold.events(records([given]), lambda _key: own, told).entries
    entry = json.loads(sealed)
    assert entry["signals"]["door_risk"] == (
        {"unknown": found}
        if isinstance(found, str)
        else {"value": found, "model": "aggregate", "as_of": T0, "offset": 3}
    )
    assert entry["signals"]["risk"] == ({"unknown": "absent"} if own is None else own._asdict())
    assert entry["score_bp"] == (700 if found == 8_000 else 0)
    replayer = Replayer(one, 0, lambda _topic, offset: records([given])[offset])
    assert replayer.take(sealed) is None
    without = Replayer(one, 0, lambda _topic, offset: records([given])[offset], use_signals=False)
    assert json.loads(without.again(sealed))["signals"] == {
        name: {"unknown": "absent"} for name in ("risk", "door_risk")
    }
