"""Kafka as its clients see it: logs, transactions and their markers, fencing, the last stable offset.

Every method is one request, done in an instant; delay, loss and repetition are the wire's business. Behaviour follows
Kafka 4: a transaction is committed when its coordinator says so, and its markers arrive on each partition whenever they
arrive; a produce request is checked against the coordinator; an id that is initialised fences its predecessor and
aborts what that had open.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import (
    ConcurrentTransactions,
    InvalidTxnState,
    KafkaError,
    NotLeaderForPartitionError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
)

from tests.simulation.machine import Machine

if TYPE_CHECKING:
    from random import Random

MARKER_S: Final = 0.01


class Record:
    """One record, with what a consumer reads of it."""

    __slots__ = ("headers", "is_marker", "key", "offset", "partition", "timestamp", "topic", "transaction", "value")

    def __init__(self, tp: TopicPartition, offset: int, key: Any, value: Any, **more: Any) -> None:
        self.topic, self.partition = tp
        self.offset, self.key, self.value = offset, key, value
        self.headers = more.get("headers", ())
        self.timestamp = more.get("timestamp", 0)
        self.transaction = more.get("transaction")
        self.is_marker = more.get("is_marker", False)

    @property
    def is_visible(self) -> bool:
        """To a read_committed reader, once the last stable offset has passed it."""
        return not self.is_marker and (self.transaction is None or self.transaction.outcome == "commit")


class Transaction:
    """One transaction: open until the coordinator has decided."""

    __slots__ = ("outcome", "partitions")

    def __init__(self) -> None:
        self.outcome = ""
        self.partitions: set[TopicPartition] = set()


class Log:
    """One partition."""

    def __init__(self, tp: TopicPartition) -> None:
        self.tp = tp
        self.records: list[Record | None] = []  # None: compacted away
        self.open: dict[Transaction, int] = {}  # -> its first offset here
        self.sequences: dict[tuple[int, int], int] = {}  # producer, epoch -> batches taken
        self.waiting: list[Any] = []  # futures of readers at the end
        self.on_stable: Callable[[Log], None] | None = None

    @property
    def end(self) -> int:
        return len(self.records)

    @property
    def stable(self) -> int:
        """The last stable offset."""
        return min(self.open.values()) if self.open else len(self.records)

    def append(self, key: Any, value: Any, **more: Any) -> None:
        self.records.append(Record(self.tp, len(self.records), key, value, **more))

    def visible(self, begin: int = 0, end: int | None = None) -> list[Record]:
        """What a read_committed reader gets between two offsets."""
        upto = self.stable if end is None else min(end, self.stable)
        return [one for one in self.records[begin:upto] if one is not None and one.is_visible]

    def told(self) -> None:
        """The stable end may have moved: whoever waits for it looks again."""
        if self.on_stable is not None:
            self.on_stable(self)
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def compact(self) -> int:
        """Remove what a later stable record of the same key replaces, as the cleaner may at any time."""
        latest = {one.key: one.offset for one in self.visible()}
        removed = 0
        for at, one in enumerate(self.records[: self.stable]):
            if one is not None and not one.is_marker and (not one.is_visible or latest[one.key] != at):
                self.records[at] = None
                removed += 1
        return removed


class Owner:
    """What the coordinator knows about one transactional id."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.epoch = -1
        self.state = "empty"  # ongoing, ending
        self.last = ""  # how the last transaction ended
        self.timeout_s = 60.0
        self.now = Transaction()


class Cluster:
    """All logs and coordinators."""

    def __init__(self, machine: Machine, topics: Mapping[str, int]) -> None:
        self.machine = machine
        self.random: Random = machine.random
        self.counts = dict(topics)
        self.logs = {
            tp: Log(tp) for tp in (TopicPartition(topic, one) for topic, n in topics.items() for one in range(n))
        }
        self.marker_s = MARKER_S
        self.batch_most = 1_000  # records a producer's batch takes
        self.wet_pause_s = 0.0  # how long the stub scorer thinks
        self.groups: dict[str, Any] = {}
        self.refusals = 0.0  # share of produce requests a broker refuses because it no longer leads
        self._owners: dict[str, Owner] = {}
        self._pids = 0

    def new_pid(self) -> int:
        self._pids += 1
        return self._pids

    def initialise(self, name: str, timeout_s: float) -> tuple[int, int]:
        """A producer id and epoch; every earlier holder of the name is fenced."""
        owner = self._owners.get(name)
        if owner is None:
            owner = self._owners[name] = Owner(self.new_pid())
        if owner.state == "ongoing":
            owner.epoch += 1
            self._end(owner, "abort")
        if owner.state == "ending":
            raise ConcurrentTransactions
        owner.epoch += 1
        owner.timeout_s = timeout_s
        self.machine.log("fence", name, owner.epoch)
        return owner.pid, owner.epoch

    def join(self, name: str, epoch: int, tp: TopicPartition) -> None:
        """AddPartitionsToTxn."""
        owner = self._owner(name, epoch)
        if owner.state == "ending":
            raise ConcurrentTransactions
        if owner.state == "empty":
            owner.state, owner.now = "ongoing", Transaction()
            self.machine.call_later(owner.timeout_s, self._expire, owner, owner.now, context=self.machine.in_world())
        owner.now.partitions.add(tp)

    def produce(self, tp: TopicPartition, who: tuple[int, int], number: int, records: Iterable[Any], name: str) -> None:
        """One batch; `number` counts the producer's batches to this partition. `name`: its transactional id, if any."""
        log, transaction = self.logs[tp], None
        if name:
            owner = self._owner(name, who[1])
            if owner.state != "ongoing" or tp not in owner.now.partitions:
                raise InvalidTxnState
            transaction = owner.now
        if self.refusals and self.random.random() < self.refusals:
            raise NotLeaderForPartitionError
        taken = log.sequences.get(who, 0)
        if number < taken:
            return  # a repetition: acknowledged, not written again
        if number > taken:
            raise OutOfOrderSequenceNumber
        log.sequences[who] = taken + 1
        if transaction is not None:
            log.open.setdefault(transaction, log.end)
        for key, value, headers, timestamp in records:
            log.append(key, value, headers=headers, timestamp=timestamp, transaction=transaction)
        self.machine.log("append", *tp, log.end, name)
        log.told()

    def finish(self, name: str, epoch: int, outcome: str) -> None:
        """EndTxn. Answered as soon as it is decided; the markers follow."""
        owner = self._owner(name, epoch)
        if owner.state == "ending":
            raise ConcurrentTransactions
        if owner.state == "empty":
            if owner.last != outcome:
                raise InvalidTxnState
            return  # asked again because the answer was lost
        self._end(owner, outcome)

    def spans(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, Log]:
        return {tp: self.logs[tp] for tp in sorted(tps)}

    def put(
        self, tp: TopicPartition, records: Sequence[tuple[Any, Any]], transaction: Transaction | None = None
    ) -> None:
        """Somebody outside the installation writes."""
        log = self.logs[tp]
        if transaction is not None:
            log.open.setdefault(transaction, log.end)
        for key, value in records:
            log.append(key, value, transaction=transaction)
        log.told()

    def decide(self, transaction: Transaction, tp: TopicPartition, outcome: str) -> None:
        """Somebody outside the installation ends what `put` began."""
        transaction.outcome = outcome
        self._mark(transaction, tp)

    def _owner(self, name: str, epoch: int) -> Owner:
        owner = self._owners[name]
        if owner.epoch != epoch:
            raise ProducerFenced
        return owner

    def _expire(self, owner: Owner, transaction: Transaction) -> None:
        if owner.now is transaction and owner.state == "ongoing":
            self.machine.log("expire", owner.pid)
            owner.epoch += 1
            self._end(owner, "abort")

    def _end(self, owner: Owner, outcome: str) -> None:
        transaction = owner.now
        owner.state, owner.last, transaction.outcome = "ending", outcome, outcome
        self.machine.log(outcome, owner.pid, len(transaction.partitions))
        waiting = sorted(transaction.partitions)
        left = set(waiting)

        def mark(tp: TopicPartition) -> None:
            self._mark(transaction, tp)
            left.discard(tp)
            if not left:
                owner.state = "empty"

        for tp in waiting:
            self.machine.call_later(self.random.random() * self.marker_s, mark, tp, context=self.machine.in_world())

    def _mark(self, transaction: Transaction, tp: TopicPartition) -> None:
        log = self.logs[tp]
        log.open.pop(transaction, None)
        log.append(None, None, is_marker=True)
        log.told()


def is_worth_repeating(fault: BaseException) -> bool:
    """What a client tries again by itself."""
    return isinstance(fault, KafkaError) and bool(fault.retriable or isinstance(fault, ConcurrentTransactions))
