"""What one partition remembers: features by key and over the partition, ids, accounts, and what its records follow.

Told of each policy that comes into force. It says what changed since it was last asked, as records of the changelog
(`state.py` shows them), and is read back from them.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256

import msgspec

from sidechain.models.dry.accounts import BUDGET_PREFIXES, Accounts
from sidechain.models.dry.lists import LIST_PREFIX, Lists
from sidechain.models.dry.program import Program
from sidechain.models.dry.settled import SETTLED_PREFIX
from sidechain.models.dry.state import (
    IDS_PREFIX,
    KEY_PREFIX,
    PARTITION_KEY,
    PLAN_PREFIX,
    POLICY_PREFIX,
    Change,
    Ids,
    Plan,
    Table,
    digest_text,
)


class Memory:
    """The tables of a partition, and which plans and policies stand on the changelog beside them."""

    def __init__(self, program: Program, partition: int, partitions: int | None) -> None:
        """Nothing is remembered yet. `partitions`: those that share accounts; None: not known yet."""
        self._plans: dict[str, Plan] = {}  # every plan met; a batch may write slots of one that is no longer in force
        self._plans_written: set[str] = set()
        self._policies: dict[str, bytes] = {}  # texts that came into force and are not on the changelog yet
        self._policies_written: set[str] = set()
        by_key, by_partition = self._know(program)
        self.by_key = Table(KEY_PREFIX, by_key, program.policy.max_keys)
        self.by_partition = Table(PARTITION_KEY, by_partition, 1)
        self.ids = Ids(program.policy.event.duplicate_horizon)
        self.lists = Lists()
        self.accounts = Accounts(partition, partitions, program)

    def follow(self, program: Program, at_ms: int) -> None:
        """This policy is in force, by a control record of `at_ms`; what it shares with the one before goes on."""
        by_key, by_partition = self._know(program)
        self.by_key.change(by_key, program.policy.max_keys)
        self.by_partition.change(by_partition, 1)
        self.ids.change_horizon(program.policy.event.duplicate_horizon)
        self.accounts.follow(program, at_ms)

    @property
    def digest(self) -> str:
        """Over every record, as the last `changes` left it or as it was read."""
        ids = self.ids.total + self.ids.settled.total
        return digest_text(self.by_key.total + self.by_partition.total + ids + self.lists.total + self.accounts.total)

    def changes(self) -> list[Change]:
        """The records that changed since the last call."""
        return [
            *self._policy_changes(),
            *self._plan_changes(),
            *self.by_key.changes(),
            *self.by_partition.changes(),
            *self.ids.changes(),
            *self.ids.settled.changes(),
            *self.lists.changes(),
            *self.accounts.changes(),
        ]

    def forget_changes(self) -> None:
        """Nobody writes them down."""
        for one in (self.by_key, self.by_partition, self.ids, self.ids.settled, self.lists, self.accounts):
            one.forget_changes()

    def read(self, records: Mapping[bytes, bytes | None], *, epoch: int, whole: bool) -> None:
        """The records of a changelog but for its head, of an epoch. Raises ValueError for one that cannot be read."""
        live = ((name, value) for name, value in records.items() if value is not None)
        others: list[tuple[bytes, bytes]] = []
        budgets: list[tuple[bytes, bytes]] = []
        self.by_key.restore(_of_keys(live, others), whole=whole)
        for name, value in others:
            if name == PARTITION_KEY:
                self.by_partition.restore([(name, value)], whole=whole)
                continue
            if name.startswith(BUDGET_PREFIXES):
                budgets.append((name, value))
                continue
            try:
                self._learn(name, value)
            except (ValueError, TypeError, RecursionError) as fault:  # any bytes may stand there
                raise ValueError(f"{name!r} cannot be read: {fault}") from fault
        self.accounts.restore(budgets, epoch)

    def unknown_plans(self) -> set[str]:
        """Plans that records follow and that stand nowhere."""
        return self.by_key.unknown_plans() | self.by_partition.unknown_plans()

    def _know(self, program: Program) -> tuple[Plan, Plan]:
        plans = Plan(program.key_steps, program.key_plan), Plan(program.partition_steps, program.partition_plan)
        self._plans |= {one.name: one for one in plans}
        if program.policy.digest not in self._policies_written:
            self._policies[program.policy.digest] = program.policy.text.encode()
        return plans

    def _learn(self, name: bytes, value: bytes) -> None:
        if name.startswith(IDS_PREFIX):
            self.ids.restore(name, value)
        elif name.startswith(SETTLED_PREFIX):
            self.ids.settled.restore(name, value)
        elif name.startswith(PLAN_PREFIX):
            plan, definitions = name.removeprefix(PLAN_PREFIX).decode(), msgspec.json.decode(value, type=list[str])
            self.by_key.know(plan, definitions)
            self.by_partition.know(plan, definitions)
            self._plans_written.add(plan)
        elif name.startswith(LIST_PREFIX):
            self.lists.restore(name, value)
        elif name.startswith(POLICY_PREFIX):
            self._learn_policy(name.removeprefix(POLICY_PREFIX).decode(), value)
        else:
            raise ValueError("it is of no kind this version knows")

    def _learn_policy(self, digest: str, text: bytes) -> None:
        if sha256(text).hexdigest() != digest:
            raise ValueError("its text is not the one its name says")
        self._policies_written.add(digest)
        self._policies.pop(digest, None)

    def _policy_changes(self) -> Iterator[Change]:
        for digest, text in self._policies.items():
            yield POLICY_PREFIX + digest.encode(), text
        self._policies_written.update(self._policies)
        self._policies.clear()

    def _plan_changes(self) -> Iterator[Change]:
        for name, plan in self._plans.items():
            if name not in self._plans_written:
                self._plans_written.add(name)
                yield PLAN_PREFIX + name.encode(), msgspec.json.encode(plan.definitions)


def _of_keys(
    records: Iterable[tuple[bytes, bytes]], others: list[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, bytes]]:
    """The records of keys; the few others are put aside."""
    for one in records:
        if one[0].startswith(KEY_PREFIX):
            yield one
        else:
            others.append(one)
