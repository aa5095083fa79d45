"""What an expert takes too long over is ended: its turn, and if it does not even hear that, the process.

    with within(3.0): ...         raises HungError in the middle of it; the panel counts it as the expert's fault
    with Watch() as watch: ...    for code that never comes back to Python: the process ends, with a traceback, unless
                                  `alive` is called every now and then

An expert is asked in the thread of the event loop. Python code, an endless loop too, is ended by an alarm; what hangs
inside a library cannot be, and no other thread could help it. Ending the process gives its partitions to the next
worker; no decision ever waits for either.
"""

import faulthandler
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

TURN_S: Final = 3.0  # below the time after which a group gives up a member that says nothing
STUCK_S: Final = 150.0  # above what a feed waits for its agent, which ends the worker in a more orderly way
ARMED_S: Final = 10.0  # between two signs of life that count


class HungError(TimeoutError):
    """It took longer than it may."""


def _ring(_number: int, _frame: Any) -> None:
    raise HungError("it took too long over its turn and was ended")


@contextmanager
def within(seconds: float = TURN_S) -> Iterator[None]:
    """In the main thread, where alarms ring; elsewhere nothing is bounded. Not within another."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


class Watch:
    """Ends the process with exit code 1, from outside of Python, STUCK_S after the last sign of life. One a process."""

    def __init__(self) -> None:
        self._armed_at = 0.0

    def __enter__(self) -> "Watch":
        self._arm()
        return self

    def __exit__(self, *_: object) -> None:
        faulthandler.cancel_dump_traceback_later()

    def alive(self) -> None:
        """A sign of life."""
        if time.monotonic() - self._armed_at > ARMED_S:
            self._arm()

    def _arm(self) -> None:
        self._armed_at = time.monotonic()
        faulthandler.dump_traceback_later(STUCK_S, exit=True, file=sys.__stderr__ or 2)
