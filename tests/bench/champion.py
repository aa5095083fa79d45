"""What a champion learned from late outcomes is worth on a labelled stream, week by week, beside the rules alone.

    python -m tests.bench.champion ../shared/data/fraud_handbook_2018-04_07.csv.gz --cache /tmp/handbook.npz

Every row goes through the payments pack as one chain; its features are taken from the sealed decision, and so is the
score of the rules, which are told the terminal's risk (`tests.bench.payments_rules`). Beside them stand shares of bad
payments at the terminal over 1, 7 and 28 days, and how many labels there were, all from labels seven days old or older
at decision time. For every week from 1 June a champion is fitted to the payments of the eight weeks whose labels were
known when the week began; no payment of the last seven days before it, and none after, has any part in it. With the
last of them the isolation forest and the other experts judge the same weeks, and calibration, parts and speed are told.

Caught value: reviewing the 100 payments a day of the highest score, the share of the bad money among them. Lift: that
of the rules with the terminal's risk and the champion together, over that of the rules alone, to which the wet side
tells nothing.
"""

import argparse
import gzip
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from sidechain.agents.bench.place import machine
from sidechain.models import Decider
from sidechain.models.dry import SignalValue
from sidechain.models.dry.windows import step
from sidechain.models.pack_file import load_pack
from sidechain.models.policy import Feature, Policy
from sidechain.models.wet.boosted_fit import fit
from sidechain.models.wet.calibration import calibrate, reliability
from sidechain.models.wet.fit import fit as fit_forest
from sidechain.models.wet.ranking import rank
from tests.bench.payments_rows import DAY_MS, DELAY_MS, Payment, payments
from tests.bench.payments_rules import BATCH, RISK, SPLIT_MS, TerminalRisk

WEEK_MS = 7 * DAY_MS
HISTORY_MS = 8 * WEEK_MS
WINDOWS = (1, 7, 28)  # days
REVIEWS = 100  # a day
SEED = 1
LARGE_MINOR = 22_000


class Entry(msgspec.Struct):
    """What is read of a decision."""

    score_bp: int
    features: dict[str, int | None]


class Stream(NamedTuple):
    """All payments, in order."""

    names: tuple[str, ...]
    values: np.ndarray  # (rows, features); NaN: unknown
    at_ms: np.ndarray
    customer: np.ndarray
    terminal: np.ndarray
    is_bad: np.ndarray
    score_bp: np.ndarray


def decided(file: Path, limit: int | None) -> Stream:
    """Every row of the file through the pack."""
    policy = load_pack("payments")
    kept: dict[str, list[Any]] = {
        name: [] for name in ("values", "at_ms", "customer", "terminal", "is_bad", "score_bp")
    }
    names: tuple[str, ...] = ()
    for payment, entry in _entries(policy, file, limit):
        names = names or tuple(entry.features)
        kept["values"].append([np.nan if (one := entry.features[name]) is None else one for name in names])
        kept["at_ms"].append(payment.at_ms)
        kept["customer"].append(int(payment.customer))
        kept["terminal"].append(int(payment.terminal))
        kept["is_bad"].append(payment.is_bad)
        kept["score_bp"].append(entry.score_bp)
    return Stream(names, **{name: np.array(column) for name, column in kept.items()})


Make = Callable[[Path, int | None], Stream]


def windowed(file: Path, limit: int | None) -> Stream:
    """The same features from the pack's windows alone, without deciding; there is no score of the rules then."""
    policy = load_pack("payments")
    steps = [_step(feature) for feature in policy.features]
    kept: list[list[Any]] = []
    slots: dict[str, list[Any]] = {}
    with gzip.open(file, "rt", encoding="ascii") as stream:
        next(stream)
        for line in islice(stream, limit):
            _, at, customer, terminal, amount, is_bad, _ = line.split(",")
            at_ms = int(datetime.fromisoformat(at + "+00:00").timestamp()) * 1_000
            minor = int(float(amount) * 100.0 + 0.5)
            own = slots.get(customer) or slots.setdefault(customer, [new() for new, _ in steps])
            values = [update(slot, at_ms, minor, terminal) for (_, update), slot in zip(steps, own, strict=True)]
            kept.append([*values, at_ms, int(customer), int(terminal), is_bad == "1"])
    table = np.array(kept, dtype=np.float64)
    width = len(steps)
    at_ms, customer, terminal = (table[:, width + at].astype(np.int64) for at in range(3))
    names = tuple(feature.name for feature in policy.features)
    nothing = np.zeros(len(table))
    return Stream(names, table[:, :width], at_ms, customer, terminal, table[:, -1] > 0, nothing)


def _step(feature: Feature) -> tuple[Any, Any]:
    """A fresh slot, and its update by (slot, time in ms, amount, terminal)."""
    if feature.aggregate == "value":
        return list, lambda _slot, _at, amount, _terminal: amount
    _, new, update, _, _ = step(feature)
    if feature.aggregate == "distinct":
        return new, lambda slot, at, _amount, terminal: update(slot, at, True, terminal)
    if feature.name == "large_14d":
        return new, lambda slot, at, amount, _terminal: update(slot, at, amount > LARGE_MINOR, 1)
    if feature.aggregate == "count":
        return new, lambda slot, at, _amount, _terminal: update(slot, at, True, 1)
    return new, lambda slot, at, amount, _terminal: update(slot, at, True, amount)


def alone(file: Path, limit: int | None) -> np.ndarray:
    """The score of the rules for every row where nothing of the wet side reaches them: no signal is known."""
    policy, entry_of = load_pack("payments"), msgspec.json.Decoder(Entry).decode
    decider, scores = Decider(policy), []
    with gzip.open(file) as stream:
        made = payments(policy, islice(stream, limit and limit + 1))
        while batch := list(islice(made, BATCH)):
            scores += [entry_of(line).score_bp for line in decider.lines([one.event for one in batch])]
    return np.array(scores)


def _entries(policy: Policy, file: Path, limit: int | None) -> Iterator[tuple[Payment, Entry]]:
    entry_of = msgspec.json.Decoder(Entry).decode
    decider, risk = Decider(policy), TerminalRisk()
    with gzip.open(file) as stream:
        made = payments(policy, islice(stream, limit and limit + 1))
        while batch := list(islice(made, BATCH)):
            told: deque[SignalValue | None] = deque()
            for one in batch:
                told.append(risk.at(one.at_ms, one.terminal))
                risk.paid(one.at_ms, one.terminal, one.is_bad)

            def answer(signal: str, _about: str, told: deque[SignalValue | None] = told) -> SignalValue | None:
                return told.popleft() if signal == RISK else None

            sealed = decider.lines([one.event for one in batch], latest_of=answer)
            for one, line in zip(batch, sealed, strict=True):
                yield one, entry_of(line)


def with_terminals(stream: Stream) -> Stream:
    """The same with what labels seven days old or older said of the terminal when the payment was decided."""
    _, terminal = np.unique(stream.terminal, return_inverse=True)
    key = terminal.astype(np.int64) << 42  # a time in ms takes 41 bits
    order = np.argsort(key + stream.at_ms, kind="stable")
    ordered = (key + stream.at_ms)[order]
    bad = np.concatenate(([0], np.cumsum(stream.is_bad[order])))
    known = np.searchsorted(ordered, key + stream.at_ms - DELAY_MS, side="right")
    columns, names = [], []
    for days in WINDOWS:
        first = np.searchsorted(ordered, key + stream.at_ms - DELAY_MS - days * DAY_MS, side="right")
        labels = known - first
        share = np.divide(bad[known] - bad[first], labels, out=np.full(len(known), np.nan), where=labels > 0)
        columns += [share, labels]
        names += [f"terminal_bad_{days}d", f"terminal_labels_{days}d"]
    values = np.column_stack([stream.values, *columns]).astype(np.float64)
    return stream._replace(names=(*stream.names, *names), values=values)


def caught(score: np.ndarray, stream: Stream, some: np.ndarray) -> float:
    """Of the bad money of those rows, the share among the first REVIEWS of each day."""
    found = total = 0.0
    amount = stream.values[:, stream.names.index("amount")]
    day = stream.at_ms // DAY_MS
    for one in np.unique(day[some]):
        rows_of = some[day[some] == one]
        bad = np.where(stream.is_bad[rows_of], amount[rows_of], 0.0)
        found += bad[np.argsort(-score[rows_of], kind="stable")[:REVIEWS]].sum()
        total += bad.sum()
    return found / total if total else float("nan")


def lifted(unaided: np.ndarray, both: np.ndarray, stream: Stream, some: np.ndarray) -> None:
    """What rules and wet side together catch, over what rules catch to which the wet side tells nothing."""
    before, after = caught(unaided.astype(np.float64), stream, some), caught(both, stream, some)
    print(
        f"lift at {REVIEWS} reviews a day: {after:.3f} of the bad money with rules and wet,"
        f" {before:.3f} by rules alone: {after / before:.2f} times"
    )


def unaided_of(file: Path, limit: int | None, cache: Path | None) -> np.ndarray:
    """`alone`, from beside the cache if it is there."""
    kept = cache and cache.with_suffix(".alone.npy")
    if kept and kept.exists():
        found: np.ndarray = np.load(kept, allow_pickle=False)
        return found
    made = alone(file, limit)
    if kept:
        np.save(kept, made)
    return made


def places(score: np.ndarray) -> np.ndarray:
    """The rank of each score among all, in [0, 1]; ties share the middle."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    return ((np.cumsum(counts) - counts / 2) / len(score))[inverse]


def report(name: str, score: np.ndarray, stream: Stream, some: np.ndarray) -> None:
    """One line."""
    found = rank(score[some], stream.is_bad[some])
    print(
        f"{name:<22} {found.rows:>8,} rows {found.bad:>6,} bad"
        f"  AP {found.average_precision or 0:.3f}  AUROC {found.auroc or 0:.3f}"
        f"  caught value at {REVIEWS} a day {caught(score, stream, some):.3f}"
    )


def judged(stream: Stream, good: int, unaided: np.ndarray | None) -> None:
    """Week by week. `unaided`: the rules' score where no signal of the wet side reaches them."""
    champion, forest = np.full(len(stream.at_ms), np.nan), np.full(len(stream.at_ms), np.nan)
    rules = stream.score_bp.astype(np.float64)
    weeks = list(range(SPLIT_MS, int(stream.at_ms[-1]) - WEEK_MS + 2 * DAY_MS, WEEK_MS))
    if not weeks:
        sys.exit("the rows end before the first week that could be judged")
    for version, begin in enumerate(weeks, 1):
        train = np.flatnonzero((stream.at_ms <= begin - DELAY_MS) & (stream.at_ms > begin - DELAY_MS - HISTORY_MS))
        train = train[stream.is_bad[train] | (np.arange(len(train)) % good == 0)]
        test = np.flatnonzero((stream.at_ms >= begin) & (stream.at_ms < begin + WEEK_MS))
        began = time.monotonic()
        model = fit(stream.values[train], stream.is_bad[train], stream.names, SEED, version)
        took, began = time.monotonic() - began, time.monotonic()
        champion[test] = model.score(stream.values[test])
        speed = len(test) / (time.monotonic() - began)
        sample = np.random.default_rng(SEED).choice(train, 4_096, replace=False)
        own = [at for at, name in enumerate(stream.names) if not name.startswith("terminal")]
        forest[test] = fit_forest(
            stream.values[np.ix_(sample, own)], [stream.names[at] for at in own], SEED, version
        ).score(stream.values[np.ix_(test, own)])
        week = f"week of {datetime.fromtimestamp(begin / 1_000, UTC):%d %B}"
        report(week, champion, stream, test)
        if unaided is not None:
            report("  rules alone", unaided.astype(np.float64), stream, test)
        print(f"  {model.name}: fitted to {len(train):,} rows in {took:.1f} s, scores {speed:,.0f} rows/s", flush=True)
    some = np.flatnonzero(~np.isnan(champion))
    report("champion", champion, stream, some)
    report("forest", forest, stream, some)
    if rules.any():
        both = np.zeros(len(rules))
        both[some] = places(rules[some]) + places(champion[some])
        report("rules", rules, stream, some)
        report("rules and champion", both, stream, some)
    if unaided is not None:
        report("rules alone", unaided.astype(np.float64), stream, some)
        lifted(unaided, both, stream, some)
    half = len(some) // 2  # labels of the first half calibrate the second
    curve = calibrate(champion[some[:half]], stream.is_bad[some[:half]])
    for name, made in (("as it is", champion[some[half:]]), (curve.name, curve.of(champion[some[half:]]))):
        found = reliability(made, stream.is_bad[some[half:]])
        print(f"champion {name}: Brier {found.brier:.5f} (base {found.brier_of_base:.5f}), off by {found.error:.5f}")
    why = model.explain(stream.values[some[-2_000:]])
    odds = model.log_odds(stream.values[some[-2_000:]])
    print(f"parts and base are {np.abs(why.base + why.parts.sum(axis=1) - odds).max():.2g} from the log-odds at most")
    weight = np.abs(why.parts).mean(axis=0)
    print("mean size of parts:", {stream.names[at]: round(float(weight[at]), 3) for at in np.argsort(-weight)})


def read(file: Path, limit: int | None, cache: Path | None, make: Make = decided) -> Stream:
    """The stream with its features, from the cache if it is there."""
    if cache and cache.exists():
        with np.load(cache, allow_pickle=False) as kept:
            return Stream(tuple(kept["names"].tolist()), *(kept[name] for name in Stream._fields[1:]))
    began = time.monotonic()
    stream = make(file, limit)
    print(f"{make.__name__}: {len(stream.at_ms) / (time.monotonic() - began):,.0f} rows/s", flush=True)
    if cache:
        np.savez(cache, **stream._asdict())
    return stream


def main() -> None:
    """Decide or read what was decided, then judge."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("file", type=Path, help="the Handbook's stream, gzip")
    options.add_argument("--cache", type=Path, help="where to keep the features once they are made")
    options.add_argument("--limit", type=int, help="rows to read")
    options.add_argument("--windows", action="store_true", help="features alone, without the rules: many times faster")
    options.add_argument("--good", type=int, default=1, help="fit to one in so many good rows, and to all bad ones")
    given = options.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}, python {sys.version.split()[0]}, one thread")
    stream = read(given.file, given.limit, given.cache, windowed if given.windows else decided)
    with threadpool_limits(1):
        unaided = None if given.windows else unaided_of(given.file, given.limit, given.cache)
        judged(with_terminals(stream), given.good, unaided)


if __name__ == "__main__":
    main()
