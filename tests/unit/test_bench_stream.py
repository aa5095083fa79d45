"""`bench stream` in small: the same events each time, through the real commands, and nothing left running."""

import json
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from sidechain.agents.bench import stream
from sidechain.models import Decider
from tests.lanes import until

COMMAND = [sys.executable, "-m", "sidechain.agents", "bench", "stream", "--entries"]

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


def test_what_comes_out_is_the_chain_of_these_events() -> None:
    """60,500 events: head and count are those of the kernel alone; every kind of entry is there."""
    done = subprocess.run([*COMMAND, "60500", "--seed", "7", "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    lines = b"".join(islice(stream.blocks(7), 61)).splitlines()[:60_500]
    decider = Decider("web")
    kinds = {json.loads(one)["kind"] for one in decider.lines(lines)}
    assert kinds == {"decision", "duplicate", "rejected"}
    assert (figures["entries"], figures["head"]) == (60_500, decider.fold.head_hash)
    assert figures["unbroken"] is True
    assert all(0 < one["first_kib"] <= one["most_kib"] for one in figures["memory"].values())
    assert done.stderr.splitlines()[-1].startswith("60,500 of 60,500 events")


def test_the_seed_makes_the_events() -> None:
    """The same again for the same seed, others for another."""
    once, again, other = (b"".join(islice(stream.blocks(seed), 3)) for seed in (1, 1, 2))
    assert once == again != other


def test_what_grows_is_not_flat() -> None:
    """A tenth more than at the first look is allowed."""
    assert stream._growth([100, 90, 110]) == {"first_kib": 100, "most_kib": 110, "flat": True}
    assert stream._growth([100, 111, 100])["flat"] is False


def children(pid: int) -> list[int]:
    """Processes this one has started."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_an_interrupt_ends_all_of_it() -> None:
    """Ctrl-C in the middle: exit 130, no traceback, and none of the three is left."""
    begun = subprocess.Popen([*COMMAND, "70000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: len(children(begun.pid)) == 3, within_s=30)
        started = children(begun.pid)
        begun.send_signal(signal.SIGINT)
        _, said = begun.communicate(timeout=30)
    finally:
        begun.kill()
    assert begun.returncode == 130
    assert "Traceback" not in said
    # One that was just being started ends by itself: nobody is left to write to it.
    until(lambda: not any(Path(f"/proc/{one}").exists() for one in started))


def test_a_step_that_ends_early_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever fails last in the pipe is to blame: those before it only lost their reader."""
    monkeypatch.setattr(stream, "VERIFY", ("verify", "--no-such-option"))
    with pytest.raises(stream.EnvironmentProblem, match=r"(?s)verify ended with exit code 2: .*no-such-option"):
        stream.stream(50_000, 1, lambda _: None)
