"""Lines of the Common and the Combined Log Format, strictly.

    h.example - anna [01/Aug/1995:00:00:00 -0400] "GET /index.html HTTP/1.0" 200 7280 "http://r/" "Mozilla/5.0"

`-` is unknown. Quoted parts are kept as the server wrote them, escapes included. Times carry their zone and become
milliseconds since 1970.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from sidechain.models import utc

MAX_LINE: Final = 65_536  # characters
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_QUOTED: Final = r'"((?:[^"\\]|\\.)*)"'
_COMMON: Final = rf"(\S+) (\S+) (\S+) \[([^\]]*)\] {_QUOTED} ([0-9]{{3}}) ([0-9]{{1,18}}|-)"
_COMBINED: Final = rf"{_COMMON} {_QUOTED} {_QUOTED}"
_TIME: Final = re.compile(
    r"([0-9]{2})/([A-Z][a-z]{2})/([0-9]{4}):([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"
)
_REQUEST: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+)(?: (HTTP/[0-9](?:\.[0-9])?))?")


def log_parser(*, has_agent: bool) -> Callable[[str], list[Any] | str]:
    """A function from a line to its columns (`pack_sources.LOG_COLUMNS`), or to what is wrong with it."""
    match = re.compile(_COMBINED if has_agent else _COMMON).fullmatch
    shape = "Combined" if has_agent else "Common"
    last_time: tuple[str, int | None] = ("", None)  # lines come in bursts of one second

    def parse(line: str) -> list[Any] | str:
        nonlocal last_time
        if len(line) > MAX_LINE:
            return f"longer than {MAX_LINE} characters"
        found = match(line)
        if found is None:
            return f"this is no line of the {shape} Log Format"
        host, ident, user, time, request, status, size, *rest = found.groups()
        if time != last_time[0]:
            last_time = (time, milliseconds(time))
        if last_time[1] is None:
            return f"[{time[:40]}] is no time such as 01/Aug/1995:00:00:00 -0400"
        asked = _REQUEST.fullmatch(request)
        if asked is None:
            return f'"{request[:40]}" is no request such as GET /index.html HTTP/1.0'
        method, path, protocol = asked.groups()
        texts = [host, ident, user, None, method, path, protocol, status, size, *rest]
        columns: list[Any] = [None if one == "-" else one for one in texts]
        columns[3] = last_time[1]
        return columns

    return parse


def milliseconds(text: str) -> int | None:
    """Milliseconds since 1970 of `01/Aug/1995:00:00:00 -0400`; None when that is no time."""
    found = _TIME.fullmatch(text)
    if found is None or found[2] not in _MONTHS:
        return None
    offset = timedelta(hours=int(found[8]), minutes=int(found[9]))
    try:
        zone = timezone(-offset if found[7] == "-" else offset)
        day, year, hour, minute, second = map(int, found.group(1, 3, 4, 5, 6))
        at = datetime(year, _MONTHS.index(found[2]) + 1, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        return None
    return utc.ms(at)
