"""Steady load: events at a given mean rate, whatever happens to the broker; what an outage cost is made up for.

    python -m tests.chaos.sender BOOTSTRAP TOPIC PARTITIONS RATE SEED [OUTCOMES]

Most events are good ones of the web pack; one in 200 cannot be decided, one in 1,000 repeats an id. On the topic
OUTCOMES, where one is named, every tenth event is told of some seconds later: what it was, what it cost, or both; some
twice, some on another partition than they name, some of what nobody decided, some that cannot be read. It prints a line
of JSON twice a second, {"acknowledged":…,"outcomes":…,"at":…}, and ends at SIGTERM or when nobody reads it any more,
after everything sent was acknowledged. A record whose acknowledgement was lost is sent again: whatever is visible must
have its entry.
"""

import asyncio
import os
import random
import signal
import sys
import time
from typing import Any
from zlib import crc32

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.chaos.faulty import die_with_parent
from tests.lanes import T0

TICK_S = 0.05
TELL_S = 0.5
AGAIN_S = 0.2
CATCH_UP = 3.0  # times the rate, at most, while making up for an outage
HOSTS = 500
STEP_MS = 10  # between two events; poison stands between two steps
BAD_EVERY = 200
REPEATED_EVERY, REPEATED_AT = 1_000, 750
IN_FLIGHT = 64
OUTCOME_EVERY = 10
OUTCOMES_BEHIND = 5_000  # events, a whole number of times OUTCOME_EVERY
TWICE_EVERY, ASTRAY_EVERY, UNKNOWN_EVERY, UNREADABLE_EVERY = 20, 25, 40, 50  # of outcomes
COST_EVERY = 3
BAD = (b"not json", b"", b'{"id":"bad"}', b"\xff\xfe\x00", b'{"id":"bad","host":"h1.example","at":0}')


def host_of(number: int) -> bytes:
    """Whom the event is about."""
    return b"h%d.example" % (number * 7919 % HOSTS)


def partition_of(host: bytes, partitions: int) -> int:
    """Where everything about this host stands."""
    return crc32(host) % partitions


def event(number: int, identifier: int) -> bytes:
    """A good event."""
    page = number * 31 % 97
    return (
        b'{"id":"c-%012d","host":"%b","at":%d,"method":"GET","path":"/page/%d","status":%d,"bytes":%d}'
        % (identifier, host_of(number), T0 + STEP_MS * number, page, 404 if page == 7 else 200, 100 + page)
    )  # fmt: skip


def outcome(number: int, partition: int | None = None) -> bytes:
    """What became of the event of that number; `partition` where it names one."""
    stated = b',"cost_minor":%d' % (number % 977) if number // OUTCOME_EVERY % COST_EVERY == 0 else b""
    named = b"" if partition is None else b',"partition":%d' % partition
    label = b"bad" if number * 31 % 97 == 7 else b"good"
    return b'{"id":"c-%012d","at":%d,"label":"%b"%b%b}' % (number, T0 + STEP_MS * number, label, stated, named)


class Sender:
    """Builds batches when they are due and sends each until it is acknowledged."""

    def __init__(
        self, producer: AIOKafkaProducer, topic: str, partitions: int, seed: int, outcomes: str | None = None
    ) -> None:
        """`outcomes`: the topic they go to; None: there are none."""
        self.acknowledged = 0
        self.outcomes = 0  # acknowledged
        self.made = 0
        self._producer = producer
        self._topic = topic
        self._outcomes = outcomes
        self._partitions = partitions
        self._chance = random.Random(seed)
        self._free = asyncio.Semaphore(IN_FLIGHT)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def at_ms(self) -> int:
        """The time of the newest event."""
        return T0 + STEP_MS * self.made

    def due(self, count: int) -> dict[int, list[tuple[bytes, bytes]]]:
        """The next so many events, by partition."""
        lines: dict[int, list[tuple[bytes, bytes]]] = {}
        for number in range(self.made, self.made + count):
            host = host_of(number)
            identifier = number
            if number % REPEATED_EVERY == REPEATED_AT:
                identifier -= HOSTS  # the same host's event before
            value = event(number, identifier)
            if number % BAD_EVERY == BAD_EVERY - 1:
                value = self._chance.choice(BAD)
            lines.setdefault(partition_of(host, self._partitions), []).append((host, value))
        self.made += count
        return lines

    def outcomes_due(self, first: int, behind: int) -> dict[int, list[tuple[bytes, bytes]]]:
        """The outcomes of the events of these numbers, by partition."""
        lines: dict[int, list[tuple[bytes, bytes]]] = {}
        for number in range(first + -first % OUTCOME_EVERY, behind, OUTCOME_EVERY):
            host, which = host_of(number), number // OUTCOME_EVERY
            own = partition_of(host, self._partitions)
            to, value = own, outcome(number)
            if which % ASTRAY_EVERY == ASTRAY_EVERY - 1:
                to, value = (own + 1) % self._partitions, outcome(number, own)
            elif which % UNKNOWN_EVERY == UNKNOWN_EVERY - 1:
                value = outcome(10**11 + number)
            elif which % UNREADABLE_EVERY == UNREADABLE_EVERY // 2:
                value = self._chance.choice(BAD)
            times = 2 if which % TWICE_EVERY == 1 else 1
            lines.setdefault(to, []).extend([(host, value)] * times)
        return lines

    async def make(self, count: int) -> None:
        """Send so many more events, and the outcomes that are due by now."""
        first = self.made
        for partition, records in self.due(count).items():
            await self._begin(self._topic, partition, records)
        if self._outcomes is None:
            return
        begin, behind = (max(0, one - OUTCOMES_BEHIND) for one in (first, self.made))
        for partition, records in self.outcomes_due(begin, behind).items():
            await self._begin(self._outcomes, partition, records)

    async def _begin(self, topic: str, partition: int, records: list[tuple[bytes, bytes]]) -> None:
        await self._free.acquire()
        task = asyncio.create_task(self._deliver(topic, partition, records))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def delivered(self) -> None:
        """Until nothing is on its way."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _deliver(self, topic: str, partition: int, records: list[tuple[bytes, bytes]]) -> None:
        try:
            while not await self._sent(topic, partition, records):  # noqa: ASYNC110 - a pause between attempts, no event
                await asyncio.sleep(AGAIN_S)
            if topic == self._topic:
                self.acknowledged += len(records)
            else:
                self.outcomes += len(records)
        finally:
            self._free.release()

    async def _sent(self, topic: str, partition: int, records: list[tuple[bytes, bytes]]) -> bool:
        batch = self._producer.create_batch()
        for key, value in records:
            assert batch.append(timestamp=None, key=key, value=value) is not None, "a batch of one tick is small"
        try:
            await (await self._producer.send_batch(batch, topic, partition=partition))
        except (KafkaError, OSError):
            return False
        return True


async def run(bootstrap: str, topic: str, partitions: int, rate: float, seed: int, outcomes: str | None) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        request_timeout_ms=8_000,
        max_batch_size=4_000_000,
        retry_backoff_ms=100,
    )
    await producer.start()
    sender = Sender(producer, topic, partitions, seed, outcomes)
    began = told = time.monotonic()
    most = max(1, int(rate * CATCH_UP * TICK_S))
    while not stop.is_set():
        now = time.monotonic()
        if (due := int((now - began) * rate) - sender.made) > 0:
            await sender.make(min(due, most))
        if now - told >= TELL_S:
            told = now
            _tell(sender)
        await asyncio.sleep(TICK_S)
    await sender.delivered()
    _tell(sender)
    await producer.stop()


def _tell(sender: Any) -> None:
    told = {"made": sender.made, "acknowledged": sender.acknowledged, "outcomes": sender.outcomes, "at": sender.at_ms}
    os.write(sys.stdout.fileno(), msgspec.json.encode(told) + b"\n")


if __name__ == "__main__":
    die_with_parent()
    address, name, count, speed, number, *rest = sys.argv[1:]
    asyncio.run(run(address, name, int(count), float(speed), int(number), rest[0] if rest else None))
