"""Replaying only what follows a snapshot: over the topics, or over an export."""

from collections.abc import Callable, Iterator, Sequence

from sidechain.agents.proof import Proof, Topics
from sidechain.agents.snapshot import Snapshot, Standing
from sidechain.agents.topic_inputs import TopicInputs
from sidechain.models.dry.chain import Fault
from sidechain.models.dry.replay import Replayer
from sidechain.models.list_rows import ListRows
from sidechain.models.policy import Policy
from sidechain.models.proof.replay_check import ReplayCheck

Told = Callable[[int], None]


async def replay_topics(topics: Topics, snapshot: Snapshot, given: Policy, told: Told) -> list[Proof]:
    """Decide anew what stands behind the snapshot's entries, and compare bytes."""
    entries, inputs_read = await topics.reader("dry.decisions"), await topics.inputs_read()
    control = await topics.control()
    rows = ListRows(control)
    known = await topics.policies(given)
    proofs = []
    for standing in snapshot.standings(await entries.partitions()):
        place = standing.place
        inputs = TopicInputs(inputs_read, place.partition, control)
        replayer = standing.replayer(inputs.of, rows, list(known.values()))
        behind = Behind(standing, replayer)
        batches = inputs.beside(entries, entry=place.offset, begin=replayer.fold.next)
        async for lines in topics.knowing(replayer, batches, given, dict(known)):
            behind.take(lines)
            told(len(lines))
            if behind.fault:
                break
        proofs.append(behind.proof())
    return proofs


class Behind:
    """A chain from the snapshot's entry on."""

    def __init__(self, standing: Standing, replayer: Replayer) -> None:
        self.fault: Fault | None = None  # the snapshot is none of this chain
        self._standing = standing
        self._replayer = replayer
        self._check = ReplayCheck(replayer)
        self._is_found = False

    def take(self, lines: Sequence[bytes]) -> None:
        """The next entries; the first of all must be the snapshot's own."""
        if not self._is_found and lines:
            self._is_found = lines[0] == self._standing.entry
            self.fault = None if self._is_found else self._missing(lines[0])
            lines = lines[1:]
        if self._is_found:
            self._check.take(lines)

    def proof(self) -> Proof:
        """What was found, counted from the beginning of the snapshot's epoch."""
        if not self._is_found and self.fault is None:
            self.fault = self._missing(b"")
        fold = self._replayer.fold
        if self.fault is not None:
            return Proof(fold.partition, fold.seq, fold.head_hash, self.fault)
        return Proof.replayed(fold.partition, self._check.finish())

    def _missing(self, line: bytes) -> Fault:
        place = self._standing.place
        found = repr(line[-75:])[2:-1] if line else "nothing"
        return Fault(place.seq, None, "the snapshot's entry is not in the chain", place.hash[:16], found)


def from_entry(lines: Iterator[bytes], standing: Standing) -> Iterator[bytes]:
    """A file's entries from the snapshot's on; all before it are passed over, and none is left when it is missing."""
    for line in lines:
        if line == standing.entry:
            yield line
            break
    yield from lines
