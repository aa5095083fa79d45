"""What must hold of every schedule: while it runs, as a read_committed reader sees it, and when it is over."""

from collections import Counter
from functools import partial
from typing import Any

import msgspec
from aiokafka import TopicPartition

from sidechain.agents.checkpoints import origin_of, read_record
from sidechain.agents.lane.layout import LAYOUT_KEY
from sidechain.models.dry import Fold
from sidechain.models.dry.chain import Verifier
from sidechain.models.dry.entry import CO_PARTITIONED, TOPICS
from sidechain.models.dry.replay import Replayer
from sidechain.models.proof.checkpoint import parse
from sidechain.models.proof.ledger import Ledger
from sidechain.models.proof.note import parse as parse_note
from tests.dumb_ledger import Wrong, ledger, spent, under_way
from tests.simulation.cluster import Log, Record
from tests.simulation.installation import LOAD, POLICIES, Installation
from tests.support import event, records


class BrokenPromiseError(AssertionError):
    """The installation did what it must never do."""


class Watcher:
    """Reads the chains as they grow: whatever a read_committed reader could ever have seen, it has seen."""

    def __init__(self, on: Installation) -> None:
        self.entries: dict[int, int] = {}
        self.reached: dict[int, int] = {}  # partition -> events decided
        self.settled: dict[int, int] = {}  # ... -> outcomes with an entry
        self.moved: dict[int, int] = {}  # ... -> transfers with an entry, where the chain counts them
        self.policy: dict[int, str] = {}  # ... and the policy in force
        self.problems: list[str] = []
        self._read: dict[int, int] = {}
        self._signed: dict[int, int] = {}
        self._verifiers: dict[int, Verifier] = {}
        for one in range(on.config.partitions):
            chain = on.cluster.logs[TopicPartition(on.config.topic("dry.decisions"), one)]
            chain.on_stable = self._look
            signed = on.cluster.logs[TopicPartition(on.config.topic("dry.checkpoints"), one)]
            signed.on_stable = partial(self._look_signed, chain)

    def _look(self, log: Log) -> None:
        partition = log.tp.partition
        begin, end = self._read.get(partition, 0), log.stable
        if end <= begin:
            return
        self._read[partition] = end
        verifier = self._verifiers.setdefault(partition, Verifier())
        for record in log.visible(begin, end):
            if (fault := verifier.take(record.value)) is not None:
                self.problems.append(f"{log.tp.topic}/{partition}@{record.offset}: {fault}")
            told = msgspec.json.decode(record.value)
            self.entries[partition] = verifier.count
            self.reached[partition], self.policy[partition] = told["next"]["events"], told["policy"]
            self.settled[partition] = told["next"]["outcomes"]
            if "transfers" in told["next"]:
                self.moved[partition] = told["next"]["transfers"]

    def _look_signed(self, chain: Log, log: Log) -> None:
        """What is signed, even if it is given up later, is committed by then."""
        begin, self._signed[log.tp.partition] = self._signed.get(log.tp.partition, 0), log.end
        for record in log.records[begin:]:
            if record is None or record.is_marker:
                continue
            size = parse(parse_note(read_record(record.value).note).text).size
            committed = sum(1 for one in chain.records if one and one.transaction and one.is_visible)
            if size > committed:
                self.problems.append(f"{log.tp.topic}/{log.tp.partition}: {size} signed when {committed} are committed")


def check(on: Installation) -> int:
    """Everything that can be asked once nothing moves any more; returns how many entries were checked."""
    checked = sum(_check_partition(on, one) for one in range(on.config.partitions))
    return checked + _check_compensations(on) + _check_forwarded(on) + _check_accounts(on)


def _check_partition(on: Installation, partition: int) -> int:
    def visible(logical: str, number: int = partition) -> list[Record]:
        return on.cluster.logs[TopicPartition(on.config.topic(logical), number)].visible()

    inputs = {topic: {one.offset: one for one in visible(TOPICS[topic])} for topic in CO_PARTITIONED}
    inputs["control"] = {one.offset: one for one in visible("control", 0)}
    chain = visible("dry.decisions")
    replayer = Replayer(
        on.first, partition, lambda topic, at: inputs[topic].get(at), partitions=on.config.partitions, load=LOAD
    )
    decided: dict[str, Counter[int]] = {topic: Counter() for topic in inputs}
    rejected = []
    for record in chain:
        entry = msgspec.json.decode(record.value)
        topic, _, offset = entry["source"]
        decided[topic][offset] += 1
        if entry["kind"] == "rejected" or (entry["kind"] == "refused-outcome" and entry["id"] is None):
            rejected.append((TOPICS.get(topic, topic), offset))
        elif entry.get("reason") == "unknown-decision" and entry["id"] != "nobody":
            stands = inputs["outcomes"][offset]
            if entry["named"][0] == partition:  # else it was sent where nobody said it belongs
                raise BrokenPromiseError(f"partition {partition}: {stands.value!r} came before its decision")
        if (fault := replayer.take(record.value)) is not None:
            raise BrokenPromiseError(f"partition {partition}: replay differs at {record.offset}: {fault}")
    counted = CO_PARTITIONED if chain and "transfers" in replayer.fold.next else ("events", "outcomes")
    for topic in counted:
        if decided[topic] != Counter(inputs[topic].keys()):
            found = f"{decided[topic]} for {sorted(inputs[topic])}"
            raise BrokenPromiseError(f"partition {partition}: {topic} and their entries: {found}")
    letters = [dict(one.headers) for one in visible("dry.deadletters")]
    told = sorted((one["dlq.topic"].decode(), int(one["dlq.offset"])) for one in letters)
    if told != sorted(rejected):
        raise BrokenPromiseError(f"partition {partition}: dead letters {told} for rejected {rejected}")
    try:
        ledger([(partition, (msgspec.json.decode(one.value) for one in chain))])
    except Wrong as fault:
        raise BrokenPromiseError(str(fault)) from fault
    _check_checkpoints(on, partition, [one.value for one in chain])
    _check_state(partition, chain, visible("dry.state"), replayer.fold, on.config.partitions)
    return len(chain)


def _check_state(partition: int, chain: list[Record], changelog: list[Record], rebuilt: Fold, partitions: int) -> None:
    """The state that was written is the state of a fold that walked the chain from its genesis."""
    if not chain:
        return
    table: dict[bytes, Any] = {}
    for record in changelog:
        table.pop(record.key, None)
        if record.value is not None:
            table[record.key] = record.value
    if LAYOUT_KEY not in table:
        raise BrokenPromiseError(f"partition {partition}: no layout was sealed")
    del table[LAYOUT_KEY]
    rebuilt.share_among(partitions)  # which no entry says until an account is used
    whole = {name: value for name, value in rebuilt.changes() if value is not None}
    if table != whole:
        names = [name for name in {*table, *whole} if table.get(name) != whole.get(name)]
        raise BrokenPromiseError(f"partition {partition}: the state differs from the chain's at {sorted(names)}")
    policy = POLICIES[Fold.policy_ref_of(chain[-1].value)]
    restored = Fold.restore(partition, chain[-1].value, table.items(), policy, partitions=partitions)
    probes = records([event(10_000 + n, host=f"h{n % 3}") for n in range(6)], start=rebuilt.next["events"])
    if restored.events(probes) != rebuilt.events(probes):
        raise BrokenPromiseError(f"partition {partition}: the restored fold decides otherwise than the rebuilt one")


def _check_checkpoints(on: Installation, partition: int, chain: list[bytes]) -> None:
    """Whatever was signed, also what was given up with its transaction, says of each size what the chain says."""
    log = on.cluster.logs[TopicPartition(on.config.topic("dry.checkpoints"), partition)]
    notes = [read_record(one.value).note for one in log.records if one is not None and not one.is_marker]
    origin, ledger = origin_of(on.config, partition, 0), Ledger()
    for text in sorted({parse_note(one).text for one in notes}, key=lambda text: parse(text).size):
        size = parse(text).size
        if size > len(chain):
            raise BrokenPromiseError(f"partition {partition}: {size} entries were signed, there are {len(chain)}")
        ledger.extend(chain[ledger.size : size])
        if ledger.checkpoint(origin).text() != text:
            raise BrokenPromiseError(f"partition {partition}: of {size} entries something else was signed: {text!r}")
    signed = [parse(parse_note(read_record(one.value).note).text).size for one in log.visible()]
    if signed != sorted(set(signed)):
        raise BrokenPromiseError(f"partition {partition}: a size was signed twice or too late: {signed}")


def last_signed(on: Installation, partition: int) -> int:
    """How many entries the last visible checkpoint covers."""
    records = on.cluster.logs[TopicPartition(on.config.topic("dry.checkpoints"), partition)].visible()
    return parse(parse_note(read_record(records[-1].value).note).text).size if records else 0


def _check_forwarded(on: Installation) -> int:
    """Each misplaced outcome stands once more, where it says it belongs, and no forwarded one a third time."""
    due, found = Counter[tuple[int, bytes]](), Counter[tuple[int, bytes]]()
    for one in range(on.config.partitions):
        outcomes = on.cluster.logs[TopicPartition(on.config.topic("outcomes"), one)].visible()
        came = {record.offset: dict(record.headers).get("forwarded.from") for record in outcomes}
        found.update((one, header) for header in came.values() if header is not None)
        for record in on.cluster.logs[TopicPartition(on.config.topic("dry.decisions"), one)].visible():
            entry = msgspec.json.decode(record.value)
            if entry.get("reason") != "wrong-partition":
                continue
            offset, named = entry["source"][2], entry["named"][0]
            if came[offset] is None and named < on.config.partitions:
                due[named, b"%d@%d" % (one, offset)] += 1
    if due != found:
        raise BrokenPromiseError(f"forwarded {found}, and due were {due}")
    return 0


def _check_accounts(on: Installation) -> int:
    """What one partition gave arrived at another, once, and all together spend no more than the limits."""
    decisions = on.config.topic("dry.decisions")
    chains = [on.cluster.logs[TopicPartition(decisions, one)].visible() for one in range(on.config.partitions)]
    try:
        found = ledger([(n, (msgspec.json.decode(one.value) for one in chain)) for n, chain in enumerate(chains)])
        flying = under_way(found)
    except Wrong as fault:
        raise BrokenPromiseError(str(fault)) from fault
    if any(flying.values()):
        raise BrokenPromiseError(f"{flying} was given and has not arrived")
    plans = [one.budgeting.plan for one in (on.first, on.second) if one.budgeting is not None]
    accounts = {name: account for plan in plans for name, account in plan.accounts.items() if account.is_shared}
    for (name, key, begin), (_, held, used, _) in spent(found).items():
        if name in accounts and held + used > (accounts[name].limit_of(key) or 0):
            raise BrokenPromiseError(f"{held + used} of {name} {key} from {begin} on are held and spent")
    return 0


def _check_compensations(on: Installation) -> int:
    """One decision, one request: what is repeated is the same record, byte for byte."""
    asked: dict[tuple[int, int], set[str]] = {}
    for one in range(on.config.partitions):
        chain = {}
        for record in on.cluster.logs[TopicPartition(on.config.topic("dry.decisions"), one)].visible():
            entry = msgspec.json.decode(record.value)
            chain[entry["seq"]] = entry.get("id")
        for record in on.cluster.logs[TopicPartition(on.config.topic("wet.compensations"), one)].visible():
            told = msgspec.json.decode(record.value)
            decision = told["decision"]
            if chain.get(decision["seq"]) != decision["id"]:
                raise BrokenPromiseError(f"partition {one}: a compensation for a decision nobody made: {decision}")
            asked.setdefault((one, decision["seq"]), set()).add(told["id"])
    if several := [where for where, ids in asked.items() if len(ids) > 1]:
        raise BrokenPromiseError(f"more than one compensation for {several}")
    return 0


def dump(on: Installation) -> bytes:
    """Every byte of every log, for comparing two runs of one seed."""
    return b"".join(
        b"%r" % ((*tp, [(one.offset, one.key, one.value) for one in log.records if one is not None]),)
        for tp, log in sorted(on.cluster.logs.items())
    )
