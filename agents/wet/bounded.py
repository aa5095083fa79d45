"""What an expert takes too long over is ended: its turn, and if it does not even hear that, the process.

    with within(3.0): ...      raises HungError in the middle of it; the panel counts it as the expert's fault
    with or_end(100.0): ...    for code that never comes back to Python: the process ends, with a traceback

An expert is asked in the thread of the event loop. Python code, an endless loop too, is ended by an alarm; what hangs
inside a library cannot be, and no other thread could help it. Ending the process gives its partitions to the next
worker; no decision ever waits for either.
"""

import faulthandler
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

TURN_S: Final = 3.0  # below the time after which a group gives up a member that says nothing
STUCK_S: Final = 100.0


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


@contextmanager
def or_end(seconds: float = STUCK_S) -> Iterator[None]:
    """Ends the process with exit code 1 and the place where it stood, from outside of Python, if it must be."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or 2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
