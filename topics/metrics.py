"""What stands on `metrics`: values of metrics, from programs of yours and of our own.

`README.md` beside this file is the contract in words, and its examples are the test vectors of this file.
"""

from datetime import UTC, datetime
from math import isfinite
from typing import Final

import msgspec

METRIC_MAX: Final = 200  # characters of a metric's name
AT_MOST: Final = 2**53 - 1


class MetricValueError(ValueError):
    """What stands there is no value of a metric; the text says why."""


class MetricValue(msgspec.Struct, frozen=True, kw_only=True):
    """`metrics`: one value of one metric. Key: `metric`.

    {"metric":"orders.waiting_s","at":1404165600000,"value":12.5}
    """

    metric: str  # 1 to METRIC_MAX characters that can be printed
    at: int  # when it was so, ms
    value: float


class _Written(msgspec.Struct):
    """What may stand there."""

    value: float
    metric: str | None = None
    at: int | None = None
    timestamp: str | None = None  # as the Numenta Anomaly Benchmark writes times


_written: Final = msgspec.json.Decoder(_Written).decode


def metric_value(key: bytes | None, value: bytes | None) -> MetricValue:
    """A record of `metrics`, in any of its three forms. Raises MetricValueError.

    {"metric":"orders.waiting_s","at":1404165600000,"value":12.5}
    {"metric":"orders.waiting_s","timestamp":"2014-06-30 22:00:00","value":12.5}
    2014-06-30 22:00:00,12.5                                                      under the key orders.waiting_s
    """
    text = (value or b"").strip()
    try:
        one = _written(text) if text.startswith(b"{") else _of_row(text.decode())
        metric = (key or b"").decode() if one.metric is None else one.metric
    except MetricValueError:
        raise
    except (ValueError, RecursionError) as fault:  # of msgspec, float and UTF-8
        raise MetricValueError(str(fault)) from None
    if not (0 < len(metric) <= METRIC_MAX and metric.isprintable()):
        raise MetricValueError(
            f"neither `metric` nor the record's key is a name of 1 to {METRIC_MAX} printable characters"
        )
    if not isfinite(one.value):
        raise MetricValueError(f"its value, {one.value}, is no number that could be held against others")
    at = one.at if one.timestamp is None else _ms(one.timestamp)
    if at is None or not 0 <= at <= AT_MOST:
        raise MetricValueError(
            "it says no time: `at` is to be ms since 1970, or `timestamp` a time like 2014-06-30 22:00:00"
        )
    return MetricValue(metric=metric, at=at, value=one.value)


def _of_row(text: str) -> _Written:
    stamp, comma, number = text.partition(",")
    if not comma:
        raise MetricValueError("it is neither a JSON object nor `timestamp,value`")
    return _Written(timestamp=stamp, value=float(number))


def _ms(stamp: str) -> int:
    """Milliseconds of an ISO 8601 time; one without an offset is in UTC."""
    try:
        at = datetime.fromisoformat(stamp.strip())
    except ValueError:
        raise MetricValueError(f"{stamp[:40]!r} is no time like 2014-06-30 22:00:00") from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)
