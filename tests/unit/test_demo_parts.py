"""What the demo sends and prints of outcomes and budgets, without a broker."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from sidechain.agents.demo import play
from sidechain.agents.demo.view import fields, summary
from sidechain.models import samples
from sidechain.models.pack_file import load_pack
from sidechain.models.report.balances import Sums

POLICY = load_pack("payments")
WEEK_MS = 604_800_000


@pytest.fixture(scope="module")
def known() -> list[bytes]:
    return samples.outcomes(POLICY)


def test_each_payment_of_the_sample_has_an_outcome_a_week_later(known):
    """In the order of the payments; some are bad."""
    events = [msgspec.json.decode(one) for one in samples.events(POLICY)]
    outcomes = [msgspec.json.decode(one) for one in known]
    assert [(one["id"], one["key"], one["at"]) for one in outcomes] == [
        (one["id"], one["customer"], one["at"] + WEEK_MS) for one in events
    ]
    assert 0 < sum(one["label"] == "bad" for one in outcomes) < len(outcomes) // 20
    assert samples.outcomes(load_pack("web")) == []


def test_outcomes_are_sent_as_they_become_known(known, monkeypatch):
    """Each before the first event that is later, on a topic of its own, the last at the end; the rate is of events."""
    sent: list[tuple[str, int]] = []
    rates: list[float | None] = []

    async def produce(_options: object, topic: str, records: Any, *, rate: float | None) -> int:
        rates.append(rate)
        for one in records:
            assert one.key is not None
            sent.append((one.topic or topic, msgspec.json.decode(one.value)["at"]))
        return len(sent)

    monkeypatch.setattr(play, "produce", produce)
    monkeypatch.setattr(play, "kafka_options", lambda _config: {})
    stage: Any = SimpleNamespace(config=SimpleNamespace(topic=str), check=lambda: None)
    post = play.Post(stage, POLICY, known[:4_000], 1_000)
    events = samples.events(POLICY)[:4_000]

    async def all_of_it() -> None:
        await post.send(events[:3_000])
        await post.send(events[3_000:])
        await post.send_rest()

    asyncio.run(all_of_it())
    assert (post.events, post.outcomes, len(sent)) == (4_000, 4_000, 8_000)
    during = sent[: len(sent) - next(at for at, one in enumerate(reversed(sent)) if one[0] == "events")]
    assert during == sorted(during, key=lambda one: one[1])
    assert 0 < sum(topic == "outcomes" for topic, _ in during) < 4_000
    assert rates[0] is not None
    assert 1_000 <= rates[0] < 2_000
    assert rates[-1] is None


def test_the_page_says_what_was_settled_held_and_used():
    """And nothing of it for a pack that has none."""
    report = play.Report(outcomes=9, refused_outcomes=1)
    report.settled.update(good=7, bad=1)
    report.signals_used["terminal_risk"] = 1_584
    report.champion = "nobody"
    report.budgets = {"day": Sums("EUR", 2, 1_000, 100, 600, 7, 50)}
    page = "\n".join(summary(report))
    assert "Settled, as labels became known late: 1 bad, 7 good; 1 outcomes refused" in page
    assert "account day, in EUR: of 1,000 given, 300 remain, 100 are held, 600 are spent, 7 owed, 50 under way" in page
    assert "conserved after every entry" in page
    assert "terminal_risk      1,584" in page
    assert "Champion: nobody; `sidechain worker trainer` learns one from outcomes" in page
    told = msgspec.json.decode(msgspec.json.encode(fields(report)))
    assert (told["budgets"]["day"]["remaining"], told["settled"], told["outcomes"]) == (300, {"good": 7, "bad": 1}, 9)
    report.budget_faults = ["partition 0, entry 7 states 1 of 2 in day"]
    assert "NOT CONSERVED\n    partition 0, entry 7 states" in "\n".join(summary(report))
    assert not report.is_proved
    bare = "\n".join(summary(play.Report()))
    assert not any(word in bare for word in ("Settled", "account", "conserved", "Signals", "Champion"))
