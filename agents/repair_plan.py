"""What a repair would write, worked out without Kafka.

gap     chain and state are whole, and inputs are gone: one entry more, the state stays
epoch   the chain or its state cannot be continued: a new chain behind the broken head, with an empty state

Nothing that stands in a log is changed. Where to go on is what the last entry says that can be believed: one that is
rightly sealed, of this partition, and within the events there are.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from sidechain.agents.lane.layout import LAYOUT_KEY, Layout
from sidechain.agents.lane.log_ends import Span
from sidechain.agents.lane.problems import Remedy
from sidechain.agents.problems import UsageProblem
from sidechain.models import utc
from sidechain.models.dry import Fold
from sidechain.models.dry.entry import CO_PARTITIONED, TRANSFERS, Broken, Next, body_and_hash
from sidechain.models.dry.head import Head
from sidechain.models.dry.lists import LIST_PREFIX
from sidechain.models.dry.state import POLICY_PREFIX, Change
from sidechain.models.policy import Policy

INPUTS: Final = {"events", "outcomes", "control"}


class Deed(NamedTuple):
    """Who decides, why, and when by that person's clock."""

    by: str
    why: str
    at_ms: int


class Plan(NamedTuple):
    """One entry, the state records that go with it, and what to tell the person."""

    remedy: Remedy
    entry: bytes
    changes: Sequence[Change]
    says: tuple[str, ...]


class Believed(NamedTuple):
    """Where the chain had got to."""

    next: Next
    policy: str
    source: str  # which record says so


class _Tail(msgspec.Struct):
    seq: int
    policy: str
    next: Next
    source: tuple[str, int, int] | None = None


class _Timed(msgspec.Struct):
    kind: str
    at: int | None = None
    flags: tuple[str, ...] = ()
    accounts_from: int | None = None


_decode_timed: Final = msgspec.json.Decoder(_Timed).decode


def plan_gap(fold: Fold, topic: str, span: Span, resume_at: int | None, deed: Deed) -> Plan:
    """The chain goes on where the log begins; where the log ends too early, a person must say where.

    Raises UsageProblem when that is not said, or is not in the log.
    """
    due = fold.next[topic]
    if resume_at is None and due > span.end:
        raise UsageProblem(
            f"{topic} ends at offset {span.end} and {due} is due: say where to go on. --resume-at {span.start}, its "
            f"beginning, if the topic was made anew and nothing in it was decided; --resume-at {span.end}, its end, if "
            "it only lost its last records"
        )
    to = span.start if resume_at is None else resume_at
    if not span.start <= to <= span.end:
        raise UsageProblem(f"--resume-at {to} is not in {topic}, which holds offsets {span.start} to {span.end}")
    missed = f"offsets {due} to {to - 1} are passed over" if to > due else f"the log that reached {due} is no more"
    entry = fold.gap(topic, to, at_ms=deed.at_ms, by=deed.by, why=deed.why)
    return Plan("gap", entry, fold.changes(), (f"{topic} goes on at offset {to}: {missed}", "the state stays as it is"))


def plan_epoch(
    partition: int,
    number: int,
    broken: Broken,
    begin: Believed,
    policy: Policy,
    keys: Iterable[bytes],
    layout: Layout,
    deed: Deed,
    watermark_ms: int | None = None,
) -> Plan:
    """A new chain with an empty state. `keys`: those of the changelog. `watermark_ms`: the last there was, if known.

    It forgets them all but the layout, and the texts of policies: the chain that was can still be replayed.
    """
    accounts_from = msgspec.UNSET if watermark_ms is None or policy.budgeting is None else watermark_ms + 1
    fold, entry = Fold.begin_epoch(
        policy,
        partition,
        number,
        broken,
        begin.next,
        at_ms=deed.at_ms,
        by=deed.by,
        why=deed.why,
        accounts_from=accounts_from,
        partitions=layout.partitions,
    )
    written, standing = fold.changes(), set(keys)
    is_laid_out = LAYOUT_KEY in standing
    first = [] if is_laid_out else [(LAYOUT_KEY, msgspec.json.encode(layout))]
    left = standing - {name for name, _ in written} - {LAYOUT_KEY}
    forgotten = sorted(name for name in left if not name.startswith(POLICY_PREFIX))
    at = "where the log holds nothing" if broken.offset is None else f"at offset {broken.offset}"
    says: tuple[str, ...] = (
        f"epoch {number} begins behind seq {_shown(broken.seq)}, hash {_shown(broken.hash and broken.hash[:16])}, {at}",
        f"events go on at {begin.next['events']}, control at {begin.next['control']}, as {begin.source}; outcomes at "
        + str(begin.next["outcomes"])
        + (f"; transfers at {begin.next[TRANSFERS]}" if TRANSFERS in begin.next else ""),
        f"policy {policy.ref} decides"
        + ("" if policy.ref == begin.policy else f"; {begin.policy} was in force, and nobody has its text"),
        f"windows and remembered ids begin anew: {len(forgotten):,} state records are forgotten",
    )
    if lists := [one.removeprefix(LIST_PREFIX).decode("utf-8", "replace") for one in forgotten if _is_list(one)]:
        says += (
            f"no list is in force: {', '.join(lists)} must be activated again (`sidechain lists activate --again`)",
        )
    if policy.budgeting is not None:
        since = "by now"
        if watermark_ms is not None:
            since = f"by {utc.text(watermark_ms, 'milliseconds')}, where its clock stood"
        says += (
            f"nobody knows what was spent: accounts have nothing in periods of event time that have begun {since}",
        )
    return Plan("epoch", entry, [*first, *((name, None) for name in forgotten), *written], says)


def believed(
    records: Sequence[tuple[int, bytes]], head: bytes | None, partition: int, events_end: int
) -> Believed | None:
    """Where to go on: as the newest right entry says or as the state does, whichever got further.

    What was decided once must not be decided again, so the one behind is not asked. None when neither can be believed.
    """
    found = [one for one in (_of_chain(records, partition, events_end), _of_state(head, partition, events_end)) if one]
    return max(found, key=lambda one: one.next["events"], default=None)


class LastTime:
    """The clock of a chain, from its entries: the time of the latest event it has decided.

    An event too far ahead moves the clock by what a policy allows and no entry states, so behind one it is not known.
    """

    def __init__(self) -> None:
        """Nothing was decided yet."""
        self.before_ms = -1  # until when earlier epochs may have spent something
        self._latest_ms = -1
        self._is_known = True

    @property
    def ms(self) -> int | None:
        """Of the last epoch, in ms of event time; None: not known, or nothing was decided."""
        return self._latest_ms if self._is_known and self._latest_ms >= 0 else None

    def take(self, line: bytes) -> None:
        """The next record, be it an entry or not; what cannot be read has decided nothing."""
        try:
            entry = _decode_timed(line)
        except (ValueError, RecursionError):
            return
        if entry.kind == "epoch":
            lost_until = entry.at if entry.accounts_from is None else entry.accounts_from
            self.before_ms = max(self.before_ms, (lost_until or 0) - 1)
            self._latest_ms, self._is_known = -1, True
        elif entry.kind == "decision" and "ahead" in entry.flags:
            self._is_known = False
        elif entry.kind == "decision" and entry.at is not None:
            self._latest_ms = max(self._latest_ms, entry.at)


def last_watermark(begin: Believed, head: Head | None, partition: int, last: LastTime) -> int | None:
    """The clock where a chain goes on at `begin`: as the state says where it got as far, else as its entries do."""
    found = last.ms
    if head is not None and head.partition == partition and head.next.get("events", -1) >= begin.next["events"]:
        found = head.watermark_ms
    return None if found is None or found < 0 else max(found, last.before_ms)


def read_head(value: bytes | None) -> Head | None:
    """The head record of a changelog; None for what is none."""
    try:
        return msgspec.json.decode(value or b"", type=Head)
    except (ValueError, RecursionError):
        return None


def _of_chain(records: Sequence[tuple[int, bytes]], partition: int, events_end: int) -> Believed | None:
    for offset, line in reversed(records):
        split = body_and_hash(line)
        if split is None or sha256(split[0]).hexdigest() != split[1]:
            continue
        try:
            tail = msgspec.json.decode(line, type=_Tail)
        except (ValueError, RecursionError):
            continue
        is_ours = tail.source is None or tail.source[0] not in CO_PARTITIONED or tail.source[1] == partition
        if is_ours and _is_possible(tail.next, events_end):
            return Believed(tail.next, tail.policy, f"entry {tail.seq} at offset {offset} says")
    return None


def _of_state(value: bytes | None, partition: int, events_end: int) -> Believed | None:
    head = read_head(value)
    if head is None or head.partition != partition or not _is_possible(head.next, events_end):
        return None
    return Believed(head.next, head.policy, f"the state says, written at entry {head.seq}")


def _is_possible(following: Next, events_end: int) -> bool:
    return following.keys() >= INPUTS and min(following.values()) >= 0 and following["events"] <= events_end


def _is_list(name: bytes) -> bool:
    return name.startswith(LIST_PREFIX)


def _shown(value: object) -> object:
    return "unreadable" if value is None else value
