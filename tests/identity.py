"""The same events for many installations, and the bytes their chains must have.

What chains are compared with is `sidechain decide`, the kernel without a broker, fed each partition's events in order.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.settings import Config
from sidechain.models import samples
from sidechain.models.pack_file import load_pack
from tests.lanes import Process, config_of, made, visible

EVENTS = 4_000
PARTITIONS = 4

Keyed = list[tuple[int, bytes, bytes]]


def connections() -> Keyed:
    """The first connections of the network sample, each service on one partition."""
    values = samples.events(load_pack("network"))[:EVENTS]
    keys = [msgspec.json.decode(one)["service"].encode() for one in values]
    return [(crc32(key) % PARTITIONS, key, value) for key, value in zip(keys, values, strict=True)]


def listening(folder: Path) -> Path:
    """The network pack as a file of the test's own: it accepts one signal."""
    path = folder / "network.yaml"
    path.write_text(load_pack("network").text, encoding="utf-8")
    return path


def deaf(folder: Path) -> Path:
    """The network pack without its signal: neither a rule nor the trust gate reads any."""
    text = load_pack("network").text
    signals, rules = text.index("signals:\n"), text.index("rules:\n")
    heard, typologies = text.index("  - id: unusual_service\n"), text.index("typologies:\n")
    text = text[:signals] + text[rules:heard] + "\n" + text[typologies:]
    text = text.replace("{value: signals.risk / 2, unknown: 2000}", '{value: "2000"}')
    assert "signals." not in text
    path = folder / "deaf.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def installation(broker: LocalKafka, prefix: str, policy: Path, **settings: Any) -> Config:
    """Topics of their own for one run."""
    return made(config_of(broker.bootstrap, prefix, policy=policy, partitions=PARTITIONS, **settings))


def alone(policy: Path, events: Keyed) -> list[bytes]:
    """What `sidechain decide` makes of each partition's events, from processes that know of no broker."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SIDECHAIN_")}
    made = []
    for partition in range(PARTITIONS):
        stdin = b"".join(value + b"\n" for at, _, value in events if at == partition)
        command = ["-m", "sidechain.agents", "decide", "--policy", str(policy), "--partition", str(partition)]
        done = subprocess.run(
            [sys.executable, *command], input=stdin, capture_output=True, timeout=60, env=environ, check=True
        )
        made.append(done.stdout)
    return made


def assert_same_bytes(config: Config, expected: list[bytes]) -> None:
    """Every partition's decisions are these lines, and no partition is empty."""
    sealed = visible(config, "dry.decisions")
    for partition, lines in enumerate(expected):
        assert b"".join(one.value + b"\n" for one in sealed[partition]) == lines, f"partition {partition}"
        assert lines.count(b"\n") > 100


@contextmanager
def workers(config: Config, folder: Path, *roles: str) -> Iterator[dict[str, Process]]:
    """One process for each role."""
    with ExitStack() as stack:
        yield {role: stack.enter_context(Process(config, folder / f"{role}.log", role)) for role in roles}
