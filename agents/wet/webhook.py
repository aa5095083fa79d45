"""Incidents to a webhook: one at a time, tried again within bounds, and never more waiting than QUEUE.

A newer word about an incident takes the place of an older one that still waits. When the queue is full the ticket that
has waited longest goes, a page only where there is no ticket; what was dropped is counted. The address is given and
never followed elsewhere, and a secret goes only where nobody can read along.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from sidechain.agents.problems import EnvironmentProblem, UsageProblem
from sidechain.agents.wet.http import Address, NoAnswer, ask
from sidechain.models.wet.alertmanager import message
from sidechain.models.wet.incidents import Incident

log = logging.getLogger(__name__)

QUEUE: Final = 100  # incidents that wait
TRIES: Final = 6  # of one message
PAUSE_S: Final = 1.0  # before the second try; each time twice as long
PACE_S: Final = 1.0  # between two messages
LAST_S: Final = 5.0  # for what waits when we are told to stop
LATER: Final = (408, 425, 429)  # answers of a client's fault that another time may not be
ANSWER_MOST: Final = 65_536


class Webhook:
    """What waits to be told, and the telling."""

    def __init__(
        self,
        where: Address,
        secret_file: Path | None,
        counts: Mapping[str, Any],
        *,
        pause_s: float = PAUSE_S,
        pace_s: float = PACE_S,
        asks: Callable[..., Any] = ask,
    ) -> None:
        """`counts`: counters for `sent`, `refused` and `dropped`. Raises UsageProblem, EnvironmentProblem."""
        if secret_file is not None and not where.is_private:
            raise UsageProblem("webhook_url: a secret goes over https only, or to this machine")
        self._where = where
        self._secret_file = secret_file
        self._counts = counts
        self._pause_s = pause_s
        self._pace_s = pace_s
        self._asks = asks
        self._waiting: OrderedDict[str, Incident] = OrderedDict()
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._headers()

    @property
    def waiting(self) -> int:
        """How many incidents wait to be told."""
        return len(self._waiting)

    def offer(self, incident: Incident) -> None:
        """Tell it soon; never waits."""
        self._waiting[incident.id] = incident
        self._some.set()
        self._idle.clear()
        if len(self._waiting) > QUEUE:
            tickets = (name for name, one in self._waiting.items() if one.severity == "ticket")
            gone = next(tickets, next(iter(self._waiting)))
            del self._waiting[gone]
            self._counts["dropped"].inc()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, and LAST_S longer for what waits. What is then left is counted as dropped."""
        telling, stopped = asyncio.create_task(self._tell_all()), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({telling, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if self._waiting and not telling.done():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._idle.wait(), LAST_S)
            if telling.done():
                telling.result()  # it never ends by itself: our own fault
        finally:
            telling.cancel()
            stopped.cancel()
            await asyncio.gather(telling, stopped, return_exceptions=True)
            self._counts["dropped"].inc(len(self._waiting))

    async def _tell_all(self) -> None:
        while True:
            await self._some.wait()
            while self._waiting:
                name, incident = next(iter(self._waiting.items()))
                result = await self._tell(incident)
                if self._waiting.get(name) is incident:  # no newer word came meanwhile
                    del self._waiting[name]
                self._counts[result].inc()
                if self._waiting:
                    await asyncio.sleep(self._pace_s)
            self._some.clear()
            self._idle.set()

    async def _tell(self, incident: Incident) -> str:
        body = msgspec.json.encode(message(incident))
        for number in range(TRIES):
            if number:
                await asyncio.sleep(self._pause_s * 2 ** (number - 1))
            try:
                status, _ = await self._asks(self._where, body, self._headers(), most_bytes=ANSWER_MOST)
            except (NoAnswer, EnvironmentProblem) as fault:
                why = str(fault)
                continue
            if 200 <= status < 300:
                return "sent"
            why = f"it answers {status}"
            if 400 <= status < 500 and status not in LATER:
                log.warning("the webhook at %s refuses incident %s: %s", self._where.place, incident.id, why)
                return "refused"
        log.warning("incident %s was not told to the webhook in %d tries: %s", incident.id, TRIES, why)
        return "dropped"

    def _headers(self) -> dict[str, str]:
        """Read anew for each message: a secret may be changed under us."""
        headers = {"Content-Type": "application/json"}
        if self._secret_file is not None:
            try:
                secret = self._secret_file.read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as fault:
                raise EnvironmentProblem(f"webhook_secret_file cannot be read: {fault}") from None
            if not secret or not secret.isprintable():
                raise EnvironmentProblem("webhook_secret_file is to hold one line of printable characters")
            headers["Authorization"] = f"Bearer {secret}"
        return headers
