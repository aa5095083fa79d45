"""What an export of the payments says, read by a program that knows JSON and the rows that were sent, and no kernel.

Every chain is walked once: how well decisions are ranked by `score_bp`, by week and by policy; how late outcomes came
in event time; whether each decision asked the rows its lists had by then; and which decisions of the first policy a new
threshold must flip.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.bench.payments_changes import NewList
from tests.bench.payments_rows import DAY_MS, DELAY_MS, Payment
from tests.bench.payments_rules import SPLIT_MS, precision_of

WEEK_MS: Final = 7 * DAY_MS
SHOWN: Final = 5
STOPPED: Final = ("review", "block")


class _Entry(msgspec.Struct):
    seq: int
    kind: str
    policy: str
    id: str | None = None
    at: int | None = None
    action: str | None = None
    score_bp: int = 0
    reasons: list[list[Any]] = []
    features: dict[str, int | None] = {}
    signals: dict[str, dict[str, Any]] = {}
    lists: dict[str, str | None] = {}
    reason: str | None = None
    settles: int | None = None
    label: str | None = None
    cost_minor: int | None = None


@dataclass
class Ranked:
    """Some decisions, by score: how many are good and how many bad."""

    good: Counter[int] = field(default_factory=Counter)
    bad: Counter[int] = field(default_factory=Counter)
    stopped: int = 0
    stopped_bad: int = 0

    def add(self, score_bp: int, action: str | None, *, is_bad: bool) -> None:
        """One decision."""
        (self.bad if is_bad else self.good)[score_bp] += 1
        if action in STOPPED:
            self.stopped += 1
            self.stopped_bad += is_bad

    @property
    def figures(self) -> dict[str, Any]:
        """Counts and ratios; null where nothing is bad, or nothing good."""
        good, bad = self.good.total(), self.bad.total()
        return {
            "payments": good + bad,
            "bad": bad,
            "average_precision": round(precision_of(self.good, self.bad), 4) if bad else None,
            "auroc": round(auroc(self.good, self.bad), 4) if good and bad else None,
            "stopped": self.stopped,
            "stopped_bad": self.stopped_bad,
        }


def auroc(good: Mapping[int, int], bad: Mapping[int, int]) -> float:
    """The chance that a bad one scores above a good one; equal scores count as half."""
    below = twice_above = 0
    for score in sorted(good.keys() | bad.keys()):
        twice_above += bad.get(score, 0) * (2 * below + good.get(score, 0))
        below += good.get(score, 0)
    return twice_above / (2 * below * sum(bad.values()))


@dataclass
class Read:
    """What the walk over all chains found."""

    kinds: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    signals_known: Counter[str] = field(default_factory=Counter)  # decisions that used each
    whole: Ranked = field(default_factory=Ranked)
    spans: dict[str, Ranked] = field(default_factory=dict)
    weeks: dict[int, Ranked] = field(default_factory=dict)
    policies: dict[str, Ranked] = field(default_factory=dict)
    in_force: dict[int, list[tuple[int, str]]] = field(default_factory=dict)  # by partition: from which seq, which
    since_ms: dict[tuple[int, str], int] = field(default_factory=dict)  # by partition and policy, in event time
    cost_minor: int = 0  # of all that was charged
    versions: dict[int, list[str]] = field(default_factory=dict)  # of lists, as decisions cited them
    faults: list[str] = field(default_factory=list)
    burst: set[tuple[int, int]] = field(default_factory=set)  # partition, seq: what the threshold is about
    burst_allowed: set[tuple[int, int]] = field(default_factory=set)  # of them, those it must flip
    _after_ms: list[int] = field(default_factory=list)  # from payment to label, in event time

    def complain(self, what: str) -> None:
        """The first few are kept."""
        if len(self.faults) < SHOWN:
            self.faults.append(what)

    def sealed_under(self, partition: int, seq: int) -> str:
        """The policy in force at that entry."""
        return [ref for begin, ref in self.in_force[partition] if begin <= seq][-1]

    @property
    def lateness_h(self) -> dict[str, float]:
        """Hours of event time from a payment to its label, where payments came behind it in its chain."""
        found = sorted(self._after_ms)
        shares = {"least": 0.0, "median": 0.5, "p99": 0.99, "most": 1.0}
        return {
            name: round(found[int((len(found) - 1) * share)] / 3_600_000, 1) for name, share in shares.items() if found
        }

    @property
    def figures(self) -> dict[str, Any]:
        """For the report."""
        return {
            "entries": dict(sorted(self.kinds.items())),
            "refused_outcomes": dict(sorted(self.refused.items())),
            "decisions_that_used": dict(sorted(self.signals_known.items())),
            "cost_minor": self.cost_minor,
            "hours_to_settlement": self.lateness_h,
            "ranked": {
                "all": self.whole.figures,
                **{name: one.figures for name, one in sorted(self.spans.items())},
            },
            "by_policy": {name: one.figures for name, one in sorted(self.policies.items())},
            "by_week": {
                f"{datetime.fromtimestamp(number * WEEK_MS / 1000, UTC):%Y-%m-%d}": one.figures
                for number, one in sorted(self.weeks.items())
            },
        }


def read(
    folder: Path,
    sent: Sequence[Payment],
    changes: Iterable[NewList],
    burst: tuple[int, int],
    stop: threading.Event | None = None,
) -> Read:
    """Walk every chain of an export, unless told to `stop`.

    `burst`: the limits of `spent_1d` before and after the threshold's change.
    """
    found, truth = Read(), {one.id: one for one in sent}
    rows = {f"{one.name}@{one.version}": one.rows for one in changes}
    decode = msgspec.json.Decoder(_Entry).decode
    for path in sorted(folder.glob("decisions-*.ndjson")):
        chain = _Chain(found, int(path.stem.partition("-")[2]), truth, rows, burst)
        with path.open("rb") as lines:
            for line in lines:
                chain.take(decode(line))
                if stop is not None and stop.is_set():
                    return found
    decided = found.whole.good.total() + found.whole.bad.total()
    if decided != len(sent):
        found.complain(f"{len(sent):,} payments were sent and {decided:,} are decided")
    return found


class _Chain:
    """One partition's entries, one after the other."""

    def __init__(
        self,
        found: Read,
        partition: int,
        truth: Mapping[str, Payment],
        rows: Mapping[str, Mapping[str, int | None]],
        burst: tuple[int, int],
    ) -> None:
        self._found = found
        self._partition = partition
        self._truth = truth
        self._rows = rows
        self._burst = burst
        self._reached_ms = 0
        self._paid: dict[int, Payment] = {}  # by seq, what nobody said yet how it was
        self._waiting: list[int] = []  # since the last payment: they count only when another one comes
        self._versions = found.versions.setdefault(partition, [])
        self._in_force = found.in_force.setdefault(partition, [])

    def take(self, entry: _Entry) -> None:
        """The next entry."""
        found = self._found
        found.kinds[entry.kind] += 1
        if not self._in_force or self._in_force[-1][1] != entry.policy:
            self._in_force.append((entry.seq, entry.policy))
            found.since_ms[self._partition, entry.policy] = self._reached_ms
        if entry.kind == "decision":
            self._decision(entry)
        elif entry.kind == "settlement":
            self._settled(entry)
        elif entry.kind == "refused-outcome":
            found.refused[str(entry.reason)] += 1

    def _settled(self, entry: _Entry) -> None:
        payment = self._paid.get(entry.settles or 0)
        if payment is None:
            self._found.complain(f"partition {self._partition}: entry {entry.settles} was settled, or is no decision")
            return
        if entry.cost_minor is not None:
            self._found.cost_minor += entry.cost_minor
        if entry.label is not None:
            if (entry.label == "bad") != payment.is_bad:
                self._found.complain(f"payment {payment.id} is settled as {entry.label}")
            self._waiting.append(self._reached_ms - payment.at_ms)
            del self._paid[entry.settles or 0]

    def _decision(self, entry: _Entry) -> None:
        found, payment = self._found, self._truth.get(str(entry.id))
        if payment is None or entry.at != payment.at_ms:
            found.complain(f"decision {entry.id} is of no payment that was sent")
            return
        found._after_ms.extend(self._waiting)
        self._waiting.clear()
        self._reached_ms = payment.at_ms
        self._paid[entry.seq] = payment
        span = "to 31 May" if payment.at_ms < SPLIT_MS else "from 1 June"
        for ranked in (
            found.whole,
            found.spans.setdefault(span, Ranked()),
            found.weeks.setdefault(payment.at_ms // WEEK_MS, Ranked()),
            found.policies.setdefault(entry.policy, Ranked()),
        ):
            ranked.add(entry.score_bp, entry.action, is_bad=payment.is_bad)
        found.signals_known.update(name for name, used in entry.signals.items() if "value" in used)
        fired = {str(one[1]) for one in entry.reasons if one[0] == "rule"}
        self._lists(entry, payment, fired)
        spent, (old, new) = entry.features.get("spent_1d") or 0, self._burst
        if min(old, new) <= spent < max(old, new) and entry.policy == self._in_force[0][1]:
            found.burst.add((self._partition, entry.seq))
            if entry.action == "allow":
                found.burst_allowed.add((self._partition, entry.seq))

    def _lists(self, entry: _Entry, payment: Payment, fired: set[str]) -> None:
        cited = [ref for ref in entry.lists.values() if ref is not None]
        self._versions.extend(one for one in cited if one not in self._versions)
        asked = {ref.partition("@")[0]: self._rows.get(ref.partition(":")[0], {}) for ref in cited}
        limit = asked.get("customer_limits", {}).get(payment.customer)
        due = {
            "terminal_blocked": payment.terminal in asked.get("blocked_terminals", {}),
            "above_own_limit": limit is not None and payment.amount_minor > limit,
        }
        for name, is_due in due.items():
            if is_due != (name in fired):
                self._found.complain(f"payment {payment.id}: {name} {'did not fire' if is_due else 'fired'}, {cited}")


def check_lateness(found: Read) -> str | None:
    """What is wrong with when outcomes were settled; None: nothing. A day is let pass, as long as a chain may sleep."""
    if not found.lateness_h:
        return "no label was settled before the last payment: more rows are needed to see any in time"
    least_h, due_h = found.lateness_h["least"], DELAY_MS / 3_600_000
    if least_h < due_h - DAY_MS / 3_600_000:
        return f"a label was settled {least_h:.1f} h behind its payment, which was due {due_h:.0f} h behind it"
    return None
