"""One fuzzed chain: hostile inputs through the real kernel, and books kept over what it made of each.

    every event         one entry (decision, duplicate or rejected), a dead letter if and only if rejected
    every control       one entry (policy or rejected), or none: in force already, or another pack's
    every transfer      one entry (debit, credit or rejected)
    every metadata      no entry, whatever it says

An event nothing was done to is never rejected. Each entry is sealed, follows the one before it, names its input and
holds that input's digest. State stays within the policy's bounds, a state written down and read back decides the rest
to the same bytes, and so does a replay.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec

from sidechain.agents.lane.metadata import MetadataTable
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.chain import Verifier
from sidechain.models.dry.parse import REASONS
from sidechain.models.dry.replay import Replayer
from sidechain.models.pack_file import load
from sidechain.models.policy import Policy
from tests.dumb_ledger import ledger
from tests.fuzz.inputs import PARTITION, Given, Source
from tests.fuzz.packs import NAMES, policy_of, valid_events

LENGTH: Final = 1_000  # inputs of one chain
GROUP: Final = 24  # events decided at once, at most
KEY_RECORD_BYTES: Final = 64 * 1024  # no key's state is larger under the packs fuzzed here
PARTITIONS: Final = 5  # share the accounts
SHRINKING: Final = 500  # attempts to show a finding with fewer inputs

LOADED: dict[str, tuple[Policy, list[dict[str, Any]]]] = {}  # by name; a process loads each once
READ: dict[bytes, Policy] = {}  # policies by their text, as a worker remembers them


# What becomes of an input; the counts of these add up to the inputs.
FATES: Final = ("decision", "duplicate", "rejected", "policy", "debit", "credit", "control ignored", "metadata")

KINDS: Final = {"events": ("decision", "duplicate"), "control": ("policy",), "transfers": ("debit", "credit")}


class Finding(Exception):  # noqa: N818 - what fuzzing is for
    """Something that must not be: an exception of the kernel, or an account that is wrong."""


class _Entry(msgspec.Struct):
    kind: str
    source: tuple[str, int, int]
    digest: str | None
    next: dict[str, int]
    reason: str | None = None
    action: str | None = None


def pack_and_mode(number: int) -> tuple[str, bool]:
    """Which pack chain `number` is about, and whether records carry keys."""
    return NAMES[number % len(NAMES)], number // len(NAMES) % 2 == 0


def inputs_of(seed: int, number: int, length: int = LENGTH) -> list[Given]:
    """The inputs of one chain: the same for the same seed and number."""
    policy, valid = loaded(pack_and_mode(number)[0])
    source = Source(policy, valid, random.Random(f"{seed}/{number}"))
    return [source.next() for _ in range(length)]


def run(number: int, inputs: Sequence[Given]) -> Counter[str]:
    """Decide them; returns how many became what. Raises Finding."""
    name, keyed = pack_and_mode(number)
    policy, _ = loaded(name)
    try:
        chain = _Chain(policy, keyed, number)
        for group in _groups(inputs, random.Random(number)):
            chain.take(group)
        chain.close()
    except Finding:
        raise
    except Exception as fault:
        raise Finding(f"{type(fault).__name__}: {fault}") from fault
    return chain.counts


def loaded(name: str) -> tuple[Policy, list[dict[str, Any]]]:
    """A pack and valid events of it."""
    if name not in LOADED:
        policy = policy_of(name)
        LOADED[name] = policy, valid_events(policy)
    return LOADED[name]


def read(text: bytes) -> Policy:
    """What a worker does with an activated policy's text. Raises ValueError."""
    if text not in READ:
        READ[text] = load(text, name="control")
        if len(READ) > 500:
            del READ[next(iter(READ))]
    return READ[text]


class _Chain:
    def __init__(self, policy: Policy, keyed: bool, number: int) -> None:
        self.counts: Counter[str] = Counter()
        self._first_policy = policy
        self._keyed = keyed
        self._fold = Fold(policy, PARTITION, partitions=PARTITIONS, keyed=keyed)
        self._table = MetadataTable(str, max_keys=50)
        self._verifier = Verifier()
        self._state: dict[bytes, bytes] = {}
        self._lines: list[bytes] = []
        self._sound: set[int] = set()
        self._events: dict[int, Line] = {}
        self._transfers: dict[int, Line] = {}
        self._control: dict[int, Line] = {}
        self._restores = number % 2 == 0 and keyed  # a restored fold reads records as Kafka brings them
        self._replays = number % 3 == 0

    def take(self, group: Sequence[Given]) -> None:
        """A few inputs of one topic."""
        topic = group[0].topic
        self._sound = {one.offset for one in group if one.is_sound}
        records = [Line(one.offset, one.key, one.value) for one in group]
        if topic == "metadata":
            self._table.take(records)
            self.counts["metadata"] += len(records)
            return
        if topic == "control":
            for record in records:
                self._control[record.offset] = record
                self._account(topic, [record], self._fold.control(record, read), optional=True)
        elif topic == "transfers":
            self._transfers |= {one.offset: one for one in records}
            self._account(topic, records, self._fold.transfers(records))
        else:
            self._events |= {one.offset: one for one in records}
            self._account(topic, records, self._fold.events(records, self._table.latest))
        self._write_state()

    def close(self) -> None:
        """What must hold of the whole chain."""
        if self._replays:
            self._replay()
        found = ledger([(PARTITION, map(msgspec.json.decode, self._lines))])[PARTITION]
        self.counts["balances"] += found.checked

    def _account(self, topic: str, records: Sequence[Line], folded: Any, optional: bool = False) -> None:
        lines = [value for _, value in folded.entries]
        if optional and not lines:
            _check(not folded.dead_letters, "a dead letter without an entry")
            self.counts["control ignored"] += len(records)
            return
        _check(len(lines) == len(records), f"{len(lines)} entries for {len(records)} records of {topic}")
        letters = iter(folded.dead_letters)
        for record, line in zip(records, lines, strict=True):
            fault = self._verifier.take(line)
            _check(fault is None, f"not sealed or linked: {fault}")
            entry = msgspec.json.decode(line, type=_Entry)
            place = 0 if topic == "control" else PARTITION
            _check(entry.source == (topic, place, record.offset), f"entry of {entry.source}")
            _check(entry.next[topic] == record.offset + 1, "it does not say where to go on")
            digest = None if record.value is None else sha256(record.value).hexdigest()
            _check(entry.digest == digest, "the digest is not the input's")
            if entry.kind == "rejected":
                _check(entry.reason in REASONS, f"reason {entry.reason}")
                _check(topic != "events" or record.offset not in self._sound, f"a sound event: {entry.reason}")
                self.counts[f"rejected: {entry.reason}"] += 1
                self._letter(next(letters, None), record, entry)
            else:
                _check(entry.kind in KINDS[topic], f"{entry.kind} of {topic}")
            self.counts[entry.kind] += 1
        _check(next(letters, None) is None, "more dead letters than rejected")
        self._lines += lines

    def _letter(self, letter: Any, record: Line, entry: _Entry) -> None:
        _check(letter is not None, "rejected without a dead letter")
        told = dict(letter.headers)
        _check(told["dlq.reason"].decode() == entry.reason, "the dead letter gives another reason")
        _check(int(told["dlq.offset"]) == record.offset, "the dead letter is of another record")
        _check((letter.value or b"") == (record.value or b"")[:900_000], "the dead letter holds other bytes")

    def _write_state(self) -> None:
        for name, value in self._fold.changes():
            if value is None:
                self._state.pop(name, None)
            else:
                _check(
                    not name.startswith(b"k:") or len(value) <= KEY_RECORD_BYTES, f"{name[:40]!r} takes {len(value)}"
                )
                self._state[name] = value
        policy = self._fold.policy
        keys = sum(name.startswith(b"k:") for name in self._state)
        _check(keys == self._fold.keys <= policy.max_keys, f"{keys} keys written, {self._fold.keys} held")
        blocks = sum(name.startswith(b"ids:") for name in self._state)
        _check(blocks <= policy.event.duplicate_horizon // 256 + 1, f"{blocks} blocks of ids")
        if self._restores and self._lines:
            self._fold = Fold.restore(PARTITION, self._lines[-1], self._state.items(), policy, partitions=PARTITIONS)

    def _replay(self) -> None:
        inputs = {"events": self._events, "control": self._control, "transfers": self._transfers}
        replayer = Replayer(
            self._first_policy, PARTITION, lambda topic, at: inputs[topic].get(at), keyed=self._keyed, load=read
        )
        for line in self._lines:
            fault = replayer.take(line)
            _check(fault is None, f"replay: {fault}")
        self.counts["of them replayed"] += len(self._lines)


def _groups(inputs: Iterable[Given], chance: random.Random) -> Iterator[list[Given]]:
    """Inputs in order, a few of one topic at a time."""
    group: list[Given] = []
    limit = 1
    for one in inputs:
        if group and (one.topic != group[0].topic or len(group) >= limit):
            yield group
            group, limit = [], chance.randint(1, GROUP)
        group.append(one)
    if group:
        yield group


def _check(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise Finding(otherwise)


def shrunk(number: int, inputs: Sequence[Given]) -> list[Given]:
    """Fewer inputs that still lead to a finding: without one chunk after the other, chunks ever smaller."""
    kept, size, attempts = list(inputs), len(inputs), 0
    while size > 1:
        size, at = (size + 1) // 2, 0
        while at < len(kept) and (attempts := attempts + 1) < SHRINKING:
            tried = kept[:at] + kept[at + size :]
            if _fails(number, tried):
                kept = tried
            else:
                at += size
    return kept


def _fails(number: int, inputs: Sequence[Given]) -> bool:
    if not inputs:
        return False
    try:
        run(number, inputs)
    except Finding:
        return True
    return False
