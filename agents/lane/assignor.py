"""Which worker decides which shard: blocks of partitions that move whole, and as few of them as possible.

    shards 0..4, owners a: 0 1 2 3 4, b joins   ->  a: 0 1 2, b: 3 4

A shard is `shard_size` consecutive partitions; it is the unit of fencing and of transactions, so splitting one between
two workers would make both wrong. The result depends on what the members state and on nothing else.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

log = logging.getLogger(__name__)

VERSION: Final = 0


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What a member says about itself when it joins.

    {"shard_size":4,"round":7,"owned":[0,2]}
    """

    shard_size: int
    round: int = 0  # of the assignment `owned` is from; the later claim to a shard is the true one
    owned: tuple[int, ...] = ()


def partitions_of(shard: int, shard_size: int, partitions: int) -> range:
    """The partitions of a shard; the last shard may be shorter."""
    return range(shard * shard_size, min((shard + 1) * shard_size, partitions))


def shards_of(partitions: Iterable[int], shard_size: int) -> list[int]:
    """The shards that a set of partitions belongs to."""
    return sorted({one // shard_size for one in partitions})


def share(shards: int, claims: Mapping[str, Claim]) -> dict[str, list[int]]:
    """Each member's shards: counts differ by one at most, and nobody loses a shard without need."""
    members = sorted(claims)
    if not members:
        return {}
    least, extra = divmod(shards, len(members))
    owner: dict[int, str] = {}
    for member in sorted(members, key=lambda one: (-claims[one].round, one)):
        for shard in claims[member].owned:
            if 0 <= shard < shards:
                owner.setdefault(shard, member)
    result: dict[str, list[int]] = {one: [] for one in members}
    # Those who hold most may keep the extra one: it costs no move.
    held = {one: sorted(shard for shard, who in owner.items() if who == one) for one in members}
    for member in sorted(members, key=lambda one: (-len(held[one]), one)):
        room = least + 1 if extra and len(held[member]) > least else least
        result[member] = held[member][:room]
        extra -= len(result[member]) > least
    taken = {shard for kept in result.values() for shard in kept}
    for shard in (one for one in range(shards) if one not in taken):
        poorest = min(members, key=lambda one: (len(result[one]), one))
        result[poorest].append(shard)
    return {one: sorted(kept) for one, kept in result.items()}


class ShardAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """One member's side of the agreement; whichever member leads the group shares out for all."""

    name = "sidechain-shards"

    def __init__(self, topic: str, shard_size: int) -> None:
        self._topic = topic
        self._claim = Claim(shard_size=shard_size)

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What this member tells the leader."""
        return ConsumerProtocolMemberMetadata(VERSION, list(topics), msgspec.json.encode(self._claim))

    def assign(
        self, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Share out the topic's shards; called on the leader only."""
        size = self._claim.shard_size
        claims = {member: _claim(told.user_data) for member, told in members.items()}
        agreeing = {member: one for member, one in claims.items() if one is not None and one.shard_size == size}
        for member in claims.keys() - agreeing.keys():
            log.error("member %s does not use shards of %d partitions and gets none; start it with ours", member, size)
        partitions = len(cluster.partitions_for_topic(self._topic) or ())
        shared = share(-(-partitions // size), agreeing)
        now = 1 + max((one.round for one in agreeing.values()), default=0)
        return {member: self._assignment(shared.get(member, []), partitions, now) for member in members}

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Remember what we hold, for the next round."""
        size = self._claim.shard_size
        held = shards_of((one.partition for one in assignment.partitions()), size)
        told = _claim(assignment.user_data)
        self._claim = Claim(shard_size=size, round=told.round if told else 0, owned=tuple(held))

    def _assignment(self, shards: Iterable[int], partitions: int, now: int) -> ConsumerProtocolMemberAssignment:
        size = self._claim.shard_size
        held = [partition for one in shards for partition in partitions_of(one, size, partitions)]
        told = msgspec.json.encode(Claim(shard_size=size, round=now))
        return ConsumerProtocolMemberAssignment(VERSION, [(self._topic, held)] if held else [], told)


def _claim(told: bytes | None) -> Claim | None:
    try:
        return msgspec.json.decode(told or b"", type=Claim)
    except msgspec.DecodeError:
        return None
