"""What goes wrong, one function a fault: it picks its victim, does its harm, waits, and takes it back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiokafka import TopicPartition

from tests.simulation.cluster import MARKER_S, Transaction
from tests.simulation.installation import Installation
from tests.simulation.machine import Process

Fault = Callable[[Installation], Awaitable[None]]
SLOTS: Final = ("dry0", "dry1", "dry2")


async def kill(on: Installation) -> None:
    """A dry worker is gone at once, and comes back."""
    if (victim := _victim(on)) is not None:
        on.kill(victim.name)
        await _some(on, 0.05, 2.0)
        on.start(victim.name)


async def pause(on: Installation) -> None:
    """A dry worker stands still, mostly for longer than its session, and wakes up not knowing."""
    if (victim := _victim(on)) is not None and not victim.is_paused:
        victim.is_paused = True
        await _some(on, 0.2, 9.0)
        on.machine.resume(victim)


async def cut(on: Installation) -> None:
    """Nothing it says arrives."""
    if (victim := _victim(on)) is not None:
        victim.wire.is_cut = True
        await _some(on, 0.3, 6.0)
        victim.wire.heal()


async def lossy(on: Installation) -> None:
    """Requests get lost, and so do the answers to requests that were obeyed."""
    if (victim := _victim(on)) is not None:
        victim.wire.loss = on.machine.random.uniform(0.1, 0.6)
        await _some(on, 0.3, 3.0)
        victim.wire.heal()


async def unheard(on: Installation) -> None:
    """One kind of request gets lost, or its answer."""
    if (victim := _victim(on)) is not None:
        victim.wire.unheard = on.machine.random.choice(
            ("init", "add", "produce", "commit", "commit", "offsets", "beat")
        )
        victim.wire.loss = 1.0
        await _some(on, 0.3, 5.0)
        victim.wire.heal()


async def slow(on: Installation) -> None:
    """Requests arrive late, some when nobody waits for the answer any more."""
    if (victim := _victim(on)) is not None:
        victim.wire.rtt_s = on.machine.random.uniform(0.1, 3.0)
        await _some(on, 0.3, 3.0)
        victim.wire.heal()


async def repeat(on: Installation) -> None:
    """Produce requests arrive twice."""
    for one in list(on.running.values()):
        one.wire.repetition = 0.5
    await _some(on, 0.5, 3.0)
    for one in list(on.running.values()):
        one.wire.repetition = 0.0


async def outage(on: Installation) -> None:
    """Nobody reaches the cluster."""
    victims = list(on.running.values())
    for one in victims:
        one.wire.is_cut = True
    await _some(on, 0.3, 4.0)
    for one in victims:
        one.wire.is_cut = False


async def leaders(on: Installation) -> None:
    """Partitions change their leaders: produce requests are refused."""
    on.cluster.refusals = on.machine.random.uniform(0.2, 1.0)
    await _some(on, 0.2, 2.5)
    on.cluster.refusals = 0.0


async def markers(on: Installation) -> None:
    """Transactions are decided, and their markers take long, each its own time."""
    on.cluster.marker_s = on.machine.random.uniform(0.2, 3.0)
    await _some(on, 0.5, 3.0)
    on.cluster.marker_s = MARKER_S


async def join(on: Installation) -> None:
    """One more dry worker."""
    on.start(on.machine.random.choice(SLOTS))


async def leave(on: Installation) -> None:
    """A dry worker is told to stop, and started again later."""
    if (victim := _victim(on)) is not None:
        on.stop(victim.name)
        await _some(on, 0.0, 3.0)
        on.start(victim.name)


async def clock(on: Installation) -> None:
    """A wall clock jumps and stays wrong."""
    if (victim := _victim(on)) is not None:
        victim.skew_s = on.machine.random.choice((-86_400.0, -5.0, 5.0, 86_400.0))


async def compaction(on: Installation) -> None:
    """The cleaner runs."""
    for logical in ("dry.state", "wet.metadata"):
        for one in range(on.config.partitions):
            on.cluster.logs[TopicPartition(on.config.topic(logical), one)].compact()


async def forgotten(on: Installation) -> None:
    """Somebody begins a transaction on a chain and never ends it; a worker dies before its time runs out."""
    topic = on.config.topic(on.machine.random.choice(("dry.decisions", "dry.state")))
    tp, transaction = TopicPartition(topic, on.machine.random.randrange(on.config.partitions)), Transaction()
    on.cluster.put(tp, [(b"stranger", b"not for you")], transaction)
    await _some(on, 0.1, 1.0)
    await kill(on)
    await _some(on, 0.1, 4.0)
    on.cluster.decide(transaction, tp, "abort")


async def wet_killed(on: Installation) -> None:
    """The tap or the wet worker dies before it has told the group how far it is, and comes back."""
    name = on.machine.random.choice(("tap", "wet"))
    if (victim := on.running.get(name)) is not None:
        victim.wire.unheard, victim.wire.loss = "offsets", 1.0
        await _some(on, 0.2, 2.0)
        on.kill(name)
        await _some(on, 0.1, 2.0)
        on.start(name)


async def wet_paused(on: Installation) -> None:
    """The tap or the wet worker stands still."""
    victim = on.running.get(on.machine.random.choice(("tap", "wet")))
    if victim is not None and not victim.is_paused:
        victim.is_paused = True
        await _some(on, 0.5, 9.0)
        on.machine.resume(victim)


DRY: Final[tuple[Fault, ...]] = (kill, pause, cut, lossy, unheard, slow, join, leave)
ANY: Final[tuple[Fault, ...]] = (
    *(DRY * 2), repeat, outage, leaders, markers, clock, compaction, forgotten, wet_killed, wet_paused
)  # fmt: skip


async def _some(on: Installation, least_s: float, most_s: float) -> None:
    await asyncio.sleep(on.machine.random.uniform(least_s, most_s))


def _victim(on: Installation) -> Process | None:
    return on.machine.random.choice(on.dry) if on.dry else None
