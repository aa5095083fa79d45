"""Workers as processes of their own, and books kept over what they wrote."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from sidechain.agents.admin import ensure
from sidechain.agents.config import load
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.reader import Reader
from sidechain.agents.settings import Config
from sidechain.models.dry.chain import Verifier
from sidechain.models.pack_file import load as load_text
from sidechain.models.pack_file import load_pack
from sidechain.models.policy import Policy

WAIT_S = 60.0
POLL_S = 0.05
T0 = 1_700_000_000_000


def config_of(bootstrap: str, prefix: str, **settings: Any) -> Config:
    """The settings of one installation under test."""
    return load({"bootstrap": bootstrap, "prefix": prefix, **settings}, environ={}).config


def pinned(folder: Path) -> Path:
    """The web pack as a file of the test's own."""
    path = folder / "web.yaml"
    path.write_text(load_pack("web").text, encoding="utf-8")
    return path


def second_version(config: Config) -> Policy:
    """The policy of this installation under the next version number."""
    assert config.policy is not None
    text = config.policy.read_text(encoding="utf-8").replace("\nversion: 1\n", "\nversion: 2\n", 1)
    return load_text(text.encode(), name="second")


def made(config: Config) -> Config:
    """The same settings, with all topics created."""
    asyncio.run(ensure(config))
    return config


def request(number: int, host: str = "a.example", **fields: Any) -> bytes:
    """One event of the web pack; ids follow the number, one second apart."""
    event = {"id": f"req-{number:06d}", "host": host, "at": T0 + 1_000 * number, "method": "GET", "path": "/"}
    return msgspec.json.encode({**event, "status": 200, "bytes": 512, **fields})


def ordinary(count: int, first: int = 0, partitions: int = 4) -> list[tuple[int, bytes, bytes]]:
    """Events of 23 hosts, each host on one partition."""
    hosts = [f"h{one}.example" for one in range(23)]
    return [
        (number % 23 % partitions, hosts[number % 23].encode(), request(number, hosts[number % 23]))
        for number in range(first, first + count)
    ]


class Process:
    """`sidechain worker dry`, or another role, in a process of its own, with its log."""

    def __init__(
        self,
        config: Config,
        log: Path,
        role: str = "dry",
        program: Sequence[str] = (),
        options: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        """`program`: what Python runs in place of the command line, and leads there; `options`: the role's own;
        `settings`: SIDECHAIN_*."""
        self.log = log
        self._program = list(program) or ["-m", "sidechain.agents"]
        self._role = role
        self._options = list(options)
        self._config = config
        environment = {f"SIDECHAIN_{name.upper()}": str(value) for name, value in settings.items()}
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self._running: subprocess.Popen[bytes] | None = None
        self._seen = 0  # bytes of the log before the last start

    def start(self) -> "Process":
        """Start it; it has not taken anything over yet."""
        config = self._config
        words = ["worker", self._role, *self._options, "--bootstrap", config.bootstrap, "--prefix", str(config.prefix)]
        named = ["--policy", str(config.policy)] if config.policy else ["--pack", str(config.pack)]
        self._seen = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            command = [sys.executable, *self._program, *words, *named]
            self._running = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)
        return self

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._running is not None
        return self._running

    def said(self) -> str:
        """What it has logged since its last start."""
        return self.log.read_bytes()[self._seen :].decode()

    def wait_for(self, pattern: str, times: int = 1) -> None:
        """Until a line of the log matches, so many times; fails when it does not or the process ends before."""
        until(lambda: len(re.findall(pattern, self.said())) >= times or self.process.poll() is not None, self.said)
        assert len(re.findall(pattern, self.said())) >= times, f"no {pattern!r} in:\n{self.said()}"

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(WAIT_S)

    def pause(self) -> None:
        """Let it hang."""
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on, none the wiser."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """Ask it to end; returns its exit code."""
        self.process.terminate()
        return self.process.wait(WAIT_S)

    def ended(self) -> int:
        """Its exit code, when it ends by itself."""
        return self.process.wait(WAIT_S)

    def __enter__(self) -> "Process":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._running is not None and self._running.poll() is None:
            self.wake()
            self.kill()


def until(is_so: Any, explain: Any = lambda: "", within_s: float = WAIT_S) -> None:
    """Poll until `is_so()`; fails with `explain()` when it takes too long."""
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {explain()}"
        time.sleep(POLL_S)


def send(config: Config, values: Iterable[tuple[int, bytes | None, bytes | None]], topic: str = "events") -> None:
    """Write (partition, key, value) records, acknowledged when this returns."""
    asyncio.run(_send(config, values, topic))


async def _send(config: Config, values: Iterable[tuple[int, bytes | None, bytes | None]], topic: str) -> None:
    producer = AIOKafkaProducer(**kafka_options(config), acks="all", linger_ms=2, max_request_size=8_000_000)
    await producer.start()
    try:
        name = config.topic(topic)
        sent = [await producer.send(name, value, key=key, partition=partition) for partition, key, value in values]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


def visible(config: Config, topic: str) -> dict[int, list[ConsumerRecord]]:
    """Every record of a topic that a read_committed consumer sees."""
    return asyncio.run(_visible(config, topic))


async def _visible(config: Config, topic: str) -> dict[int, list[ConsumerRecord]]:
    async with Reader(kafka_options(config), config.topic(topic)) as reader:
        found: dict[int, list[ConsumerRecord]] = {one: [] for one in await reader.partitions()}
        async for records in reader.to_end(list(found)):
            found[records[0].partition].extend(records)
        return found


def entries(config: Config) -> dict[int, list[dict[str, Any]]]:
    """Every chain, decoded; fails unless all are unbroken from their first entry on."""
    chains = visible(config, "dry.decisions")
    for partition, records in chains.items():
        verifier = Verifier()
        for record in records:
            assert verifier.take(record.value) is None, f"partition {partition}, offset {record.offset}"
    return {one: [msgspec.json.decode(record.value) for record in records] for one, records in chains.items()}


def assert_balanced(config: Config) -> dict[int, list[dict[str, Any]]]:
    """Every visible event has exactly one entry, in the events' order; returns the chains."""
    chains = entries(config)
    for partition, records in visible(config, "events").items():
        sources = [one["source"][2] for one in chains[partition] if one["source"][0] == "events"]
        assert sources == [record.offset for record in records], f"partition {partition}"
    return chains


def wait_decided(config: Config, events: int, workers: Sequence[Process] = ()) -> None:
    """Until so many events have an entry."""
    try:
        asyncio.run(_wait_decided(config, events))
    except TimeoutError:
        said = "\n---\n".join(one.said() for one in workers)
        raise AssertionError(f"not {events} events decided within {WAIT_S:.0f} s:\n{said}") from None


async def _wait_decided(config: Config, events: int) -> None:
    """Aborted entries are not seen, and each entry is counted where it stands, so no event counts twice unnoticed."""
    async with Reader(kafka_options(config), config.topic("dry.decisions")) as reader, asyncio.timeout(WAIT_S):
        seen = 0
        async for records in reader.follow(await reader.partitions(), from_end=False):
            seen += sum(b'"source":["events",' in one.value for one in records)
            if seen >= events:
                return


def open_transactions(config: Config, topics: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Partitions on which something is not committed and not aborted: name -> (stable end, end)."""
    return asyncio.run(_open_transactions(config, topics))


async def _open_transactions(config: Config, topics: Sequence[str]) -> dict[str, tuple[int, int]]:
    options: Mapping[str, Any] = {**kafka_options(config), "group_id": None, "enable_auto_commit": False}
    stable = AIOKafkaConsumer(**options, isolation_level="read_committed")
    written = AIOKafkaConsumer(**options)
    await asyncio.gather(stable.start(), written.start())
    try:
        tps = [TopicPartition(config.topic(one), partition) for one in topics for partition in range(config.partitions)]
        ends, all_ends = await asyncio.gather(stable.end_offsets(tps), written.end_offsets(tps))
        return {f"{tp.topic}/{tp.partition}": (ends[tp], all_ends[tp]) for tp in tps if ends[tp] < all_ends[tp]}
    finally:
        await asyncio.gather(stable.stop(), written.stop())
