"""A process started beside this one: it is heard, its own end is told, and it is ended in order or by force."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidechain.agents import child
from sidechain.agents.child import Child
from sidechain.agents.problems import EnvironmentProblem
from tests.lanes import until

READY = "import signal, sys, time\nprint('ready', flush=True)\n"


@contextmanager
def running(folder: Path, code: str) -> Iterator[Child]:
    one = Child("the helper", ["-c", code], folder / "helper.log", os.environ)
    try:
        until(lambda: "ready" in one.said() or ended(one), one.said)
        yield one
    finally:
        one.signal(signal.SIGKILL)
        one.stop()


def ended(one: Child) -> bool:
    try:
        one.check()
    except EnvironmentProblem:
        return True
    return False


def test_one_that_runs_is_ended_in_order(tmp_path: Path) -> None:
    with running(
        tmp_path, READY + "signal.signal(15, lambda *_: sys.exit(7))\nprint('ready', flush=True)\ntime.sleep(60)"
    ) as one:
        one.check()
        until(lambda: one.said().count("ready") == 2, one.said)
        assert one.stop() == 7
        assert one.stop() == 7


def test_one_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "STOP_S", 0.2)
    code = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(60)"
    with running(tmp_path, code) as one:
        assert one.stop() == -signal.SIGKILL


def test_one_that_ended_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    lines = "print('\\n'.join(f'line {n}' for n in range(100)), flush=True)"
    with running(tmp_path, f"import sys\n{lines}\nsys.exit('no more')") as one:
        with pytest.raises(EnvironmentProblem, match="the helper ended with exit code 1:\nline 89\n") as told:
            one.check()
        assert str(told.value).endswith("line 99\nno more")


def test_it_has_the_environment_it_was_given_and_a_session_of_its_own(tmp_path: Path) -> None:
    """Ctrl-C reaches whoever started it, and nobody else."""
    code = (
        "import os\nprint(os.environ.get('PATH'), os.getsid(0) == os.getpid(), os.environ['OURS'], 'ready', flush=True)"
    )
    one = Child("the helper", ["-c", code], tmp_path / "helper.log", {"OURS": "yes"})
    until(lambda: ended(one), one.said)
    assert one.said() == "None True yes ready\n"
