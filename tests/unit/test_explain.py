"""Why a decision was made, from its entry alone and with its policy: the words are right and the shares add up."""

import math
import re
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidechain.models import Decider
from sidechain.models.dry import Fold, SignalValue
from sidechain.models.explain import explain
from sidechain.models.policy import Policy, Signal, Typology
from tests.answered import answered
from tests.support import T0, control, decided, event, feature, fold, loader, policy, rule, trust

TYPOLOGY = Typology(id="both", title="Two signs", weights={"many": 60, "big": 60}, review_at=100)
RULES = (rule("many", "features.seen >= 2", "note", 1_000), rule("big", "event.n  >\n 10", "review", 2_500))


def judged(**more: Any) -> Policy:
    """Two rules, a typology, a signal and a trust gate in which each input counts."""
    return policy(
        features=[feature("seen", "count", "1m")],
        signals=(Signal(name="risk", max_age_ms=60_000),),
        rules=RULES,
        typologies=[TYPOLOGY],
        gate=trust("9000 - score_bp", "signals.risk", "event.n * 100", risk_unknown=2_000, floor_bp=9_000, **more),
    )


def said_of(entry: dict[str, Any], one: Policy | None = None) -> str:
    return "\n".join(explain(entry, one))


@pytest.fixture
def entry() -> dict[str, Any]:
    """An event on which both rules, the typology, the floor and a signal have a say."""
    folded = Fold(judged(), 3)
    fold(folded, [event(0)])
    return fold(folded, [event(1, n=11)], latest={"h": SignalValue(3_000, "forest-3:ab", T0, 12)}.get)[0]


def test_the_entry_alone_says_what_was_decided_and_from_what(entry) -> None:
    """Nobody needs the pack to learn the action, what fired, what was measured and which input it was."""
    said = said_of(entry)
    assert said.startswith(f"e-1 was sent to review under policy {entry['policy']}.\n")
    for line in (
        "  rule many fired (+1000)",
        "  rule big fired (+2500)",
        "  typology both scored 120, which asks for review",
        "  trust gate: trust is below its floor",
        f"  trust {entry['trust_bp']} of 10000, tier {entry['tier']}",
        f"  signal risk: 3000 from forest-3:ab, as of {T0} (metadata offset 12)",
        "  measured: seen 2",
        f"  input: events, partition 3, offset 1, SHA-256 {entry['digest']}",
        f"  sealed as entry 1 with hash {entry['hash']}",
    ):
        assert line in said.splitlines()


def test_with_the_policy_conditions_and_titles_stand_beside(entry) -> None:
    """In the policy's own words, whatever line breaks its author used."""
    said = said_of(entry, judged())
    assert "  rule many fired (+1000)\n      because features.seen >= 2\n" in said
    assert "      because event.n > 10\n" in said
    assert "  typology both scored 120, which asks for review: Two signs\n" in said
    assert "    tiers: block up to 2500, review up to 5000, monitor up to 7500\n" in said


@pytest.mark.parametrize(("n", "risk"), [(1, 0), (11, 3_000), (50, 9_999), (100, 10_000), (99, 1)])
def test_the_shares_of_trust_add_up_to_what_is_shown(n: int, risk: int) -> None:
    """To the last digit; and the sum, taken back from log odds by other arithmetic, is the trust within 1 bp."""
    folded = Fold(judged(), 0)
    (entry,) = fold(folded, [event(0, n=n)], latest={"h": SignalValue(risk, "m", T0, 0)}.get)
    said = said_of(entry, judged())
    shares = [Decimal(one) for one in re.findall(r"^    \w+ \d+ at weight \d+: (\S+)$", said, re.MULTILINE)]
    (total,) = map(Decimal, re.findall(r"^    together: (\S+) logit$", said, re.MULTILINE))
    assert len(shares) == 3
    assert sum(shares) == total
    assert abs(10_000 / (1 + math.exp(-total)) - entry["trust_bp"]) <= 1


@pytest.mark.parametrize(
    ("latest", "words"),
    [
        (None, "unknown, nothing was said about this key"),
        (SignalValue(5, "m", T0 - 60_001, 0), "unknown, the last word was too old"),
        (SignalValue(5, "m", T0 + 1, 0), "unknown, the last word is about a later event"),
        (SignalValue(10_001, "m", T0, 0), "unknown, the value was outside the policy's bounds"),
    ],
)
def test_an_unknown_signal_says_why(latest: SignalValue | None, words: str) -> None:
    """Each of the four reasons in words."""
    (entry,) = fold(Fold(judged(), 0), [event(0)], latest=lambda _key: latest)
    assert f"  signal risk: {words}\n" in said_of(entry)


@pytest.mark.parametrize(("n", "action"), [(1, "was allowed"), (60, "was sent to review"), (100, "was blocked")])
def test_every_action_has_its_verb(n: int, action: str) -> None:
    """As an operator says it."""
    gate = trust("10000", "0", "event.n * 100", weights_bp=(0, 0, 10_000))
    (entry,) = decided(policy(gate=gate), [event(0, n=n)])
    assert next(explain(entry)).startswith(f"e-0 {action} under policy ")


def test_every_other_kind_is_explained_too() -> None:
    """A repetition names the decision that stands; a rejection its reason and field; a policy who activated it."""
    one, two = judged(), judged(block_bp=3_000)
    folded = Fold(one, 0)
    entries = fold(folded, [event(0), event(0), event(1, n="x")])
    entries.append(msgspec.json.decode(folded.control(control(two), loader(two)).entries[0][1]))
    assert [next(explain(entry)) for entry in entries[1:]] == [
        "e-0 was decided before, by entry 0; this repetition decided nothing.",
        "The input could not be decided: a field has the wrong type (field n).",
        f"From here on policy {two.ref} decides, activated by anna; before: {one.ref}.",
    ]
    assert "  input: control, partition 0, offset 0, " in said_of(entries[-1])


@pytest.mark.parametrize(
    ("kind", "says", "words"),
    [
        ("ask", {"amount": 20, "reason": None}, ["Partition 2 asked for 31 EUR of account day.", "  It was given 20."]),
        (
            "ask",
            {"amount": 0, "reason": "period-over"},
            [
                "Partition 2 asked for 31 EUR of account day.",
                "  It was given 0: the period is over on this partition.",
            ],
        ),
        ("grant", {"amount": 31, "lapsed": 0, "reason": None}, ["Partition 2 gave 31 EUR of account day."]),
        (
            "grant",
            {"amount": 0, "lapsed": 31, "reason": "period-over"},
            [
                "Partition 2 gave 31 EUR of account day.",
                "  Of it 0 were added and 31 lapsed: the period is over on this partition.",
            ],
        ),
    ],
)
def test_what_partitions_ask_and_give_is_told(kind: str, says: dict[str, Any], words: list[str]) -> None:
    transfer = {"kind": kind, "source": 2, "amount": 31, "unit": "EUR", "account": "day", "key": ""}
    entry = {"kind": {"ask": "debit", "grant": "credit"}[kind], "transfer": transfer, **says}
    found = list(explain({"source": ["transfers", 0, 7], "digest": "ab" * 32, "seq": 3, "hash": "cd" * 32, **entry}))
    assert found[: len(words)] == words


def test_no_value_has_no_digest_and_flags_have_words() -> None:
    """Nothing is left for the reader to guess."""
    rejected, _, ahead, late = decided(
        policy(features=[feature("seen", "count", "1m")], max_step_ms=60_000),
        [None, event(0), event(100_000), event(-100)],
    )
    assert "SHA-256 none: no value" in said_of(rejected)
    assert "  flag ahead: its time runs ahead of the partition" in said_of(ahead)
    assert "  flag late: older than a window" in said_of(late)


def test_the_command_explains_from_a_file(tmp_path: Path) -> None:
    """All entries that name the id; exit 1 when none does."""
    ids = ["req-1", "req-2", "req-1"]
    events = [
        {"id": one, "host": "a.example", "at": 807_256_800_000, "method": "GET", "path": "/", "status": 200}
        for one in ids
    ]
    sealed = Decider("web").lines([msgspec.json.encode(one) for one in events])
    file = tmp_path / "decisions.ndjson"
    file.write_bytes(b"".join(one + b"\n" for one in sealed))

    def asked(*words: str) -> subprocess.CompletedProcess[str]:
        return answered("explain", "--file", file, *words)

    alone, with_words = asked("req-1"), asked("req-1", "--pack", "web")
    assert alone.stdout.startswith("req-1 was allowed under policy web@1:")
    assert "\n\nreq-1 was decided before, by entry 0; this repetition decided nothing.\n" in alone.stdout
    assert "together: " in with_words.stdout
    assert "together: " not in alone.stdout
    shown = msgspec.json.decode(asked("req-1", "--json").stdout)
    assert [one["entry"] for one in shown] == [msgspec.json.decode(sealed[0]), msgspec.json.decode(sealed[2])]
    assert "\n\n".join("\n".join(one["says"]) for one in shown) == alone.stdout.rstrip("\n")
    assert [one["otherwise"] and one["otherwise"]["unsaid"] for one in shown] == [
        "not without the policy, which is not here",
        None,
    ]
    missing = asked("req-3")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "no entry names req-3" in missing.stderr
