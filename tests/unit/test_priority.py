"""Stepping back: what the wet side does so that the dry side has the processor when both want it."""

import subprocess
import sys
from pathlib import Path

import pytest

STEP = """
import os, sys
from pathlib import Path
from sidechain.agents import priority
priority.GROUP = Path(sys.argv[2])
before = os.getpriority(os.PRIO_PROCESS, 0)
priority.step_back(int(sys.argv[1]))
print(os.getpriority(os.PRIO_PROCESS, 0) - before)
"""


def stepped_back(nice: int, group: Path) -> int:
    """How much nicer a process of its own is afterwards."""
    done = subprocess.run([sys.executable, "-c", STEP, str(nice), group], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize(("nice", "written"), [(0, None), (5, "5"), (10, "10")])
def test_the_process_and_its_group_step_back(tmp_path: Path, nice: int, written: str | None) -> None:
    """Both, because Linux may weigh whole sessions against each other; 0 touches neither."""
    group = tmp_path / "autogroup"
    assert stepped_back(nice, group) == nice
    assert (group.read_text() if group.exists() else None) == written


def test_a_system_without_groups_has_niceness_alone(tmp_path: Path) -> None:
    """No file to write: no fault."""
    assert stepped_back(5, tmp_path / "nowhere" / "autogroup") == 5
