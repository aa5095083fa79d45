"""One partition's chain as a fold: state and one input record in, state and at most one sealed entry out.

Rule 1: everything that can change a decision is an argument: the record, the policy, what the wet side said.
Rule 2: nothing here reads a clock, the environment or a random source, and nothing calls libm.
Rule 3: how records are batched changes nothing; `changes()` only says what to write down so far.
Replaying the inputs must yield the same bytes, because `replay.Replayer` compares bytes, not meanings.

A `Fold` has no way back: when its output could not be committed, throw it away and restore one from the log.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from sidechain.models.dry.budget import Budgets
from sidechain.models.dry.control import read_control
from sidechain.models.dry.deciding import Deciding
from sidechain.models.dry.entry import TRANSFERS, Broken, Next
from sidechain.models.dry.governance import Governor
from sidechain.models.dry.head import Head, StateMismatch, Tail, agreed, read_head
from sidechain.models.dry.lists import Activation, Content, Rows, Table, is_rows, list_ref, no_rows
from sidechain.models.dry.memory import Memory
from sidechain.models.dry.parse import Rejection
from sidechain.models.dry.program import Program
from sidechain.models.dry.records import KEY_MAX_BYTES, DeadLetter, InputRecord, Misplaced, cut, dead_letter, text_of
from sidechain.models.dry.said import Latest, LatestOf, nothing_said, unknown
from sidechain.models.dry.settling import judge
from sidechain.models.dry.state import HEAD_KEY, Change
from sidechain.models.dry.transferring import Sent, answer, as_sent
from sidechain.models.dry.writer import Writer
from sidechain.models.policy import Policy

LoadPolicy = Callable[[bytes], Policy]  # a policy's text -> the policy; raises ValueError


class Folded(NamedTuple):
    """What one call produced, in order."""

    entries: list[tuple[bytes | None, bytes]]  # key and sealed value
    dead_letters: list[DeadLetter]
    sent: Sequence[Sent] = ()  # what goes to other partitions in the same transaction


class FoldedOutcomes(NamedTuple):
    """What one call of `outcomes` produced, in order."""

    entries: list[tuple[bytes | None, bytes]]
    dead_letters: list[DeadLetter]
    misplaced: list[Misplaced]  # those that name another partition


def nothing_learned(_text: bytes) -> Policy:
    """The `load` of a run without control records."""
    raise ValueError("no control records are expected here")


class Fold:
    """The chain of one partition, from its genesis or from its last entry on."""

    def __init__(self, policy: Policy, partition: int, *, partitions: int | None = None, keyed: bool = True) -> None:
        """A chain that has no entry yet. `keyed`: records carry the key as Kafka records do.

        `partitions`: how many the topic has, which share the accounts of a policy with budgets; None: not known yet,
        `share_among` may tell it before the first such decision.
        """
        self.keyed = keyed
        program = Program(policy)
        self.writer = self._writing(partition, program.ref)
        self._memory = Memory(program, partition, partitions)
        self._deciding = Deciding(program, self._memory, self.writer)
        self._take(program)
        self._seq_written = 0

    @classmethod
    def restore(
        cls,
        partition: int,
        head_entry: bytes,
        state: Iterable[tuple[bytes, bytes | None]],
        policy: Policy,
        tables: Mapping[Content, Table] | None = None,
        *,
        partitions: int | None = None,
    ) -> "Fold":
        """Continue behind `head_entry`, the last entry of the chain, with the changelog's records up to it, in order.

        `tables`: the rows of the lists in force. Raises `StateMismatch` when the changelog's head is another entry,
        when its records are not those the head sums up or not such as this version knows, when its accounts are shared
        among another number of partitions, or when `policy` is not the one in force.
        """
        self = cls(policy, partition, partitions=partitions)
        records = dict(state)  # of several records for one name the last counts
        tail, head = agreed(partition, head_entry, read_head(partition, records.pop(HEAD_KEY, None)), policy.ref)
        self._continue(tail, head)
        try:
            self._memory.read(records, epoch=head.epoch, whole=head.digest is None)
        except ValueError as fault:
            raise StateMismatch(f"partition {partition}: state record {fault}") from fault
        if lost := self._memory.unknown_plans():
            raise StateMismatch(f"partition {partition}: the changelog lacks plan {', '.join(sorted(lost))}")
        if head.digest not in (None, self.state_digest):
            raise StateMismatch(
                f"partition {partition}: the state is not the one that stood at entry {head.seq}: its records sum up "
                f"to {self.state_digest}, and its head states {head.digest}"
            )
        self._memory.lists.fill(tables or {})
        self._deciding.take_lists()
        return self

    @staticmethod
    def policy_ref_of(entry: bytes) -> str:
        """The policy in force behind an entry: `web@3:7b1e0c92d4aa`."""
        return msgspec.json.decode(entry, type=Tail).policy

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._program.policy

    @property
    def watermark_ms(self) -> int:
        """The partition's clock: the latest event time counted; -1 before the first event."""
        return self._deciding.watermark_ms

    @property
    def partition(self) -> int:
        """The partition whose chain this is."""
        return self.writer.partition

    @property
    def epoch(self) -> int:
        """Of the chain: 0 until somebody began another."""
        return self.writer.epoch

    @property
    def seq(self) -> int:
        """Of the next entry."""
        return self.writer.seq

    @property
    def head_hash(self) -> str:
        """Of the last entry."""
        return self.writer.head_hash

    @property
    def next(self) -> Next:
        """The offset that is due of each logical input."""
        return self.writer.next

    def share_among(self, partitions: int) -> None:
        """So many partitions share the accounts. Raises ValueError when it is another number than before."""
        self._memory.accounts.share_among(partitions)

    @property
    def partitions(self) -> int | None:
        """How many partitions share the accounts; None: nobody has said."""
        return self._memory.accounts.partitions

    @property
    def budgets(self) -> Budgets | None:
        """The accounts, to be looked at; None until one was used."""
        return self._memory.accounts.budgets

    @property
    def governor(self) -> Governor | None:
        """What answers requests, to be looked at; None: the policy in force has no governance."""
        return self._memory.accounts.governor

    @property
    def keys(self) -> int:
        """How many keys are remembered."""
        return len(self._memory.by_key)

    def events(
        self, records: Sequence[InputRecord], latest: Latest = unknown, latest_of: LatestOf = nothing_said
    ) -> Folded:
        """Fold event records in, in order; each yields exactly one entry."""
        entries: list[tuple[bytes | None, bytes]] = []
        dead_letters: list[DeadLetter] = []
        parse, derive, ids = self._program.parse, self._program.derive, self._memory.ids
        decide, writer = self._deciding.decide, self.writer
        sent = self._deciding.sent = []
        for record in records:
            value = record.value
            event = parse(value)
            if event.__class__ is Rejection:
                entries.append(self._reject("events", record, event, dead_letters))
                continue
            derived = derive(event)
            key = derived[1].encode()
            if self.keyed and record.key != key:
                wrong = Rejection("null-key" if record.key is None else "key-mismatch")
                entries.append(self._reject("events", record, wrong, dead_letters))
                continue
            offset = record.offset
            writer.next["events"] = offset + 1
            source = ("events", writer.partition, offset)
            digest = sha256(value).hexdigest()  # type: ignore[arg-type]
            seq = writer.seq
            name, first = ids.first(derived[0], seq)
            if first is not None:
                line = writer.duplicate(derived[0], derived[1], derived[2], source, digest, first)
            else:
                line = decide(event, derived, source, digest, latest, latest_of)
                ids.add(name, seq)
            entries.append((key, line))
        return Folded(entries, dead_letters, sent)

    def outcomes(self, records: Sequence[InputRecord]) -> FoldedOutcomes:
        """Fold outcome records in, in order; each yields exactly one entry: a settlement or a refusal."""
        folded = FoldedOutcomes([], [], [])
        writer = self.writer
        for record in records:
            writer.next["outcomes"] = record.offset + 1
            judged = judge(record, writer.place, self._memory.ids, self._deciding.spend)
            folded.entries.append((judged.key, writer.append(judged.entry)))
            if judged.dead_letter is not None:
                folded.dead_letters.append(judged.dead_letter)
            if judged.misplaced is not None:
                folded.misplaced.append(judged.misplaced)
        return folded

    def transfers(self, records: Sequence[InputRecord]) -> Folded:
        """Fold in what other partitions ask and give, in order; each yields exactly one entry.

        `share_among` must have been told before.
        """
        sent: list[Sent] = []
        folded = Folded([], [], sent)
        writer = self.writer
        for record in records:
            writer.next[TRANSFERS] = record.offset + 1
            answered = answer(record, writer.place, self._memory.accounts.opened, self.watermark_ms)
            folded.entries.append((answered.key, writer.append(answered.entry)))
            if answered.dead_letter is not None:
                folded.dead_letters.append(answered.dead_letter)
            if answered.grant is not None:
                sent.append(as_sent(answered.grant))
        return folded

    def control(self, record: InputRecord, load: LoadPolicy = nothing_learned, rows: Rows = no_rows) -> Folded:
        """Fold one control record in: a `policy` or `list` entry, a rejection, or nothing when it is in force already.

        Records behind the position the chain has reached are passed over, as are other packs' policies and lists, and
        the rows of lists, which take effect through the record that names them.
        """
        if record.offset < self.next["control"] or is_rows(record.value):
            return Folded([], [])
        try:
            change = read_control(record.value or b"")
        except ValueError:
            return self._refused_control(record)
        if change.name != self.policy.name:
            return Folded([], [])
        digest = sha256(record.value or b"").hexdigest()
        if isinstance(change, Activation):
            return self._activated(change, record, digest, rows)
        if change.kind != "policy" or change.digest == self.policy.digest:
            return Folded([], [])
        try:
            policy = load(change.text.encode())
        except ValueError:
            return self._refused_control(record)
        if (policy.digest, policy.name) != (change.digest, change.name):
            return self._refused_control(record)
        sealed = self.change_policy(
            policy, record.offset, digest, at_ms=change.at, by=change.by, proposal=change.proposal
        )
        return Folded([(policy.name.encode(), sealed)], [])

    def change_policy(
        self, policy: Policy, offset: int, digest: str, *, at_ms: int, by: str, proposal: str | None = None
    ) -> bytes:
        """The `policy` entry of the control record at `offset` with this digest; from the next entry on it decides."""
        previous = self._program.ref
        program = Program(policy)
        self._memory.follow(program, at_ms)
        self._deciding.follow(program)
        self._take(program)
        return self.writer.policy_change(policy.name, previous, offset, digest, at_ms=at_ms, by=by, proposal=proposal)

    def change_list(self, activation: Activation, offset: int, digest: str, table: Table) -> bytes:
        """The `list` entry of the control record at `offset` with this digest; from the next on these rows count."""
        name, lists = activation.list_name, self._memory.lists
        before = lists.standing(name)
        lists.put(activation, offset, table)
        self._deciding.take_lists()
        replaces = None if before is None else list_ref(name, before.version, before.digest)
        return self.writer.list_change(activation, offset, digest, replaces)

    def gap(self, topic: str, to: int, *, at_ms: int, by: str, why: str) -> bytes:
        """Somebody decided to go on with offset `to` of `topic`: the inputs due before it are gone. The state stays."""
        return self.writer.gap(topic, to, at_ms=at_ms, by=by, why=why)

    @classmethod
    def begin_epoch(
        cls,
        policy: Policy,
        partition: int,
        epoch: int,
        broken: Broken,
        following: Next,
        *,
        at_ms: int,
        by: str,
        why: str,
        accounts_from: int | msgspec.UnsetType = msgspec.UNSET,
        partitions: int | None = None,
        keyed: bool = True,
    ) -> tuple["Fold", bytes]:
        """Somebody decided to begin the chain anew behind a broken head: an empty state that goes on at `following`.

        Accounts have nothing in periods that began before `accounts_from`, or else before `at_ms`, because nobody knows
        what was spent of them. A policy without accounts has no `accounts_from`.
        """
        self = cls(policy, partition, partitions=partitions, keyed=keyed)
        self.lose_accounts(epoch, at_ms if accounts_from is msgspec.UNSET else accounts_from)
        return self, self.writer.begin_epoch(
            epoch, broken, following, at_ms=at_ms, by=by, why=why, accounts_from=accounts_from
        )

    def lose_accounts(self, epoch: int, at_ms: int) -> None:
        """An epoch begins: what was spent and watched before `at_ms` nobody knows."""
        self._memory.accounts.begin_epoch(epoch, at_ms)

    @property
    def state_digest(self) -> str:
        """Over every record of the state, as the last `changes` left it or as it was restored."""
        return self._memory.digest

    def changes(self) -> list[Change]:
        """The state records that changed since the last call, the head last; empty when nothing did."""
        if self.seq == self._seq_written:
            return []
        self._seq_written = self.seq
        changed = self._memory.changes()
        head = Head(
            self.seq - 1,
            self.head_hash,
            self.partition,
            self._program.ref,
            self.watermark_ms,
            self.next,
            self.epoch,
            self.state_digest,
        )
        return [*changed, (HEAD_KEY, msgspec.json.encode(head))]

    def forget_changes(self) -> None:
        """Nobody writes this fold's state down: remember no longer what changed, or that alone would grow for ever."""
        self._seq_written = self.seq
        self._memory.forget_changes()

    def _activated(self, activation: Activation, record: InputRecord, digest: str, rows: Rows) -> Folded:
        lists, name = self._memory.lists, activation.list_name
        if lists.is_in_force(activation):
            return Folded([], [])
        declared = next((one for one in self.policy.lists if one.name == name), None)
        table = None
        if lists.has_room(name) and (declared is None or activation.is_of(declared)):
            table = rows(record.offset, activation)
        if table is None:
            return self._refused_control(record)
        sealed = self.change_list(activation, record.offset, digest, table)
        return Folded([(f"{activation.name}/{name}".encode(), sealed)], [])

    def _refused_control(self, record: InputRecord) -> Folded:
        dead_letters: list[DeadLetter] = []
        return Folded([self._reject("control", record, Rejection("bad-control"), dead_letters)], dead_letters)

    def _reject(
        self, topic: str, record: InputRecord, why: Rejection, dead_letters: list[DeadLetter]
    ) -> tuple[bytes | None, bytes]:
        value = record.value
        digest = None if value is None else sha256(value).hexdigest()
        source = (topic, self.writer.partition if topic == "events" else 0, record.offset)
        self.writer.next[topic] = record.offset + 1
        dead_letters.append(dead_letter(record, topic, source[1], why, digest))
        line = self.writer.rejected(text_of(record.key), source, digest, why, len(value or b""))
        return cut(record.key, KEY_MAX_BYTES), line

    def _writing(self, partition: int, policy: str) -> Writer:
        return Writer(partition, policy)

    def _take(self, program: Program) -> None:
        self._program = program
        self.writer.policy = program.ref
        if program.policy.shares_accounts:
            self.writer.next.setdefault(TRANSFERS, 0)

    def _continue(self, tail: Tail, head: Head) -> None:
        writer = self.writer
        writer.seq = self._seq_written = tail.seq + 1
        writer.head_hash = tail.hash
        writer.next = tail.next
        writer.epoch = head.epoch
        self._deciding.watermark_ms = head.watermark_ms
