"""The stage: a broker of its own, topics, and the three workers as processes, as they run in production.

Everything stands in one folder and is taken down on the way out, also after Ctrl-C. Only processes started here are
ended, each by its pid.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from sidechain.agents.admin import ensure
from sidechain.agents.child import Child
from sidechain.agents.config import load
from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.own_keys import own_keys
from sidechain.agents.settings import Config
from sidechain.models.proof.note import VerifierKey

ROLES: Final = ("dry", "tap", "wet")
TEACHER: Final = "aggregator"  # beside them, where a pack has signals that outcomes teach
ABOUT_THE_MACHINE: Final = ("SIDECHAIN_CACHE", "SIDECHAIN_JARS", "SIDECHAIN_WET_NICE")  # and no other installation


class Stage:
    """What runs, and how to reach it."""

    def __init__(
        self, config: Config, folder: Path, secret: bytes, root: VerifierKey, environ: Mapping[str, str]
    ) -> None:
        self.config = config
        self.folder = folder
        self.secret = secret
        self.root = root  # the public half: all it takes to check what the worker signed
        self.workers: dict[str, Child] = {}
        self._environ = environ

    def start(self, role: str) -> Child:
        """Start one worker."""
        words, log = ["-m", "sidechain.agents", "worker", role], self.folder / f"{role}.log"
        worker = self.workers[role] = Child(f"the {role} worker", words, log, self._environ)
        return worker

    def check(self) -> None:
        """Raise EnvironmentProblem when a worker has ended by itself."""
        for worker in self.workers.values():
            worker.check()

    def stop(self) -> None:
        """End the workers, the last link of the loop first."""
        for role in [one for one in (TEACHER, *reversed(ROLES)) if one in self.workers]:
            self.workers.pop(role).stop()


@asynccontextmanager
async def set_up(
    pack: str, roles: Sequence[str], told: Callable[[str], None], *, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Stage]:
    """Broker, topics and workers for a pack; down again on the way out. `settings`: SIDECHAIN_* for the workers."""
    folder = Path(tempfile.mkdtemp(prefix="sidechain-demo-"))
    base = load().config
    kafka = LocalKafka(
        folder / "broker",
        cache=base.cache,
        port=0,
        heap="1g",
        java=base.java,
        jars=base.jars,
        mirror=base.mirror,
        progress=told,
    )
    stage: Stage | None = None
    try:
        told("preparing Apache Kafka")
        await asyncio.to_thread(kafka.start)
        secret = secrets.token_hex(32).encode()
        key_file = folder / "pseudonym.key"
        key_file.touch(mode=0o600)
        key_file.write_bytes(secret)
        signing = own_keys(folder, f"sidechain.{pack}")
        told(f"made a root key, which certifies the worker's: {signing.root_folder}. In earnest it stays offline")
        own = {
            "SIDECHAIN_BOOTSTRAP": kafka.bootstrap,
            "SIDECHAIN_PACK": pack,
            "SIDECHAIN_PSEUDONYM_KEY_FILE": str(key_file),
            **{f"SIDECHAIN_{name.upper()}": path for name, path in signing.settings.items()},
            **(settings or {}),
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SIDECHAIN_")}
        kept = {name: os.environ[name] for name in ABOUT_THE_MACHINE if name in os.environ}
        environ = {**inherited, **kept, **own}
        config = load(environ=environ, file=_no_file(folder)).config
        told(f"creating topics {config.topic_prefix}*")
        await ensure(config)
        stage = Stage(config, folder, secret, signing.root, environ)
        for role in roles:
            told(f"starting the {role} worker")
            stage.start(role)
        yield stage
    finally:
        told("taking everything down")
        if stage is not None:
            await asyncio.to_thread(stage.stop)
        await asyncio.to_thread(kafka.stop)
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)


def _no_file(folder: Path) -> Path:
    """An empty settings file: a sidechain.yaml that happens to lie around is about another installation."""
    path = folder / "sidechain.yaml"
    path.touch()
    return path
