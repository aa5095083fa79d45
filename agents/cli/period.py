"""The options that name a period of event time.

--period 7d     the last seven days, up to the newest decision
--since, --until    from this moment on; up to, not including, that one
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from sidechain.agents.problems import UsageProblem
from sidechain.models import utc
from sidechain.models.report.tally import Period

Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="From this event time on: 2026-11-01, RFC 3339 or whole ms.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Up to, not including, this event time.")]
Last = Annotated[
    str | None, typer.Option("--period", metavar="DURATION", help="The last 7d, 12h, ... up to the newest decision.")
]

_DURATION: Final = re.compile(r"([1-9][0-9]{0,8})(ms|s|m|h|d|w)")
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_WHOLE_MS: Final = re.compile(r"-?[0-9]{1,15}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def period_of(since: str | None, until: str | None) -> Period:
    """The period these name. Raises `UsageProblem`."""
    found = Period(_moment("--since", since), _moment("--until", until))
    if found.since is not None and found.until is not None and found.since >= found.until:
        raise UsageProblem(f"--since {since} is not before --until {until}: no time lies between them")
    return found


def duration_ms(text: str, option: str = "--period") -> int:
    """A duration as packs write it. Raises `UsageProblem`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageProblem(f"{option} {text} is no duration; write 7d, 12h, 30m, 90s or 2w")
    return int(match[1]) * _UNIT_MS[match[2]]


def moment_ms(option: str, text: str) -> int:
    """A moment in ms since 1970. Raises `UsageProblem`."""
    if _WHOLE_MS.fullmatch(text):
        return int(text)
    try:
        found = datetime.fromisoformat(text)
        if _DAY.fullmatch(text):
            found = found.replace(tzinfo=UTC)
    except ValueError:
        raise UsageProblem(f"{option} {text} is no time; write 2026-11-01, 2026-11-01T12:00:00Z or whole ms") from None
    if found.tzinfo is None:
        raise UsageProblem(f"{option} {text} has no offset from UTC; write {text}Z or {text}+01:00")
    return utc.ms(found)


def _moment(option: str, text: str | None) -> int | None:
    return None if text is None else moment_ms(option, text)
