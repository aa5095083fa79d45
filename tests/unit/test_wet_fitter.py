"""Fitting in another process: it may be slow, crash, hang or talk nonsense, and scoring never waits for it."""

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from sidechain.agents.wet.fitter import Fitter
from sidechain.models.wet.fit import fit
from sidechain.models.wet.forest import ForestModel

NAMES = ("a", "b")
SAMPLE = np.random.default_rng(1).normal(size=(300, 2)).round(3)


class Counted:
    """Counters that remember."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def children(self) -> Mapping[str, "Child"]:
        return {name: Child(self.seen, name) for name in ("swapped", "failed", "timeout")}


class Child:
    def __init__(self, seen: Counter[str], name: str) -> None:
        self._seen, self._name = seen, name

    def inc(self, amount: float = 1) -> None:
        self._seen[self._name] += int(amount)


async def finished(fitter: Fitter) -> ForestModel | None:
    """What the fit under way comes to, within a bound."""
    await fitter.wait(60)
    assert fitter.is_done
    return fitter.take()


def python(code: str) -> Sequence[str]:
    return (sys.executable, "-c", code)


def test_a_fit_in_another_process_is_the_same_model() -> None:
    """Twice in the same process: the second fit does not pay for the start again."""

    async def story() -> tuple[list[str], Counter[str], int, int]:
        counted = Counted()
        async with Fitter(counted.children()) as fitter:
            got = []
            for version in (1, 2):
                fitter.ask(SAMPLE, NAMES, seed=5, version=version)
                model = await finished(fitter)
                assert model is not None
                got.append(model.name)
                pid = fitter._process.pid
            process = fitter._process
        return got, counted.seen, pid, process.returncode

    names, seen, _, returncode = asyncio.run(story())
    assert names == [fit(SAMPLE, NAMES, 5, version).name for version in (1, 2)]
    assert seen == {"swapped": 2}
    assert returncode is not None, "the process is gone with its worker"


@pytest.mark.parametrize(
    ("command", "bound_s", "result"),
    [
        (python("raise SystemExit(3)"), 30.0, "failed"),  # crashes at start
        (("/nonexistent/python",), 30.0, "failed"),
        (python("print('hello, I am not a model ' * 9)"), 30.0, "failed"),  # nonsense instead of a frame
        (python("import sys; sys.stdout.buffer.write(bytes([255] * 8)); sys.stdout.flush(); input()"), 30.0, "failed"),
        (python("input(); input()"), 0.5, "timeout"),  # hangs
    ],
)
def test_a_fit_that_goes_wrong_is_counted_and_leaves_nothing_behind(
    command: Sequence[str], bound_s: float, result: str
) -> None:
    """No model, one count, no process, and the fitter can be asked again."""

    async def story() -> Counter[str]:
        counted = Counted()
        fitter = Fitter(counted.children(), bound_s=bound_s, command=command)
        fitter.ask(SAMPLE, NAMES, seed=5, version=1)
        assert await finished(fitter) is None
        assert fitter._process is None
        assert not fitter.is_busy
        return counted.seen

    assert asyncio.run(story()) == {result: 1}


def test_waiting_for_a_fit_is_bounded_from_when_it_was_asked_for() -> None:
    """A second wait for the same hanging fit does not wait as long again."""

    async def story() -> tuple[float, float]:
        async with Fitter(Counted().children(), command=python("input(); input()")) as fitter:
            await fitter.wait(60)  # nothing asked for: nothing to wait for
            fitter.ask(SAMPLE, NAMES, seed=5, version=1)
            loop = asyncio.get_running_loop()
            began = loop.time()
            await fitter.wait(0.2)
            first = loop.time() - began
            await fitter.wait(0.2)
            return first, loop.time() - began - first

    first, second = asyncio.run(story())
    assert 0.15 < first < 5.0
    assert second < first


def test_after_a_crash_the_next_fit_gets_a_fresh_process(tmp_path: Path) -> None:
    """The first process dies in the middle of a fit, the second is the real one."""
    mark = tmp_path / "crashed-once"
    code = f"""
import pathlib, sys
from sidechain.agents.wet import frames
mark = pathlib.Path({str(mark)!r})
if mark.exists():
    from sidechain.agents.wet.fitting import main
    sys.exit(main())
mark.touch()
sys.stdout.buffer.write(frames.pack(ready=True))
sys.stdout.flush()
sys.stdin.buffer.read(8)
"""

    async def story() -> tuple[ForestModel | None, ForestModel | None, Counter[str]]:
        counted = Counted()
        async with Fitter(counted.children(), command=python(code)) as fitter:
            got = []
            for _ in range(2):
                fitter.ask(SAMPLE, NAMES, seed=5, version=1)
                got.append(await finished(fitter))
        return got[0], got[1], counted.seen

    first, second, seen = asyncio.run(story())
    assert first is None
    assert second is not None
    assert seen == {"failed": 1, "swapped": 1}


def test_a_fit_refused_by_the_model_is_a_failure_not_the_end() -> None:
    """Fifteen rows are too few: the fitting process dies of it, the worker does not."""

    async def story() -> Counter[str]:
        counted = Counted()
        async with Fitter(counted.children()) as fitter:
            fitter.ask(SAMPLE[:15], NAMES, seed=5, version=1)
            assert await finished(fitter) is None
        return counted.seen

    assert asyncio.run(story()) == {"failed": 1}
