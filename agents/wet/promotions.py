"""Keeps a place of the panel as `wet.models` names it: whoever was promoted scores, and nobody else.

    promotions = Promotions(slot.take, files, options, topic, known)
    await promotions.open()                  before the first batch: who is champion now
    await promotions.run(stop)               and from then on: loaded whole, then put in between two batches

A model that is not there, was changed, or reads what nobody here can tell is refused with a sentence, and nobody is in
that place: advice of the one before is not what people agreed to. It is looked for again every RETRY_S, for the file
may still be on its way. Whatever goes wrong here costs advice, never a decision.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka.errors import KafkaError

from sidechain.agents import promoted
from sidechain.agents.model_files import ModelFiles
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.reader import Reader
from sidechain.agents.wet.pauses import waited
from sidechain.models.wet.experts.champion import Champion, missing
from sidechain.topics.human import ModelRecord

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0  # between two looks at the topic
RETRY_S: Final = 30.0  # between two looks for a file
OPEN_S: Final = 20.0
Take = Callable[[Champion | None, ModelRecord | None], None]


class Promotions:
    """Follows one place."""

    def __init__(
        self, take: Take, files: ModelFiles, options: Mapping[str, Any], topic: str, known: Sequence[str]
    ) -> None:
        """`take`: told who is champion from now on. `known`: the columns a model may read here."""
        self.seen = Counter({"taken": 0, "retired": 0, "refused": 0})
        self._take = take
        self._files = files
        self._options = options
        self._topic = topic
        self._known = tuple(known)
        self._offset = 0
        self._record: ModelRecord | None = None
        self._is_missing = False
        self._look_at = 0.0  # by the loop's clock

    async def open(self) -> None:
        """Read who is champion now. Bounded; where it takes too long, `run` goes on with it."""
        try:
            async with asyncio.timeout(OPEN_S), Reader(self._options, self._topic) as reader:
                await self._look(reader)
        except (TimeoutError, KafkaError, EnvironmentProblem) as fault:
            log.warning("who is champion is not known yet: %s", fault or type(fault).__name__)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`."""
        while not stop.is_set():
            try:
                async with Reader(self._options, self._topic) as reader:
                    while not stop.is_set():
                        await self._look(reader)
                        await waited(stop, LOOK_S)
            except (TimeoutError, KafkaError, EnvironmentProblem) as fault:
                log.warning("%s cannot be read, the champion stays as it is: %s", self._topic, fault)
                await waited(stop, RETRY_S)

    async def _look(self, reader: Reader) -> None:
        """Read what is new, and take the last word."""
        newest: ModelRecord | None = None
        async for records in reader.to_end([0], start={0: self._offset}):
            for one in records:
                self._offset = one.offset + 1
                try:
                    newest = promoted.read(one) or newest
                except EnvironmentProblem as fault:
                    self.seen["refused"] += 1
                    log.warning("%s", fault)
        now = asyncio.get_running_loop().time()
        if newest is not None:
            self._record, self._is_missing = newest, False
        elif not self._is_missing or now < self._look_at:
            return
        await self._place(self._record)
        self._look_at = now + RETRY_S

    async def _place(self, record: ModelRecord | None) -> None:
        was_missing, self._is_missing = self._is_missing, False
        if record is None or record.version is None or record.digest is None:
            self._take(None, record)
            self.seen["retired"] += 1
            log.info("nobody is champion any more, by %s", record and record.by)
            return
        try:
            champion = await asyncio.to_thread(self._loaded, record.version, record.digest, record.labels or 0)
        except EnvironmentProblem as fault:
            if not was_missing:
                self._take(None, record)
                log.warning("%s; nobody is champion meanwhile", fault)
            self._is_missing = True
            self.seen["refused"] += 1
            return
        self._take(champion, record)
        self.seen["taken"] += 1
        log.info("%s is champion, by %s (scored by %s)", champion.model.name, record.by, champion.runtime.name)

    def _loaded(self, version: int, digest: str, labels: int) -> Champion:
        """In a thread: reading and proving a model takes a moment, and scores do not wait for it."""
        model = self._files.model(version, digest)
        if lacking := missing(model, self._known):
            raise EnvironmentProblem(
                f"{model.name} reads {', '.join(lacking)}, and this pack has no such feature in its vector"
            )
        return Champion(model, labels)
