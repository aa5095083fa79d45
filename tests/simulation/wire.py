"""A process's way to the cluster: requests and answers take time, get lost, come late, come twice."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
)

from tests.simulation.cluster import Cluster, is_worth_repeating
from tests.simulation.machine import Machine, Process

BACKOFF_S: Final = 0.05
REQUEST_S: Final = 5.0
RTT_S: Final = 0.003


class Wire:
    """A process's way to the cluster. The world sets how bad it is."""

    def __init__(self, machine: Machine, process: Process, cluster: Cluster) -> None:
        self.machine, self.process, self.cluster = machine, process, cluster
        self.heal()

    def heal(self) -> None:
        """As good as it gets."""
        self.is_cut = False
        self.unheard = ""  # requests of this kind get lost
        self.loss = self.repetition = 0.0
        self.rtt_s = RTT_S

    async def ask(self, what: str, do: Callable[[], Any], bound_s: float = REQUEST_S) -> Any:
        """One request. Raises what the cluster answers, KafkaConnectionError or KafkaTimeoutError."""
        machine, random = self.machine, self.machine.random
        answer, world = machine.create_future(), machine.in_world()
        later = machine.call_later

        def settle(result: Any, fault: BaseException | None) -> None:
            if not answer.done():
                answer.set_exception(fault) if fault is not None else answer.set_result(result)

        def arrive(is_answered: bool) -> None:
            try:
                result = do()
            except KafkaError as fault:
                if is_answered:
                    later(random.random() * self.rtt_s, settle, None, fault, context=world)
                return
            if not is_answered:
                return
            if asyncio.isfuture(result):
                result.add_done_callback(lambda one: settle(one.result(), None), context=world)
            else:
                later(random.random() * self.rtt_s, settle, result, None, context=world)

        fate = random.random() if self.loss and not self.unheard else 1.0
        if what == self.unheard:
            fate = random.random() * self.loss
        is_lost = self.is_cut or fate < self.loss / 2
        is_answered = not is_lost and fate >= self.loss
        delay_s = random.random() * self.rtt_s
        if not is_lost:
            later(delay_s, arrive, is_answered, context=world)
            if self.repetition and what == "produce" and random.random() < self.repetition:
                later(delay_s + random.random(), arrive, False, context=world)
        if not is_answered:
            machine.log("lost", what, "request" if is_lost else "answer")
        if not is_answered or self.rtt_s > bound_s or what == "join":
            is_timeout = is_answered or random.random() < 0.3
            fault = KafkaTimeoutError() if is_timeout else KafkaConnectionError("connection reset")
            at_s = bound_s if is_timeout else min(bound_s, delay_s + random.random())
            timer = later(at_s, settle, None, fault, context=world)
            try:
                return await answer
            finally:
                timer.cancel()
        return await answer

    async def insist(self, what: str, do: Callable[[], Any], bound_s: float = REQUEST_S) -> Any:
        """Repeat what is worth repeating, as aiokafka does behind most calls."""
        deadline = self.machine.time() + bound_s
        while True:
            try:
                return await self.ask(what, do, max(0.01, min(REQUEST_S, deadline - self.machine.time())))
            except KafkaError as fault:
                if not is_worth_repeating(fault) and not isinstance(fault, KafkaTimeoutError):
                    raise
                if self.machine.time() + BACKOFF_S > deadline:
                    raise KafkaTimeoutError(f"{what}: {fault!r}") from fault
            await asyncio.sleep(BACKOFF_S)
