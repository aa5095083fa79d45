"""The signature test: whatever the wet side does, no decision waits for it and none changes unseen.

Off, on, slow, lying, killed, each beside the same events in the same order. Under a policy that accepts no signals the
decisions are the bytes of the kernel alone. Under one that does, every signal used is sealed as it was said, and with
all topics of the wet side deleted the chain replays to the same bytes. `sidechain bench wet` measures what it costs.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from sidechain.agents.bench.unruly import YEAR_MS
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.proof import Topics
from sidechain.agents.settings import Config
from sidechain.models.pack_file import load_file
from sidechain.topics.catalog import catalog
from tests.identity import (
    EVENTS,
    PARTITIONS,
    Keyed,
    alone,
    assert_same_bytes,
    connections,
    deaf,
    installation,
    listening,
    workers,
)
from tests.lanes import Process, assert_balanced, send, until, visible, wait_decided

MODES = ("off", "on", "slow", "lying", "killed")
UNRULY = ("-m", "sidechain.agents.bench.unruly")
TURNS = 8  # as many as there are ways to lie
MAX_AGE_MS = 600_000  # of the network pack's signal


@pytest.fixture(scope="module")
def events() -> Keyed:
    """Four partitions of connections."""
    return connections()


@pytest.fixture(scope="module")
def deaf_alone(events, tmp_path_factory) -> list[bytes]:
    """What the kernel makes of them without a broker, under the policy that accepts no signals."""
    return alone(deaf(tmp_path_factory.mktemp("deaf")), events)


@pytest.mark.parametrize("mode", MODES)
def test_a_policy_without_signals_seals_the_bytes_of_the_kernel_alone(
    broker, prefix, events, deaf_alone, tmp_path, mode
) -> None:
    """No byte shows whether a wet side was there."""
    config = installation(broker, prefix, deaf(tmp_path))
    decided(config, events, tmp_path, mode)
    assert_same_bytes(config, deaf_alone)


@pytest.mark.parametrize("mode", MODES)
def test_a_policy_with_signals_replays_from_the_log_alone(broker, prefix, events, tmp_path, mode) -> None:
    """Decisions used what the wet side said at the time; walking the chain makes the same bytes without it."""
    config = installation(broker, prefix, listening(tmp_path))
    decided(config, events, tmp_path, mode)
    chains = assert_balanced(config)
    used = signals_sealed_as_said(config, chains)
    if mode == "off":
        assert used == {"absent"}
        assert_same_bytes(config, alone(config.policy, events))
    else:
        assert "value" in used
    if mode == "lying":
        assert used >= {"future", "bounds"}, "what cannot be is unknown, and the entry says why"
    delete_topics(config, *(one for one in catalog() if one.startswith("wet.")))
    assert asyncio.run(replayed(config)) == [(len(chains[one]), None) for one in range(PARTITIONS)]


def test_decisions_go_on_where_the_wet_side_has_no_topic_to_write(broker, prefix, events, tmp_path) -> None:
    """The tap can write nowhere and the wet worker hears nothing; for floods of what they write see test_bounds.py."""
    config = installation(broker, prefix, listening(tmp_path))
    delete_topics(config, "wet.taps", "wet.scores")
    with workers(config, tmp_path, "dry", "tap", "wet") as up:
        send(config, events)
        wait_decided(config, EVENTS, [up["dry"]])
        assert up["wet"].ended() == EnvironmentProblem.exit_code
    assert_same_bytes(config, alone(config.policy, events))


def decided(config: Config, events: Keyed, folder: Path, mode: str) -> None:
    """All events have their entry; the wet side did its worst meanwhile, from the first half on."""
    half = EVENTS // 2
    with workers(config, folder, "dry") as up, wet_side(config, folder, mode) as wet:
        # A model is learned from what was scored before; where the first half is one batch, nobody is left to score.
        send(config, events[: half // 2])
        if wet:
            until(lambda: sum(map(len, visible(config, "wet.scores").values())) >= half // 2, wet["wet"].said)
        send(config, events[half // 2 : half])
        if wet:
            until(lambda: any(visible(config, "wet.metadata").values()), wet["wet"].said)
        if mode == "lying":
            for turn in range(TURNS):  # nothing waits for the lane to have read it, so it is said more than once
                send(config, hostile(events, turn), "wet.metadata")
                send(config, events[half : half + EVENTS // 2 // TURNS])
                half += EVENTS // 2 // TURNS
                wait_decided(config, half, [up["dry"]])
        if mode == "killed":
            for first in (half, half + half // 3):
                send(config, events[first : first + half // 3])
                restarted(wet)
            half += 2 * (half // 3)
        send(config, events[half:])
        wait_decided(config, EVENTS, [up["dry"]])
        if mode == "slow":
            wet["wet"].wait_for(" s over ")


@contextmanager
def wet_side(config: Config, folder: Path, mode: str) -> Iterator[dict[str, Process]]:
    """The tap and the wet worker, each a process of its own; none of them when off."""
    if mode == "off":
        yield {}
        return
    program = (*UNRULY, mode) if mode in ("slow", "lying") else ()
    with workers(config, folder, "tap") as up, Process(config, folder / "wet.log", "wet", program) as wet:
        yield {**up, "wet": wet}


def restarted(wet: dict[str, Process]) -> None:
    """Both processes end as in a power cut, and come back."""
    for one in wet.values():
        one.kill()
    for one in wet.values():
        one.start()


def hostile(events: Keyed, turn: int) -> Keyed:
    """Metadata of somebody who may write the topic and knows nothing else: every key, each turn in another way."""
    at = max(msgspec.json.decode(value)["at"] for _, _, value in events)
    keys = sorted({(partition, key) for partition, key, _ in events})

    def said(**fields: Any) -> bytes:
        return msgspec.json.encode({"risk_bp": 9_999, "model": "m", "as_of": at, **fields})

    ways = (
        lambda partition, key: (partition, key, said(as_of=at + YEAR_MS)),
        lambda partition, key: (partition, key, said(risk_bp=10_001)),
        lambda partition, key: (partition, key, said(risk_bp=2**60)),
        lambda partition, key: (partition, key, said(model="m" * 10_000)),
        lambda partition, key: (partition, key, b"\xff{"),
        lambda partition, key: (partition, key, None),
        lambda partition, key: (partition, key * 2_000, said()),
        lambda partition, key: ((partition + 1) % PARTITIONS, key, said()),
    )
    return [ways[(at + turn) % len(ways)](*place) for at, place in enumerate(keys)]


def signals_sealed_as_said(config: Config, chains: dict[int, list[dict[str, Any]]]) -> set[str]:
    """Each value an entry states stands on wet.metadata, at the offset it names, for its key and in its time.

    Returns `value` if there was one, and the reasons of those that are unknown.
    """
    said = {
        (partition, one.offset): one for partition, found in visible(config, "wet.metadata").items() for one in found
    }
    seen = set()
    for partition, chain in chains.items():
        for entry in (one for one in chain if one["kind"] == "decision"):
            used = entry["signals"]["risk"]
            if "unknown" in used:
                seen.add(used["unknown"])
                continue
            seen.add("value")
            record = said[partition, used["offset"]]
            told = msgspec.json.decode(record.value)
            assert (record.key.decode(), told["risk_bp"], told["as_of"]) == (entry["key"], used["value"], used["as_of"])
            assert 0 <= used["value"] <= 10_000
            assert 0 <= entry["at"] - used["as_of"] <= MAX_AGE_MS
    return seen


def delete_topics(config: Config, *logical: str) -> None:
    """Delete topics of the catalogue."""

    async def delete() -> None:
        admin = AIOKafkaAdminClient(**kafka_options(config))
        await admin.start()
        try:
            await admin.delete_topics([config.topic(one) for one in logical])
        finally:
            await admin.close()

    asyncio.run(delete())


async def replayed(config: Config) -> list[tuple[int, object]]:
    """What replaying each partition found."""
    assert config.policy is not None
    async with Topics.of(config) as topics:
        return [(one.entries, one.fault) for one in await topics.replay(load_file(config.policy))]
