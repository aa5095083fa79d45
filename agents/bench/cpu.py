"""Processor time of processes and all they started, from /proc; nothing where there is none."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

TICKS: Final = os.sysconf("SC_CLK_TCK")
SESSION: Final = 3  # place of a field in /proc/PID/stat, counted behind the name; see proc(5)
USED: Final = slice(11, 15)  # user and system time, its own and of children that have ended


def used_s(pid: int) -> float:
    """What the session led by `pid` has used so far: the process and, unless they left it, its children."""
    return sum(sum(map(int, fields[USED])) for fields in _stats() if int(fields[SESSION]) == pid) / TICKS


def _stats() -> Iterable[list[str]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:  # it has just ended
            continue
        yield text.rpartition(")")[2].split()


class Meter:
    """Shares of the whole machine's processor time since it was made."""

    def __init__(self, used: Mapping[str, Callable[[], float]]) -> None:
        """`used`: for each name, seconds used so far."""
        self._used = used
        self._from = {name: ask() for name, ask in used.items()}
        self._began = time.monotonic()

    def shares(self) -> dict[str, float]:
        """1.0 is all of it, on all cores."""
        whole = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        return {name: round((ask() - self._from[name]) / whole, 3) for name, ask in self._used.items()}
