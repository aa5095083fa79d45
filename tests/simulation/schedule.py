"""One seed, one schedule: some events, a few workers, a few faults, then peace, in which everything comes to rest."""

import asyncio
import gc
import json
import logging
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition

from tests.simulation import faults
from tests.simulation.checks import BrokenPromiseError, Watcher, check, dump, last_signed
from tests.simulation.clients import in_place
from tests.simulation.cluster import MARKER_S, Transaction
from tests.simulation.installation import COURSES, STUBS, Installation
from tests.simulation.machine import LivelockError, Machine
from tests.support import control, event, line

EVENTS: Final = 40
HOSTS: Final = ("h0", "h1", "h2", "h3", "h3", "h3", "h4", "h5")
TROUBLE_S: Final = 5.0  # faults begin within this time
PATIENCE_S: Final = 90.0  # when all is well again, everything is decided within it
LOOK_S: Final = 0.25
TIDY_EVERY: Final = 20
ROUNDS_MOST: Final = 10  # of collecting what schedules have left


class Result(NamedTuple):
    """What became of one seed."""

    seed: int
    problem: str | None
    digest: str
    entries: int
    faults: tuple[str, ...]
    steps: int
    seconds: float  # of the schedule's own time
    trace: list[str]


class _Schedule:
    def __init__(self, machine: Machine, seed: int) -> None:
        self.machine = machine
        self.random = machine.random
        # Of its own too, for the same reason as outcomes below.
        self.on = Installation(machine, Random(f"accounts of {seed}").choice(COURSES))
        self.watcher = Watcher(self.on)
        self.faults: list[str] = []
        self.control_at: int | None = None
        # Of their own, so that a schedule without outcomes is what it would be if there were none.
        self.of_outcomes = Random(f"outcomes of {seed}")
        self.has_outcomes = self.of_outcomes.random() < 0.5
        self.can_settle: list[tuple[str, int]] = []  # decisions to come: id, partition
        self.wet = self.random.choice(("on", "on", "on", "off", "slow", "halted"))
        self.on.cluster.batch_most = self.random.choice((1, 4, 1_000))
        if self.wet == "slow":
            self.on.cluster.wet_pause_s = 1.0

    async def play(self) -> None:
        random, on = self.random, self.on
        for name in faults.SLOTS[: random.randint(1, 3)]:
            on.start(name)
        if self.wet != "off":
            on.start("tap")
            on.start("wet")
        chosen = random.choices(faults.ANY, k=random.randint(3, 6))
        await asyncio.gather(self._feed(), *map(self._inflict, chosen))
        self._make_peace()
        await self._rest()
        on.is_over = True

    async def _feed(self) -> None:
        """The users: events in clumps, some nonsense, some repeated, some in transactions that may be given up."""
        random, on = self.random, self.on
        topic, partitions = on.config.topic("events"), on.config.partitions
        pace_s = random.choice((0.0, 0.1, 0.3))
        change_at = random.randrange(EVENTS) if random.random() < 0.4 else None
        sent = 0
        while sent < EVENTS:
            clump: dict[int, list[tuple[Any, Any]]] = {}
            for number in range(sent, min(EVENTS, sent + random.randint(1, 12))):
                key, value = self._event(number)
                clump.setdefault(zlib.crc32(key or b"") % partitions, []).append((key, value))
                sent = number + 1
                if number == change_at:
                    change = control(on.second, at=1)
                    on.cluster.put(TopicPartition(on.config.topic("control"), 0), [(change.key, change.value)])
                    self.control_at = change_at
            for partition, told in clump.items():
                tp = TopicPartition(topic, partition)
                if random.random() < 0.15:
                    transaction = Transaction()
                    on.cluster.put(tp, told, transaction)
                    await asyncio.sleep(random.random() * 2)
                    on.cluster.decide(transaction, tp, random.choice(("commit", "commit", "abort")))
                else:
                    on.cluster.put(tp, told)
                    self._remember(partition, told)
            if self.has_outcomes:
                self._settle()
            await asyncio.sleep(random.random() * 2 * pace_s)

    def _remember(self, partition: int, told: list[tuple[Any, Any]]) -> None:
        """Events that will be decided there, or were: what comes behind them in time can settle them."""
        for key, value in told:
            if key is not None and value is not None and value[:1] == b"{":
                self.can_settle.append((json.loads(value)["id"], partition))

    def _settle(self) -> None:
        """Whoever knows what really happened: on the right partition or another, twice, or about nothing at all."""
        random, on = self.of_outcomes, self.on
        for _ in range(random.randint(0, 2) if self.can_settle else 0):
            identifier, partition = random.choice(self.can_settle)
            says: dict[str, Any] = {"id": identifier, "at": 1}
            says |= random.choice(({"label": "bad"}, {"cost_minor": 5}, {"label": "good", "cost_minor": 7}))
            there = random.randrange(on.config.partitions)
            if there != partition or random.random() < 0.3:
                says["partition"] = partition
            if random.random() < 0.15:
                says |= {"id": "nobody", "partition": random.choice((None, 0, 1, 9))}
            value = b"junk" if random.random() < 0.1 else line(says)
            on.cluster.put(TopicPartition(on.config.topic("outcomes"), there), [(b"k", value)])

    def _event(self, number: int) -> tuple[bytes | None, bytes | None]:
        random = self.random
        host = random.choice(HOSTS)
        made = event(number, host=host, s=random.choice("abc"))
        kind = random.random()
        if kind < 0.04:
            return host.encode(), b"\xff{"
        if kind < 0.07:
            return None, line(made)
        if kind < 0.10:
            return host.encode(), None
        if kind < 0.20 and number:
            made["id"] = f"e-{random.randrange(number)}"
        return host.encode(), line(made)

    async def _inflict(self, fault: faults.Fault) -> None:
        await asyncio.sleep(self.random.random() * TROUBLE_S)
        self.machine.log("fault", fault.__name__)
        self.faults.append(fault.__name__)
        await fault(self.on)
        self.machine.log("over", fault.__name__)

    def _make_peace(self) -> None:
        on = self.on
        on.cluster.refusals, on.cluster.marker_s, on.cluster.wet_pause_s = 0.0, MARKER_S, 0.0
        for one in on.processes:
            one.wire.heal()
            if one.is_paused:
                self.machine.resume(one)
        if self.wet == "halted":  # nobody must need it
            for name in ("tap", "wet"):
                on.kill(name)
        if not on.dry:
            on.start("dry0")
        self.machine.log("peace")

    async def _rest(self) -> None:
        deadline = self.machine.time() + PATIENCE_S
        while not self._is_drained():
            self._complain()
            if self.machine.time() > deadline:
                ends = {one: self._end(one) for one in range(self.on.config.partitions)}
                raise BrokenPromiseError(f"decided {self.watcher.reached} of {ends} in {PATIENCE_S:.0f} s of peace")
            await asyncio.sleep(LOOK_S)
        if self.wet in ("on", "slow"):
            await asyncio.sleep(2.0)
        self._complain()

    def _complain(self) -> None:
        if found := (*self.watcher.problems, *self.on.broken, *self.machine.faults):
            raise BrokenPromiseError(found[0])

    def _is_drained(self) -> bool:
        if any(log.open for log in self.on.cluster.logs.values()):
            return False
        reached, policy = self.watcher.reached, self.watcher.policy
        partitions = range(self.on.config.partitions)
        if self.control_at is not None and any(policy.get(one) != self.on.second.ref for one in partitions):
            return False
        settled = self.watcher.settled
        if any(reached.get(one, 0) < self._end(one) for one in partitions):
            return False
        if any(settled.get(one, 0) < self._end(one, "outcomes") for one in partitions):
            return False
        moved = self.watcher.moved
        if any(moved[one] < self._end(one, "dry.transfers") for one in partitions if one in moved):
            return False
        entries = self.watcher.entries
        return self.on.keys is None or all(last_signed(self.on, one) == entries.get(one, 0) for one in partitions)

    def _end(self, partition: int, topic: str = "events") -> int:
        log = self.on.cluster.logs[TopicPartition(self.on.config.topic(topic), partition)]
        return max((one.offset + 1 for one in log.visible()), default=0)


def run(seed: int, *, is_tracing: bool = False) -> Result:
    """Play one seed. Only within `simulated`."""
    if seed % TIDY_EVERY == 0:
        gc.collect()  # between schedules; within one it would run finalisers at moments no seed decides
    machine = Machine(seed, is_tracing=is_tracing)
    schedule = _Schedule(machine, seed)
    problem, entries = None, 0
    if is_tracing:
        handler = _ToTrace(machine)
        logging.getLogger("sidechain").addHandler(handler)
    try:
        machine.run(schedule.play())
        entries = check(schedule.on)
    except (BrokenPromiseError, LivelockError) as fault:
        problem = f"{type(fault).__name__}: {fault}"
    finally:
        if is_tracing:
            logging.getLogger("sidechain").removeHandler(handler)
    machine.digest.update(dump(schedule.on))
    machine.forget()
    names = tuple(schedule.faults)
    return Result(
        seed, problem, machine.digest.hexdigest(), entries, names, machine.steps, machine.time(), machine.trace
    )


@contextmanager
def simulated(*, is_tracing: bool = False) -> Iterator[None]:
    """Within it, `run` works: our workers have the clients in memory, and what dies with a process dies in silence."""
    kept = [(module, name, getattr(module, name)) for module, name, _ in STUBS]
    hook, was_collecting = sys.unraisablehook, gc.isenabled()
    for module, name, stub in STUBS:
        setattr(module, name, stub)
    sys.unraisablehook = lambda _: None  # a killed coroutine cannot be closed properly, which is the point of killing
    logging.disable(logging.NOTSET if is_tracing else logging.CRITICAL)
    # A killed coroutine is closed when its loop is long gone. Without this it would find asyncio's own in its place,
    # and leave there, for whoever comes next, tasks that nobody ever runs.
    asyncio.set_event_loop(None)
    gc.collect()
    gc.disable()
    gc.freeze()
    try:
        with in_place(), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # "was never awaited": killed before it could be
            try:
                yield
            finally:
                _let_go()  # while what is left may still end in silence
    finally:
        gc.unfreeze()
        if was_collecting:
            gc.enable()
        logging.disable(logging.NOTSET)
        sys.unraisablehook = hook
        for module, name, value in kept:
            setattr(module, name, value)


def _let_go() -> None:
    """Until nothing is left: what is closed leaves behind the exceptions it was closed with."""
    for _ in range(ROUNDS_MOST):
        if not gc.collect():
            return
    raise AssertionError(f"{ROUNDS_MOST} collections, and there is still something to collect")


class _ToTrace(logging.Handler):
    """What our workers log stands in the trace, where it happened."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(logging.DEBUG)
        self._machine = machine

    def emit(self, record: logging.LogRecord) -> None:
        text = f"{record.levelname.lower()}: {record.getMessage()}"
        if record.exc_info and record.exc_info[1] is not None:
            text += f" | {record.exc_info[1]!r}"
        self._machine.trace.append(f"{self._machine.time():10.6f} {'':8}   {text}")
