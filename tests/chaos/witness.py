"""An independent reader: what a read_committed consumer of the topics sees, checked as it comes.

For each partition: sealed, linked, seq by seq without a gap or a second entry (so no fork); the visible events and
outcomes one by one, each with exactly one entry and in their order; every entry decided anew from its input, byte for
byte; a dead letter for each rejection and none without; every checkpoint's root, size and head are those of the entries
it covers, and no size has two roots.

It holds what it has not matched yet and nothing else, so it can follow for as long as a run lasts. A record may become
visible on one topic before its partner does on another: entries wait for their inputs.
"""

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from sidechain.models.dry.chain import Verifier
from sidechain.models.dry.replay import Replayer
from sidechain.models.policy import Policy
from sidechain.models.proof import certificate, checkpoint, note
from sidechain.models.proof.checkpoint import Checkpoint
from sidechain.models.proof.merkle import Frontier, leaves_of
from sidechain.models.proof.note import Malformed, NotProved, VerifierKey
from sidechain.topics.dry import CheckpointRecord, letter

LEAVES_HELD: Final = 200_000  # behind the last checkpoint; beyond it a checkpoint's root cannot be looked up
FAULTS_KEPT: Final = 20


class _Entry(msgspec.Struct):
    seq: int
    kind: str
    next: dict[str, int]
    source: tuple[str, int, int] | None = None
    id: str | None = None


class Witness:
    """What one partition's topics said so far."""

    def __init__(
        self, partition: int, policy: Policy, load: Callable[[bytes], Policy], root: VerifierKey | None = None
    ) -> None:
        """`root`: whom checkpoints must be certified by; None: signatures are not looked at."""
        self.partition = partition
        self._root = root
        self.faults: list[str] = []
        self.kinds: Counter[str] = Counter()
        self.visible = 0  # events
        self.events_next = 0  # behind the last visible event
        self.decided_next = 0  # behind the last event with an entry
        self.outcomes = 0  # visible ones
        self.checkpoints = 0
        self._verifier = Verifier()
        self._replayer = Replayer(policy, partition, self._input, load=load)
        self._waiting: deque[tuple[bytes, int]] = deque()  # entries whose inputs were not seen yet, with their offsets
        self._inputs = {"events": deque[Any](), "outcomes": deque[Any]()}  # visible and without an entry yet
        self._read = {"events": 0, "outcomes": 0}  # behind the last visible one
        self._done = {"events": 0, "outcomes": 0}  # behind the last one with an entry
        self._control: dict[int, Any] = {}
        self._taken: Any = None  # the input of the entry at hand
        self._unmatched: dict[tuple[str, int], str] = {}  # rejections without a letter, letters without a rejection
        self._leaves: deque[bytes] = deque()
        self._base = Frontier()  # of the entries before `_leaves`
        self._roots: dict[int, bytes] = {}  # of every checkpoint seen, by size
        self._signed: deque[Checkpoint] = deque()  # whose entries were not seen yet

    @property
    def seq(self) -> int:
        """Entries checked."""
        return self._verifier.seq

    @property
    def head(self) -> str:
        """The hash of the last one."""
        return self._verifier.head

    @property
    def unmatched(self) -> int | None:
        """The first event with a rejection or a dead letter that misses its other half; None: each has one."""
        return self._first_unmatched("events")

    @property
    def outcomes_waiting(self) -> int | None:
        """The first visible outcome without an entry, or with half of what a rejection takes; None: each has all."""
        waiting = [one.offset for one in list(self._inputs["outcomes"])[:1]]
        half = self._first_unmatched("outcomes")
        return min([*waiting, *([] if half is None else [half])], default=None)

    def _first_unmatched(self, of_topic: str) -> int | None:
        return min((offset for topic, offset in self._unmatched if topic == of_topic), default=None)

    def event(self, record: Any) -> None:
        """An event became visible."""
        self.visible += self._came("events", record)
        self.events_next = self._read["events"]

    def outcome(self, record: Any) -> None:
        """An outcome became visible."""
        self.outcomes += self._came("outcomes", record)

    def _came(self, topic: str, record: Any) -> bool:
        if record.offset < self._read[topic]:
            self._complain(f"{topic[:-1]} {record.offset} was read again: the log is not what it was")
            return False
        self._read[topic] = record.offset + 1
        self._inputs[topic].append(record)
        return True

    def control(self, record: Any) -> None:
        """A control record became visible."""
        self._control[record.offset] = record

    def letter(self, record: Any) -> None:
        """A dead letter became visible."""
        said = letter(record.headers)
        self._match((said.topic, said.offset), "letter")

    def entry(self, value: bytes, offset: int) -> None:
        """An entry became visible."""
        self._waiting.append((value, offset))

    def checkpoint(self, value: bytes) -> None:
        """A checkpoint became visible."""
        record = msgspec.json.decode(value, type=CheckpointRecord)
        signed = note.parse(record.note)
        if self._root is not None:
            try:
                certificate.verify(signed, [note.parse(record.certificate)], self._root)
            except (NotProved, Malformed) as fault:
                self._complain(f"a checkpoint nobody need believe: {fault}")
                return
        self._signed.append(checkpoint.parse(signed.text))

    def settle(self) -> None:
        """Check everything whose counterpart has been seen by now."""
        while self._waiting and self._take(*self._waiting[0]):
            self._waiting.popleft()
        self._replayer.fold.forget_changes()
        while self._signed and self._signed[0].size <= self.seq:
            self._compare(self._signed.popleft())

    def _take(self, value: bytes, offset: int) -> bool:
        """Check one entry; False when its input is still to come."""
        try:
            stated = msgspec.json.decode(value, type=_Entry)
        except msgspec.DecodeError:
            self._complain(f"offset {offset} holds what is no entry: {value[:80]!r}")
            return True
        if stated.source is None:
            self._complain(f"entry {stated.seq} of kind {stated.kind}: nobody repaired this chain")
            return True
        topic, _, at = stated.source
        if topic in self._inputs:
            what, waiting = topic[:-1], self._inputs[topic]
            if at < self._done[topic]:
                self._complain(f"{what} {at} was decided twice: entry {stated.seq} at offset {offset}")
                return True
            if not waiting:
                return False
            if (due := waiting[0].offset) != at:
                self._complain(f"entry {stated.seq} decides {what} {at} where {what} {due} was due")
                while waiting and waiting[0].offset < at:
                    waiting.popleft()
                if not waiting:
                    return False
            self._taken = waiting.popleft()
            self._done[topic] = at + 1
            self.decided_next = self._done["events"]
        elif at not in self._control:
            return False
        self._check(value, offset, stated)
        return True

    def _check(self, value: bytes, offset: int, stated: _Entry) -> None:
        if fault := self._verifier.take(value):
            self._complain(f"offset {offset}: {fault}")
            self._verifier = Verifier(seq=stated.seq + 1, prev=value[-66:-2].decode())
        elif differs := self._replayer.take(value):
            self._complain(f"offset {offset}, decided anew: {differs}")
        self.kinds[stated.kind] += 1
        if stated.kind == "rejected" or (stated.kind == "refused-outcome" and stated.id is None):
            assert stated.source is not None
            self._match((stated.source[0], stated.source[2]), "entry")
        self._leaves.extend(leaves_of([value]))
        if len(self._leaves) > LEAVES_HELD:
            self._forget(LEAVES_HELD // 2)

    def _input(self, topic: str, offset: int) -> Any:
        return self._control.get(offset) if topic == "control" else self._taken

    def _match(self, what: tuple[str, int], kind: str) -> None:
        other = self._unmatched.pop(what, None)
        if other is None:
            self._unmatched[what] = kind
        elif other == kind:
            self._complain(f"{what[0]} {what[1]} was rejected twice: two of {kind}")

    def _compare(self, found: Checkpoint) -> None:
        self.checkpoints += 1
        if (known := self._roots.get(found.size)) is not None:
            if known != found.root:
                self._complain(f"two checkpoints of size {found.size} have two roots")
            return
        if found.size < self._base.size:
            self._complain(f"a checkpoint of size {found.size} came after one of {self._base.size}")
            return
        self._forget(found.size - self._base.size)
        if self._base.root() != found.root:  # the head is the last leaf, so the root answers for it too
            self._complain(f"the checkpoint of size {found.size} has another root than its entries")
        self._roots[found.size] = found.root

    def _forget(self, count: int) -> None:
        self._base.extend([self._leaves.popleft() for _ in range(min(count, len(self._leaves)))])

    def _complain(self, problem: str) -> None:
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(f"partition {self.partition}: {problem}")
