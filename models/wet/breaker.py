"""A limit on how fast the wet side may ask for something, in event time.

A scorer gone wrong must not flood whoever handles compensations. At most `per_minute` pass in a burst; once the
bucket is empty nothing passes until half of it is back, so that a flood is cut, not thinned.
"""


class Breaker:
    """A token bucket that trips. A quiet minute refills it."""

    def __init__(self, per_minute: int) -> None:
        self.capacity = float(per_minute)
        self.tokens = float(per_minute)
        self.is_tripped = False
        self.trips = 0
        self._at = 0

    def hear(self, at: int) -> None:
        """Event time has come to `at`, ms. An earlier time than before changes nothing."""
        passed = at - self._at if self._at else 0
        self._at = max(self._at, at)
        self.tokens = min(self.capacity, self.tokens + max(passed, 0) * self.capacity / 60_000)
        if self.tokens >= max(self.capacity / 2, 1.0):
            self.is_tripped = False

    def allows(self) -> bool:
        """Whether one more may go out now; takes it if so."""
        if not self.is_tripped and self.tokens < 1.0:
            self.is_tripped = True
            self.trips += 1
        if self.is_tripped:
            return False
        self.tokens -= 1.0
        return True
