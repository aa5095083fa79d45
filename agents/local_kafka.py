"""A real Apache Kafka for this machine: one KRaft node on 127.0.0.1, started and stopped by us.

    broker = LocalKafka(Path("…/broker"), cache=Path("…/cache"))
    broker.start()        # returns when topics can be created and a transaction can begin
    broker.bootstrap      # "127.0.0.1:9092"
    broker.stop()         # SIGTERM, then SIGKILL after a bound

Everything it writes stands in its own folder: `data/` (topics survive a restart), `broker.log`, `server.properties`
and `run.json`, which names the process. Every failure is an EnvironmentProblem: one sentence that says what to do.
The methods block; from a coroutine call them with `asyncio.to_thread`.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from sidechain.agents import kafka_files
from sidechain.agents.broker_probe import HOST, free_port, is_free, is_ours, last_words, serve_once, telling_line
from sidechain.agents.broker_settings import jvm_options, server_properties
from sidechain.agents.problems import EnvironmentProblem

START_S: Final = 90.0  # three seconds on an idle machine
STOP_S: Final = 20.0
POLL_S: Final = 0.05
FORMAT_S: Final = 60.0


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What `run.json` says about the broker that was started last.

    {"pid":4711,"port":9092,"log":"/home/anna/.local/share/sidechain/broker/broker.log"}
    """

    pid: int
    port: int
    log: str

    @property
    def bootstrap(self) -> str:
        """The address clients are given."""
        return f"{HOST}:{self.port}"


def running(home: Path) -> Running | None:
    """The broker that runs out of the folder `home`; None when there is none. Reads only."""
    try:
        found = msgspec.json.decode((home / "run.json").read_bytes(), type=Running)
    except (OSError, msgspec.DecodeError):
        return None
    return found if is_ours(found.pid, home) else None


class LocalKafka:
    """One broker and its folder."""

    def __init__(
        self,
        home: Path,
        *,
        cache: Path,
        port: int = 0,
        heap: str = "512m",
        quick: bool = False,
        java: Path | None = None,
        jars: Path | None = None,
        mirror: str | None = None,
        properties: Mapping[str, str] | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`port` 0 picks a free one. `quick`: less compilation, for a short life. `properties` go over our own."""
        self.home = home.absolute()
        self._cache = cache
        self._port = port
        self._jvm = jvm_options(heap, quick=quick)
        self._java = java
        self._jars = jars
        self._mirror = mirror
        self._properties = dict(properties or {})
        self._progress = progress
        self._process: subprocess.Popen[bytes] | None = None
        self._is_wanted = True  # until `stop`, which another thread may call while this one starts

    @property
    def log(self) -> Path:
        """What the broker says."""
        return self.home / "broker.log"

    @property
    def bootstrap(self) -> str:
        """The address of the running broker. Raises EnvironmentProblem when it does not run."""
        found = self.status()
        if found is None:
            raise EnvironmentProblem("the local broker is not running; `sidechain broker start` starts it")
        return found.bootstrap

    def status(self) -> Running | None:
        """The running broker, or None."""
        if self._process is not None and self._process.poll() is None:  # a fresh child has no name to know it by yet
            return msgspec.json.decode(self._run_file.read_bytes(), type=Running)
        return running(self.home)

    def start(self, timeout_s: float = START_S) -> Running:
        """Start the broker and wait until it serves; does nothing but wait when it runs already."""
        self._is_wanted = True
        self._make_home()
        with self._alone(timeout_s):
            found = self.status()
            if found is not None:
                try:
                    self._wait_ready(found, timeout_s)
                except EnvironmentProblem:
                    if self.status() is not None:
                        raise
                    found = None  # it was ending when we asked: a process that was killed is seen a moment longer
            if found is None:
                found = self._launch()
                self._wait_ready(found, timeout_s)
            return found

    def stop(self, timeout_s: float = STOP_S) -> bool:
        """End the broker; False when none was running. SIGKILL when SIGTERM has not ended it in `timeout_s`."""
        self._is_wanted = False
        found = self.status()
        if found is None:
            with contextlib.suppress(OSError):  # a folder that cannot be written holds no stale file of ours
                self._run_file.unlink(missing_ok=True)
            return False
        os.kill(found.pid, signal.SIGTERM)
        if not self._gone(found.pid, timeout_s):
            self._progress(f"the broker did not end in {timeout_s:.0f} s; killing it")
            self.kill()
        self._run_file.unlink(missing_ok=True)
        return True

    def kill(self) -> None:
        """End the broker as a crash would."""
        found = self.status()
        if found is None:
            return
        os.kill(found.pid, signal.SIGKILL)
        if not self._gone(found.pid, STOP_S):
            raise EnvironmentProblem(f"process {found.pid} survives SIGKILL; its disk may hang")

    def delete_data(self) -> None:
        """Forget every topic. The broker must be stopped."""
        if self.status() is not None:
            raise EnvironmentProblem("the broker is running; stop it before deleting its data")
        shutil.rmtree(self.home / "data", ignore_errors=True)

    @property
    def _run_file(self) -> Path:
        return self.home / "run.json"

    def _make_home(self) -> None:
        try:
            (self.home / "data").mkdir(parents=True, exist_ok=True)
            (self.home / ".writable").write_bytes(b"")
        except OSError as fault:
            raise EnvironmentProblem(
                f"the data folder {self.home} is not writable ({fault.strerror}); name another with SIDECHAIN_DATA"
            ) from fault

    @contextlib.contextmanager
    def _alone(self, timeout_s: float) -> Iterator[None]:
        """Two starts at once would race for the folder and the port."""
        deadline = time.monotonic() + timeout_s
        with (self.home / ".starting").open("w") as guard:
            while True:
                try:
                    fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise EnvironmentProblem(
                            f"another process has been starting the broker in {self.home} for {timeout_s:.0f} s; "
                            "end it and try again"
                        ) from None
                    time.sleep(POLL_S)
            yield

    def _launch(self) -> Running:
        java = kafka_files.find_java(self._java)
        jars = kafka_files.classpath(
            self._cache,
            given=self._jars,
            mirror=self._mirror,
            progress=self._progress,
            is_wanted=lambda: self._is_wanted,
        )
        port = self._port or free_port()
        if not is_free(port):
            raise EnvironmentProblem(
                f"port {port} on {HOST} is in use by another program; end it, or choose another with --port "
                "(0 picks a free one)"
            )
        properties = server_properties(self.home / "data", HOST, port, free_port()) | self._properties
        text = "".join(f"{name}={value}\n" for name, value in properties.items())
        self._settings_file.write_text(text, encoding="utf-8")
        command = [str(java.path), *self._jvm, "-cp", jars]
        self._format(command)
        if not self._is_wanted:
            raise EnvironmentProblem("the broker was given up before it had started")
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        self._progress(f"starting Apache Kafka {kafka_files.KAFKA_VERSION} on {HOST}:{port} (Java {java.version})")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "kafka.Kafka", str(self._settings_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                env=_environment(),
                start_new_session=True,  # a Ctrl-C meant for us must not end it
            )
        found = Running(pid=self._process.pid, port=port, log=str(self.log))
        self._run_file.write_bytes(msgspec.json.encode(found))
        return found

    @property
    def _settings_file(self) -> Path:
        return self.home / "server.properties"

    def _format(self, command: list[str]) -> None:
        """Give an empty data folder its cluster id."""
        if (self.home / "data" / "meta.properties").exists():
            return
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # One word: an id may begin with a dash.
        tool = [
            *command,
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster}",
            "-c",
            str(self._settings_file),
        ]
        try:
            done = subprocess.run(
                tool,
                check=False,
                capture_output=True,
                text=True,
                timeout=FORMAT_S,
                env=_environment(),
                cwd=self.home,
            )
        except subprocess.TimeoutExpired:
            raise EnvironmentProblem(f"preparing {self.home} took over {FORMAT_S:.0f} s; is the disk full?") from None
        if done.returncode:
            raise EnvironmentProblem(f"Kafka could not prepare {self.home}: {telling_line(done.stdout + done.stderr)}")

    def _wait_ready(self, found: Running, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        last = "its port does not answer"
        while time.monotonic() < deadline:
            if self.status() is None:
                raise EnvironmentProblem(f"the broker ended while starting: {last_words(self.log)} (log: {self.log})")
            if not is_free(found.port):
                try:
                    asyncio.run(asyncio.wait_for(serve_once(found.bootstrap), max(1.0, deadline - time.monotonic())))
                except Exception as fault:  # noqa: BLE001 - not ready yet, in one of a dozen ways
                    last = f"{type(fault).__name__} {fault}".strip()
                else:
                    return
            time.sleep(POLL_S)
        raise EnvironmentProblem(
            f"the broker runs but did not serve within {timeout_s:.0f} s ({last}); see {self.log}, then "
            "`sidechain broker stop`"
        )

    def _gone(self, pid: int, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.status() is None and not is_ours(pid, self.home):
                return True
            time.sleep(POLL_S)
        return False


def _environment() -> dict[str, str]:
    """Ours without the variables by which a JVM takes options nobody here asked for."""
    return {name: value for name, value in os.environ.items() if name not in _JVM_VARIABLES}


_JVM_VARIABLES: Final = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH")
