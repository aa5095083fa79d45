"""Send events to the input topic: as fast as it goes, at a steady rate, or at a multiple of event time.

A line is sent as it stands, also when it is no valid event: judging is the decider's work, and what it cannot decide
goes to the dead letters with its bytes. The key is the event's key field where the line has one.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer

from sidechain.models.policy import EventSchema

IN_FLIGHT = 20_000  # acknowledgements outstanding before the sender waits
SLICE_S = 0.01  # how finely a rate is spread over time


class Keyed(NamedTuple):
    """One event, or outcome, to send."""

    key: bytes | None
    value: bytes
    at_ms: int | None
    partition: int | None = None  # None: where the key leads
    topic: str | None = None  # None: the one all go to


def keyed(lines: Iterable[bytes], schema: EventSchema) -> Iterable[Keyed]:
    """The lines with their key and event time; None where a line does not have them."""
    key_field, time_field = schema.role("key").name, schema.role("time").name
    stated = msgspec.defstruct("Stated", [(key_field, str), (time_field, int | None, None)])
    decode = msgspec.json.Decoder(stated).decode
    for line in lines:
        try:
            event = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            yield Keyed(None, line, None)
        else:
            yield Keyed(getattr(event, key_field).encode(), line, getattr(event, time_field))


async def produce(
    options: Mapping[str, Any],
    topic: str,
    events: Iterable[Keyed],
    *,
    rate: float | None = None,
    speed: float | None = None,
    start: float | None = None,
    linger_ms: int = 5,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Send all events and return how many were acknowledged; raises what the broker answers.

    `rate`: events a second. `speed`: seconds of event time a second. Neither: as fast as it goes.
    `start`: when the schedule begins, on the monotonic clock; None: now.
    """
    producer = AIOKafkaProducer(
        **options,
        acks="all",
        enable_idempotence=True,
        linger_ms=linger_ms,
        max_batch_size=256 * 1024,
        max_request_size=8_000_000,
    )
    try:
        await producer.start()
        pace = _Pace(rate, speed, start)
        pending: deque[asyncio.Future[Any]] = deque()
        sent = 0
        for event in events:
            await pace.wait(event)
            pending.append(
                await producer.send(event.topic or topic, event.value, key=event.key, partition=event.partition)
            )
            sent += 1
            if len(pending) >= IN_FLIGHT:
                await pending[0]
            while pending and pending[0].done():
                pending.popleft().result()  # a failed send is raised, not counted
            if progress and sent % 500 == 0:
                progress(500)
        await asyncio.gather(*pending)
        if progress:
            progress(sent % 500)
        return sent
    finally:
        await producer.stop()


class _Pace:
    """When the next event is due, by the intended schedule: a late sender catches up instead of slowing down."""

    def __init__(self, rate: float | None, speed: float | None, start: float | None) -> None:
        self._rate = rate
        self._speed = speed
        self._count = 0
        self._first_ms: int | None = None
        self._start = asyncio.get_running_loop().time() if start is None else start

    async def wait(self, event: Keyed) -> None:
        due = self._due_s(event)
        self._count += 1
        ahead = self._start + due - asyncio.get_running_loop().time()
        if ahead > SLICE_S:
            await asyncio.sleep(ahead)

    def _due_s(self, event: Keyed) -> float:
        if self._rate:
            return self._count / self._rate
        if self._speed and event.at_ms is not None:
            self._first_ms = event.at_ms if self._first_ms is None else self._first_ms
            return max(event.at_ms - self._first_ms, 0) / 1000 / self._speed
        return 0.0
