"""The same work on several things at once, each in a process of its own."""

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import Any, Final, TypeVar

Told = Callable[[int], None]  # told how much was done since the last call
Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Item, Told], Result]

TOLD_S: Final = 0.5  # between two looks at how far the processes are

_shared: Any = None  # how much all processes have done, and whether they are to end


def in_processes(work: Work[Item, Result], items: Sequence[Item], jobs: int, told: Told) -> list[Result]:
    """What `work` makes of each item, in their order, in up to `jobs` processes; in this one where one is enough.

    Work, items and results are pickled. What one raises ends the others and is raised here.
    """
    if min(jobs, len(items)) <= 1:
        return [work(one, told) for one in items]
    # A fresh interpreter for each process: nothing of this one's threads or connections is copied.
    context = multiprocessing.get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    seen = 0
    with ProcessPoolExecutor(min(jobs, len(items)), context, _share, (done, stop)) as pool:
        try:
            tasks = [pool.submit(_shared_work, work, one) for one in items]
            waiting = set(tasks)
            while waiting:
                _, waiting = wait(waiting, TOLD_S, FIRST_COMPLETED)
                told(done.value - seen)
                seen = done.value
            return [one.result() for one in tasks]
        finally:
            stop.set()


def _share(done: Any, stop: Any) -> None:
    global _shared  # noqa: PLW0603 - a pool's processes are given such objects only when they start
    _shared = done, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the first one ends the others


def _shared_work(work: Work[Item, Result], item: Item) -> Result:
    done, stop = _shared

    def told(count: int) -> None:
        with done.get_lock():
            done.value += count
        if stop.is_set():
            raise KeyboardInterrupt

    return work(item, told)
