"""A worker neither waits for its group for ever nor takes for ever to end."""

import asyncio
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from sidechain.agents import app as faust_app
from sidechain.agents.dry import worker as dry_worker
from sidechain.agents.lane import membership
from sidechain.agents.problems import EnvironmentProblem
from tests.lanes import config_of
from tests.silence import for_ever, run


def member(monkeypatch: pytest.MonkeyPatch, consumer: Any) -> membership.Membership:
    monkeypatch.setattr(membership, "AIOKafkaConsumer", lambda **_: consumer)
    return membership.Membership({}, config_of("nowhere:1", "t."), for_ever, for_ever)


@pytest.mark.parametrize("bound", ["START_S", "LEAVE_S", "CONFIRM_S"])
def test_a_group_that_does_not_answer_is_not_waited_for(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joining and being confirmed fail; leaving is given up, the session ends by itself."""
    monkeypatch.setattr(membership, bound, 0.02)
    mute = SimpleNamespace(start=for_ever, stop=for_ever, commit=for_ever, subscribe=lambda *_, **__: None)

    async def story() -> None:
        one = member(monkeypatch, mute)
        if bound == "LEAVE_S":
            await one.stop()
            return
        with pytest.raises(TimeoutError):
            await (one.start() if bound == "START_S" else one.confirm({0: 1}))

    run(story)


def test_a_cluster_that_does_not_answer_at_the_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 3 and its address, after START_S."""
    monkeypatch.setattr(dry_worker, "START_S", 0.02)
    with pytest.raises(EnvironmentProblem, match="no Kafka answers at nowhere:1"):
        run(lambda: dry_worker._reached(for_ever(), "nowhere:1"))


def test_figures_that_fail_stop_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The next look is taken all the same."""
    monkeypatch.setattr(dry_worker, "MEASURE_S", 0.001)
    looks: list[int] = []

    async def explode() -> None:
        looks.append(1)
        raise ZeroDivisionError("planted")

    async def story() -> None:
        one = dry_worker.DryWorker.__new__(dry_worker.DryWorker)
        monkeypatch.setattr(one, "_look", explode)
        task = asyncio.create_task(one._measure())
        while len(looks) < 3:  # noqa: ASYNC110 - it loops by itself, there is no event
            await asyncio.sleep(0.001)
        assert not task.done()
        task.cancel()

    run(story)
    assert "figures were not taken; decisions go on" in caplog.text


def test_after_a_fault_of_ours_the_worker_ends_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sends a signal then: what hangs on the way out is cut off all the same."""

    async def story() -> None:
        cut = asyncio.Event()
        monkeypatch.setattr(dry_worker, "GRACE_S", 0.01)
        monkeypatch.setattr(dry_worker, "cut_off", cut.set)
        one = dry_worker.DryWorker.__new__(dry_worker.DryWorker)
        one._config = config_of("nowhere:1", "t.", shutdown_timeout_s=0.01)
        one._fatal = asyncio.get_running_loop().create_future()
        one._fatal.set_exception(ZeroDivisionError("planted"))
        for name in ("_member", "_measure", "_stop"):
            monkeypatch.setattr(one, name, for_ever)
        task = asyncio.create_task(one.run(asyncio.Event()))
        await cut.wait()
        task.cancel()

    run(story)


HANGS = """
import asyncio, os, signal, sys
from sidechain.agents import worker
from sidechain.agents.config import load

async def stop_me(_stop):
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.Event().wait()

worker.GRACE_S = 0.2
config = load({"pack": "web", "shutdown_timeout_s": 0.2}, environ={}).config
sys.exit(worker.work("dry", lambda _: worker.Role(run=stop_me), config))
"""


def test_a_shutdown_that_hangs_is_cut_off() -> None:
    """SIGTERM, and what should have ended has not: exit 70 behind shutdown_timeout_s and a grace."""
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60)
    assert done.returncode == 70
    assert "the shutdown hangs and is cut off" in done.stderr


def test_agents_that_do_not_stop_are_left(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """STOP_S, and the worker ends without them."""
    monkeypatch.setattr(faust_app, "STOP_S", 0.02)

    async def story() -> None:
        made = faust_app.make_app("test")
        stop = made.stop
        async with faust_app.running(made):
            monkeypatch.setattr(made, "stop", for_ever)
        await stop()

    run(story, 30)
    assert "the agents did not stop within 0 s" in caplog.text


def test_agents_that_do_not_start_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """START_S."""
    monkeypatch.setattr(faust_app, "START_S", 0.02)

    async def story() -> None:
        async with faust_app.running(SimpleNamespace(start=for_ever)):  # type: ignore[arg-type]
            pytest.fail("it does not run")

    with pytest.raises(TimeoutError):
        run(story)
