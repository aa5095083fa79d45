"""Replaying only what follows a snapshot: over the topics, or over an export."""

from collections.abc import Callable, Iterable, Iterator

from sidechain.agents.proof import Proof, TopicInputs, Topics
from sidechain.agents.snapshot import Snapshot, Standing
from sidechain.models.dry.chain import Fault, Replayer
from sidechain.models.policy import Policy

Told = Callable[[int], None]


async def replay_topics(topics: Topics, snapshot: Snapshot, given: Policy, told: Told) -> list[Proof]:
    """Decide anew what stands behind the snapshot's entries, and compare bytes."""
    entries, events = await topics.reader("dry.decisions"), await topics.reader("events")
    control = await topics.control()
    proofs = []
    for standing in snapshot.standings(await entries.partitions()):
        place = standing.place
        inputs = TopicInputs(events, place.partition, control)
        replayer = standing.replayer(inputs.of, [given])
        behind = Behind(standing, replayer)
        async for lines in inputs.beside(entries, entry=place.offset, event=replayer.fold.next["events"]):
            behind.take(lines)
            told(len(lines))
            if behind.fault:
                break
        proofs.append(behind.proof())
    return proofs


class Behind:
    """A chain from the snapshot's entry on."""

    def __init__(self, standing: Standing, replayer: Replayer) -> None:
        self.fault: Fault | None = None
        self._standing = standing
        self._replayer = replayer
        self._is_found = False

    def take(self, lines: Iterable[bytes]) -> None:
        """The next entries; the first of all must be the snapshot's own."""
        for line in lines:
            if not self._is_found:
                self._is_found = line == self._standing.entry
                self.fault = None if self._is_found else self._missing(line)
            else:
                self.fault = self._replayer.take(line)
            if self.fault:
                return

    def proof(self) -> Proof:
        """What was found, counted from the beginning of the chain."""
        if not self._is_found and self.fault is None:
            self.fault = self._missing(b"")
        fold = self._replayer.fold
        return Proof(fold.partition, fold.seq, fold.head_hash, self.fault)

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
