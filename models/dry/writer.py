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
from sidechain.models.dry.program import Outcome

Source = tuple[str, int, int]  # logical topic, partition, offset


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
            Decision(
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
        return self.append(
            Duplicate(
                VERSION,
                self.seq,
                self.head_hash,
                "duplicate",
                identifier,
                key,
                at_ms,
                source,
                digest,
                self.next,
                self.policy,
                first,
            )
        )

    def rejected(self, key: str | None, source: Source, digest: str | None, why: Rejection, length: int) -> bytes:
        """An input of `length` bytes that cannot be decided."""
        return self.append(
            Rejected(
                VERSION,
                self.seq,
                self.head_hash,
                "rejected",
                None,
                key,
                None,
                source,
                digest,
                self.next,
                self.policy,
                why.reason,
                why.field,
                length,
            )
        )

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
        return self.append(
            PolicyChange(
                VERSION,
                self.seq,
                self.head_hash,
                "policy",
                None,
                name,
                at_ms,
                ("control", 0, offset),
                digest,
                self.next,
                self.policy,
                previous,
                by,
                msgspec.UNSET if proposal is None else proposal,
            )
        )

    def list_change(self, activation: Activation, offset: int, digest: str, replaces: str | None) -> bytes:
        """The control record at `offset` has put this version of a list into force."""
        self.next["control"] = offset + 1
        return self.append(
            ListChange(
                VERSION,
                self.seq,
                self.head_hash,
                "list",
                None,
                f"{activation.name}/{activation.list_name}",
                activation.at,
                ("control", 0, offset),
                digest,
                self.next,
                self.policy,
                activation.ref,
                activation.digest,
                activation.rows,
                replaces,
                activation.by,
                activation.proposal or msgspec.UNSET,
            )
        )

    def gap(self, topic: str, to: int, *, at_ms: int, by: str, why: str) -> bytes:
        """Somebody decided to go on with offset `to` of `topic`."""
        due = self.next[topic]
        self.next[topic] = to
        return self.append(
            Gap(
                VERSION,
                self.seq,
                self.head_hash,
                "gap",
                None,
                None,
                at_ms,
                None,
                None,
                self.next,
                self.policy,
                topic,
                due,
                to,
                by,
                why,
            )
        )

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
        return self.append(
            Epoch(
                VERSION,
                0,
                GENESIS,
                "epoch",
                None,
                None,
                at_ms,
                None,
                None,
                self.next,
                self.policy,
                epoch,
                broken,
                by,
                why,
                accounts_from,
            )
        )
