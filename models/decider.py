"""The dry kernel as a library: a notebook, a back-test, the unit test of a policy.

    >>> from sidechain.models import Decider
    >>> [one["action"] for one in Decider("web").decide(events)]
    ['allow', 'review']

One decider is one partition and one chain, from its genesis on. Nothing here talks to Kafka.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sidechain.models.dry import DeadLetter, Fold, Latest, LatestOf, Line, nothing_said, unknown
from sidechain.models.list_file import offline_control
from sidechain.models.list_rows import ListRows
from sidechain.models.pack_file import load_file, load_pack
from sidechain.models.policy import Policy

Event = Mapping[str, Any] | bytes | str
Outcome = Mapping[str, Any] | bytes | str


class Decider:
    """Decides events under one policy, as partition `partition` of a topic would."""

    def __init__(
        self,
        policy: Policy | str | Path,
        *,
        partition: int = 0,
        partitions: int | None = None,
        lists: Mapping[str, Any] | None = None,
    ) -> None:
        """`policy`: a loaded policy, the path of a pack file, or the name of a pack that comes with Sidechain.

        `partitions`: how many share the accounts of a policy with budgets; partition 0 alone is one of one, any other
        has to be told. Raises ValueError.

        `lists`: name -> the path of a file, the keys, or keys and values; in force from the first entry on, which is
        that of the first list. Raises `ListError`.
        """
        if isinstance(policy, str):
            policy = load_file(Path(policy)) if policy.endswith((".yaml", ".yml")) else load_pack(policy)
        elif isinstance(policy, Path):
            policy = load_file(policy)
        if partitions is None and partition == 0:
            partitions = 1
        if policy.budgeting is not None and partitions is None:
            raise ValueError(f"partition {partition} has its part of what accounts may spend: of how many partitions?")
        self.fold = Fold(policy, partition, partitions=partitions, keyed=False)
        self.dead_letters: list[DeadLetter] = []  # of the last call of `lines` or of the `decide` under way
        self._offset = 0
        self._outcomes = 0  # how many were folded
        self.opening: list[bytes] = []  # the entries of the lists
        control = offline_control(policy, lists or {})
        for record in control:
            folded = self.fold.control(record, rows=ListRows({one.offset: one for one in control}).of)
            self.opening += [value for _, value in folded.entries]
        self.fold.forget_changes()

    def decide(
        self, events: Iterable[Event], latest: Latest = unknown, latest_of: LatestOf = nothing_said
    ) -> Iterator[dict[str, Any]]:
        """One entry per event, as a dict; an event that cannot be decided yields one of kind `rejected`.

        The entries of lists come before them, and stand in `opening`.
        """
        for event in events:
            for sealed in self.lines([_written(event)], latest, latest_of):
                yield msgspec.json.decode(sealed)

    def outcomes(self, outcomes: Iterable[Outcome]) -> Iterator[dict[str, Any]]:
        """One entry per outcome, as a dict: of kind `settlement`, or `refused-outcome` with the reason."""
        for one in outcomes:
            for sealed in self.outcome_lines([_written(one)]):
                yield msgspec.json.decode(sealed)

    def outcome_lines(self, values: Iterable[bytes | None]) -> list[bytes]:
        """The sealed entries of a batch of outcome values, exactly as they would stand on the topic."""
        records = [Line(self._outcomes + at, None, value) for at, value in enumerate(values)]
        self._outcomes += len(records)
        folded = self.fold.outcomes(records)
        self.fold.forget_changes()
        self.dead_letters = folded.dead_letters
        return [value for _, value in folded.entries]

    def lines(
        self, values: Iterable[bytes | None], latest: Latest = unknown, latest_of: LatestOf = nothing_said
    ) -> list[bytes]:
        """The sealed entries of a batch of event values, exactly as they would stand on the topic."""
        records = [Line(self._offset + at, None, value) for at, value in enumerate(values)]
        self._offset += len(records)
        folded = self.fold.events(records, latest, latest_of)
        self.fold.forget_changes()
        self.dead_letters = folded.dead_letters
        return [value for _, value in folded.entries]


def _written(event: Event) -> bytes:
    """The event's bytes. NaN and half a character stay what they are, so that they are rejected here as on a topic."""
    if isinstance(event, bytes):
        return event
    text = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")
