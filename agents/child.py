"""A Python process started beside this one: its output in a file, its end by its pid and no other's."""

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from sidechain.agents.problems import EnvironmentProblem

STOP_S: Final = 20.0
LOG_LINES: Final = 12


class Child:
    """It runs from the beginning."""

    def __init__(self, name: str, words: Sequence[str], log: Path, environ: Mapping[str, str]) -> None:
        """`name`: what it is called when it ends by itself. `words`: what stands behind the interpreter."""
        self.name = name
        self.log = log
        with log.open("ab") as output:
            # A session of its own: Ctrl-C reaches us alone, and we end what we started in order.
            self._process = subprocess.Popen(
                [sys.executable, *words],
                env=environ,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def check(self) -> None:
        """Raise EnvironmentProblem, with the end of what it said, when it has ended."""
        if (code := self._process.poll()) is not None:
            last = self.said().splitlines()[-LOG_LINES:]
            raise EnvironmentProblem(f"{self.name} ended with exit code {code}:\n" + "\n".join(last))

    def said(self) -> str:
        """All of its output so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM, then SIGKILL after STOP_S; returns the exit code. Once more is no failure."""
        self.signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait(STOP_S)
