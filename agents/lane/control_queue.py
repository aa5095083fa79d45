"""Control records on their way to a lane's folds. One that puts a list in force waits for the list's rows.

What stands behind it waits too: `control` has one order. Events do not wait; which of them were decided before a list
took effect is what the chain records.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Final

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from sidechain.agents.lane.lists import ListLoader
from sidechain.agents.lane.problems import Refused
from sidechain.agents.problems import EnvironmentProblem
from sidechain.models.dry.lists import Activation, Table, is_rows, read_activation

log = logging.getLogger(__name__)

LOAD_S: Final = 120.0  # for the rows of one list; then it is tried again
AGAIN_S: Final = 1.0


class ControlQueue:
    """The records in order; the rows of lists are no part of it, they are looked up by those that name them."""

    def __init__(self, lists: ListLoader) -> None:
        self._lists = lists
        self._records: deque[ConsumerRecord] = deque()
        self._loading: asyncio.Task[Table | None] | None = None  # for the first record
        self._tables: dict[int, Table | None] = {}  # of the records of this round
        self._again_at = 0.0

    def __len__(self) -> int:
        return len(self._records)

    def extend(self, records: Iterable[ConsumerRecord]) -> None:
        """Records that have come."""
        self._records.extend(one for one in records if not is_rows(one.value))

    def ready(self, most: int) -> list[ConsumerRecord]:
        """The next records that can be obeyed now."""
        self._tables = {}
        found: list[ConsumerRecord] = []
        while self._records and len(found) < most:
            record = self._records[0]
            activation = read_activation(record.value)
            if activation is not None and not self._is_loaded(record.offset, activation):
                break
            found.append(self._records.popleft())
            if activation is not None:
                break  # so that no more than one list waits in memory
        return found

    def rows(self, offset: int, _activation: Activation) -> Table | None:
        """The rows that a record of this round names."""
        return self._tables[offset]

    async def wait(self, timeout_s: float) -> None:
        """Until the rows that are being loaded are there, at most so long."""
        if self._loading is not None:
            await asyncio.wait([self._loading], timeout=timeout_s)
        elif self._records:
            await asyncio.sleep(timeout_s)

    def close(self) -> None:
        """Nothing will be obeyed any more."""
        if self._loading is not None:
            self._loading.cancel()

    def _is_loaded(self, offset: int, activation: Activation) -> bool:
        task, now = self._loading, asyncio.get_running_loop().time()
        if task is None:
            if now >= self._again_at:
                self._loading = asyncio.create_task(self._load(offset, activation))
            return False
        if not task.done():
            return False
        self._loading = None
        try:
            self._tables[offset] = task.result()
        except (KafkaError, TimeoutError, ConnectionError, EnvironmentProblem) as fault:
            if isinstance(fault, Refused):
                raise
            self._again_at = now + AGAIN_S
            log.warning("the rows of list %s cannot be read at the moment: %r", activation.ref, fault)
            return False
        return True

    async def _load(self, offset: int, activation: Activation) -> Table | None:
        async with asyncio.timeout(LOAD_S):
            return await self._lists.rows(offset, activation)
