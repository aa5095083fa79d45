"""What a lag will be in a minute: a level and a trend, both followed exponentially (Holt 1957).

The weights were chosen among 64 on eight seeded half hours of `tests/queues.lags`, and are measured on eight others; a
trend that fades (Gardner and McKenzie 1985) was tried there and was worse.
"""

from typing import Final

LEVEL: Final = 0.9  # how much of the newest value becomes the level at once
TREND: Final = 0.5  # ... of the newest step becomes the trend


class Forecast:
    """One series, seen at equal steps."""

    def __init__(self) -> None:
        self._level: float | None = None
        self._trend = 0.0

    def see(self, value: float) -> None:
        """The next value, 0 or more."""
        if self._level is None:
            self._level = value
            return
        expected = self._level + self._trend
        level = expected + LEVEL * (value - expected)
        self._trend += TREND * (level - self._level - self._trend)
        self._level = level

    def ahead(self, steps: int) -> float:
        """The value `steps` (at least 1) from now, 0 or more; 0 before anything was seen."""
        return 0.0 if self._level is None else max(self._level + steps * self._trend, 0.0)
