"""Stepping back: a process that gives way to others on the same machine.

`nice` alone is not enough on Linux where each session is scheduled as one group (autogroup): it then weighs a process
against its own children only. The group has a niceness of its own, which is set beside it.
In a container or a systemd unit the cgroup decides (`cpu` requests, `CPUWeight`), and this changes nothing between
two of them.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

GROUP: Final = Path("/proc/self/autogroup")


def step_back(nice: int) -> None:
    """Be this nice (0: not at all, 19: whatever the others leave), with all children to come."""
    if nice <= 0:
        return
    os.nice(nice)
    with contextlib.suppress(OSError):  # no such file: no such groups, or a system that has only `nice`
        GROUP.write_text(str(nice), encoding="ascii")


def one_thread() -> None:
    """Linear algebra in this process stays on the processor it was asked on.

    Its threads spin between two calls, on a processor the dry side may want; for batches of some hundred rows they gain
    nothing. Libraries loaded later are not reached: call it behind the imports. Needs the extra `wet`.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    threadpool_limits(1)
