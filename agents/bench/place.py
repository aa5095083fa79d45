"""Where measurements run: a broker of its own in a temporary folder, and processes that are ended by their pid."""

import asyncio
import contextlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from sidechain.agents.admin import administrator
from sidechain.agents.child import Child
from sidechain.agents.config import load
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.problems import EnvironmentProblem, UsageProblem
from sidechain.agents.reader import Reader
from sidechain.agents.settings import Config
from sidechain.topics.catalog import catalog

LOOK_S: Final = 0.02
BROKER_S: Final = 300.0  # until it serves, on a machine that does other things too


class Place:
    """A running broker, and the settings of processes started beside it."""

    def __init__(self, folder: Path, environ: Mapping[str, str], broker_pid: int) -> None:
        self.folder = folder
        self.broker_pid = broker_pid
        self._environ = environ

    def config(self, **settings: str) -> Config:
        """The settings with these SIDECHAIN_* values on top: names in lower case without the prefix."""
        return load(environ=self.environ(**settings), file=self.folder / "sidechain.yaml").config

    def environ(self, **settings: str) -> dict[str, str]:
        """The environment of a process with these settings."""
        return {**self._environ, **{f"SIDECHAIN_{name.upper()}": value for name, value in settings.items()}}

    @contextmanager
    def process(self, name: str, words: Sequence[str], **settings: str) -> Iterator[Child]:
        """A Python process with these words behind the interpreter, until the end of the block."""
        child = Child(name, words, self.folder / f"{name}.log", self.environ(**settings))
        try:
            yield child
        finally:
            child.stop()


@asynccontextmanager
async def place(pack: str | None) -> AsyncIterator[Place]:
    """A broker in a temporary folder, both gone at the end. `pack`: of every process; None: each names a `policy`."""
    folder = Path(tempfile.mkdtemp(prefix="sidechain-bench-"))
    (folder / "sidechain.yaml").touch()
    key = folder / "pseudonym.key"
    key.write_bytes(os.urandom(32).hex().encode())
    base = load().config
    kafka = LocalKafka(
        folder / "broker", cache=base.cache, port=0, heap="1g", java=base.java, jars=base.jars, mirror=base.mirror
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SIDECHAIN_")}
    try:
        broker = await asyncio.to_thread(kafka.start, BROKER_S)
        own = {"BOOTSTRAP": kafka.bootstrap, "PSEUDONYM_KEY_FILE": str(key), **({} if pack is None else {"PACK": pack})}
        environ = {**inherited, **{f"SIDECHAIN_{name}": value for name, value in own.items()}}
        yield Place(folder, environ, broker.pid)
    finally:
        await asyncio.to_thread(kafka.stop)
        shutil.rmtree(folder, ignore_errors=True)


async def discard(config: Config) -> None:
    """Delete an installation's topics, so that the next one finds the machine as this one did."""
    async with administrator(kafka_options(config)) as client:
        await client.delete_topics([config.topic(one) for one in catalog()])


async def growth(config: Config, child: Child, until: int, within_s: float) -> list[tuple[float, int]]:
    """How dry.decisions grows, as a read_committed reader could see it: (seconds, offsets over all partitions).

    Offsets count transaction markers too: one per partition and transaction, the same for everybody measured so.
    """
    seen: list[tuple[float, int]] = []
    async with Reader(kafka_options(config), config.topic("dry.decisions")) as reader:
        partitions = list(range(config.partitions))
        deadline = time.perf_counter() + within_s
        while not seen or seen[-1][1] < until:
            child.check()
            if time.perf_counter() > deadline:
                raise EnvironmentProblem(
                    f"{child.name} wrote {seen[-1][1]:,} of {until:,} records within {within_s:.0f} s"
                )
            seen.append((time.perf_counter(), sum((await reader.ends(partitions)).values())))
            await asyncio.sleep(LOOK_S)
    return seen


def rate(seen: Sequence[tuple[float, int]], warm: float) -> float:
    """Offsets a second from where so many were there, of what `growth` saw. Raises `UsageProblem`."""
    began = next(one for one in seen if one[1] >= warm)
    if seen[-1][0] <= began[0]:
        raise UsageProblem("it was over before two looks at it were taken; measure more events")
    return (seen[-1][1] - began[1]) / (seen[-1][0] - began[0])


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "date": time.strftime("%Y-%m-%d"),
    }
