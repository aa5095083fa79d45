"""Times as people write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from sidechain.models import utc


@pytest.mark.parametrize(
    ("at_ms", "timespec", "text"),
    [
        (0, "seconds", "1970-01-01T00:00:00Z"),
        (1_999, "seconds", "1970-01-01T00:00:01Z"),  # cut, not rounded
        (-1, "seconds", "1969-12-31T23:59:59Z"),
        (1_999, "milliseconds", "1970-01-01T00:00:01.999Z"),
        (253_402_300_799_999, "seconds", "9999-12-31T23:59:59Z"),
        (253_402_300_800_000, "seconds", "253402300800000 ms"),  # no calendar has it
        (-62_135_596_800_001, "seconds", "-62135596800001 ms"),
        (2**63, "milliseconds", f"{2**63} ms"),
    ],
)
def test_a_time_is_told_to_people(at_ms, timespec, text):
    """Whatever stands in a record or a damaged state is told, never raised."""
    assert utc.text(at_ms, timespec) == text


def test_a_moment_is_the_same_in_every_zone():
    noon = datetime(2018, 4, 1, 12, microsecond=1_999, tzinfo=UTC)
    assert utc.ms(noon) == utc.ms(noon.astimezone(timezone(timedelta(hours=5)))) == 1_522_584_000_001
    with pytest.raises(TypeError):
        utc.ms(datetime(2018, 4, 1))  # noqa: DTZ001 - the very thing that is refused
