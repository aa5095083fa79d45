"""What a new wet worker looks back on: the tail of its partitions, so that it need not warm up again."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka import ConsumerRecord

from sidechain.agents.reader import Reader

log = logging.getLogger(__name__)

NEWEST: Final = 4_096  # records of each partition and topic that a new process looks back on
BOUND_S: Final = 20.0  # for each topic

Hear = Callable[[Sequence[ConsumerRecord]], None]


class Past:
    """Reads the tail of every partition of some topics once, when it first arrives. Bounded, and may fail."""

    def __init__(self, topics: Mapping[str, Hear], options: Mapping[str, Any]) -> None:
        """`topics`: name -> who hears its records; read one after the other, in this order."""
        self._topics = topics
        self._options = options
        self._read: set[int] = set()

    async def open(self, held: Sequence[int]) -> None:
        """Records that were not dealt with yet are among them and come again: what hears them does not mind."""
        new = [one for one in held if one not in self._read]
        self._read.update(new)
        for topic, hear in self._topics.items() if new else ():
            try:
                async with asyncio.timeout(BOUND_S), Reader(self._options, topic) as reader:
                    starts = {one: max(0, end - NEWEST) for one, end in (await reader.ends(new)).items()}
                    async for batch in reader.to_end(new, start=starts):
                        hear(batch)
            except TimeoutError:
                log.warning("not all of the tail of %s was read within %.0f s, going on", topic, BOUND_S)
