"""The end of a chain: what was sealed last, and how the next entry of each kind is put behind it.

    writer.next["events"] = offset + 1
    line = writer.duplicate(identifier, key, at_ms, source, digest, first)

Nothing is decided here: every method seals what it is told, with where the chain stands and the policy in force.
`settling.py` makes the entries of outcomes.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from sidechain.models.dry.budget import Spending
from sidechain.models.dry.entry import (
    GENESIS,
    TRANSFERS,
    VERSION,
    Broken,
    Decision,
    Duplicate,
    Epoch,
    Gap,
    ListChange,
    Next,
    PolicyChange,
    Rejected,
    Sealed,
    seal,
)
from sidechain.models.dry.lists import Activation
from sidechain.models.dry.parse import Rejection
from sidechain.models.dry.place import Place, Source
from sidechain.models.dry.program import Outcome


class Writer:
    """Writes one partition's entries, from its genesis or from its last entry on."""

    def __init__(self, partition: int, policy: str) -> None:
        """A chain that has no entry yet. `policy`: how its entries name the one in force."""
        self.partition = partition
        self.policy = policy
        self.epoch = 0
        self.seq = 0  # of the entry in the making
        self.head_hash = GENESIS
        self.next: Next = {"events": 0, "outcomes": 0, "control": 0}

    @property
    def place(self) -> Place:
        """Where the next entry stands."""
        return Place(self.seq, self.head_hash, self.partition, self.next, self.policy)

    def append(self, sealed: Sealed) -> bytes:
        """The entry's bytes; the chain now ends with it."""
        line, self.head_hash = seal(sealed)
        self.seq += 1
        return line

    def decision(
        self,
        identifier: str,
        key: str,
        at_ms: int,
        source: Source,
        digest: str,
        outcome: Outcome,
        flags: tuple[str, ...],
        features: Any,
        signals: Any,
        budget: Spending | None,
        lists: Any,
    ) -> bytes:
        """One event, decided. `lists`: what is in force of each that the policy asks, or UNSET."""
        return self.append(
            Decision(  # nearly every entry is one, so its opening is spelled out
                VERSION,
                self.seq,
                self.head_hash,
                "decision",
                identifier,
                key,
                at_ms,
                source,
                digest,
                self.next,
                self.policy,
                *outcome,
                flags,
                features,
                signals,
                None,
                budget,
                lists,
            )
        )

    def duplicate(self, identifier: str, key: str, at_ms: int, source: Source, digest: str, first: int) -> bytes:
        """An event that entry `first` decided."""
        opening = self.place.opening("duplicate", source, digest, identifier=identifier, key=key, at_ms=at_ms)
        return self.append(Duplicate(*opening, first))

    def rejected(self, key: str | None, source: Source, digest: str | None, why: Rejection, length: int) -> bytes:
        """An input of `length` bytes that cannot be decided."""
        opening = self.place.opening("rejected", source, digest, key=key)
        return self.append(Rejected(*opening, why.reason, why.field, length))

    def policy_change(
        self,
        name: str,
        previous: str,
        offset: int,
        digest: str,
        *,
        at_ms: int,
        by: str,
        proposal: str | None = None,
    ) -> bytes:
        """The control record at `offset` has put the policy into force that `policy` now names."""
        self.next["control"] = offset + 1
        opening = self.place.opening("policy", ("control", 0, offset), digest, key=name, at_ms=at_ms)
        return self.append(PolicyChange(*opening, previous, by, msgspec.UNSET if proposal is None else proposal))

    def list_change(self, activation: Activation, offset: int, digest: str, replaces: str | None) -> bytes:
        """The control record at `offset` has put this version of a list into force."""
        self.next["control"] = offset + 1
        key = f"{activation.name}/{activation.list_name}"
        opening = self.place.opening("list", ("control", 0, offset), digest, key=key, at_ms=activation.at)
        content = activation.ref, activation.digest, activation.rows
        proposal = activation.proposal or msgspec.UNSET
        return self.append(ListChange(*opening, *content, replaces, activation.by, proposal))

    def gap(self, topic: str, to: int, *, at_ms: int, by: str, why: str) -> bytes:
        """Somebody decided to go on with offset `to` of `topic`."""
        due = self.next[topic]
        self.next[topic] = to
        return self.append(Gap(*self.place.opening("gap", at_ms=at_ms), topic, due, to, by, why))

    def begin_epoch(
        self,
        epoch: int,
        broken: Broken,
        following: Mapping[str, int],
        *,
        at_ms: int,
        by: str,
        why: str,
        accounts_from: int | msgspec.UnsetType = msgspec.UNSET,
    ) -> bytes:
        """Somebody decided to begin anew behind a broken head, and to go on at `following`."""
        self.epoch = epoch
        counted = dict.fromkeys([*self.next, *[TRANSFERS][: TRANSFERS in following]])
        self.next = {topic: following.get(topic, 0) for topic in counted}
        opening = self.place._replace(seq=0, prev=GENESIS).opening("epoch", at_ms=at_ms)
        return self.append(Epoch(*opening, epoch, broken, by, why, accounts_from))
