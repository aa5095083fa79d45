"""What a partition remembers, and how it stands on the changelog.

    k:<key>        ["<plan>",<seq of the key's last event>,[<slot>,…]]
    p:             the same, for features over the whole partition
    plan:<plan>    ["count|60000|12|0|key||",…]   the definitions the slots of that plan follow
    ids:<n>        [12,[["<32 hex>",3100],…]]   block 12: hashes of the ids decided in it, and by which entry
    settled:<n>    [12,"10c"]   block 12: what is settled of its entries (`settled.py`)
    list:<name>    {"version":3,"digest":"5d…",…}   the version of a list in force; its rows stand on `control`
    policy:<sha>   the text of a policy that came into force, so that the log alone says what the chain was decided by
    head           {"seq":41,"hash":"4d…",…}   where the chain stood when this was written

Keys are bounded: the least recently seen one is evicted first, an order that depends on the entries alone.

`head` also holds a digest over every `k:`, `p:`, `ids:`, `settled:` and `list:` record that lives: the sum modulo 2^128
of the `share` of each. A sum does not ask in which order they were written, and one record more, less or other changes
it. It finds what was lost or mixed up; whoever may write the topic can write a sum that fits. Plans and policies are
not in it: their names are the digests of what they say.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b, sha256
from typing import Any, Final

import msgspec

from sidechain.models.dry.blocks import BLOCK as BLOCK
from sidechain.models.dry.blocks import Blocks
from sidechain.models.dry.settled import Settled
from sidechain.models.dry.shares import share as share
from sidechain.models.dry.windows import Slot, Step

HEAD_KEY: Final = b"head"
KEY_PREFIX: Final = b"k:"
PARTITION_KEY: Final = b"p:"
PLAN_PREFIX: Final = b"plan:"
POLICY_PREFIX: Final = b"policy:"
IDS_PREFIX: Final = b"ids:"
_SUM_MASK: Final = (1 << 128) - 1

Change = tuple[bytes, bytes | None]  # None: forget this key
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[str, int, list[Any]]).decode
_decode_opening = msgspec.json.Decoder(tuple[str, int, msgspec.Raw]).decode
_decode_block = msgspec.json.Decoder(tuple[int, list[tuple[str, int]]]).decode


def _opening(value: bytes) -> tuple[str, int]:
    """Plan and seq of a key's record, which stand at its beginning. Raises ValueError."""
    if value[:2] != b'["' or value[14:16] != b'",':
        plan, seq, _ = _decode_opening(value)
        return plan, seq
    return value[2:14].decode(), int(value[16 : value.index(b",", 16)])


def digest_text(total: int) -> str:
    """A sum of shares as `head` states it."""
    return f"{total & _SUM_MASK:032x}"


def plan_name(definitions: Sequence[str]) -> str:
    """A plan is named by what it says."""
    return sha256("\n".join(definitions).encode()).hexdigest()[:12]


class Plan:
    """Which slots a key has, and how to read them."""

    def __init__(self, steps: Sequence[Step], definitions: Sequence[str]) -> None:
        self.steps = tuple(steps)
        self.definitions = tuple(definitions)
        self.name = plan_name(definitions)

    def new_slots(self) -> list[Slot]:
        """The slots of a key never seen."""
        return [one.new() for one in self.steps]

    def dump(self, slots: Sequence[Slot]) -> list[Slot]:
        """Slots in the form of the changelog."""
        return [one.dump(slot) for one, slot in zip(self.steps, slots, strict=True)]

    def adopt(self, definitions: Sequence[str], dumped: Sequence[Slot]) -> list[Slot]:
        """Slots written under any plan: kept where the definition is the same, empty elsewhere."""
        have = dict(zip(definitions, dumped, strict=True))
        pairs = zip(self.steps, self.definitions, strict=True)
        return [one.load(have[name]) if name in have else one.new() for one, name in pairs]


class KeyState:
    """One key's slots."""

    __slots__ = ("plan", "seq", "share", "slots")

    def __init__(self, plan: str, seq: int, slots: list[Slot], written: int = 0) -> None:
        self.plan = plan
        self.seq = seq  # the entry that last touched it: the order of eviction
        self.slots = slots
        self.share = written  # of its record on the changelog; 0 while it has none


class Table:
    """The keys of one partition, least recently seen first.

    A restored key stays the bytes of its record until it is seen again: most of a million keys never are.
    """

    def __init__(self, prefix: bytes, plan: Plan, max_keys: int) -> None:
        self.prefix = prefix
        self.plan = plan
        self.max_keys = max_keys
        self.evicted = 0
        self.total = 0  # of the shares of all its records, as of the last `changes`
        self._keys: OrderedDict[str, KeyState | bytes] = OrderedDict()
        self._dirty: dict[str, None] = {}
        self._plans: dict[str, Plan] = {plan.name: plan}  # plans met in this process, by name
        self._definitions: dict[str, Sequence[str]] = {plan.name: plan.definitions}
        self._plans_restored: set[str] = set()

    def __len__(self) -> int:
        return len(self._keys)

    def slots(self, key: str, seq: int) -> list[Slot]:
        """The key's slots, for the caller to update; entry `seq` is now the last that touched it."""
        self._dirty[key] = None
        state = self._keys.get(key)
        if state is None:
            state = self._keys[key] = KeyState(self.plan.name, seq, self.plan.new_slots())
            if len(self._keys) > self.max_keys:
                self._evict()
            return state.slots
        if isinstance(state, bytes):
            state = self._keys[key] = self._woken(key, state)
        self._keys.move_to_end(key)
        state.seq = seq
        if state.plan != self.plan.name:
            self._move(state)
        return state.slots

    def change(self, plan: Plan, max_keys: int) -> None:
        """A policy took effect: keys move over to its plan when they are next seen."""
        self._plans[plan.name] = self.plan = plan
        self._definitions[plan.name] = plan.definitions
        self.max_keys = max_keys
        while len(self._keys) > max_keys:
            self._evict()

    def know(self, name: str, definitions: Sequence[str]) -> None:
        """A plan read back from the changelog. Raises ValueError when it is not what its name says."""
        if plan_name(definitions) != name:
            raise ValueError(f"its definitions are those of plan {plan_name(definitions)}")
        self._definitions[name] = definitions

    def restore(self, records: Iterable[tuple[bytes, bytes]], *, whole: bool) -> None:
        """Take over the records of the changelog, in any order; their bytes are read when their key is next seen.

        `whole`: read them now, because no digest vouches for them. Raises ValueError for one that cannot be read.
        """
        cut, total, plan = len(self.prefix), self.total, ""
        # Three lists, not one of triples: what the garbage collector need not look at, it does not look at.
        seqs: list[int] = []
        keys: list[str] = []
        values: list[bytes] = []
        for name, value in records:
            try:
                if whole:
                    _decode(value)
                written_under, seq = _opening(value)
                if written_under != plan:
                    self._plans_restored.add(plan := written_under)
                keys.append(name[cut:].decode())
            except (ValueError, TypeError, RecursionError) as fault:  # any bytes may stand there
                raise ValueError(f"{name!r} cannot be read: {fault}") from fault
            seqs.append(seq)
            values.append(value)
            total += share(name, value)
        self.total = total
        for at in sorted(range(len(seqs)), key=seqs.__getitem__):  # nearly in order: a record is as old as its seq
            self._keys[keys[at]] = values[at]

    def unknown_plans(self) -> set[str]:
        """Plans some restored key was written under and nothing has told us about."""
        return self._plans_restored - self._definitions.keys()

    def changes(self) -> Iterator[Change]:
        """What changed since the last call, one record a key."""
        for key in self._dirty:
            state = self._keys.get(key)
            name = self.prefix + key.encode()
            if isinstance(state, KeyState):
                value = _encode([state.plan, state.seq, self._plans[state.plan].dump(state.slots)])
                now = share(name, value)
                self.total += now - state.share
                state.share = now
                yield name, value
            else:
                yield name, None
        self._dirty.clear()

    def forget_changes(self) -> None:
        """As if `changes` had been asked and its answer thrown away."""
        self._dirty.clear()

    def _evict(self) -> None:
        oldest, state = self._keys.popitem(last=False)
        self._dirty[oldest] = None
        self.evicted += 1
        self.total -= share(self.prefix + oldest.encode(), state) if isinstance(state, bytes) else state.share

    def _woken(self, key: str, value: bytes) -> KeyState:
        plan, seq, dumped = _decode(value)
        slots = self.plan.adopt(self._definitions[plan], dumped)
        return KeyState(self.plan.name, seq, slots, share(self.prefix + key.encode(), value))

    def _move(self, state: KeyState) -> None:
        dumped = self._plans[state.plan].dump(state.slots)
        state.slots = self.plan.adopt(self._definitions[state.plan], dumped)
        state.plan = self.plan.name


class Ids(Blocks[list[bytes]]):
    """Which ids were decided within the horizon, and by which entry; hashes of 128 bits, in blocks of 256 entries.

    An id is remembered through its own block of entries and the `horizon / 256` blocks after it, then its block is
    dropped whole: what counts as a repetition depends on sequence numbers alone.
    """

    def __init__(self, horizon: int) -> None:
        super().__init__(IDS_PREFIX)
        self.settled = Settled()
        self._ring = horizon // BLOCK
        self._seq_of: dict[bytes, int] = {}
        self._oldest = 0  # no block before it is remembered
        self._newest = -1

    def first(self, identifier: str, seq: int) -> tuple[bytes, int | None]:
        """The id's hash, and the entry that decided it, if that is within the horizon of entry `seq`."""
        name = blake2b(identifier.encode(), digest_size=16).digest()
        found = self._seq_of.get(name)
        # Blocks are dropped when a decision opens a new one; repetitions and rejections alone pass the horizon too.
        return name, None if found is None or self.is_past(found, seq) else found

    def is_past(self, entry: int, seq: int) -> bool:
        """Whether an entry lies before the horizon of entry `seq`."""
        return seq // BLOCK - entry // BLOCK > self._ring

    def facts(self, decision: int) -> int:
        """What is settled of the decision, which is within the horizon."""
        return self.settled.facts(*divmod(decision, BLOCK))

    def settle(self, decision: int, facts: int) -> None:
        """So much of the decision is settled from now on."""
        self.settled.add(*divmod(decision, BLOCK), facts)

    def add(self, name: bytes, seq: int) -> None:
        """Entry `seq` decided the id with this hash."""
        block = seq // BLOCK
        if block != self._newest:
            self._open(block)
        self._seq_of[name] = seq
        self._blocks[block].append(name)
        self._dirty[block] = None

    def change_horizon(self, horizon: int) -> None:
        """A policy with another horizon took effect: what a shorter one forgets, a longer one does not bring back."""
        self._ring = horizon // BLOCK
        self._forget()

    def restore(self, record: bytes, value: bytes) -> None:
        """One block read back from the changelog. Raises ValueError when it cannot be read."""
        block, entries = _decode_block(value)
        names = [bytes.fromhex(name) for name, _ in entries]
        is_first = not self._blocks
        self._restored(record, value, block, names)
        self._oldest = block if is_first else min(self._oldest, block)
        self._newest = max(self._newest, block)
        self._seq_of.update(zip(names, (seq for _, seq in entries), strict=True))

    def _encoded(self, block: int, kept: list[bytes]) -> bytes:
        return _encode([block, [[one.hex(), self._seq_of[one]] for one in kept]])

    def _open(self, block: int) -> None:
        self._newest = block
        self._blocks[block] = []
        self._forget()

    def _forget(self) -> None:
        """Drop the blocks the newest one has left behind."""
        limit = self._newest - self._ring
        for old in range(self._oldest, limit):
            if (names := self._blocks.pop(old, None)) is not None:
                for name in names:
                    del self._seq_of[name]
                self._dirty[old] = None
                self.settled.forget(old)
        self._oldest = max(self._oldest, limit)
