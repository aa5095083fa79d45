"""The share of one processor a wet process may use: behind, it rests, and what it has no time for is shed and counted.

A process that steps back (`agents/priority`) still holds a processor until the scheduler takes it away, some
milliseconds after the dry side or its broker woke up. How often that happens follows from how much the wet side works;
so how much it works has a limit, also when a processor seems to be free.
"""

import time
from collections.abc import Callable
from typing import Final

BURST_S: Final = 0.25  # of processor time, used at once after a quiet while
REST_S: Final = 1.0  # at a time: members of a group say that they are there, and metrics go on


class Pace:
    """Processor time comes at a steady rate and is spent in rounds. One for all feeds of a process."""

    def __init__(
        self, share: float, used: Callable[[], float] = time.process_time, now: Callable[[], float] = time.monotonic
    ) -> None:
        """`share`: of one processor, above 0; from 1 on nothing is limited. `used`, `now`: in seconds."""
        self._share = share
        self._used = used
        self._now = now
        self._left = BURST_S
        self._spent_at = used()
        self._left_at = now()

    def rest_s(self) -> float:
        """How long to rest before the next round; 0.0 where there is time left."""
        if self._share >= 1.0:
            return 0.0
        used, now = self._used(), self._now()
        earned, spent = (now - self._left_at) * self._share, used - self._spent_at
        self._spent_at, self._left_at = used, now
        self._left = min(self._left + earned, BURST_S) - spent
        return min(max(-self._left / self._share, 0.0), REST_S)
