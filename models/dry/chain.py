"""Checking a chain: are these the bytes that were sealed, and would the same inputs seal them again?

A chain is one epoch, unless somebody began another with `sidechain repair`: its first entry names the head it stands
behind, who decided it and why. What was broken before stays broken; a new epoch only says where rightness begins again.

`Verifier` asks the first question of the entries alone. `Replayer` asks the second: it walks the chain, takes the input
each entry names, decides it anew and compares bytes. What the wet side said is read from the entry itself, so a replay
needs nothing from the wet side.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import msgspec

from sidechain.models.dry.accounts import NotShared
from sidechain.models.dry.entry import (
    GENESIS,
    TRANSFERS,
    VERSION,
    Broken,
    Epoch,
    Gap,
    PolicyChange,
    body_and_hash,
    is_epoch,
    stated,
)
from sidechain.models.dry.fold import Fold, LoadPolicy, nothing_learned
from sidechain.models.dry.lists import Activation, Rows, RowsGone, Table, rows_from
from sidechain.models.dry.program import SignalValue, UnknownSignal
from sidechain.models.dry.records import InputRecord
from sidechain.models.dry.said import LatestOf
from sidechain.models.policy import Policy


class Fault(NamedTuple):
    """The first entry that is not what it must be."""

    position: int  # how many entries before it were right
    seq: int | None  # as the entry states it, where it can be read
    problem: str
    expected: str
    found: str

    def __str__(self) -> str:
        seq = "?" if self.seq is None else self.seq
        return f"entry {self.position} (states seq {seq}): {self.problem}; expected {self.expected}, found {self.found}"


@dataclass
class EpochReport:
    """What was found of one epoch of a chain."""

    number: int
    entries: int = 0  # that are right, from its first on
    head: str = GENESIS  # hash of the last of them
    fault: Fault | None = None
    begun: Epoch | None = None  # who began it, why, behind which head; None for epoch 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing was wrong with its entries. Where another epoch follows, ask who began that, and why."""
        return self.fault is None


class Verifier:
    """Checks seals and links of one chain, entry by entry, in constant memory.

    After a fault it may be given what follows: it passes over everything up to an `epoch` entry that names the broken
    head, and goes on from there.
    """

    def __init__(self, *, seq: int = 0, prev: str = GENESIS, epoch: int = 0) -> None:
        self.count = 0  # entries that were right, over all epochs
        self.seq = seq
        self.head = prev
        self.epochs: list[EpochReport] = []  # those that ended
        self._epoch = EpochReport(epoch)
        self._began = 0  # the count at which this epoch began
        self._last: bytes | None = None  # the record before this one, while the epoch is broken
        self._is_special = not seq  # the next entry may begin an epoch in its place

    @property
    def epoch(self) -> int:
        """The epoch the last entry is of."""
        return self._epoch.number

    @property
    def reports(self) -> Sequence[EpochReport]:
        """Every epoch so far, the one under way last."""
        self._close()
        return [*self.epochs, self._epoch]

    def take(self, line: bytes) -> Fault | None:
        """Check the next entry; the first fault of an epoch is returned, and nothing more until the next epoch."""
        split = body_and_hash(line)
        if split is None:
            return self._fault(line, "not a sealed entry", "75 bytes of seal at its end", _shown(line[-75:]))
        body, sealed = split
        digest = sha256(body).hexdigest()
        if digest != sealed:
            return self._fault(line, "its bytes are not those that were sealed", sealed[:16], digest[:16])
        opening = b'{"v":%d,"seq":%d,"prev":"%b",' % (VERSION, self.seq, self.head.encode())
        if self._is_special or not body.startswith(opening):
            return self._special(line, digest, body.startswith(opening))
        self.seq += 1
        self.head = digest
        self.count += 1
        return None

    def _special(self, line: bytes, digest: str, is_in_place: bool) -> Fault | None:
        if is_epoch(line):
            return self._begin(line, digest)
        if not is_in_place or self._last is not None:
            return self._misplaced(line)
        self._begun_with(digest)
        return None

    def _begin(self, line: bytes, digest: str) -> Fault | None:
        """An epoch entry: is it the one that may stand here?"""
        opening = msgspec.json.decode(line, type=Epoch)
        if self.count or self._epoch.fault:  # else the chain is kept from here on only
            if opening.epoch <= self.epoch:  # a greater step is no lie: with the records between them epochs are lost
                due = f"epoch {self.epoch + 1} or above"
                return self._break(line, Fault(self.count, 0, "begins the wrong epoch", due, f"epoch {opening.epoch}"))
            before = (self.seq - 1, self.head) if self._last is None else _names(stated(self._last))
            if _names(opening.broken) != before:
                expected, found = _named(before), _named(_names(opening.broken))
                return self._break(line, Fault(self.count, 0, "begins an epoch behind another head", expected, found))
            self._close()
            self.epochs.append(self._epoch)
        self._epoch = EpochReport(opening.epoch, begun=opening)
        self._began, self._last = self.count, None
        self._begun_with(digest)
        return None

    def _begun_with(self, digest: str) -> None:
        self.seq, self.head, self.count = 1, digest, self.count + 1
        self._is_special = False

    def _close(self) -> None:
        if self._epoch.fault is None:
            self._epoch.entries, self._epoch.head = self.count - self._began, self.head

    def _misplaced(self, line: bytes) -> Fault | None:
        try:
            opening = msgspec.json.decode(line, type=_Opening)
        except (ValueError, RecursionError):
            return self._fault(line, "not readable as an entry", "a JSON object", _shown(line[:60]))
        if opening.v != VERSION:
            return self._fault(line, "an unknown record version", str(VERSION), str(opening.v))
        if opening.seq != self.seq:
            return self._fault(line, "out of sequence", f"seq {self.seq}", f"seq {opening.seq}")
        return self._fault(line, "does not follow the entry before it", self.head[:16], opening.prev[:16])

    def _fault(self, line: bytes, problem: str, expected: str, found: str) -> Fault | None:
        if self._last is not None:
            self._last = line
            return None
        return self._break(line, Fault(self.count, stated(line).seq, problem, expected, found))

    def _break(self, line: bytes, fault: Fault) -> Fault:
        self._close()
        self._epoch.fault = self._epoch.fault or fault
        self._last, self._is_special = line, True
        return fault


def _names(broken: Broken) -> tuple[int | None, str | None]:
    return broken.seq, broken.hash


def _named(names: tuple[int | None, str | None]) -> str:
    seq, digest = names
    return f"seq {'?' if seq is None else seq}, hash {(digest or '?')[:16]}"


InputOf = Callable[[str, int], InputRecord | None]  # logical topic, offset -> the record, None when it is gone


def rows_of_inputs(input_of: InputOf) -> Rows:
    """The rows of lists, out of the control records among the inputs of a chain."""

    def value(offset: int) -> bytes | None:
        record = input_of("control", offset)
        return None if record is None else record.value

    return lambda offset, activation: rows_from(value, offset, activation)


class Replayer:
    """Decides a chain anew from its genesis and compares every byte."""

    def __init__(
        self,
        policy: Policy,
        partition: int,
        input_of: InputOf,
        *,
        partitions: int | None = None,
        keyed: bool = True,
        load: LoadPolicy = nothing_learned,
        use_signals: bool = True,
        known: Iterable[Policy] = (),
        rows: Rows | None = None,
    ) -> None:
        """`policy` is the one in force at genesis; `load` reads the texts of those activated later.

        `rows`: those of lists; by default they are looked up among the inputs, each time anew. `known`: further
        policies an epoch may begin under; those met on the way are remembered. `partitions`: how many share accounts;
        None: as many as the first entry says that used one.
        """
        self.fold = Fold(policy, partition, partitions=partitions, keyed=keyed)
        self._input_of = input_of
        self._load = load
        self._rows = rows or rows_of_inputs(input_of)
        self._use_signals = use_signals
        self._known = {one.ref: one for one in (*known, policy)}

    @classmethod
    def behind(
        cls,
        fold: Fold,
        input_of: InputOf,
        *,
        load: LoadPolicy = nothing_learned,
        known: Iterable[Policy] = (),
        rows: Rows | None = None,
    ) -> "Replayer":
        """A replay that goes on where a restored fold stands; what came before is believed."""
        self = cls(fold.policy, fold.partition, input_of, load=load, known=known, rows=rows)
        self.fold = fold
        return self

    def know(self, policies: Iterable[Policy]) -> None:
        """Further policies that entries may cite."""
        self._known.update((one.ref, one) for one in policies)

    def take(self, line: bytes) -> Fault | None:
        """Replay the next entry."""
        again = self.again(line)
        if isinstance(again, Fault) or again == line:
            return again if isinstance(again, Fault) else None
        return self._differs(line, again)

    def again(self, line: bytes) -> bytes | Fault:
        """The entry the kernel makes today of the input `line` names; the caller compares."""
        try:
            wanted = msgspec.json.decode(line, type=_Wanted)
        except (ValueError, RecursionError) as error:
            return Fault(self.fold.seq, None, "not readable as an entry", "a sealed entry", str(error))
        if wanted.source is None:
            return self._decided(line, wanted)
        topic, partition, offset = wanted.source
        partitions = wanted.partitions if wanted.budget is None else wanted.budget.partitions
        if partitions is not None and (fault := self._share_among(wanted, partitions)):
            return fault
        record = self._input_of(topic, offset)
        if record is None and wanted.kind == "policy" and topic == "control":
            return self._changed(line)
        if record is None:
            where = f"{topic}, partition {partition}, offset {offset}"
            return Fault(
                self.fold.seq, wanted.seq, "its input is gone", where, "nothing: retained or exported too short"
            )
        try:
            entries = self._entries(topic, record, wanted)
        except RowsGone as gone:
            return Fault(self.fold.seq, wanted.seq, "its input is gone", "the rows of every list in force", str(gone))
        except NotShared as unknown:
            due = "the number of partitions in its `budget`"
            return Fault(self.fold.seq, wanted.seq, "something must be reserved", due, str(unknown))
        if len(entries) != 1:
            return Fault(self.fold.seq, wanted.seq, "its input yields no entry", "one entry", "none")
        return entries[0][1]

    def _entries(self, topic: str, record: InputRecord, wanted: "_Wanted") -> list[tuple[bytes | None, bytes]]:
        if topic == "outcomes":
            return self.fold.outcomes([record]).entries
        if topic == TRANSFERS:
            return self.fold.transfers([record]).entries
        if topic != "control":
            recorded = self._recorded(wanted.signals)
            return self.fold.events([record], lambda _key: recorded, self._recorded_of(wanted.signals)).entries

        def rows(offset: int, activation: Activation) -> Table | None:
            table = self._rows(offset, activation)
            if table is None and wanted.kind == "list":
                raise RowsGone(f"the rows of {activation.ref}, at {_few(activation.chunks)}, are not on `control`")
            return table

        entries = self.fold.control(record, self._load, rows).entries
        self._known[self.fold.policy.ref] = self.fold.policy
        return entries

    def _share_among(self, wanted: "_Wanted", partitions: int) -> Fault | None:
        """How many partitions share the accounts is what the first entry that used one says, and all others too."""
        try:
            self.fold.share_among(partitions)
        except ValueError as fault:
            return Fault(
                self.fold.seq, wanted.seq, "its accounts are not those of the chain", str(fault), str(partitions)
            )
        return None

    def _changed(self, line: bytes) -> bytes | Fault:
        """A policy entry whose control record is gone: the text it cites says all but who sent it, and when."""
        try:
            change = msgspec.json.decode(line, type=PolicyChange)
            policy = self._known[change.policy]
        except (ValueError, RecursionError) as error:
            return Fault(self.fold.seq, None, "not readable as a policy entry", "an entry", str(error))
        except KeyError:
            due = f"the control record, or the text of {change.policy}"
            return Fault(self.fold.seq, change.seq, "its input is gone", due, "neither")
        if change.source[2] < self.fold.next["control"] or policy.ref == self.fold.policy.ref:
            return Fault(self.fold.seq, change.seq, "its input yields no entry", "one entry", "none")
        proposal = None if change.proposal is msgspec.UNSET else change.proposal
        return self.fold.change_policy(
            policy, change.source[2], change.digest, at_ms=change.at, by=change.by, proposal=proposal
        )

    def _decided(self, line: bytes, wanted: "_Wanted") -> bytes | Fault:
        """What a person decided consumes no input: made again from its own fields and where the chain stands."""
        try:
            if wanted.kind == "gap":
                gap = msgspec.json.decode(line, type=Gap)
                return self.fold.gap(gap.topic, gap.to, at_ms=gap.at, by=gap.by, why=gap.why)
            opening = msgspec.json.decode(line, type=Epoch)
            policy = self._known[opening.policy]
        except (ValueError, RecursionError) as error:
            return Fault(self.fold.seq, wanted.seq, "not readable as a repair", "an entry", str(error))
        except KeyError as missing:
            return Fault(self.fold.seq, wanted.seq, "what it names is unknown", "a topic or policy", str(missing))
        if self.fold.seq and opening.epoch <= self.fold.epoch:
            due = f"epoch {self.fold.epoch + 1} or above"
            return Fault(self.fold.seq, wanted.seq, "begins the wrong epoch", due, f"epoch {opening.epoch}")
        self.fold, sealed = Fold.begin_epoch(
            policy,
            self.fold.partition,
            opening.epoch,
            opening.broken,
            opening.next,
            at_ms=opening.at,
            by=opening.by,
            why=opening.why,
            accounts_from=opening.accounts_from,
            partitions=self.fold.partitions,
            keyed=self.fold.keyed,
        )
        return sealed

    def _recorded(self, signals: dict[str, "_Used"]) -> SignalValue | UnknownSignal | None:
        """What was said about the key: one value for all signals of it, or none that any of them could use."""
        if not self._use_signals:
            return None
        of_others = {one.name for one in self.fold.policy.signals if one.of is not None}
        for name, used in signals.items():
            if used.value is not None and name not in of_others:
                return SignalValue(used.value, used.model, used.as_of, used.offset)
        return UnknownSignal({name: used.unknown for name, used in signals.items()})

    def _recorded_of(self, signals: dict[str, "_Used"]) -> LatestOf:
        """What was said about something else than the key, signal by signal."""

        def latest_of(name: str, _about: str) -> SignalValue | UnknownSignal | None:
            used = signals.get(name) if self._use_signals else None
            if used is None:
                return None
            if used.value is None:
                return UnknownSignal({name: used.unknown})
            return SignalValue(used.value, used.model, used.as_of, used.offset)

        return latest_of

    def _differs(self, line: bytes, again: bytes) -> Fault:
        here, there = msgspec.json.decode(line), msgspec.json.decode(again)
        position = self.fold.seq - 1
        for name in there:
            if here.get(name) != there[name]:
                return Fault(position, here.get("seq"), f"`{name}` differs", str(there[name]), str(here.get(name)))
        return Fault(position, here.get("seq"), "the bytes differ", _shown(again), _shown(line))


class _Opening(msgspec.Struct):
    v: int
    seq: int
    prev: str


class _Wanted(msgspec.Struct):
    seq: int
    kind: str
    source: tuple[str, int, int] | None
    signals: dict[str, "_Used"] = {}
    budget: "_Budget | None" = None
    partitions: int | None = None  # of a debit or credit


class _Budget(msgspec.Struct):
    partitions: int


class _Used(msgspec.Struct):
    value: int | None = None
    model: str = ""
    as_of: int = 0
    offset: int = 0
    unknown: str = ""  # why there was no value


def _few(offsets: Sequence[int]) -> str:
    return f"offset {offsets[0]}" if len(offsets) == 1 else f"{len(offsets)} offsets from {min(offsets, default=0)} on"


def _shown(value: bytes) -> str:
    return repr(value[:96])[2:-1]
