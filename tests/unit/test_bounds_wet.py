"""What may be dropped, metrics and the wet side, is waited for no longer than its bound."""

import asyncio
import logging
import socket
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from sidechain.agents import metrics as metrics_module
from sidechain.agents.wet import feed, past, risk
from tests.silence import for_ever, nothing, run


def test_a_scraper_that_hangs_is_cut_off_and_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are served meanwhile."""
    monkeypatch.setattr(metrics_module, "SCRAPE_S", 0.3)
    port = metrics_module.serve(metrics_module.registry(), "127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as hanging:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert b"sidechain_build_info" in answer.read()
        assert hanging.recv(1) == b"", "cut off"


def test_a_wet_agent_that_is_stuck_ends_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while there are more partitions than its channel holds batches."""
    monkeypatch.setattr(feed, "BATCH_S", 0.05)

    async def story() -> None:
        app = SimpleNamespace(channel=asyncio.Queue)
        one = feed.Feed(app, SimpleNamespace(), {}, topic="t", group="g")  # type: ignore[arg-type]
        with pytest.raises(feed.AgentStuckError, match="the agent on t did not answer within 0 s"):
            await one._round({TopicPartition("t", at): [record(at)] for at in range(20)})

    run(story)


def test_a_wet_worker_does_not_wait_for_ever_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to read nor to write: START_S."""
    monkeypatch.setattr(feed, "START_S", 0.02)
    mute = SimpleNamespace(start=for_ever, stop=nothing)
    monkeypatch.setattr(feed, "AIOKafkaConsumer", lambda **_: mute)
    monkeypatch.setattr(feed, "AIOKafkaProducer", lambda **_: mute)

    async def story() -> None:
        with pytest.raises(TimeoutError):
            await feed.Publisher({}).start()
        app = SimpleNamespace(channel=asyncio.Queue)
        with pytest.raises(TimeoutError):
            await feed.Feed(app, SimpleNamespace(), {}, topic="t", group="g").run(asyncio.Event())  # type: ignore[arg-type]

    run(story)


def test_past_taps_are_read_within_a_bound(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Learning begins with what was read by then."""
    monkeypatch.setattr(past, "BOUND_S", 0.02)

    class Mute:
        def __init__(self, *_: object) -> None: ...

        __aenter__ = for_ever
        __aexit__ = nothing

    monkeypatch.setattr(past, "Reader", Mute)
    run(lambda: past.Past({"t": lambda _: None}, {}).open([0]))
    assert "not all of the tail of t was read within 0 s, going on" in caplog.text


def record(partition: int) -> ConsumerRecord[Any, Any]:
    return ConsumerRecord("t", partition, 0, 0, 0, b"k", b"v", None, 1, 1, ())


def test_the_past_of_risks_is_read_within_a_bound(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was not read is not known; the agent goes on."""
    monkeypatch.setattr(risk, "RESTORE_S", 0.02)

    async def story() -> int:
        one = risk.RiskAgent.__new__(risk.RiskAgent)
        one._policy = SimpleNamespace(wet=None, event=SimpleNamespace(max_step_ms=1))  # type: ignore[assignment]
        monkeypatch.setattr(risk.risk, "Risks", lambda *_: [])
        monkeypatch.setattr(one, "_restore_risks", for_ever)
        await one.open([0, 1])
        return one.entities

    with caplog.at_level(logging.WARNING):
        assert run(story) == 0
    assert "not all of the past was read within 0 s" in caplog.text
