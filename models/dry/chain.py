"""Checking a chain: are these the bytes that were sealed, and would the same inputs seal them again?

`Verifier` asks the first question of the entries alone. `Replayer` asks the second: it walks the chain, takes the input
each entry names, decides it anew and compares bytes. What the wet side said is read from the entry itself, so a replay
needs nothing from the wet side.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

import msgspec

from sidechain.models.dry.entry import GENESIS, VERSION, body_and_hash
from sidechain.models.dry.fold import Fold, InputRecord, LoadPolicy, nothing_learned
from sidechain.models.dry.program import SignalValue, UnknownSignal
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


class Verifier:
    """Checks seals and links of one chain, entry by entry, in constant memory."""

    def __init__(self, *, seq: int = 0, prev: str = GENESIS) -> None:
        self.count = 0
        self.seq = seq
        self.head = prev

    def take(self, line: bytes) -> Fault | None:
        """Check the next entry; after a fault the verifier must not be used further."""
        split = body_and_hash(line)
        if split is None:
            return self._fault(line, "not a sealed entry", "75 bytes of seal at its end", _shown(line[-75:]))
        body, stated = split
        digest = sha256(body).hexdigest()
        if digest != stated:
            return self._fault(line, "its bytes are not those that were sealed", stated[:16], digest[:16])
        opening = b'{"v":%d,"seq":%d,"prev":"%b",' % (VERSION, self.seq, self.head.encode())
        if not body.startswith(opening):
            return self._misplaced(line)
        self.seq += 1
        self.head = digest
        self.count += 1
        return None

    def _misplaced(self, line: bytes) -> Fault:
        try:
            opening = msgspec.json.decode(line, type=_Opening)
        except (ValueError, RecursionError):
            return self._fault(line, "not readable as an entry", "a JSON object", _shown(line[:60]))
        if opening.v != VERSION:
            return self._fault(line, "an unknown record version", str(VERSION), str(opening.v))
        if opening.seq != self.seq:
            return self._fault(line, "out of sequence", f"seq {self.seq}", f"seq {opening.seq}")
        return self._fault(line, "does not follow the entry before it", self.head[:16], opening.prev[:16])

    def _fault(self, line: bytes, problem: str, expected: str, found: str) -> Fault:
        try:
            seq: int | None = msgspec.json.decode(line, type=_Opening).seq
        except (ValueError, RecursionError):  # any bytes may stand here
            seq = None
        return Fault(self.count, seq, problem, expected, found)


InputOf = Callable[[str, int], InputRecord | None]  # logical topic, offset -> the record, None when it is gone


class Replayer:
    """Decides a chain anew from its genesis and compares every byte."""

    def __init__(
        self,
        policy: Policy,
        partition: int,
        input_of: InputOf,
        *,
        keyed: bool = True,
        load: LoadPolicy = nothing_learned,
        use_signals: bool = True,
    ) -> None:
        """`policy` is the one in force at genesis; `load` reads the texts of those activated later."""
        self.fold = Fold(policy, partition, keyed=keyed)
        self._input_of = input_of
        self._load = load
        self._use_signals = use_signals

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
        topic, partition, offset = wanted.source
        record = self._input_of(topic, offset)
        if record is None:
            where = f"{topic}, partition {partition}, offset {offset}"
            return Fault(
                self.fold.seq, wanted.seq, "its input is gone", where, "nothing: retained or exported too short"
            )
        if topic == "control":
            entries = self.fold.control(record, self._load).entries
        else:
            entries = self.fold.events([record], lambda _key: self._recorded(wanted.signals)).entries
        if len(entries) != 1:
            return Fault(self.fold.seq, wanted.seq, "its input yields no entry", "one entry", "none")
        return entries[0][1]

    def _recorded(self, signals: dict[str, "_Used"]) -> SignalValue | UnknownSignal | None:
        """What the wet side had said: one value for all signals, or none that any of them could use."""
        if not self._use_signals:
            return None
        for used in signals.values():
            if used.value is not None:
                return SignalValue(used.value, used.model, used.as_of, used.offset)
        return UnknownSignal({name: used.unknown for name, used in signals.items()})

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
    source: tuple[str, int, int]
    signals: dict[str, "_Used"] = {}


class _Used(msgspec.Struct):
    value: int | None = None
    model: str = ""
    as_of: int = 0
    offset: int = 0
    unknown: str = ""  # why there was no value


def _shown(value: bytes) -> str:
    return repr(value[:96])[2:-1]
