"""The same events through Kafka, however many workers and whatever the wet side does: per partition the same bytes.

What they are compared with is `sidechain decide`, the kernel without a broker, fed each partition's events in order.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from zlib import crc32

import msgspec
import pytest

from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.proof import Topics
from sidechain.agents.settings import Config
from sidechain.models import samples
from sidechain.models.pack_file import load_file, load_pack
from tests.lanes import Process, assert_balanced, config_of, made, send, until, visible, wait_decided

EVENTS = 4_000
PARTITIONS = 4

Keyed = list[tuple[int, bytes, bytes]]


@pytest.fixture(scope="module")
def events() -> Keyed:
    """The first connections of the network sample, each service on one partition."""
    values = samples.events(load_pack("network"))[:EVENTS]
    keys = [msgspec.json.decode(one)["service"].encode() for one in values]
    return [(crc32(key) % PARTITIONS, key, value) for key, value in zip(keys, values, strict=True)]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """The network pack as a file of the test's own."""
    path = tmp_path / "network.yaml"
    path.write_text(load_pack("network").text, encoding="utf-8")
    return path


@pytest.fixture
def deaf(tmp_path: Path) -> Path:
    """The network pack without its signal: neither a rule nor the trust gate reads any."""
    text = load_pack("network").text
    signals, rules = text.index("signals:\n"), text.index("rules:\n")
    listening, typologies = text.index("  - id: unusual_service\n"), text.index("typologies:\n")
    text = text[:signals] + text[rules:listening] + "\n" + text[typologies:]
    text = text.replace("{value: signals.risk / 2, unknown: 2000}", '{value: "2000"}')
    assert "signals." not in text
    path = tmp_path / "deaf.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def installation(broker: LocalKafka, prefix: str, policy: Path, **settings: int) -> Config:
    """Topics of their own for one run."""
    return made(config_of(broker.bootstrap, prefix, policy=policy, partitions=PARTITIONS, **settings))


def alone(policy: Path, events: Keyed, partition: int) -> bytes:
    """What `sidechain decide` makes of one partition's events, from a process that knows of no broker."""
    stdin = b"".join(value + b"\n" for at, _, value in events if at == partition)
    command = [sys.executable, "-m", "sidechain.agents", "decide", "--policy", policy, "--partition", str(partition)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SIDECHAIN_")}
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, env=environ, check=True)
    return done.stdout


def assert_same_bytes(config: Config, events: Keyed) -> None:
    """Every partition's decisions are those of the kernel alone, and no partition is empty."""
    assert config.policy is not None
    sealed = visible(config, "dry.decisions")
    for partition in range(PARTITIONS):
        lines = b"".join(one.value + b"\n" for one in sealed[partition])
        assert lines == alone(config.policy, events, partition), f"partition {partition}"
        assert lines.count(b"\n") > 100


@contextmanager
def workers(config: Config, folder: Path, *roles: str) -> Iterator[dict[str, Process]]:
    """One process for each role."""
    with ExitStack() as stack:
        yield {role: stack.enter_context(Process(config, folder / f"{role}.log", role)) for role in roles}


def test_one_worker_seals_the_bytes_of_the_kernel_alone(broker, prefix, pack, events, tmp_path) -> None:
    """Four partitions, one shard; the wet side is off."""
    config = installation(broker, prefix, pack)
    send(config, events)
    with workers(config, tmp_path, "dry") as up:
        wait_decided(config, EVENTS, list(up.values()))
    assert_same_bytes(config, events)


def test_two_workers_seal_the_same_bytes(broker, prefix, pack, events, tmp_path) -> None:
    """Two shards of two partitions; the second worker comes while events flow, so that one of them moves."""
    config = installation(broker, prefix, pack, shard_size=2)
    first, second = (Process(config, tmp_path / f"{name}.log", shard_size=2) for name in ("first", "second"))
    with first:
        first.wait_for("genesis", times=2)
        send(config, events[: EVENTS // 2])
        with second:
            second.wait_for(r"shard \d: (genesis|restored)")
            send(config, events[EVENTS // 2 :])
            wait_decided(config, EVENTS, [first, second])
    assert_same_bytes(config, events)


@pytest.mark.parametrize("is_killed", [False, True], ids=["on", "killed midway"])
def test_a_policy_without_signals_hears_nothing_of_the_wet_side(
    broker, prefix, deaf, events, tmp_path, is_killed
) -> None:
    """The wet side listens and advises, or dies half way through, and no byte changes."""
    config = installation(broker, prefix, deaf)
    with workers(config, tmp_path, "dry", "tap", "wet") as up:
        send(config, events[: EVENTS // 2])
        until(lambda: any(visible(config, "wet.metadata").values()), up["wet"].said)
        if is_killed:
            up["wet"].kill()
        send(config, events[EVENTS // 2 :])
        wait_decided(config, EVENTS, [up["dry"]])
    assert_same_bytes(config, events)


def test_a_policy_with_signals_replays_from_the_log_alone(broker, prefix, pack, events, tmp_path) -> None:
    """Decisions used what the wet side said at the time; walking the chain makes the same bytes without it."""
    config = installation(broker, prefix, pack)
    with workers(config, tmp_path, "dry", "tap", "wet") as up:
        send(config, events[: EVENTS // 2])
        until(lambda: any(visible(config, "wet.metadata").values()), up["wet"].said)
        send(config, events[EVENTS // 2 :])
        wait_decided(config, EVENTS, [up["dry"]])
    chains = assert_balanced(config)
    assert any("value" in entry["signals"]["risk"] for chain in chains.values() for entry in chain)

    async def replayed() -> list[tuple[int, object]]:
        async with Topics.of(config) as topics:
            return [(one.entries, one.fault) for one in await topics.replay(load_file(pack))]

    assert asyncio.run(replayed()) == [(len(chains[one]), None) for one in range(PARTITIONS)]
