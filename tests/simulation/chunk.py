"""Some seeds in a row, in a process of their own."""

import time
from contextlib import nullcontext

from tests.simulation.planted import planted
from tests.simulation.schedule import Result, run, simulated


def play(span: tuple[int, int, str | None]) -> tuple[list[Result], float]:
    """Seeds from here to there, and the processor time they took."""
    first, last, plant = span
    began, results = time.process_time(), []
    with simulated(), planted(plant) if plant else nullcontext():
        for seed in range(first, last):
            results.append(run(seed))
            if results[-1].problem is not None:
                break
    return results, time.process_time() - began
