"""The books of one partition: every visible event has exactly one entry, and the entry's digest is that event's.

Both logs are read once, side by side, in the order of the offsets, so nothing has to be remembered but where they
stand. An event that no longer exists because it expired is counted, not blamed; so is one behind the last entry.

    while books.turns(entry): begin reading events again at books.due
    while books.lacks(entry): books.feed(more events), or books.end() when there are none
    books.take(entry)
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from hashlib import sha256

import msgspec

from sidechain.models.dry.fold import InputRecord

SHOWN = 10  # offsets of each kind of fault that are kept


class Booked(msgspec.Struct):
    """What the books need of an entry."""

    kind: str
    seq: int
    source: tuple[str, int, int] | None = None
    digest: str | None = None
    action: str | None = None
    next: dict[str, int] = {}
    topic: str = ""  # of a gap
    to: int = 0


class Completeness:
    """Takes the entries of one partition with the events beside them."""

    def __init__(self, control: Mapping[int, InputRecord] | None = None) -> None:
        """`control`: the records of that topic, by offset; they are few. Not every one of them makes an entry."""
        self._control = control or {}
        self.kinds: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self.events = 0  # that were seen
        self.expired = 0  # entries whose event is gone
        self.waiting = 0  # events behind the last entry
        self.first_waiting: int | None = None
        self.missing: list[int] = []  # offsets of events without an entry (the first few, as of the others)
        self.repeated: list[int] = []  # of events with more than one
        self.extra: list[int] = []  # that an entry names and nobody can see, although older ones are there
        self.altered: list[int] = []  # of events that are not what the entry's digest says
        self.altered_control: list[int] = []  # the same of control records
        self.due = 0  # the offset the next event's entry is for, at least
        self._held: deque[InputRecord] = deque()
        self._first: int | None = None  # the oldest event there is
        self._reached = -1  # offset of the last event that was fed
        self._ended = False

    @property
    def is_complete(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.missing or self.repeated or self.extra or self.altered or self.altered_control)

    def turns(self, entry: Booked) -> bool:
        """Whether a person's decision leads to other offsets: the caller then reads events anew from `due`."""
        if entry.kind == "gap" and entry.topic == "events":
            self.due = entry.to
        elif entry.kind == "epoch":
            self.due = entry.next.get("events", 0)
        else:
            return False
        self._held.clear()
        self._reached, self._ended = -1, False
        return True

    def lacks(self, entry: Booked) -> bool:
        """Whether events are needed before this entry is taken."""
        return (
            not self._ended
            and entry.source is not None
            and entry.source[0] == "events"
            and self._reached < entry.source[2]
        )

    def feed(self, events: Iterable[InputRecord]) -> None:
        """The next events, in the order of their offsets."""
        for one in events:
            if self._first is None:
                self._first = one.offset
            self._held.append(one)
            self._reached = one.offset

    def end(self) -> None:
        """There are no more events."""
        self._ended = True

    def take(self, entry: Booked) -> None:
        """One entry, in the order of the chain."""
        self.kinds[entry.kind] += 1
        if entry.action is not None:
            self.actions[entry.action] += 1
        if entry.source is None:
            return
        topic, _, offset = entry.source
        if topic == "control" and (known := self._control.get(offset)) and not _is_of(entry, known):
            _note(self.altered_control, offset)
        if topic != "events":
            return
        if offset < self.due:
            _note(self.repeated, offset)
            return
        self.due = offset + 1
        while self._held and self._held[0].offset < offset:
            self.events += 1
            _note(self.missing, self._held.popleft().offset)
        if self._held and self._held[0].offset == offset:
            self.events += 1
            if not _is_of(entry, self._held.popleft()):
                _note(self.altered, offset)
        elif self._first is None or offset < self._first:
            self.expired += 1
        else:
            _note(self.extra, offset)

    def rest(self, events: Iterable[InputRecord] = ()) -> None:
        """Behind the last entry: not decided yet."""
        for one in (*self._held, *events):
            self.first_waiting = one.offset if self.first_waiting is None else self.first_waiting
            self.waiting += 1
            self.events += 1
        self._held.clear()


def _is_of(entry: Booked, record: InputRecord) -> bool:
    return entry.digest == (None if record.value is None else sha256(record.value).hexdigest())


def _note(offsets: list[int], offset: int) -> None:
    if len(offsets) < SHOWN:
        offsets.append(offset)
