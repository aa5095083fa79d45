"""The whole pipeline under seeded schedules: every promise is kept, a seed is one schedule, and planted bugs are found.

python -m tests.simulation --seeds 10000 --jobs 2        many more
python -m tests.simulation --seed N --trace              one again, with what happened
"""

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.planted import PLANTED, planted
from tests.simulation.schedule import run, simulated

# What a killed process leaves is gone, in silence, when its schedule is over: nothing of it may surface here or later.
pytestmark = [
    pytest.mark.filterwarnings("error::RuntimeWarning"),
    pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning"),
]
ROOT = Path(__file__).parents[2]
SEEDS, PARTS = 1_000, 4


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """What a test left behind surfaces in it, not in the next."""
    yield
    asyncio.set_event_loop(None)  # with what was left on a loop of asyncio's own
    gc.collect()
    gc.collect()


@pytest.mark.parametrize("part", range(PARTS))
def test_every_promise_is_kept_under_a_thousand_schedules(part: int) -> None:
    """A failure names its seed and the command that repeats it."""
    with simulated():
        for seed in range(part, SEEDS, PARTS):
            result = run(seed)
            again = f"python -m tests.simulation --seed {seed} --trace"
            assert result.problem is None, f"{result.problem}; again: {again}"


def test_a_seed_is_one_schedule_wherever_it_is_played() -> None:
    """Another process with another hash seed does the same things in the same order and leaves the same bytes."""
    seeds = range(5)
    with simulated():
        here = [run(seed).digest for seed in seeds]
        assert [run(seed).digest for seed in seeds] == here
    assert len(set(here)) == len(here)
    code = (
        "from tests.simulation.schedule import run, simulated\n"
        f"with simulated():\n    print([run(seed).digest for seed in {list(seeds)}])"
    )
    for number in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": number, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert there.stdout.strip() == str(here), there.stderr


def test_the_trace_of_a_schedule_changes_nothing() -> None:
    """What one reads to understand a failure is the failure, not another one."""
    with simulated():
        plain = run(7)
    with simulated(is_tracing=True):
        traced = run(7, is_tracing=True)
    assert (traced.digest, traced.steps) == (plain.digest, plain.steps)
    assert any("fault" in line for line in traced.trace)


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_bug_is_found(name: str) -> None:
    """With a rule left out, some schedule breaks a promise; a simulator that finds nothing proves nothing."""
    with simulated(), planted(name):
        found = next((seed for seed in range(600) if run(seed).problem is not None), None)
    assert found is not None, f"{name} was not found: {PLANTED[name].__doc__}"


@pytest.mark.parametrize("seed", [1, 199])
def test_an_idle_chain_of_partition_0_gets_its_last_checkpoint(seed: int) -> None:
    """Found here: its number was taken for "nothing is due", so only a batch ever carried its checkpoints."""
    with simulated():
        assert run(seed).problem is None
