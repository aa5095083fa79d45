"""Two policies over the same inputs: who flips, what is at stake, by rule, typology and week.

    comparison = Comparison(examples=3)
    comparison.add(pair, stake=1250, is_bad=None)      # one input, as both policies decided it
    whole.merge(comparison)                            # another partition's; the order changes nothing

A back-test feeds it from files and topics, a shadow from live events: whoever feeds the same pairs gets the same sums,
to the last one; a label may come with its pair or long after it. Everything here is a sum, a count, or the first few in
a total order, so no total depends on how the work was divided. Weeks are ISO weeks of event time in UTC, shares basis
points, stakes integers in the field's unit.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from sidechain.models import utc
from sidechain.models.dry.entry import Decision, Duplicate, Rejected, Sealed
from sidechain.models.policy import ACTIONS

INTERDICTING: Final = ("review", "block")
UNDECIDED: Final = ("duplicate", "rejected")
VERDICTS: Final = (*ACTIONS, *UNDECIDED)
FULL_BP: Final = 10_000
NO_WEEK: Final = "without a time"
EARLIER: Final = "earlier"  # the weeks that are no longer told apart
_DAY_MS: Final = 86_400_000


class Judged(NamedTuple):
    """What one policy made of one input."""

    verdict: str  # an action, `duplicate` or `rejected`
    rules: tuple[str, ...] = ()  # that fired
    typologies: tuple[str, ...] = ()  # that reached a threshold
    unknown: tuple[str, ...] = ()  # signals it asked for and got no value of
    flags: tuple[str, ...] = ()
    reason: str = ""  # of a rejection


class Pair(NamedTuple):
    """One input, decided twice."""

    partition: int
    seq: int  # of the sealed entry
    under: str  # the policy that sealed it
    id: str | None  # of the event, where either could read it
    at_ms: int | None  # event time; None before the first readable one of the chain
    before: Judged
    after: Judged


class Flip(NamedTuple):
    """An input the two policies do not agree on, as examples and lists show it."""

    id: str | None
    partition: int
    seq: int
    at_ms: int | None
    before: str
    after: str
    stake: int | None  # None: not known, or nobody said what is at stake
    began: tuple[str, ...]  # rules that fire after and did not before
    ended: tuple[str, ...]

    @classmethod
    def of(cls, pair: Pair, stake: int | None) -> "Flip":
        """The flip a pair is."""
        before, after = pair.before, pair.after
        began = tuple(one for one in after.rules if one not in before.rules)
        ended = tuple(one for one in before.rules if one not in after.rules)
        return cls(pair.id, pair.partition, pair.seq, pair.at_ms, before.verdict, after.verdict, stake, began, ended)

    @property
    def order(self) -> tuple[int, int, int]:
        """The most at stake first, then the earliest of each chain: total, whatever was read first."""
        return -(self.stake or 0), self.partition, self.seq


@dataclass
class Flips:
    """A sum over flips."""

    count: int = 0
    stake: int = 0  # of those it is known of
    unknown_stake: int = 0  # how many it is not known of

    def add(self, stake: int | None) -> None:
        """One more."""
        self.count += 1
        if stake is None:
            self.unknown_stake += 1
        else:
            self.stake += stake

    def merge(self, other: "Flips") -> None:
        """And those counted elsewhere."""
        self.count += other.count
        self.stake += other.stake
        self.unknown_stake += other.unknown_stake


@dataclass
class Share:
    """One rule or typology: how often it spoke, and the flips it has to do with."""

    before: int = 0
    after: int = 0
    began: int = 0  # flips in which it speaks only after
    ended: int = 0  # ... only before
    flips: Flips = field(default_factory=Flips)  # in which it speaks on either side

    def merge(self, other: "Share") -> None:
        """And what was counted elsewhere."""
        self.before += other.before
        self.after += other.after
        self.began += other.began
        self.ended += other.ended
        self.flips.merge(other.flips)


@dataclass
class Hits:
    """What one policy interdicts, of inputs somebody has labelled."""

    named: int = 0  # labelled, and sent to review or blocked
    named_bad: int = 0
    bad: int = 0  # labelled bad, whatever became of it

    def add(self, verdict: str, is_bad: bool) -> None:
        """One more labelled input."""
        is_named = verdict in INTERDICTING
        self.named += is_named
        self.named_bad += is_named and is_bad
        self.bad += is_bad

    def merge(self, other: "Hits") -> None:
        """And those counted elsewhere."""
        self.named += other.named
        self.named_bad += other.named_bad
        self.bad += other.bad

    @property
    def precision_bp(self) -> int | None:
        """Of what it stopped, the share that was bad."""
        return share_bp(self.named_bad, self.named)

    @property
    def recall_bp(self) -> int | None:
        """Of what was bad, the share it stopped."""
        return share_bp(self.named_bad, self.bad)


@dataclass
class Sums:
    """What is summed for the whole and for each week."""

    inputs: int = 0
    flips: Flips = field(default_factory=Flips)
    stricter: int = 0  # flips from one action to a stricter one
    milder: int = 0
    labelled: int = 0
    caught: int = 0  # flips that stop what is labelled bad
    missed: int = 0  # ... that let it go
    caught_stake: int = 0  # of those it is known of: what would have been saved
    missed_stake: int = 0
    hits_before: Hits = field(default_factory=Hits)
    hits_after: Hits = field(default_factory=Hits)

    def add(self, before: str, after: str, stake: int | None, is_bad: bool | None) -> None:
        """One more input."""
        self.inputs += 1
        if before != after:
            self.flips.add(stake)
            step = _rank(after) - _rank(before) if before in ACTIONS and after in ACTIONS else 0
            self.stricter += step > 0
            self.milder += step < 0
        if is_bad is not None:
            self.label(before, after, stake, is_bad)

    def label(self, before: str, after: str, stake: int | None, is_bad: bool) -> None:
        """What an input that was added was in truth."""
        self.labelled += 1
        self.hits_before.add(before, is_bad)
        self.hits_after.add(after, is_bad)
        stops = (after in INTERDICTING) - (before in INTERDICTING)
        if is_bad and stops > 0:
            self.caught += 1
            self.caught_stake += stake or 0
        elif is_bad and stops < 0:
            self.missed += 1
            self.missed_stake += stake or 0

    def merge(self, other: "Sums") -> None:
        """And what was summed elsewhere."""
        self.inputs += other.inputs
        self.flips.merge(other.flips)
        self.stricter += other.stricter
        self.milder += other.milder
        self.labelled += other.labelled
        self.caught += other.caught
        self.missed += other.missed
        self.caught_stake += other.caught_stake
        self.missed_stake += other.missed_stake
        self.hits_before.merge(other.hits_before)
        self.hits_after.merge(other.hits_after)


@dataclass
class Comparison:
    """All that is counted of pairs. What grows is bounded: by the verdicts, the two policies' rules, and the weeks."""

    examples: int = 3  # kept of each kind of flip
    sums: Sums = field(default_factory=Sums)
    weeks: dict[str, Sums] = field(default_factory=dict)
    moves: dict[tuple[str, str], Flips] = field(default_factory=dict)  # (before, after), the two being different
    verdicts_before: Counter[str] = field(default_factory=Counter)
    verdicts_after: Counter[str] = field(default_factory=Counter)
    rules: dict[str, Share] = field(default_factory=dict)
    typologies: dict[str, Share] = field(default_factory=dict)
    without_rules: Flips = field(default_factory=Flips)  # flips of which the same rules say nothing: the trust gate
    unknown_before: Counter[str] = field(default_factory=Counter)  # signal -> decisions that had no value of it
    unknown_after: Counter[str] = field(default_factory=Counter)
    flags_before: Counter[str] = field(default_factory=Counter)
    flags_after: Counter[str] = field(default_factory=Counter)
    rejections: Counter[tuple[str, str]] = field(default_factory=Counter)  # reasons that differ; "": not rejected
    policies: Counter[str] = field(default_factory=Counter)  # that sealed the decisions of before
    spans: dict[int, tuple[int, int]] = field(
        default_factory=dict
    )  # by partition: the first and last seq, of any epoch
    outside: int = 0  # inputs outside the period
    earliest_ms: int | None = None  # of all inputs, also those outside
    latest_ms: int | None = None
    shown: dict[tuple[str, str], list[Flip]] = field(default_factory=dict)

    def add(self, pair: Pair, stake: int | None = None, is_bad: bool | None = None) -> Flip | None:
        """One more pair; returned when it is a flip. `is_bad`: what the input was in truth, where somebody said so."""
        partition, seq, under, _, at_ms, before, after = pair
        first, last = self.spans.get(partition, (seq, seq))
        self.spans[partition] = min(first, seq), max(last, seq)
        was, now = before.verdict, after.verdict
        if was not in ACTIONS and now not in ACTIONS:
            is_bad = None  # a repetition would count a second time what its first decision is right or wrong about
        self._reach(at_ms)
        self.policies[under] += 1
        self.verdicts_before[was] += 1
        self.verdicts_after[now] += 1
        self.sums.add(was, now, stake, is_bad)
        week = week_of(at_ms)
        if week not in self.weeks:
            self.weeks[week] = Sums()
        self.weeks[week].add(was, now, stake, is_bad)
        is_flip = was != now
        if before.rules or after.rules:
            _count(self.rules, before.rules, after.rules, is_flip, stake)
            _count(self.typologies, before.typologies, after.typologies, is_flip, stake)
        for counter, names in (  # one by one: `Counter.update` costs ten times that for the one or two there are
            (self.unknown_before, before.unknown),
            (self.unknown_after, after.unknown),
            (self.flags_before, before.flags),
            (self.flags_after, after.flags),
        ):
            for name in names:
                counter[name] += 1
        if before.reason != after.reason:
            self.rejections[before.reason, after.reason] += 1
        return self._flip(pair, stake) if is_flip else None

    def label(self, was: str, now: str, week: str, stake: int | None, is_bad: bool) -> None:
        """What an input that was added before was in truth; `was` and `now` are its verdicts, one of them an action."""
        self.sums.label(was, now, stake, is_bad)
        self.weeks[week if week in self.weeks else EARLIER].label(was, now, stake, is_bad)

    def keep_weeks(self, count: int) -> None:
        """Tell the newest weeks apart, so many, and sum up the others: whoever counts for ever is bounded so."""
        named = sorted(one for one in self.weeks if one not in (NO_WEEK, EARLIER))
        for week in named[: max(0, len(named) - count)]:
            self.weeks.setdefault(EARLIER, Sums()).merge(self.weeks.pop(week))

    def pass_over(self, at_ms: int | None) -> None:
        """One more input that is outside the period."""
        self.outside += 1
        self._reach(at_ms)

    def merge(self, other: "Comparison") -> None:
        """And what was counted elsewhere; in whatever order, the sum is the same."""
        self.sums.merge(other.sums)
        self.without_rules.merge(other.without_rules)
        self.outside += other.outside
        for counter, more in (
            (self.policies, other.policies),
            (self.verdicts_before, other.verdicts_before),
            (self.verdicts_after, other.verdicts_after),
            (self.unknown_before, other.unknown_before),
            (self.unknown_after, other.unknown_after),
            (self.flags_before, other.flags_before),
            (self.flags_after, other.flags_after),
        ):
            counter.update(more)
        self.rejections.update(other.rejections)
        self._reach(other.earliest_ms)
        self._reach(other.latest_ms)
        for partition, (first, last) in other.spans.items():
            from_, to = self.spans.get(partition, (first, last))
            self.spans[partition] = min(from_, first), max(to, last)
        for week, sums in other.weeks.items():
            self.weeks.setdefault(week, Sums()).merge(sums)
        for move, flips in other.moves.items():
            self.moves.setdefault(move, Flips()).merge(flips)
            self._show(move, other.shown[move])
        for table, more_shares in ((self.rules, other.rules), (self.typologies, other.typologies)):
            for name, share in more_shares.items():
                table.setdefault(name, Share()).merge(share)

    def listed(self) -> Iterator[tuple[tuple[str, str], Flips, list[Flip]]]:
        """Every kind of flip with its examples: the most frequent first."""
        for move, flips in sorted(self.moves.items(), key=lambda one: (-one[1].count, one[0])):
            yield move, flips, self.shown[move]

    def _flip(self, pair: Pair, stake: int | None) -> Flip:
        flip = Flip.of(pair, stake)
        move = flip.before, flip.after
        if move not in self.moves:
            self.moves[move] = Flips()
        self.moves[move].add(stake)
        if not flip.began and not flip.ended:
            self.without_rules.add(stake)
        self._show(move, [flip])
        return flip

    def _reach(self, at_ms: int | None) -> None:
        if at_ms is None:
            return
        if self.earliest_ms is None or at_ms < self.earliest_ms:
            self.earliest_ms = at_ms
        if self.latest_ms is None or at_ms > self.latest_ms:
            self.latest_ms = at_ms

    def _show(self, move: tuple[str, str], flips: Iterable[Flip]) -> None:
        kept = self.shown.setdefault(move, [])
        kept.extend(flips)
        if len(kept) > 1:
            kept.sort(key=lambda one: one.order)
            del kept[self.examples :]


def judged(entry: Sealed) -> Judged:
    """What an entry says, before or after it was sealed. Raises ValueError for one that judges no event."""
    if isinstance(entry, Decision):
        used = entry.signals
        asked = () if used is None else used.__struct_fields__
        unknown = tuple(name for name in asked if "unknown" in getattr(used, name))
        return Judged(entry.action, *names_of(entry.reasons), unknown, entry.flags)
    if isinstance(entry, Duplicate):
        return Judged("duplicate")
    if isinstance(entry, Rejected):
        return Judged("rejected", reason=entry.reason)
    raise ValueError(f"an entry of kind {entry.kind} judges no event")


@lru_cache(maxsize=65_536)
def names_of(reasons: tuple[tuple[object, ...], ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The rules and the typologies among an entry's reasons."""
    rules = tuple(str(one[1]) for one in reasons if one[0] == "rule")
    return rules, tuple(str(one[1]) for one in reasons if one[0] == "typology")


def week_of(at_ms: int | None) -> str:
    """`2026-W47`: the ISO week of an event time, in UTC."""
    return NO_WEEK if at_ms is None else _week(at_ms // _DAY_MS)


@lru_cache(maxsize=4_096)
def _week(day: int) -> str:
    try:
        year, week, _ = (utc.EPOCH + timedelta(days=day)).isocalendar()
    except OverflowError:
        return "after the year 9999"
    return f"{year}-W{week:02}"


def share_bp(part: int, whole: int) -> int | None:
    """In basis points, rounded down; None where there is nothing to divide by."""
    return part * FULL_BP // whole if whole else None


def _rank(action: str) -> int:
    return ACTIONS.index(action)


def _count(
    table: dict[str, Share], before: tuple[str, ...], after: tuple[str, ...], is_flip: bool, stake: int | None
) -> None:
    for name in before:
        _share(table, name).before += 1
    for name in after:
        _share(table, name).after += 1
    if is_flip:
        for name in dict.fromkeys((*before, *after)):
            share = table[name]
            share.flips.add(stake)
            share.began += name not in before
            share.ended += name not in after


def _share(table: dict[str, Share], name: str) -> Share:
    found = table.get(name)
    if found is None:
        found = table[name] = Share()
    return found
