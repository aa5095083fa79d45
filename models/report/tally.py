"""The entries of one partition, counted on the way past a check of their seals and links.

    tally = Ask(period, gates).tally(partition)
    tally.take(epoch, lines)          # entries that are right in themselves, in order
    tally.finish()

Which period an entry is of: decisions, duplicates and outcomes say so themselves (`at`, event time). Every other entry
has the time of the decision before it in its chain, and before the first decision that of the first: when a person
acted is that person's clock, not event time. How the entries are split into batches changes nothing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from sidechain.models.report.entries import (
    KNOWN,
    LENGTHS,
    OWN_TIME,
    Credit,
    Debit,
    Decision,
    Epoch,
    Gap,
    List,
    Other,
    Policy,
    RefusedOutcome,
    Rejected,
    Settlement,
    Used,
    decode,
    decode_common,
    flags_of,
    is_reason,
    reasons_of,
    signals_of,
)
from sidechain.models.report.money import count_spending, count_transfer, spending_of
from sidechain.models.report.totals import Totals
from sidechain.models.report.what_if import SHIFTS_BP, Asked, Gate, action_under, asked

LISTED_MAX: Final = 1_000  # policy changes of a partition that are listed one by one; so are lists, gaps and epochs
MEMO_MAX: Final = 65_536  # remembered sets of reasons; a full memory is emptied, which changes speed only
BANDS: Final = 20
BAND_BP: Final = 500
# A signal's age at its use, in ms: up to and including.
AGES: Final = {"1s": 1_000, "1m": 60_000, "10m": 600_000, "1h": 3_600_000, "1d": 86_400_000}
OLDER: Final = "older"


class Period(NamedTuple):
    """Event time, ms: from `since` up to, not including, `until`. None: no bound."""

    since: int | None = None
    until: int | None = None

    def holds(self, at_ms: int) -> bool:
        """Whether the time lies within."""
        return (self.since is None or at_ms >= self.since) and (self.until is None or at_ms < self.until)


EVER: Final = Period()


class Changed(NamedTuple):
    """An entry that a person stands behind, as it is listed."""

    kind: str
    fields: dict[str, Any]


class Reach(NamedTuple):
    """How much of one epoch was counted."""

    entries: int
    head: str


@dataclass(frozen=True)
class Ask:
    """What is to be counted; the same for every partition, and small enough to be sent to another process."""

    period: Period = EVER
    gates: Mapping[str, Gate] = field(default_factory=dict)  # by policy reference
    # Partition -> epoch -> entries: what stands behind them is passed over. None: everything is counted.
    reach: Mapping[int, Mapping[int, int]] | None = None

    def tally(self, partition: int) -> "Tally":
        """Of a partition, still empty."""
        return Tally(self, partition)


class Tally:
    """What the entries of one partition come to."""

    def __init__(self, ask: Ask, partition: int) -> None:
        self.partition = partition
        self.inside = Totals()
        self.outside = Totals()  # by kind only
        self.unreadable = 0  # rightly sealed, and no entry this release can count
        self.later = 0  # behind what was asked for
        self.changes: list[Changed] = []
        self.left_out: Counter[str] = Counter()  # changes that are not listed one by one, by kind
        self.epochs: dict[int, Reach] = {}
        self.reaches: tuple[int, int] | None = None  # event time of all decisions, in the period or not
        self._ask = ask
        self._at: int | None = None  # event time of the last decision
        self._early = Totals()  # before the first decision
        self._listed: Counter[str] = Counter()
        self._asked: dict[tuple[str, bytes], Asked | None] = {}

    def take(self, epoch: int, lines: Sequence[bytes]) -> None:
        """Count the next entries of an epoch."""
        before = self.epochs.get(epoch, Reach(0, ""))
        if self._ask.reach is not None:
            due = self._ask.reach.get(self.partition, {}).get(epoch, 0) - before.entries
            self.later += max(0, len(lines) - max(0, due))
            lines = lines[: max(0, due)]
        if not lines:
            return
        self.epochs[epoch] = Reach(before.entries + len(lines), lines[-1][-66:-2].decode())
        alike: Counter[_Kept] = Counter()
        for line in lines:
            try:
                entry = decode(line)
            except (ValueError, RecursionError):
                self._other(line)
                continue
            if isinstance(entry, Decision):
                self._decided(entry, alike)
            else:
                self._entry(epoch, entry)
        for kept, count in alike.items():
            self._count(kept, count)

    def finish(self) -> None:
        """There are no more: what stands before a first decision that never came is in a period without bounds."""
        self._begin(self._ask.period == EVER)

    def _decided(self, entry: Decision, alike: "Counter[_Kept]") -> None:
        self._reached(entry.at)
        if not self._ask.period.holds(entry.at):
            self.outside.add("kind", ("decision",))
            return
        if not self._spent(self.inside, entry.budget):
            return
        self.inside.span(("at",), entry.at, entry.at)
        signals = bytes(entry.signals)
        # Only a value has an age, and only with one does the decision's own time matter.
        at_ms = entry.at if b'"value"' in signals else 0
        reasons, flags = bytes(entry.reasons), bytes(entry.flags)
        alike[
            _Kept(
                entry.policy, entry.action, entry.tier, entry.trust_bp, entry.score_bp, reasons, flags, signals, at_ms
            )
        ] += 1

    def _reached(self, at_ms: int) -> None:
        if self._at is None:
            self._begin(self._ask.period.holds(at_ms))
        self._at = at_ms
        first, last = self.reaches or (at_ms, at_ms)
        self.reaches = min(first, at_ms), max(last, at_ms)

    def _begin(self, is_inside: bool) -> None:
        early, self._early = self._early, Totals()
        if is_inside:
            self.inside.merge(early)
        else:
            for kind, count in early.by_name("kind").items():
                self.outside.add("kind", (kind,), count)
        for one in self.changes:
            if one.fields["in_period"] is None:
                one.fields["in_period"] = is_inside

    def _entry(self, epoch: int, entry: Other) -> None:
        """Everything that is no decision."""
        kind = str(entry.__struct_config__.tag)
        own_ms = entry.at if isinstance(entry, OWN_TIME) else None
        at_ms = self._at if own_ms is None else own_ms
        is_inside = None if at_ms is None else self._ask.period.holds(at_ms)
        if isinstance(entry, (Policy, List, Gap, Epoch)):
            self._change(kind, epoch, entry, is_inside)
        if is_inside is False:
            self.outside.add("kind", (kind,))
            return
        totals = self._early if is_inside is None else self.inside
        if isinstance(entry, Settlement) and not self._spent(totals, entry.budget):
            return
        totals.add("kind", (kind,))
        totals.add("policy", (entry.policy, kind))
        if isinstance(entry, Rejected):
            totals.add("rejected", (entry.reason,))
        elif isinstance(entry, RefusedOutcome):
            totals.add("refused", (entry.reason,))
        elif isinstance(entry, (Debit, Credit)):
            count_transfer(totals, entry)
        elif isinstance(entry, Settlement):
            if entry.label is not None:
                totals.add("label", (entry.label,))
            if entry.cost_minor is not None:
                totals.add("cost", ("outcomes",))
                totals.add_sum(("cost_minor",), entry.cost_minor)

    def _spent(self, totals: Totals, budget: msgspec.Raw) -> bool:
        """Count what an entry says of budgets; whether that could be read."""
        if (text := bytes(budget)) == b"null":
            return True
        try:
            spending = spending_of(text)
        except (ValueError, RecursionError):
            self.unreadable += 1
            return False
        if spending is not None:
            count_spending(totals, spending)
        return True

    def _change(self, kind: str, epoch: int, entry: Policy | List | Gap | Epoch, is_inside: bool | None) -> None:
        if self._listed[kind] >= LISTED_MAX:
            self.left_out[kind] += 1
            return
        self._listed[kind] += 1
        place = {"partition": self.partition, "epoch": epoch, "seq": entry.seq}
        fields = {**place, **entry.listed(), "policy": entry.policy, "in_period": is_inside}
        self.changes.append(Changed(kind, fields))

    def _other(self, line: bytes) -> None:
        """A kind of another release is counted by its name; anything else is not counted at all."""
        try:
            entry = decode_common(line)
        except (ValueError, RecursionError):
            self.unreadable += 1
            return
        if entry.kind in KNOWN:
            self.unreadable += 1
        elif self._at is None:
            self._early.add("kind", (entry.kind,))
        elif self._ask.period.holds(self._at):
            self.inside.add("kind", (entry.kind,))
        else:
            self.outside.add("kind", (entry.kind,))

    def _count(self, kept: "_Kept", count: int) -> None:
        """So many decisions that say the same."""
        try:
            reasons, flags, signals = reasons_of(kept.reasons), flags_of(kept.flags), signals_of(kept.signals)
        except (ValueError, RecursionError):
            self.unreadable += count
            return
        if not all(map(is_reason, reasons)):
            self.unreadable += count
            return
        totals, action = self.inside, kept.action
        totals.add("kind", ("decision",), count)
        totals.add("action", (action,), count)
        totals.add("tier", (kept.tier,), count)
        totals.add("policy", (kept.policy, action), count)
        totals.add("trust_band", (str(band(kept.trust_bp)),), count)
        totals.add("score_band", (str(band(kept.score_bp)),), count)
        totals.add_sum(("trust_bp",), kept.trust_bp * count)
        totals.add_sum(("score_bp",), kept.score_bp * count)
        for one in reasons:
            if one[0] == "rule":
                totals.add("rule", (one[1], action), count)
            elif one[0] in LENGTHS:
                totals.add(one[0], (one[1], one[-1]), count)
            else:  # a sort of another release
                totals.add("reason", (one[0],), count)
        for flag in flags:
            totals.add("flag", (flag,), count)
        for name, used in signals.items():
            self._signal(name, used, kept.at_ms, count)
        self._what_if(kept, reasons, count)

    def _signal(self, name: str, used: Used, at_ms: int, count: int) -> None:
        totals = self.inside
        if used.value is None:
            totals.add("signal", (name, used.unknown or ""), count)
            return
        age_ms = at_ms - used.as_of
        totals.add("signal", (name, "known"), count)
        totals.add("age", (name, next((label for label, most in AGES.items() if age_ms <= most), OLDER)), count)
        totals.add("model", (name, used.model), count)
        totals.add_sum((name, "age_ms"), age_ms * count)
        totals.span((name, "age_ms"), age_ms, age_ms)

    def _what_if(self, kept: "_Kept", reasons: Sequence[Sequence[Any]], count: int) -> None:
        gate = self._ask.gates.get(kept.policy)
        others = None if gate is None else self._others(gate, kept, reasons)
        if gate is None or others is None:
            self.inside.add("not_recomputed", (kept.policy,), count)
            return
        for scenario, shift_bp in SHIFTS_BP.items():
            then = action_under(gate, shift_bp, kept.trust_bp, others)
            self.inside.add("what_if", (scenario, kept.action, then), count)

    def _others(self, gate: Gate, kept: "_Kept", reasons: Sequence[Sequence[Any]]) -> Asked | None:
        at = kept.policy, kept.reasons
        if at not in self._asked:
            if len(self._asked) >= MEMO_MAX:
                self._asked.clear()
            try:
                self._asked[at] = asked(gate, reasons)
            except KeyError:  # a rule this text does not have: the entry is another policy's
                self._asked[at] = None
        return self._asked[at]


def band(value_bp: int) -> int:
    """Which of the bands 0..500, 501..1000, … a value is in: their edges are inclusive above, like those of tiers."""
    return max(0, (value_bp + BAND_BP - 1) // BAND_BP - 1)


class _Kept(NamedTuple):
    """All of a decision that is counted."""

    policy: str
    action: str
    tier: str
    trust_bp: int
    score_bp: int
    reasons: bytes
    flags: bytes
    signals: bytes
    at_ms: int
