"""One installation under load, made to be broken: a broker of its own, workers that fail on command, a steady sender
and the witness. A fault does its harm; `settle` waits until everything that was visible then is decided, and fails
unless the witness found all of it right.

    with Scene(folder, Terms(seed=1)) as scene:
        scene.settle()
        FAULTS["zombie"](scene)
        scene.settle()
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.local_kafka import LocalKafka, free_port
from sidechain.agents.settings import Config
from tests.chaos.crew import ROOT, STOP_S, Child, Worker
from tests.chaos.observer import Report
from tests.chaos.sender import partition_of
from tests.chaos.signing import keys_for
from tests.conftest import local_kafka
from tests.lanes import config_of, made, open_transactions, pinned

PREFIX: Final = "chaos."
Ends = dict[str, dict[int, int]]  # topic -> partition -> where its log ends

POLL_S: Final = 0.05
ASK_S: Final = 5.0
# Ways a worker may end in a run of faults: as told, because its cluster was away too long, killed.
ORDINARY_ENDS: Final = frozenset({0, 3, -signal.SIGKILL})
BROKER: Final = {
    "log.segment.bytes": "67108864",  # a broker that was killed reads its active segments again before it serves
    "num.recovery.threads.per.data.dir": "2",
    "broker.session.timeout.ms": "3000",  # so long its controller takes a killed broker for alive, and refuses the next
    "broker.heartbeat.interval.ms": "500",
}


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is about."""

    seed: int
    rate: float = 400.0  # events a second
    partitions: int = 6
    shard_size: int = 2
    workers: int = 2
    session_s: float = 3.0
    settle_s: float = 120.0  # the longest a harm may take to be over
    heap: str = "512m"

    @property
    def shards(self) -> int:
        """Blocks of partitions that move as one."""
        return -(-self.partitions // self.shard_size)


class Told(msgspec.Struct):
    """One line of the sender."""

    made: int = 0
    acknowledged: int = 0
    outcomes: int = 0  # acknowledged
    at: int = 0


class Scene:
    """Everything that runs. Use as a context manager: only what it started is ended, and all of that."""

    def __init__(self, folder: Path, terms: Terms) -> None:
        """Nothing runs yet."""
        self.folder = folder
        self.terms = terms
        self.keys = keys_for(folder, PREFIX)
        self.chance = random.Random(terms.seed)
        self.broker: LocalKafka = local_kafka(folder / "broker", port=free_port(), heap=terms.heap, properties=BROKER)
        self.crew: list[Worker] = []
        self.ends: Counter[int] = Counter()  # exit codes of workers that were started again
        self.pardoned: frozenset[int] = frozenset()  # further exit codes the fault at hand brings about
        self._workers = 0
        self._is_quiet = False  # the sender has ended, as told
        self._strangers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Scene":
        self.broker.start()
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        terms = self.terms
        self.config = made(
            config_of(
                self.broker.bootstrap,
                PREFIX,
                policy=pinned(self.folder),
                partitions=terms.partitions,
                shard_size=terms.shard_size,
            )
        )
        place = [self.broker.bootstrap, PREFIX, str(self.config.policy), str(terms.partitions)]
        watched = ["tests.chaos.observer", *place, str(self.keys["checkpoint_root_file"])]
        self.observer = Child(watched, self.folder / "observer.log", Report, Report({}, [], 0.0))
        for _ in range(terms.workers):
            self.hire()
        self.began = time.monotonic()
        words = [self.broker.bootstrap, self.config.topic("events"), str(terms.partitions)]
        sends = ["tests.chaos.sender", *words, str(terms.rate), str(terms.seed), self.config.topic("outcomes")]
        self.sender = Child(sends, self.folder / "sender.log", Told, Told())

    def close(self) -> None:
        """End everything, however it stands."""
        for child in (getattr(self, "sender", None), getattr(self, "observer", None)):
            if child is not None:
                child.kill()
        for worker in self.crew:
            worker.__exit__()
        for one in self._strangers:
            if one.poll() is None:
                one.kill()
                one.wait(STOP_S)
        if (found := self.broker.status()) is not None:
            os.kill(found.pid, signal.SIGCONT)  # a fault may have left it hanging
        self.broker.stop()

    # What runs

    def hire(self, **plan: Any) -> Worker:
        """One more worker."""
        worker = Worker(self, self._workers, **plan)
        self._workers += 1
        self.crew.append(worker.start())
        return worker

    def dismiss(self, worker: Worker) -> None:
        """One less: it finishes what is under way and leaves the group."""
        self.crew.remove(worker)
        try:
            code = worker.stop()
        finally:
            worker.__exit__()
        assert code == 0, f"worker {worker.number} was told to stop and ended with {code}:\n{worker.said()[-2_000:]}"

    def tend(self) -> None:
        """Start workers again that have ended, as whoever runs them would; fails for an end nobody can explain."""
        for worker in self.crew:
            if (code := worker.ended_with) is None:
                continue
            self.ends[code] += 1
            known = code in ORDINARY_ENDS | self.pardoned
            assert known, f"worker {worker.number} ended with {code}:\n{worker.said()[-4_000:]}"
            worker.told()
            worker.start()

    def recover(self) -> None:
        """After a failed check: nothing planted any more, the broker up, as many workers as before."""
        self.pardoned = frozenset()
        if (found := self.broker.status()) is not None:
            os.kill(found.pid, signal.SIGCONT)
        self.broker.start()
        for worker in self.crew:
            worker.wake()
            worker.kill()
            worker.told()
        while len(self.crew) > self.terms.workers:
            self.crew.pop()
        for worker in self.crew:
            worker.start()
        while len(self.crew) < self.terms.workers:
            self.hire()

    def holder(self) -> Worker:
        """Some worker that has a shard, once each shard has its worker and no worker is still starting."""
        self.until(self._is_shared_out, "the workers do not share the shards")
        return self.chance.choice([one for one in self.crew if one.shards])

    def _is_shared_out(self) -> bool:
        if not all(one.says("shards of this worker") for one in self.crew):
            return False  # a broker that is killed now ends it: to start, a worker needs one
        held = [shard for one in self.crew for shard in one.shards if one.says(rf"shard {shard}: (\w+) in")]
        return sorted(held) == list(range(self.terms.shards))

    def stranger(self, words: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Another process beside the installation; ended with it at the latest."""
        one = subprocess.Popen([sys.executable, *words], cwd=ROOT, **options)
        self._strangers.append(one)
        return one

    def host_on(self, partition: int) -> bytes:
        """A host whose events stand there."""
        return next(
            host
            for host in (b"p%d.example" % one for one in range(10_000))
            if partition_of(host, self.terms.partitions) == partition
        )

    # Waiting

    def until(self, is_so: Callable[[], bool], otherwise: str, within_s: float | None = None) -> None:
        """Poll until it is so, minding the workers meanwhile."""
        bound_s = within_s or self.terms.settle_s
        deadline = time.monotonic() + bound_s
        while not is_so():
            assert time.monotonic() < deadline, f"not within {bound_s:.0f} s: {otherwise}\n{self._standing()}"
            self.mind()
            time.sleep(POLL_S)

    def linger(self, seconds: float) -> None:
        """Let the fault last."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self.mind()
            time.sleep(POLL_S)

    def mind(self) -> None:
        """Look after everything that must not have ended."""
        self.tend()
        for child in (self.observer,) if self._is_quiet else (self.observer, self.sender):
            assert child.process.poll() is None, f"{child.process.args} ended:\n{child.log.read_text()[-4_000:]}"

    def settle(self, within_s: float | None = None) -> float:
        """Until everything visible by now is decided and checked. Returns how long it took; fails if anything is wrong.

        Exact books, one entry a visible event, seals, links, seq, replay, dead letters and checkpoints are the
        witness's findings; that what the sender was promised is visible is ours.
        """
        began = time.monotonic()
        promised = self.sender.last
        targets = self._input_ends(within_s)
        self.until(lambda: self._reached(targets), "what is visible is not decided", within_s)
        self.check()
        found = self.observer.last.partitions.values()
        for what, sent, seen in (
            ("events", promised.acknowledged, sum(one.visible for one in found)),
            ("outcomes", promised.outcomes, sum(one.outcomes for one in found)),
        ):
            assert seen >= sent, f"{sent:,} {what} were acknowledged and {seen:,} are visible"
        return time.monotonic() - began

    def check(self) -> None:
        """Fails when the witness has found anything wrong."""
        assert not self.observer.last.faults, "\n".join(self.observer.last.faults)

    def finish(self) -> None:
        """No more load: everything decided, workers stopped, no transaction open."""
        self._is_quiet = True
        self.sender.end()
        for what in ("what was sent", "what was forwarded of it"):
            targets = self._input_ends(None)
            self.until(lambda targets=targets: self._reached(targets), f"{what} is not decided")
        self.check()
        for worker in list(self.crew):
            self.dismiss(worker)
        still = open_transactions(self.config, ("dry.decisions", "dry.state", "dry.deadletters", "outcomes"))
        assert still == {}, f"open behind the last worker: {still}"

    @property
    def decided(self) -> int:
        """Events with an entry the witness has checked."""
        found = self.observer.last.partitions.values()
        return sum(one.visible for one in found) - sum(one.events_next - one.decided_next for one in found)

    def _reached(self, targets: Ends) -> bool:
        self.check()
        seen = self.observer.last.partitions
        return (
            len(seen) == len(targets["events"])
            and all(
                seen[one].decided_next >= target and _is_behind(seen[one].unmatched, target)
                for one, target in targets["events"].items()
            )
            and all(
                seen[one].outcomes_read >= target and _is_behind(seen[one].outcomes_waiting, target)
                for one, target in targets["outcomes"].items()
            )
        )

    def _standing(self) -> str:
        told = [f"seed {self.terms.seed}", f"sender: {self.sender.last}"]
        told += [f"partition {one}: {seen}" for one, seen in self.observer.last.partitions.items()]
        told += [f"worker {one.number}, ended {one.ended_with}:\n{one.said()[-2_500:]}" for one in self.crew]
        return "\n".join(told)

    # Kafka, asked and written beside the installation

    def _input_ends(self, within_s: float | None) -> Ends:
        found: Ends = {}

        def is_answered() -> bool:
            found.update(self.end_offsets(["events", "outcomes"]))
            return bool(found)

        self.until(is_answered, "the broker does not say where events and outcomes end", within_s)
        return found

    def end_offsets(self, topics: Iterable[str], config: Config | None = None) -> Ends:
        """Logical topic -> partition -> where its log ends, what is open included; {} when nobody answers."""
        try:
            return asyncio.run(asyncio.wait_for(_ends(config or self.config, list(topics)), ASK_S))
        except (KafkaError, TimeoutError, OSError):
            return {}

    def flood(self, topic: str, records: Sequence[tuple[int, bytes | None, bytes | None]]) -> None:
        """Write these (partition, key, value) as fast as the broker takes them."""
        asyncio.run(asyncio.wait_for(_flood(self.config, topic, records), STOP_S))


def _is_behind(offset: int | None, target: int) -> bool:
    return offset is None or offset >= target


async def _ends(config: Config, topics: list[str]) -> Ends:
    consumer = AIOKafkaConsumer(**kafka_options(config), group_id=None, enable_auto_commit=False)
    await consumer.start()
    try:
        names = {config.topic(one): one for one in topics}
        tps = [TopicPartition(name, one) for name in names for one in range(config.partitions)]
        found: Ends = {one: {} for one in topics}
        for tp, end in (await consumer.end_offsets(tps)).items():
            found[names[tp.topic]][tp.partition] = end
        return found
    finally:
        await asyncio.gather(consumer.stop(), return_exceptions=True)


async def _flood(config: Config, topic: str, records: Sequence[tuple[int, bytes | None, bytes | None]]) -> None:
    producer = AIOKafkaProducer(**kafka_options(config), linger_ms=20, max_batch_size=262_144)
    await producer.start()
    try:
        name = config.topic(topic)
        sent = [await producer.send(name, value, key=key, partition=one) for one, key, value in records]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
