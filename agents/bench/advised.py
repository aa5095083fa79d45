"""What a wet side did in a round of `bench wet`: faults as its worker counts them, compensations as its topic has them.

Compensations are counted over every minute of event time, on each partition. When one was asked for is not read from
its own record but from the scores that stand before it: event time as far as they had come, whoever wrote them.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.reader import Reader
from sidechain.agents.settings import Config
from sidechain.agents.wet.http import Address
from sidechain.agents.wet.scrape import scraped
from sidechain.models.wet.readings import Samples, total
from sidechain.topics.wet import Compensation

MINUTE_MS: Final = 60_000
BY_EXPERT: Final = ("faults", "raised", "hung", "trips")


class _Scored(msgspec.Struct):
    seq: int
    at: int


def told(samples: Samples) -> dict[str, Any]:
    """What a wet worker shows of what went wrong: by expert, and what its breakers held back."""
    row: dict[str, Any] = {}
    for what in BY_EXPERT:
        series = samples.get(f"sidechain_expert_{what}_total", {})
        row[what] = {dict(labels)["expert"]: round(count) for labels, count in series.items() if count}
    row["breaker_trips"] = round(total(samples, "sidechain_breaker_trips_total") or 0)
    row["held_back"] = round(total(samples, "sidechain_compensations_total", result="suppressed") or 0)
    return row


async def counted(port: int) -> dict[str, Any] | None:
    """The same, asked of the worker on this machine's port; None where it does not answer."""
    where = Address("http", "127.0.0.1", port, "/metrics")
    samples = (await scraped([where]))[where.place].samples
    return None if samples is None else told(samples)


async def asked(config: Config) -> dict[str, int]:
    """How many compensations stand on the topic, and the most of one partition within any minute of event time."""
    partitions = list(range(config.partitions))
    score, compensation = msgspec.json.Decoder(_Scored).decode, msgspec.json.Decoder(Compensation).decode
    decisions: dict[int, list[int]] = {one: [] for one in partitions}  # partition -> seq of the decisions asked about
    # First, while the worker goes on: by the time the scores are read, those it went by stand there.
    async with Reader(kafka_options(config), config.topic("wet.compensations")) as reader:
        async for records in reader.to_end(partitions):
            for one in records:
                decisions[one.partition].append(compensation(one.value).decision.seq)
    came: dict[int, dict[int, int]] = {one: {} for one in partitions}  # partition -> seq -> how far event time was
    reached: dict[int, int] = defaultdict(int)
    async with Reader(kafka_options(config), config.topic("wet.scores")) as reader:
        async for records in reader.to_end(partitions):
            for one in records:
                scored = score(one.value)
                reached[one.partition] = max(reached[one.partition], scored.at)
                came[one.partition].setdefault(scored.seq, reached[one.partition])
    times = [[came[one][seq] for seq in some] for one, some in decisions.items()]
    return {
        "compensations": sum(map(len, times)),
        "most_in_a_minute": max(map(most_in_a_minute, times), default=0),
    }


def most_in_a_minute(times: Iterable[int]) -> int:
    """The most of these, in ms, that lie within any 60 seconds."""
    within: deque[int] = deque()
    most = 0
    for one in sorted(times):
        within.append(one)
        while within[0] <= one - MINUTE_MS:
            within.popleft()
        most = max(most, len(within))
    return most


def summed(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What several rounds counted, in one; the most in a minute is the most of them."""
    by: dict[str, Counter[str]] = {what: Counter() for what in BY_EXPERT}
    sums: Counter[str] = Counter()
    most = 0
    for row in rows:
        for what, counts in by.items():
            counts.update(row.get(what, {}))
        sums.update({what: row.get(what, 0) for what in ("breaker_trips", "held_back", "compensations")})
        most = max(most, row["most_in_a_minute"])
    return {**{what: dict(counts) for what, counts in by.items()}, **sums, "most_in_a_minute": most}
