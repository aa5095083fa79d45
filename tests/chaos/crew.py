"""The processes of a scene: workers that fail on command, and children that report line by line."""

import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tests.lanes import Process, until

if TYPE_CHECKING:
    from tests.chaos.scene import Scene

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
STOP_S: Final = 60.0
OURS: Final = 70
OURS_SAID: Final = re.compile(r"^obeys plan| sidechain\.")


class Worker(Process):
    """A dry worker that fails on command."""

    def __init__(self, scene: "Scene", number: int, **plan: Any) -> None:
        self.number = number
        self._plan = scene.folder / f"worker-{number}.json"
        self._plans = 0
        self._heard, self._read = "", 0
        self._heard_of: subprocess.Popen[bytes] | None = None  # the process `_heard` is of
        self._write(plan)
        super().__init__(
            scene.config,
            scene.folder / f"worker-{number}.log",
            program=[str(HERE / "faulty.py"), str(self._plan)],
            shard_size=scene.terms.shard_size,
            session_timeout_s=scene.terms.session_s,
            shutdown_timeout_s=10,
            commit_timeout_s=15,
            **scene.keys,
        )

    @property
    def ended_with(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.process.poll()

    @property
    def shards(self) -> list[int]:
        """What the group gave it last."""
        found = re.findall(r"shards of this worker: (.+)", self.heard())
        return [int(one) for one in found[-1].split()] if found and found[-1] != "none" else []

    def heard(self) -> str:
        """What it said of itself since its last start, without the tracebacks of libraries: those grow without end."""
        if self._heard_of is not self.process:
            self._heard_of, self._heard, self._read = self.process, "", self._seen
        with self.log.open("rb") as log:
            log.seek(self._read)
            new = log.read()
        new = new[: new.rfind(b"\n") + 1]
        self._read += len(new)
        self._heard += "".join(f"{one}\n" for one in new.decode(errors="replace").splitlines() if OURS_SAID.search(one))
        return self._heard

    def told(self, **plan: Any) -> None:
        """Fail like this from now on; without words: no more. Returns when the worker, if it runs, knows."""
        self._write(plan)
        if self.ended_with is None:
            until(lambda: self.says(rf"obeys plan {self._plans}\b") or self.ended_with is not None, self.heard)

    def start(self) -> "Worker":
        """Start it with the plan it has."""
        assert self._running is None or self._running.poll() is not None, f"worker {self.number} runs already"
        super().start()
        return self

    def marked(self) -> int:
        """How much it has said; `says` looks behind it."""
        return len(self.heard())

    def says(self, pattern: str, mark: int = 0) -> int:
        """How often its log matches behind the mark."""
        return len(re.findall(pattern, self.heard()[mark:]))

    def _write(self, plan: Any) -> None:
        self._plans += 1
        new = self._plan.with_suffix(".new")
        new.write_bytes(msgspec.json.encode({**plan, "number": self._plans}))
        new.replace(self._plan)


class Child:
    """A process that reports line by line; the last line is what counts."""

    def __init__(self, words: Sequence[str], log: Path, type_: type[Any], first: Any) -> None:
        self.last = first
        self._type = type_
        self.log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.last = msgspec.json.decode(line, type=self._type)

    def end(self) -> None:
        """SIGTERM, and every line read."""
        self.process.terminate()
        self.process.wait(STOP_S)
        self._reader.join(STOP_S)

    def kill(self) -> None:
        """Whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_S)
