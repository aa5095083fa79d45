"""Times as people write them: whole milliseconds since 1970 inside, RFC 3339 in UTC outside."""

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def text(at_ms: int, timespec: str = "seconds") -> str:
    """`2018-04-01T00:00:00Z`, cut and not rounded; what no calendar has stays a number. `timespec`: datetime's."""
    try:
        return (EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec=timespec).replace("+00:00", "Z")
    except OverflowError:  # a pack may take any time for possible, and any number may stand in a damaged state
        return f"{at_ms} ms"


def ms(moment: datetime) -> int:
    """Milliseconds since 1970, cut. Raises TypeError for a moment without an offset."""
    return (moment - EPOCH) // timedelta(milliseconds=1)
