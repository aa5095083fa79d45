"""The books of one partition: every visible event has exactly one entry, and the entry's digest is that event's.

The books of its outcomes are kept the same way, in a `Completeness` of their own, and so are those of its transfers:
read "outcome" or "transfer" for "event" there.

Both logs are read once, side by side, in the order of the offsets, so nothing has to be remembered but where they
stand. An event that no longer exists because it expired is counted, not blamed; so is one behind the last entry, and
so is what a person passed over with `sidechain repair`: each such decision is kept, with who took it.

    while books.turns(entry): begin reading events again at books.due
    while books.lacks(entry): books.feed(more events), or books.end() when there are none
    books.take(entry)
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

import msgspec

from sidechain.models.dry.control import Control
from sidechain.models.dry.lists import is_rows, read_activation
from sidechain.models.dry.parse import REASONS, ambiguous
from sidechain.models.dry.records import InputRecord

SHOWN = 10  # offsets of each kind of fault that are kept


class Booked(msgspec.Struct):
    """What the books need of an entry."""

    kind: str
    seq: int
    source: tuple[str, int, int] | None = None
    digest: str | None = None
    action: str | None = None
    next: dict[str, int] = {}
    policy: str = ""
    previous: str | None = None  # of a policy entry
    key: str | None = None
    content: str = ""  # of a list entry, as are the next two
    list_ref: str = msgspec.field(default="", name="list")
    replaces: str | None = None
    topic: str = ""  # of a gap
    to: int = 0
    epoch: int = 0  # of an epoch's first entry
    by: str | None = ""
    reason: str | None = ""  # of a rejection or a refused outcome


class Passage(NamedTuple):
    """Where the chain goes on at another event than was due, because a person decided so."""

    what: str  # "gap", "epoch 1"
    by: str
    due: int
    to: int
    records: int  # of the chain that stand before it and count for nothing: no entries, or behind a broken one


class Completeness:
    """Takes the entries of one partition with the events beside them."""

    def __init__(self, control: Mapping[int, InputRecord] | None = None, topic: str = "events") -> None:
        """`control`: the records of that topic, by offset; they are few. Not every one of them makes an entry.

        `topic`: the logical input the books are about.
        """
        self._control = control or {}
        self._topic = topic
        self.kinds: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self.events = 0  # that there are
        self.explained = 0  # of them those without an entry, because a person went on behind them
        self.passed_over = 0  # records of the chain that count for nothing
        self.rejected_passed_over = 0  # of them those that say that they refuse something: they may have dead letters
        self.unread = 0  # refused outcomes that could not be read: they have dead letters
        self.broken = ""  # why all that stands at the end counts for nothing; empty when it does
        self.passages: list[Passage] = []  # the first few
        self.expired = 0  # entries whose event is gone
        self.waiting = 0  # events behind the last entry
        self.first_waiting: int | None = None
        self.missing: list[int] = []  # offsets of events without an entry (the first few, as of the others)
        self.repeated: list[int] = []  # of events with more than one
        self.extra: list[int] = []  # that an entry names and nobody can see, although older ones are there
        self.altered: list[int] = []  # of events that are not what the entry's digest says
        self.altered_control: list[int] = []  # the same of control records
        self.missing_control: list[int] = []  # that must make an entry, and a later one has it
        self.due = 0  # the offset the next event's entry is for, at least
        self._control_due = 0
        self._lists: dict[str, str] = {}  # list -> the version in force, as far as its entry was seen
        self._counted = -1  # offset of the last event that was counted
        self._passed_here = 0  # records passed over since the last right entry
        self._held: deque[InputRecord] = deque()
        self._first: int | None = None  # the oldest event there is
        self._reached = -1  # offset of the last event that was fed
        self._ended = False

    @property
    def is_complete(self) -> bool:
        """Whether nothing is wrong."""
        of_control = self.altered_control or self.missing_control
        return not (self.missing or self.repeated or self.extra or self.altered or of_control or self.broken)

    def pass_over(self, why: str, kind: str | None) -> None:
        """A record that is none of this chain's right entries. `why`: of the first; `kind`: what it says it is."""
        self.broken = self.broken or why
        self.passed_over += 1
        self._passed_here += 1
        self.rejected_passed_over += kind in ("rejected", "refused-outcome")

    def turns(self, entry: Booked) -> bool:
        """Whether a person's decision leads back: the caller then reads events anew from `due`."""
        to = self._goes_on(entry)
        if to is None or to >= self.due:
            return False
        self._note_passage(entry, to)
        if entry.kind == "gap":  # another log stands there now: what was said of these offsets was said of the old one
            self.extra, self.altered = _below(to, self.extra), _below(to, self.altered)
        self.missing = _below(to, self.missing)  # they come again
        self.due = to
        self._held.clear()
        self._reached, self._ended = -1, False
        return True

    def lacks(self, entry: Booked) -> bool:
        """Whether events are needed before this entry is taken."""
        to = self._goes_on(entry)
        if to is not None:
            return not self._ended and self._reached < to - 1
        return (
            not self._ended
            and entry.source is not None
            and entry.source[0] == self._topic
            and self._reached < entry.source[2]
        )

    def feed(self, events: Iterable[InputRecord]) -> None:
        """The next events, in the order of their offsets."""
        for one in events:
            if self._first is None:
                self._first = one.offset
            self._count(one)
            self._held.append(one)
            self._reached = one.offset

    def end(self) -> None:
        """There are no more events."""
        self._ended = True

    def take(self, entry: Booked) -> None:
        """One entry, in the order of the chain."""
        self.kinds[entry.kind] += 1
        self.unread += entry.kind == "refused-outcome" and entry.reason in REASONS
        if entry.action is not None:
            self.actions[entry.action] += 1
        if entry.source is None:
            self._decided(entry)
            return
        topic, _, offset = entry.source
        if topic == "control":
            self._take_control(entry, offset)
        if topic != self._topic:
            return
        if offset < self.due:
            _note(self.repeated, offset)
            return
        self.due = offset + 1
        while self._held and self._held[0].offset < offset:
            _note(self.missing, self._held.popleft().offset)
        if self._held and self._held[0].offset == offset:
            if not _is_of(entry, self._held.popleft()):
                _note(self.altered, offset)
        elif self._first is None or offset < self._first:
            self.expired += 1
        else:
            _note(self.extra, offset)

    def rest(self, events: Iterable[InputRecord] = ()) -> None:
        """Behind the last entry: not decided yet."""
        for one in events:
            self._count(one)
            self._held.append(one)
        for one in self._held:
            self.first_waiting = one.offset if self.first_waiting is None else self.first_waiting
            self.waiting += 1
        self._held.clear()

    def _count(self, event: InputRecord) -> None:
        if event.offset > self._counted:  # else read before, and once more since a person's decision led back
            self._counted = event.offset
            self.events += 1

    def _decided(self, entry: Booked) -> None:
        """A gap or an epoch: what lies before the event it goes on with is explained."""
        if entry.kind == "epoch":
            self.broken = ""
            self._lists = {}  # an empty state
            self._control_due = entry.next.get("control", 0)
        elif entry.kind == "gap" and entry.topic == "control":
            self._control_due = entry.to
            self.altered_control = _below(entry.to, self.altered_control)
            self.missing_control = _below(entry.to, self.missing_control)
        to = self._goes_on(entry)
        if to is None:
            return
        if to > self.due or self._passed_here:
            self._note_passage(entry, to)
        self.due = to
        while self._held and self._held[0].offset < to:
            self._held.popleft()
            self.explained += 1

    def _goes_on(self, entry: Booked) -> int | None:
        """The offset a person's decision leads to; None for any other entry."""
        if entry.kind == "epoch":
            return max(0, entry.next.get(self._topic, 0))
        return max(0, entry.to) if entry.kind == "gap" and entry.topic == self._topic else None

    def _note_passage(self, entry: Booked, to: int) -> None:
        if len(self.passages) < SHOWN:
            what = f"epoch {entry.epoch}" if entry.kind == "epoch" else "gap"
            self.passages.append(Passage(what, entry.by or "", self.due, to, self._passed_here))
        self._passed_here = 0

    def _take_control(self, entry: Booked, offset: int) -> None:
        known = self._control.get(offset)
        if known is not None and not _is_of(entry, known):
            _note(self.altered_control, offset)
        in_force = entry.previous or entry.policy  # until this entry
        for between, record in self._control.items():
            if self._control_due <= between < offset and _makes_entry(record, in_force, self._lists):
                _note(self.missing_control, between)
        self._control_due = offset + 1
        if entry.kind == "list":
            self._lists[entry.list_ref.partition("@")[0]] = entry.list_ref


def _below(offset: int, offsets: list[int]) -> list[int]:
    return [one for one in offsets if one < offset]


def _makes_entry(record: InputRecord, in_force: str, lists: Mapping[str, str]) -> bool:
    """Whether a chain under this policy must have an entry of a control record: as `Fold.control` decides it."""
    value = record.value or b""
    if is_rows(value):
        return False
    if (activation := read_activation(value)) is not None and ambiguous(value) is None:
        is_passed = activation.name != in_force.partition("@")[0] or lists.get(activation.list_name) == activation.ref
        return not is_passed
    try:
        change = msgspec.json.decode(value, type=Control)
    except (ValueError, RecursionError):
        return True
    name, digest = in_force.partition("@")[0], in_force.rpartition(":")[2]
    is_passed = change.kind != "policy" or change.name != name or change.digest[: len(digest)] == digest
    return not is_passed or ambiguous(value) is not None


def _is_of(entry: Booked, record: InputRecord) -> bool:
    return entry.digest == (None if record.value is None else sha256(record.value).hexdigest())


def _note(offsets: list[int], offset: int) -> None:
    if len(offsets) < SHOWN:
        offsets.append(offset)
