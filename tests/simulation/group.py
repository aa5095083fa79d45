"""A consumer group as its coordinator keeps it: members, generations, sessions that end."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError

from tests.simulation.cluster import Cluster

LOOK_S: Final = 0.5


class Member:
    """One member, as it stated itself when it joined."""

    def __init__(self, assignor: Any, metadata: Any, session_s: float, patience_s: float) -> None:
        self.assignor, self.metadata = assignor, metadata
        self.session_s, self.patience_s = session_s, patience_s
        self.beat_at = 0.0
        self.joining: Any = None  # the future its JoinGroup waits on


class Group:
    """One group."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self.generation = 0
        self.offsets: dict[TopicPartition, int] = {}
        self._cluster = cluster
        self._machine = cluster.machine
        self._members: dict[str, Member] = {}
        self._is_joining = False
        self._is_watched = False

    def join(self, name: str, member: Member) -> Any:
        """Answered when everybody has joined, or has been given up."""
        member.beat_at = self._machine.time()
        answer = member.joining = self._machine.create_future()
        self._members[name] = member
        if not self._is_joining:
            self._rebalance()
        self._watch()
        self._complete()
        return answer

    def beat(self, name: str, generation: int) -> None:
        """Heartbeat."""
        member = self._members.get(name)
        if member is None:
            raise UnknownMemberIdError
        member.beat_at = self._machine.time()
        if self._is_joining:
            raise RebalanceInProgressError
        if generation != self.generation:
            raise IllegalGenerationError

    def leave(self, name: str) -> None:
        """LeaveGroup."""
        if self._members.pop(name, None) is not None:
            self._rebalance()
            self._complete()

    def commit(self, name: str, generation: int, offsets: Mapping[TopicPartition, int]) -> None:
        """OffsetCommit: only for a member of the present generation."""
        if name not in self._members or generation != self.generation:
            raise CommitFailedError("the group has moved on")
        self.offsets.update(offsets)

    def _rebalance(self) -> None:
        self._is_joining = True
        patience_s = max((one.patience_s for one in self._members.values()), default=0.0)
        self._machine.call_later(patience_s, self._give_up, self.generation, context=self._machine.in_world())

    def _give_up(self, generation: int) -> None:
        if self._is_joining and generation == self.generation:
            self._members = {name: one for name, one in self._members.items() if one.joining is not None}
            self._complete()

    def _complete(self) -> None:
        if not self._is_joining or any(one.joining is None for one in self._members.values()):
            return
        self._is_joining = False
        self.generation += 1
        if not self._members:
            return
        counts = self._cluster.counts
        view = SimpleNamespace(partitions_for_topic=lambda topic: set(range(counts[topic])) or None)
        leader = min(self._members)
        shared = self._members[leader].assignor.assign(view, {n: one.metadata for n, one in self._members.items()})
        held = {n: sorted(tp.partition for tp in shared[n].partitions()) for n in sorted(self._members)}
        self._machine.log("group", self.name, self.generation, held)
        for name, one in self._members.items():
            future, one.joining = one.joining, None
            one.beat_at = self._machine.time()
            if not future.done():
                future.set_result((self.generation, shared[name]))

    def _watch(self) -> None:
        if not self._is_watched:
            self._is_watched = True
            self._machine.call_later(LOOK_S, self._look, context=self._machine.in_world())

    def _look(self) -> None:
        """End the sessions of those who were not heard of."""
        self._is_watched = False
        now = self._machine.time()
        lost = [n for n, one in self._members.items() if one.joining is None and now - one.beat_at > one.session_s]
        for name in lost:
            self._machine.log("session", "ended", name)
            del self._members[name]
        if lost and not self._is_joining:
            self._rebalance()
        self._complete()
        if self._members:
            self._watch()
