"""How well the rules of the payments pack rank a labelled stream: average precision of decisions by their dry score.

    python -m tests.bench.payments_rules ../shared/data/fraud_handbook_2018-04_07.csv.gz

Every row goes through the kernel as one chain, once without any signal and once with the risk of the terminal, made as
an aggregator of outcomes would make it: each label becomes known seven days after its payment, and then says which
share of the terminal's labels of the last 28 days was bad, in basis points. The value is sealed with the decision that
used it. Rules were chosen on the payments before 1 June; what comes after is the test, and both are printed.

Payments of one score share a rank: average precision is the sum over distinct scores, from the highest down, of the
precision so far times the recall that score adds.
"""

import argparse
import gzip
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from sidechain.agents.bench.place import machine
from sidechain.models import Decider
from sidechain.models.dry import SignalValue
from sidechain.models.pack_file import load_file, load_pack
from sidechain.models.policy import Policy
from tests.bench.payments_rows import DAY_MS, DELAY_MS, payments

RISK = "terminal_risk"  # of the signals learned of terminals, the one that rules ask for
WINDOW_MS = 28 * DAY_MS
SPLIT_MS = 1_527_811_200_000  # 2018-06-01T00:00:00Z
BATCH = 2_000
CARDS_A_DAY = 100


class Entry(msgspec.Struct):
    """What is read of a decision."""

    score_bp: int
    action: str


class Row(NamedTuple):
    """One payment, its truth and what was decided."""

    at_ms: int
    customer: str
    kind: int  # 0: good
    score_bp: int
    action: str


class TerminalRisk:
    """Bad share of each terminal's known labels; memory for the payments of 35 days."""

    def __init__(self) -> None:
        self._due: deque[tuple[int, str, bool]] = deque()  # labels nobody knows yet
        self._known: dict[str, deque[tuple[int, bool]]] = {}
        self._said: dict[str, SignalValue] = {}
        self._count = 0

    def at(self, now_ms: int, terminal: str) -> SignalValue | None:
        """What is known of the terminal by now."""
        while self._due and self._due[0][0] <= now_ms:
            self._learn(*self._due.popleft())
        return self._said.get(terminal)

    def paid(self, at_ms: int, terminal: str, is_bad: bool) -> None:
        """A payment whose label becomes known later; call it in order of time."""
        self._due.append((at_ms + DELAY_MS, terminal, is_bad))

    def _learn(self, at_ms: int, terminal: str, is_bad: bool) -> None:
        known = self._known.setdefault(terminal, deque())
        known.append((at_ms, is_bad))
        while known[0][0] <= at_ms - WINDOW_MS:
            known.popleft()
        share_bp = sum(bad for _, bad in known) * 10_000 // len(known)
        self._said[terminal] = SignalValue(share_bp, "terminal-28d", at_ms, self._count)
        self._count += 1


def decided(policy: Policy, lines: Iterable[bytes], *, with_terminals: bool) -> Iterator[Row]:
    """Every row of the source `handbook`, decided in order as one partition."""
    entry_of = msgspec.json.Decoder(Entry).decode
    decider, risk = Decider(policy), TerminalRisk()
    made = payments(policy, lines)
    while batch := list(islice(made, BATCH)):
        values = []
        for one in batch:
            values.append(risk.at(one.at_ms, one.terminal))
            risk.paid(one.at_ms, one.terminal, one.is_bad)
        answers = iter(values)  # asked once for each decision, in order

        def latest_of(signal: str, _about: str, answers: Iterator[SignalValue | None] = answers) -> SignalValue | None:
            return next(answers) if with_terminals and signal == RISK else None

        sealed = decider.lines([one.event for one in batch], latest_of=latest_of)
        assert not with_terminals or next(answers, None) is None
        for one, line in zip(batch, sealed, strict=True):
            entry = entry_of(line)
            yield Row(one.at_ms, one.customer, one.kind, entry.score_bp, entry.action)


def average_precision(scored: Iterable[tuple[int, bool]]) -> float:
    """Of (score, is bad); 0 where nothing is bad."""
    named: dict[bool, Counter[int]] = {False: Counter(), True: Counter()}
    for score, is_bad in scored:
        named[is_bad][score] += 1
    return precision_of(named[False], named[True])


def precision_of(good: Mapping[int, int], bad: Mapping[int, int]) -> float:
    """The same of how many good and how many bad ones have each score."""
    total, so_far, bad_so_far, area = sum(bad.values()), 0, 0, 0.0
    for score in sorted(good.keys() | bad.keys(), reverse=True):
        some = bad.get(score, 0)
        so_far += good.get(score, 0) + some
        bad_so_far += some
        area += some * bad_so_far / so_far
    return area / total if total else 0.0


def card_precision(found: Iterable[Row]) -> float:
    """Of the 100 customers a day whose highest score is highest, the share that was defrauded that day; mean of days.

    Customers of one score stand in the order of their names.
    """
    highest: dict[int, dict[str, tuple[int, bool]]] = {}
    for one in found:
        day = highest.setdefault(one.at_ms // DAY_MS, {})
        score, is_bad = day.get(one.customer, (-1, False))
        day[one.customer] = (max(score, one.score_bp), is_bad or one.kind > 0)
    shares = []
    for day in highest.values():
        first = sorted(day.items(), key=lambda item: (-item[1][0], item[0]))[:CARDS_A_DAY]
        shares.append(sum(is_bad for _, (_, is_bad) in first) / len(first))
    return sum(shares) / len(shares)


def report(name: str, found: list[Row]) -> dict[str, object]:
    """Counts and ratios of some rows."""
    bad = Counter(one.kind for one in found)
    stopped = Counter(one.kind for one in found if one.action in ("review", "block"))
    return {
        "rows": name,
        "payments": len(found),
        "bad": len(found) - bad[0],
        "average_precision": round(average_precision((one.score_bp, one.kind > 0) for one in found), 4),
        "card_precision_at_100": round(card_precision(found), 4),
        "stopped": stopped.total(),
        "stopped_precision": round((stopped.total() - stopped[0]) / max(stopped.total(), 1), 4),
        "recall_by_kind": {kind: round(stopped[kind] / bad[kind], 4) for kind in (1, 2, 3) if bad[kind]},
    }


def main() -> None:
    """Decide everything twice and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("file", type=Path, help="the Handbook's stream, gzip")
    options.add_argument("--policy", type=Path, help="another version of the pack")
    options.add_argument("--limit", type=int, help="rows to read")
    given = options.parse_args()
    policy = load_file(given.policy) if given.policy else load_pack("payments")
    print(f"{policy.ref}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}, python {sys.version.split()[0]}")
    for with_terminals in (False, True):
        began = time.monotonic()
        with gzip.open(given.file) as stream:
            lines = islice(stream, given.limit and given.limit + 1)
            found = list(decided(policy, lines, with_terminals=with_terminals))
        took = time.monotonic() - began
        print(
            f"terminal risk {'sealed with each use' if with_terminals else 'unknown'}: {len(found) / took:,.0f} rows/s"
        )
        for name, some in (
            ("all", found),
            ("to 31 May", [one for one in found if one.at_ms < SPLIT_MS]),
            ("from 1 June", [one for one in found if one.at_ms >= SPLIT_MS]),
        ):
            if some:
                print(msgspec.json.encode(report(name, some)).decode())


if __name__ == "__main__":
    main()
