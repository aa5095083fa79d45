"""Replaying a chain: would the same inputs seal the same bytes again?

`Replayer` walks the chain, takes the input each entry names, decides it anew and compares bytes. What the wet side said
is read from the entry itself, so a replay needs nothing from the wet side.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from sidechain.models.dry.accounts import NotShared
from sidechain.models.dry.chain import Fault, shown
from sidechain.models.dry.entry import TRANSFERS, Epoch, Gap, PolicyChange
from sidechain.models.dry.fold import Fold, LoadPolicy, nothing_learned
from sidechain.models.dry.lists import Activation, Rows, RowsGone, Table, rows_from
from sidechain.models.dry.program import SignalValue, UnknownSignal
from sidechain.models.dry.records import InputRecord
from sidechain.models.dry.said import LatestOf
from sidechain.models.policy import Policy

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
        return Fault(position, here.get("seq"), "the bytes differ", shown(again), shown(line))


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
