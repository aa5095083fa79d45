"""A limit on how fast the wet side may ask for something, in event time.

A scorer gone wrong must not flood whoever handles compensations. Within any 60 seconds at most `per_minute` pass; once
so many have, nothing passes until half of them are a minute old, so that a flood is cut, not thinned. What passed
before a restart counts: a worker that dies over and over may ask for no more than one that lives.
"""

from collections import deque
from typing import Final

WINDOW_MS: Final = 60_000


class Breaker:
    """A window over what passed, that trips when it is full. A quiet minute empties it."""

    def __init__(self, per_minute: int) -> None:
        self.is_tripped = False
        self.trips = 0
        self._most = per_minute
        self._at = -1  # -1: nothing was heard
        self._before: deque[int] = deque(maxlen=per_minute)  # event times of what others let pass, rising
        self._passed: deque[tuple[int, int]] = deque()  # (event time, how many), within the window: 60,000 at most
        self._count = 0  # in `_passed`

    def restore(self, at: int) -> None:
        """One passed at `at`, before this breaker was made; told in the order in which they passed."""
        self._before.append(max(at, self._before[-1]) if self._before else at)

    def hear(self, at: int) -> None:
        """Event time has come to `at`, ms. An earlier time than before changes nothing."""
        if self._at < 0:
            for one in self._before:
                self._pass(
                    min(one, at + WINDOW_MS)
                )  # whatever it claims to be of, it closes us for two minutes at most
        self._at = max(self._at, at)
        while self._passed and self._passed[0][0] <= self._at - WINDOW_MS:
            self._count -= self._passed.popleft()[1]
        if self._most - self._count >= max(self._most / 2, 1.0):
            self.is_tripped = False

    def allows(self) -> bool:
        """Whether one more may go out now; takes it if so."""
        if not self.is_tripped and self._count >= self._most:
            self.is_tripped = True
            self.trips += 1
        if self.is_tripped:
            return False
        self._pass(self._at)
        return True

    def _pass(self, at: int) -> None:
        self._count += 1
        if self._passed and self._passed[-1][0] == at:
            self._passed[-1] = (at, self._passed[-1][1] + 1)
        else:
            self._passed.append((at, 1))
