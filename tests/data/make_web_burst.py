"""Three planted callers for the NASA day: slow, broad and half of it errors, five times ten minutes.

    python tests/data/make_web_burst.py > models/packs/samples/web_burst.ndjson

Every single measure stays below its rule's threshold (requests_1m < 24, errors_5m < 5, missing_paths_10m < 5,
paths_5m < 25, heads_10m < 4, programs_5m < 6), so no rule alone sees them; together they are like no reader's.
"""

import json
import random
import sys
from collections.abc import Iterator

SEED = 19950801
FIRST_MS = 807_300_000_000  # 1995-08-01 16:00 UTC, the middle of the day
BURSTS = 5
EVERY_MS = 3_600_000
LENGTH_MS = 600_000
HOSTS = ("planted-1.example", "planted-2.example", "planted-3.example")
STEP_MS = 12_500  # a request each 12.5 s: 24 paths in five minutes


def events() -> Iterator[dict[str, object]]:
    """The planted requests in time order."""
    rng = random.Random(SEED)
    made = []
    for number, host in enumerate(HOSTS):
        for burst in range(BURSTS):
            start = FIRST_MS + burst * EVERY_MS + number * 700_000
            made += list(_burst(rng, host, burst, start))
    made.sort(key=lambda one: one["at"])
    for count, one in enumerate(made):
        yield {"id": f"planted-{count:05d}", **one}


def _burst(rng: random.Random, host: str, burst: int, start: int) -> Iterator[dict[str, object]]:
    for count in range(LENGTH_MS // STEP_MS):
        at = start + count * STEP_MS + rng.randrange(2_000)
        path = f"/archive/{burst}/{rng.randrange(10**6):06d}/index-{count}.html"
        one: dict[str, object] = {"host": host, "at": at, "method": "GET", "path": path, "status": 200}
        one["bytes"] = rng.randrange(60_000, 110_000)
        if count % 12 == 3:  # four different missing pages in ten minutes
            one |= {"status": 404, "bytes": 0}
        elif count % 16 == 5:
            one |= {
                "status": 500,
                "bytes": 0,
                "path": f"/cgi-bin/search?{rng.randrange(10**9)}&{'x' * rng.randrange(300, 500)}",
            }
        elif count % 15 == 9:
            one |= {"method": "HEAD", "bytes": 0}
        yield one


if __name__ == "__main__":
    for event in events():
        sys.stdout.write(json.dumps(event, separators=(",", ":")) + "\n")
