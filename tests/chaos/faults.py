"""What can go wrong, by name. Each does its harm to a scene and returns, in words, what it did.

A fault asserts only what belongs to it: that the harm came about, and what the workers must say. That nothing was
lost, repeated, forked or altered is for `scene.settle` to find out, after each of them alike.
"""

import asyncio
import os
import re
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer

from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.lane.producers import IDS, IN_USE
from tests.chaos import side
from tests.chaos.crew import OURS, Worker
from tests.chaos.scene import PREFIX, Scene
from tests.chaos.sender import STEP_MS, event
from tests.lanes import open_transactions

Fault = Callable[[Scene], str]

POINTS: Final = ("before-begin", "after-produce", "before-commit", "during-commit", "after-commit")
ATTEMPTS: Final = 3
TURNS: Final = 30  # a kill comes at one of the next so many times
PRODUCE_ERRORS: Final = (
    "KafkaTimeoutError",
    "KafkaConnectionError",
    "NotLeaderForPartitionError",
    "RequestTimedOutError",
    "KafkaStorageError",
    "MessageSizeTooLargeError",
    "ProducerFenced",
)
COMMIT_ERRORS: Final = (
    "KafkaTimeoutError",
    "KafkaConnectionError",
    "RequestTimedOutError",
    "CoordinatorNotAvailableError",
)
NOTICED: Final = r"asking the log again|fenced, somebody else|a batch of \d+ failed"
AHEAD_S: Final = (7_200, 86_400, 400 * 86_400)
BEHIND_S: Final = (-30, -3_600, -86_400, -400 * 86_400)
LASTING_S: Final = 1.0
METADATA_FLOOD, CONTROL_FLOOD = 20_000, 150
LONG_RESTORE_S: Final = 5.0
DISK_ROOM: Final = 131_072  # bytes the broker's own log may still grow


def kill_at(point: str, scene: Scene) -> str:
    """SIGKILL at a named point of the batch."""
    killed = scene.ends[-signal.SIGKILL]
    for _ in range(ATTEMPTS):  # a worker may end of what a fault before has left, and is started again without the plan
        worker, turn = scene.holder(), scene.chance.randint(1, TURNS)
        ended = scene.ends.total()
        worker.told(kill={"point": point, "in": turn})
        scene.until(lambda ended=ended: scene.ends.total() > ended, f"worker {worker.number} did not come to {point}")
        if scene.ends[-signal.SIGKILL] > killed:
            return f"worker {worker.number} died at the {turn}. {point}"
    raise AssertionError(f"{ATTEMPTS} workers ended before they came to {point}")


def zombie(scene: Scene) -> str:
    """SIGSTOP for longer than the session, SIGCONT when another has the shards."""
    hangs = scene.holder()
    shards = set(hangs.shards)
    marks = {one: one.marked() for one in scene.crew}
    hangs.pause()
    others = [one for one in scene.crew if one is not hangs]

    def taken() -> set[int]:
        return {shard for shard in shards for one in others if one.says(rf"shard {shard}: restored", marks[one])}

    try:
        scene.until(lambda: taken() == shards, f"nobody took shards {shards} of the zombie")
        scene.linger(scene.chance.uniform(0, 2))
    finally:
        hangs.wake()
    scene.until(lambda: hangs.says("shards of this worker", marks[hangs]) > 0, "the zombie did not learn of it")
    return f"worker {hangs.number} hung with shards {sorted(shards)} until others had them, and woke"


def fight(scene: Scene) -> str:
    """Somebody who never asked the group believes to own every shard."""
    marks = {one: one.marked() for one in scene.crew}
    usurper = Worker(scene, 900 + scene.chance.randrange(100), usurp=list(range(scene.terms.shards)))

    def fenced() -> int:
        return usurper.says("fenced, somebody") + sum(one.says("fenced, somebody", marks[one]) for one in scene.crew)

    with usurper:
        scene.until(lambda: fenced() >= 3 or usurper.ended_with is not None, "nobody was fenced")
        assert fenced(), usurper.said()[-2_000:]
        count = fenced()
    return f"{count} times fenced before the usurper of {scene.terms.shards} shards was killed"


def forgotten_transaction(scene: Scene) -> str:
    """A transaction left open under an id of the shard that this version does not write with; then the owner dies."""
    worker = scene.holder()
    shard = scene.chance.choice(worker.shards)
    identifier = f"{scene.config.topic_prefix}dry-{shard}-{scene.chance.randrange(IN_USE, IDS)}"
    chain = scene.chance.randrange(shard * scene.terms.shard_size, (shard + 1) * scene.terms.shard_size)
    asyncio.run(asyncio.wait_for(_leave_open(scene, identifier, chain), 30))
    stuck = open_transactions(scene.config, ["dry.decisions"])
    assert f"{scene.config.topic('dry.decisions')}/{chain}" in stuck, "the transaction is not open"
    worker.kill()
    return f"{identifier} left a record open on partition {chain}; worker {worker.number} died"


async def _leave_open(scene: Scene, identifier: str, partition: int) -> None:
    producer = AIOKafkaProducer(**kafka_options(scene.config), transactional_id=identifier)
    await producer.start()
    await producer.begin_transaction()
    topic = scene.config.topic("dry.decisions")
    await producer.send_and_wait(topic, b"left open, never committed", key=b"x", partition=partition)
    producer._closed = True  # its end is not announced: that would be a clean stop
    await producer._sender.close()
    await producer.client.close()


def joins_during_a_restore(scene: Scene) -> str:
    """A takeover that restores for 5 s is overtaken by two more workers joining, one after the other."""
    joins = [scene.hire(restore_s=LONG_RESTORE_S, hold=True) for _ in range(3)]
    scene.until(lambda: all(one.says("the dry worker runs") for one in joins), "the workers did not start")
    joins[0].told(restore_s=LONG_RESTORE_S)
    scene.until(lambda: bool(joins[0].shards), "the first of them got no shard")
    assert not joins[0].says(r"shard \d+: restored"), "the restore was over before the others joined"
    for one in joins[1:]:
        mark = joins[0].marked()
        one.told(restore_s=LONG_RESTORE_S)
        scene.until(partial(one.says, "shards of this worker"), "a join did not end")
        assert joins[0].says("the group rebalances", mark), "a join moved nothing"
        assert not joins[0].says(r"shard \d+: restored"), "the restore was over before the others joined"
    for one in joins:
        one.told()
    took = scene.settle()
    for one in joins:
        scene.dismiss(one)
    return f"three workers more while shards were restored, settled within {took:.1f} s, then gone again"


def poison(scene: Scene) -> str:
    """An event our own code fails on: the worker ends, nothing is written for it, a mended worker decides it."""
    chain = scene.chance.randrange(scene.terms.partitions)
    host = scene.host_on(chain)
    number = scene.sender.last.made
    good = event(number, 10**11 + number)
    at_ms = int(re.findall(rb'"at":(\d+)', good)[0]) + STEP_MS // 2
    value = re.sub(rb'"host":"[^"]+","at":\d+', b'"host":"%b","at":%d' % (host, at_ms), good)
    for one in scene.crew:
        one.told(poison_at=at_ms)
    ends = scene.ends[OURS]
    scene.pardoned = frozenset({OURS})
    try:
        scene.flood("events", [(chain, host, value)])
        # `tend` starts who has ended again, without the plant: so the first end is the one with the poison.
        scene.until(lambda: scene.ends[OURS] > ends, "the worker did not end")
    finally:
        for one in scene.crew:
            one.told()
    scene.settle()
    scene.pardoned = frozenset()
    return f"an event for partition {chain} ended {scene.ends[OURS] - ends} worker(s) with {OURS}; then it was decided"


def kill_broker(scene: Scene) -> str:
    """SIGKILL to the broker under load, and a start. The workers outlive it."""
    scene.holder()  # none is still starting, or busy with what a fault before has left
    ended = scene.ends.total()
    scene.broker.kill()
    scene.linger(scene.chance.uniform(0, 2))
    scene.broker.start()
    took = scene.settle()
    assert scene.ends.total() == ended, "a worker did not outlive its broker"
    return f"the broker was killed and started; settled within {took:.1f} s, no worker ended"


def pause_broker(scene: Scene) -> str:
    """The broker hangs for longer than a session, or a little less."""
    found = scene.broker.status()
    assert found is not None
    seconds = scene.terms.session_s * scene.chance.uniform(0.5, 1.5)
    os.kill(found.pid, signal.SIGSTOP)
    try:
        scene.linger(seconds)
    finally:
        os.kill(found.pid, signal.SIGCONT)
    return f"the broker hung for {seconds:.1f} s"


def disk_full(scene: Scene) -> str:
    """No room for another byte: the broker gives its disk up in the middle of a batch, and is started with room.

    A limit on the size of files, set on the running broker, gives its appends the error of a full disk, a torn batch
    included, without the rights a small file system would need.
    """
    found = scene.broker.status()
    assert found is not None
    largest = max((one.stat().st_size for one in _segments(scene.broker.home / "data")), default=0)
    limit = max(largest + 10_000, scene.broker.log.stat().st_size + DISK_ROOM)
    resource.prlimit(found.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    scene.until(lambda: scene.broker.status() is None, "the broker did not notice that its disk is full")
    said = scene.broker.log.read_text(encoding="utf-8", errors="replace")
    assert re.search(r"File too large|No space left|log dirs? .*failed|offline", said), said[-2_000:]
    scene.broker.start()
    return f"no file beyond {limit:,} bytes: the broker ended and was started with room"


def _segments(data: Path) -> list[Path]:
    """The newest segment of every chain, changelog and input."""
    newest: dict[Path, Path] = {}
    for one in sorted(data.glob("chaos.*/*.log")):
        newest[one.parent] = one
    return list(newest.values())


def produce_error(scene: Scene) -> str:
    """A produce fails, before it is made or after it was."""
    return _answer(scene, "send_batch", scene.chance.choice(PRODUCE_ERRORS))


def commit_error(scene: Scene) -> str:
    """A commit fails, before it is made or after it was: its answer is lost."""
    return _answer(scene, "commit_transaction", scene.chance.choice(COMMIT_ERRORS))


def _answer(scene: Scene, call: str, error: str) -> str:
    worker = scene.holder()
    fail = {
        "call": call,
        "error": error,
        "in": scene.chance.randint(1, TURNS),
        "times": scene.chance.randint(1, 2),
        "is_answer_lost": scene.chance.random() < 0.5,
    }
    mark = worker.marked()
    worker.told(fail=fail)
    scene.until(lambda: worker.says(NOTICED, mark) > 0, f"worker {worker.number} did not notice {fail}")
    lost = "made, its answer lost" if fail["is_answer_lost"] else "not made"
    return f"worker {worker.number}: {call} {fail['times']} times {error}, {lost}"


def scale(scene: Scene) -> str:
    """One worker, three, one."""
    while len(scene.crew) > 1:
        scene.dismiss(scene.crew[0])
    took = [scene.settle()]
    first = scene.crew[0]
    for _ in range(2):
        scene.hire()
    scene.until(lambda: all(one.shards for one in scene.crew), "three workers do not share the shards")
    took.append(scene.settle())
    scene.dismiss(first)
    scene.dismiss(scene.crew[0])
    last = scene.crew[0]
    scene.until(lambda: len(last.shards) == scene.terms.shards, "the last worker has not all shards")
    took.append(scene.settle())
    while len(scene.crew) < scene.terms.workers:
        scene.hire()
    return "settled after " + ", ".join(f"{seconds:.1f}" for seconds in took) + " s"


def clock_jump(scene: Scene) -> str:
    """The workers' wall clock leaps, forward and back."""
    jumps = (scene.chance.choice(AHEAD_S), scene.chance.choice(BEHIND_S))
    for seconds in jumps:
        for one in scene.crew:
            one.told(clock_s=seconds)
        scene.linger(LASTING_S)
        scene.settle()
    for one in scene.crew:
        one.told()
    return "clocks wrong by " + " and ".join(f"{seconds:+,} s" for seconds in jumps)


def slow_consumer(scene: Scene) -> str:
    """Consumers that ask for everything and then read nothing: one hangs, one is stuck behind a full pipe."""
    words = ["-m", "sidechain.agents", "tail", "dry.decisions", "--from-start", "--pack", "web"]
    words += ["--bootstrap", scene.broker.bootstrap, "--prefix", PREFIX]
    stuck = scene.stranger(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert stuck.stdout is not None
    pipe = stuck.stdout.fileno()
    scene.until(lambda: bool(select.select([pipe], [], [], 0)[0]), "the consumer has not begun")
    assert os.read(pipe, 7) == b'{"v":1,', "the consumer reads something else"
    took = []
    for _ in range(3):
        scene.linger(LASTING_S)
        took.append(scene.settle())
    assert stuck.poll() is None
    stuck.kill()
    stuck.wait(10)
    stuck.stdout.close()
    return "a reader stuck in the middle of the chain; settled within " + ", ".join(f"{one:.1f}" for one in took) + " s"


def full_queues(scene: Scene) -> str:
    """More metadata and control than a lane takes in a round: both wait, decisions do not."""
    metadata = [(one % scene.terms.partitions, b"p:%d" % (one % 997), _said(one)) for one in range(METADATA_FLOOD)]
    control = [(0, b"web", b'{"kind":"policy","name":"web","broken":%d}' % one) for one in range(CONTROL_FLOOD)]
    scene.flood("wet.metadata", metadata)
    scene.flood("control", control)
    took = scene.settle()
    return f"{METADATA_FLOOD:,} metadata and {CONTROL_FLOOD} bad control records; settled within {took:.1f} s"


def _said(number: int) -> bytes:
    return b'{"key":"p:%d","risk_bp":%d,"model":"flood","as_of":%d}' % (number % 997, number % 10_000, number)


FAULTS: Final[dict[str, Fault]] = {
    **{f"kill {point}": partial(kill_at, point) for point in POINTS},
    "zombie": zombie,
    "two workers fight for a shard": fight,
    "transaction open under a forgotten id": forgotten_transaction,
    "input log shorter than the chain": side.input_shorter,
    "decisions log shorter than its checkpoint": side.decisions_shorter,
    "partitions added": side.partitions_added,
    "two joins during a 5 s restore": joins_during_a_restore,
    "poison event": poison,
    "broker kill -9": kill_broker,
    "broker pause": pause_broker,
    "disk full": disk_full,
    "produce error": produce_error,
    "commit error": commit_error,
    "scale 1 to 3 to 1": scale,
    "clock jump": clock_jump,
    "slow consumer": slow_consumer,
    "full queues": full_queues,
}


def impossible(system: str) -> dict[str, str]:
    """Kinds of fault that this system (`sys.platform`) does not let us inflict, and why."""
    if system == "linux":
        return {}
    return {"disk full": f"only Linux sets a limit on a process that runs (prlimit), and this is {system}"}


IMPOSSIBLE: Final = impossible(sys.platform)
