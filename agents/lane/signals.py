"""What was learned beyond one key, as the dry side reads it: one table a worker, and nobody waits for it.

A reader of its own takes in `wet.signals` beside the lanes, some hundred records at a time; a lane asks the table and
gets what stands there. A topic that cannot be read, an aggregator that died or one that lies costs signals: values grow
old and are unknown then. A record that is not what it must be is passed over and counted.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from msgspec import Meta

from sidechain.agents.lane.latest import LatestTable
from sidechain.agents.lane.log_ends import FETCH_BYTES, Ends, reader
from sidechain.agents.subjects import KEY_MAX_BYTES, signal_key
from sidechain.models.dry import SignalValue

log = logging.getLogger(__name__)

MAX_SUBJECTS: Final = 250_000  # a worker; the one heard of longest ago is forgotten first
A_ROUND: Final = 500  # records taken in before events have the next turn
PAUSE_S: Final = 0.02  # between two rounds
LOAD_MS: Final = 100  # a read waits so long while the topic is loaded; later it does not wait
LONGEST_PAUSE_S: Final = 5.0  # after a failure
COMPLAIN_S: Final = 60.0

_Integer = Annotated[int, Meta(ge=-(2**53), le=2**53)]


class _Said(msgspec.Struct):
    value: _Integer | None
    model: Annotated[str, Meta(max_length=128)]
    as_of: _Integer


_decode: Final = msgspec.json.Decoder(_Said).decode


def _read(value: bytes, offset: int) -> SignalValue | None:
    said = _decode(value)
    return None if said.value is None else SignalValue(said.value, said.model, said.as_of, offset)


class SignalsTable(LatestTable):
    """The latest word about each subject."""

    def __init__(self, names: Mapping[str, Any], max_subjects: int = MAX_SUBJECTS) -> None:
        """`names`: of each learned signal, what it is of -> the name the wet side knows it by."""
        super().__init__(_read, max_subjects, KEY_MAX_BYTES)
        self._names = names

    def latest_of(self, signal: str, of: str) -> SignalValue | None:
        """The question the kernel asks."""
        named = self._names.get(signal, str)
        return self._latest.get(signal_key(signal, named(of)))


class Learned:
    """Keeps the table as new as it can be had, in a task of its own."""

    def __init__(
        self,
        table: SignalsTable,
        options: Mapping[str, Any],
        topic: str,
        ends: Ends,
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        """`on_fatal`: told of a fault of ours, which must end the worker."""
        self.table = table
        self._tp = TopicPartition(topic, 0)
        self._ends = ends
        self._on_fatal = on_fatal
        self._options = options
        self._consumer: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_loaded = asyncio.Event()
        self._complained = float("-inf")

    async def start(self, timeout_s: float) -> None:
        """Begin to read, and wait `timeout_s` at most until what is there by now was read."""
        self._task = asyncio.create_task(self._keep(), name="learned-signals")
        self._task.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_loaded.wait()
        except TimeoutError:
            log.warning("what was learned is not loaded within %.0f s: going on, what is missing is unknown", timeout_s)

    async def stop(self) -> None:
        """Disconnect."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._consumer is not None:
            await self._consumer.stop()

    async def _keep(self) -> None:
        pause_s, is_begun = PAUSE_S, False
        while True:
            try:
                if self._consumer is None:
                    await self._connect()
                if not is_begun:
                    await self._load()
                    is_begun = True
                await self._round()
                pause_s = PAUSE_S
            except OffsetOutOfRangeError:
                is_begun = False  # the topic was replaced: what it says now is what counts
            except (KafkaError, OSError) as fault:
                pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
                self._complain(fault)
            await asyncio.sleep(pause_s)

    async def _connect(self) -> None:
        consumer = reader(self._options, max_partition_fetch_bytes=FETCH_BYTES)
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer

    async def _load(self) -> None:
        assert self._consumer is not None
        span = (await self._ends.spans([self._tp]))[self._tp]
        self.table.clear()
        self._consumer.assign([self._tp])
        self._consumer.seek(self._tp, span.start)
        while await self._consumer.position(self._tp) < span.end:
            await self._round(LOAD_MS)
        log.info("%d subjects of learned signals known", len(self.table))
        self._is_loaded.set()

    async def _round(self, timeout_ms: int = 0) -> None:
        assert self._consumer is not None
        got = await self._consumer.getmany(self._tp, timeout_ms=timeout_ms, max_records=A_ROUND)
        for records in got.values():
            self.table.take(records)

    def _complain(self, fault: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._complained > COMPLAIN_S:
            self._complained = now
            log.warning("what was learned cannot be read at the moment: %r", fault)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._on_fatal(fault)
