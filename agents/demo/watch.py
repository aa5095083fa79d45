"""What a consumer of the decision topics sees, counted as it comes."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.reader import Reader
from sidechain.agents.settings import Config
from sidechain.topics.wet import Compensation, Metadata, Score

LATEST: Final = 4


class _Entry(msgspec.Struct):
    kind: str
    id: str | None = None
    action: str | None = None
    source: tuple[str, int, int] | None = None
    signals: dict[str, dict[str, object]] = {}


class Watch:
    """Counts over dry.decisions and what the wet side writes while they grow."""

    def __init__(self, config: Config) -> None:
        self.entries = 0
        self.kinds: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self.with_signals = 0
        self.events = 0  # entries that consumed one
        self.outcomes = 0
        self.learned = 0  # words of what outcomes teach
        self.scores: Counter[str] = Counter()
        self.risks: dict[str, Metadata] = {}  # highest metadata seen per key
        self.raised: deque[Metadata] = deque(maxlen=LATEST)
        self.compensations: dict[str, Compensation] = {}
        self._config = config

    async def run(self) -> None:
        """Read for ever; cancel to stop."""
        readings: dict[str, Callable[[bytes], None]] = {
            "dry.decisions": self._entry,
            "wet.scores": self._score,
            "wet.metadata": self._metadata,
            "wet.compensations": self._compensation,
            "wet.signals": self._signal,
        }
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            for topic, reading in readings.items():
                reader = await stack.enter_async_context(Reader(kafka_options(self._config), self._config.topic(topic)))
                group.create_task(self._read(reader, reading))

    async def _read(self, reader: Reader, reading: Callable[[bytes], None]) -> None:
        async for records in reader.follow(await reader.partitions(), from_end=False):
            for one in records:
                if one.value is not None:
                    reading(one.value)
            await asyncio.sleep(0)

    def _entry(self, value: bytes) -> None:
        entry = msgspec.json.decode(value, type=_Entry)
        self.entries += 1
        self.kinds[entry.kind] += 1
        topic = None if entry.source is None else entry.source[0]
        self.events += topic == "events"
        self.outcomes += topic == "outcomes"
        if entry.action is not None:
            self.actions[entry.action] += 1
            self.with_signals += any("value" in used for used in entry.signals.values())

    def _score(self, value: bytes) -> None:
        self.scores[msgspec.json.decode(value, type=Score).state] += 1

    def _metadata(self, value: bytes) -> None:
        risk = msgspec.json.decode(value, type=Metadata)
        before = self.risks.get(risk.key)
        if before is None or risk.risk_bp > before.risk_bp:
            self.risks[risk.key] = risk
        if risk.level != "normal" and (before is None or before.level == "normal"):
            self.raised.append(risk)

    def _signal(self, _value: bytes) -> None:
        self.learned += 1

    def _compensation(self, value: bytes) -> None:
        one = msgspec.json.decode(value, type=Compensation)
        self.compensations[one.id] = one
