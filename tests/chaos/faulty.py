"""The command line with faults planted in it: what can go wrong at a named point goes wrong there, on command.

    python tests/chaos/faulty.py PLAN worker dry --bootstrap …

PLAN is a JSON file, read at the start and whenever it changes, so that a worker that runs can be told to fail; the
worker's log says which plan it obeys by its number. The product has no hooks: everything here is put around the calls
the lane makes anyway.

    {"kill": {"point": "before-commit", "in": 3}}                           the third time it comes there
    {"fail": {"call": "send_batch", "error": "KafkaTimeoutError", "in": 1, "times": 2, "is_answer_lost": true}}
    {"poison_at": 1700000000007}     a feature raises for the event of this time
    {"restore_s": 5}                 a takeover's restore takes so much longer
    {"clock_s": -86400}              the wall clock is wrong by so much
    {"usurp": [0, 1]}                believe to own these shards, whatever the group says
    {"hold": true}                   do not join the group yet
"""

import asyncio
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiokafka.errors
import msgspec
from aiokafka import AIOKafkaProducer

from sidechain.agents.cli import main
from sidechain.agents.lane import takeover
from sidechain.agents.lane.membership import Membership
from sidechain.models.dry import windows

PARENT_DEATH = 1  # PR_SET_PDEATHSIG
HELD_S = 0.05
LOOK_S = 0.02


class Kill(msgspec.Struct):
    """Die at a point of the batch."""

    point: str
    after: int = msgspec.field(name="in")


class Fail(msgspec.Struct):
    """Raise what Kafka might answer."""

    call: str
    error: str
    after: int = msgspec.field(name="in")
    times: int = 1
    is_answer_lost: bool = False  # the call is made all the same


class Plan(msgspec.Struct, forbid_unknown_fields=True):
    """What is to go wrong."""

    number: int = 0
    kill: Kill | None = None
    fail: Fail | None = None
    poison_at: int | None = None
    restore_s: float = 0.0
    clock_s: float = 0.0
    usurp: Sequence[int] = ()
    hold: bool = False


class Saboteur:
    """Carries the plan out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = msgspec.json.decode(path.read_bytes(), type=Plan)

    def watch(self) -> None:
        """Obey what the file says, for ever."""
        print(f"obeys plan {self.plan.number}", flush=True)
        while True:
            time.sleep(LOOK_S)
            plan = msgspec.json.decode(self.path.read_bytes(), type=Plan)
            if plan.number != self.plan.number:
                self.plan = plan
                print(f"obeys plan {plan.number}", flush=True)

    def reach(self, point: str) -> None:
        """The worker has come to a point of the batch."""
        if self.is_due(point):
            os.kill(os.getpid(), signal.SIGKILL)

    def is_due(self, point: str) -> bool:
        """Whether this is where and when to die."""
        kill = self.plan.kill
        if kill is None or kill.point != point:
            return False
        kill.after -= 1
        return kill.after <= 0

    async def call(self, name: str, original: Any, *arguments: Any, **named: Any) -> Any:
        """Make a call, or let it fail."""
        fail = self.plan.fail
        if fail is None or fail.call != name or fail.times == 0:
            return await original(*arguments, **named)
        fail.after -= 1
        if fail.after > 0:
            return await original(*arguments, **named)
        fail.times -= 1
        if fail.is_answer_lost:
            answer = await original(*arguments, **named)
            if isinstance(answer, asyncio.Future):
                await answer
        raise getattr(aiokafka.errors, fail.error)(f"planted in {name}")


def plant(saboteur: Saboteur) -> None:
    """Put the points around the lane's calls."""
    _plant_producer(saboteur)
    _plant_membership(saboteur)
    _plant_clock(saboteur)
    _plant_feature(saboteur)
    restore = takeover.restore

    async def slow_restore(*arguments: Any) -> Any:
        await asyncio.sleep(saboteur.plan.restore_s)
        return await restore(*arguments)

    takeover.restore = slow_restore


def _plant_producer(saboteur: Saboteur) -> None:
    begin, send = AIOKafkaProducer.begin_transaction, AIOKafkaProducer.send_batch
    commit = AIOKafkaProducer.commit_transaction

    async def begin_transaction(self: Any) -> None:
        saboteur.reach("before-begin")
        await saboteur.call("begin_transaction", begin, self)

    async def send_batch(self: Any, *arguments: Any, **named: Any) -> Any:
        future = await saboteur.call("send_batch", send, self, *arguments, **named)
        future.add_done_callback(lambda _: saboteur.reach("after-produce"))
        return future

    async def commit_transaction(self: Any) -> None:
        saboteur.reach("before-commit")
        if saboteur.is_due("during-commit"):
            # The request goes out on the next turns of the loop; nobody is there for the answer.
            asyncio.get_running_loop().call_later(0.001, os.kill, os.getpid(), signal.SIGKILL)
        await saboteur.call("commit_transaction", commit, self)
        saboteur.reach("after-commit")

    AIOKafkaProducer.begin_transaction = begin_transaction
    AIOKafkaProducer.send_batch = send_batch
    AIOKafkaProducer.commit_transaction = commit_transaction


def _plant_membership(saboteur: Saboteur) -> None:
    start = Membership.start

    async def held_start(self: Any) -> None:
        while saboteur.plan.hold:  # noqa: ASYNC110 - a thread changes the plan, outside the loop
            await asyncio.sleep(HELD_S)
        await start(self)

    Membership.start = held_start  # type: ignore[method-assign]
    if not saboteur.plan.usurp:
        return

    async def usurping_start(self: Any) -> None:
        await self._on_assigned(saboteur.plan.usurp)

    async def no_watch(self: Any) -> None:
        await asyncio.Event().wait()

    async def believe(self: Any, offsets: Any) -> None:
        """The group was never asked."""

    Membership.start = usurping_start  # type: ignore[method-assign]
    Membership.watch = no_watch  # type: ignore[method-assign]
    Membership.confirm = believe  # type: ignore[method-assign]


def _plant_clock(saboteur: Saboteur) -> None:
    sound, sound_ns = time.time, time.time_ns
    time.time = lambda: sound() + saboteur.plan.clock_s
    time.time_ns = lambda: sound_ns() + int(saboteur.plan.clock_s * 1e9)


def _plant_feature(saboteur: Saboteur) -> None:
    sound = windows._gap

    def _gap() -> Any:
        new, update, dump, load = sound()

        def planted(slot: Any, at_ms: int, takes_part: bool | None, value: Any) -> Any:
            if at_ms == saboteur.plan.poison_at:
                raise ZeroDivisionError("planted in a feature")
            return update(slot, at_ms, takes_part, value)

        return new, planted, dump, load

    windows._gap = _gap


def die_with_parent() -> None:
    """A harness that was killed leaves no worker behind; where the system offers it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGKILL)


if __name__ == "__main__":
    die_with_parent()
    told = Saboteur(Path(sys.argv.pop(1)))
    threading.Thread(target=told.watch, daemon=True).start()
    plant(told)
    main()
