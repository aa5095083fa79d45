"""When the next fit is due, counted in rows seen: no clock, so two runs over the same rows fit at the same places."""

from typing import Final

LONGEST: Final = 50_000  # rows between two fits, at most
FEWEST: Final = 16  # rows below which nothing is learned


class Schedule:
    """First at `warmup` rows, then at every doubling, then every LONGEST rows."""

    def __init__(self, warmup: int) -> None:
        self.due_at = max(warmup, FEWEST)

    def passed(self, seen: int) -> None:
        """A fit over `seen` rows was started: move on to the next date."""
        while self.due_at <= seen:
            self.due_at += min(self.due_at, LONGEST)

    def again(self, seen: int) -> None:
        """That fit failed: try again after a tenth more rows."""
        self.due_at = seen + max(seen // 10, FEWEST)
