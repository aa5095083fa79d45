"""A chain walked a second time under another policy: each of its inputs, as it was decided and as it would have been.

Rule 1: the inputs are those of the chain's entries, in the chain's order, decided by the same kernel.
Rule 2: the candidate is in force from the chain's first entry on; `policy` entries are passed over. What it is held
        against is what was sealed, whichever policies sealed it. Lists come into force where they did.
Rule 3: of signals it sees what the entries recorded, and applies its own bounds and ages to them. A signal that the
        policy of the time did not ask for, or had no value of, is unknown; so are all of what was not decided then.
Rule 4: repetitions, rejections, windows and evictions are its own, worked out anew.
Rule 5: transfers between partitions are those that were made.
Rule 6: where somebody began another epoch the candidate too begins with an empty memory, and with accounts of which
        nobody knows what was spent; a gap changes nothing.

Entries are believed, not checked: that is for `verify` to do. Inputs are held against their digests.

So a back-test equals what workers would have sealed that were started with the candidate on the same inputs.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from sidechain.models.compare import Judged, Pair, judged, names_of
from sidechain.models.dry.entry import TRANSFERS, Decision, Duplicate, Rejected, Sealed
from sidechain.models.dry.lists import Activation, Rows, RowsGone, Table
from sidechain.models.dry.program import SealedSignals, SignalValue, UnknownSignal
from sidechain.models.dry.records import InputRecord, Line
from sidechain.models.dry.rehearsal import Rehearsal
from sidechain.models.dry.replay import rows_of_inputs
from sidechain.models.late_labels import Told
from sidechain.models.policy import Policy

FORGET_EVERY: Final = 1_024  # inputs; nobody writes the candidate's state down

InputOf = Callable[[str, int], InputRecord | None]  # logical topic, offset -> the record, None when it is not there


class Mismatch(ValueError):  # noqa: N818 - named for what it is
    """Entries, inputs and candidate that do not belong together, in a sentence."""


class Candidate:
    """One partition's chain under another policy."""

    def __init__(
        self,
        policy: Policy,
        partition: int,
        input_of: InputOf,
        *,
        partitions: int | None = None,
        keyed: bool = True,
    ) -> None:
        """`input_of` is asked in the order of the entries. `keyed`: records carry the key as Kafka records do.

        `partitions`: how many share the accounts of a candidate with budgets, where no entry has said so before.
        """
        self.policy = policy
        self.partition = partition
        self.record: InputRecord | None = None  # the input of the last pair
        self.told: Told | None = None  # what the last entry says of an earlier input
        self.begun = 0  # how often an epoch began
        self._input_of = input_of
        self._rows_of = rows_of_inputs(input_of)
        self._keyed = keyed
        self._partitions = partitions if policy.budgeting is not None else None
        self._made: list[Sealed] = []
        self._fold = self._begun()
        self._due = 0  # the seq the next entry must state
        self._last_ms: int | None = None
        self._broken: Mismatch | None = None  # why nothing counts for now

    def take(self, line: bytes) -> Pair | None:
        """The next entry of the chain; None when it is of no event. Raises `Mismatch`.

        Of an outcome, `told` is what it says. Behind what is no entry, or stands in the wrong place, nothing counts
        until somebody began another epoch.
        """
        self.told = None
        try:
            was = _decode(line)
        except (ValueError, RecursionError) as error:
            self._broken = self._broken or Mismatch(f"what stands where entry {self._due} was due is none: {error}")
            return None
        if was.kind == "epoch":
            self._fold, self._due, self._broken = self._begun(), 1, None
            self.begun += 1
            if was.epoch is not None and was.at is not None:
                self._fold.lose_accounts(was.epoch, was.at if was.accounts_from is None else was.accounts_from)
        if self._broken or was.kind == "epoch":
            return None
        self._check_place(was)
        if self._broken or was.source is None:
            return None
        topic, partition, offset = was.source
        if topic == "control":
            self._control(was, offset)
            return None
        if topic == "outcomes":
            self._outcome(was, offset)
            if was.kind == "settlement" and was.label is not None and was.settles is not None:
                self.told = Told(was.settles, was.label == "bad")
        if topic == TRANSFERS:
            self._transfer(was, offset)
        if topic != "events":
            return None
        if partition != self.partition:
            raise Mismatch(f"entry {was.seq} is of partition {partition}, and the chain is of {self.partition}")
        record = self._input_of(topic, offset)
        if record is None:
            raise Mismatch(
                f"entry {was.seq} was made of the event at offset {offset}, which is not there: the events end before "
                "the decisions do, or are others"
            )
        return self._pair(was, record)

    @property
    def broken(self) -> str:
        """Why nothing counts for now; empty where the chain is whole so far."""
        return "" if self._broken is None else str(self._broken)

    def finish(self) -> None:
        """The chain is at its end. Raises `Mismatch` where it is broken and no epoch begins behind that."""
        if self._broken:
            raise self._broken

    def _pair(self, was: "_Was", record: InputRecord) -> Pair:
        try:
            before, said = _judged(was), _heard(bytes(was.signals)).said
        except (ValueError, RecursionError) as error:
            raise Mismatch(f"entry {was.seq} is none this version reads: {error}") from None
        self.record = record
        if was.budget is not None and self.policy.budgeting is not None:
            self._share_among(was, was.budget.partitions)
        self._fold.events([record], lambda _key: said, lambda _signal, _about: said)
        now = self._made.pop()
        if self._made or not isinstance(now, Decision | Duplicate | Rejected):
            raise AssertionError("an event made something else than one entry")
        if now.digest != was.digest:
            raise Mismatch(
                f"entry {was.seq} was made of an input with SHA-256 {_short(was.digest)}, and at offset "
                f"{record.offset} stands one with {_short(now.digest)}: these events do not belong to these decisions"
            )
        if not self._fold.seq % FORGET_EVERY:
            self._fold.forget_changes()
        at_ms = now.at if was.at is None else was.at
        if at_ms is not None:
            self._last_ms = at_ms
        # An input nobody could read counts where it stands.
        identifier = now.id if was.id is None else was.id
        return Pair(self.partition, was.seq, was.policy, identifier, self._last_ms, before, judged(now))

    def _check_place(self, was: "_Was") -> None:
        if was.seq != self._due:
            if not self._due:
                raise Mismatch(
                    f"the chain begins with entry {was.seq}; what came before it is needed too, because the candidate "
                    "has to remember what it would have remembered"
                )
            self._broken = Mismatch(f"entry {was.seq} stands where entry {self._due} was due: some are missing")
            return
        self._due += 1
        if (pack := was.policy.partition("@")[0]) != self.policy.name:
            raise Mismatch(
                f"the decisions were made under pack {pack}, and the candidate is a policy of pack {self.policy.name}"
            )

    def _control(self, was: "_Was", offset: int) -> None:
        """What came into force beside policies is in force for the candidate too."""
        record = self._input_of("control", offset)
        if record is None and was.kind == "list":
            raise Mismatch(
                f"entry {was.seq} put a list in force, and its control record is not here: topics and exports "
                "have it, and beside files --lists names the rows"
            )
        if record is None or _is_policy(record.value):
            return
        try:
            self._fold.control(record, rows=self._rows(was))
        except RowsGone as gone:
            raise Mismatch(f"entry {was.seq}: {gone}") from None
        self._made.clear()

    def _rows(self, was: "_Was") -> Rows:
        """The rows of lists; those of one that was in force must be there."""

        def rows(offset: int, activation: Activation) -> Table | None:
            table = self._rows_of(offset, activation)
            if table is None and was.kind == "list":
                raise RowsGone(f"the rows of {activation.ref} are not on `control`")
            return table

        return rows

    def _outcome(self, was: "_Was", offset: int) -> None:
        """It counts as an entry where a horizon is counted in entries, and what it cost counts in accounts.

        Of one that is gone the settlement says what it said.
        """
        self._fold.outcomes([self._input_of("outcomes", offset) or Line(offset, None, _said(was))])
        self._made.clear()

    def _share_among(self, was: "_Was", partitions: int) -> None:
        """Entries know among how many partitions accounts are shared."""
        if self._partitions not in (None, partitions):
            raise Mismatch(
                f"entry {was.seq} shares its accounts among {partitions} partitions, and {self._partitions} were "
                f"assumed: --partitions {partitions}"
            )
        self._partitions = partitions
        try:
            self._fold.share_among(partitions)
        except ValueError as fault:
            raise Mismatch(f"entry {was.seq}: {fault}") from None

    def _transfer(self, was: "_Was", offset: int) -> None:
        """What other partitions asked and gave is taken as it came: what they would have asked instead, nobody knows.

        Of one that is gone its entry says all.
        """
        if was.partitions is not None:
            self._share_among(was, was.partitions)
        self._fold.transfers([self._input_of(TRANSFERS, offset) or Line(offset, None, bytes(was.transfer))])
        self._made.clear()

    def _begun(self) -> Rehearsal:
        if self._partitions is not None and self.partition >= self._partitions:
            raise Mismatch(
                f"this is partition {self.partition}, and {self._partitions} in all were assumed: --partitions says "
                "how many share the accounts"
            )
        return Rehearsal(self.policy, self.partition, self._made.append, partitions=self._partitions, keyed=self._keyed)


class _Used(msgspec.Struct, gc=False):
    value: int | None = None
    model: str = ""
    as_of: int = 0
    offset: int = 0
    unknown: str = ""  # why there was no value


class _Was(msgspec.Struct, gc=False):
    """What is read of a sealed entry."""

    seq: int
    kind: str
    policy: str
    source: tuple[str, int, int] | None
    digest: str | None
    id: str | None = None
    at: int | None = None
    action: str = ""
    reasons: msgspec.Raw = msgspec.Raw(b"[]")
    flags: tuple[str, ...] = ()
    signals: msgspec.Raw = msgspec.Raw(b"null")
    reason: str | None = ""
    budget: "_Budget | None" = None
    epoch: int | None = None
    accounts_from: int | None = None
    settles: int | None = None
    label: str | None = None
    cost_minor: int | None = None
    partitions: int | None = None  # of a debit or credit, as is the next
    transfer: msgspec.Raw = msgspec.Raw(b"")


class _Budget(msgspec.Struct, gc=False):
    partitions: int


class _Heard(NamedTuple):
    """What an entry records of its signals."""

    said: SealedSignals | None
    unknown: tuple[str, ...]


_decode: Final = msgspec.json.Decoder(_Was).decode
_decode_reasons: Final = msgspec.json.Decoder(tuple[tuple[Any, ...], ...]).decode
_decode_signals: Final = msgspec.json.Decoder(dict[str, _Used] | None).decode


# Most entries say the same as one a moment ago; read each text once. How many are remembered changes speed only.
@lru_cache(maxsize=16_384)
def _names(reasons: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return names_of(_decode_reasons(reasons))


@lru_cache(maxsize=4_096)
def _heard(signals: bytes) -> _Heard:
    used = _decode_signals(signals)
    if not used:
        return _Heard(None, ())
    said = {
        name: UnknownSignal({name: one.unknown})
        if one.value is None
        else SignalValue(one.value, one.model, one.as_of, one.offset)
        for name, one in used.items()
    }
    return _Heard(SealedSignals(said), tuple(name for name, one in used.items() if one.value is None))


class _Kind(msgspec.Struct):
    kind: str = ""


def _is_policy(value: bytes | None) -> bool:
    try:
        return msgspec.json.decode(value or b"", type=_Kind).kind == "policy"
    except (ValueError, RecursionError):
        return True  # what was no control record then is none now


def _said(was: _Was) -> bytes | None:
    """The outcome that a settlement is of, as far as it says; None for one that settled nothing."""
    if was.kind != "settlement":
        return None
    return msgspec.json.encode({"id": was.id, "at": was.at, "label": was.label, "cost_minor": was.cost_minor})


def _judged(was: _Was) -> Judged:
    if was.kind != "decision":
        return Judged(was.kind, reason=was.reason or "")
    return Judged(was.action, *_names(bytes(was.reasons)), _heard(bytes(was.signals)).unknown, was.flags)


def _short(digest: str | None) -> str:
    return "none (no value)" if digest is None else f"{digest[:16]}…"
