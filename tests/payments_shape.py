"""How far made-up payments are from the published stream: distances between what both hold of the same days.

    python -m tests.payments_shape ../shared/data/fraud_handbook_2018-04_07.csv.gz --seed 1

A distance of two samples is the Kolmogorov-Smirnov statistic, the furthest their distribution functions are apart; of
two numbers it is the difference in parts of the published one.
"""

import argparse
import gzip
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from sidechain.models.packs.generators.payments import CUSTOMERS, START_MS, Payments

DAY_MS = 86_400_000
DAYS = 61  # of the published stream's 122: enough for every pattern to begin and end


class Shape(NamedTuple):
    """Samples, sorted, and numbers of some days of payments."""

    amounts: list[int]  # minor units
    seconds: list[int]  # of the day
    by_customer: list[int]  # payments of each, those who never pay included
    by_terminal: list[int]
    reached: list[int]  # terminals each customer was seen at
    a_day: list[int]  # payments of each day
    quantiles: tuple[int, ...]  # of the amounts, at QUANTILES
    rates: tuple[float, ...]  # share of bad payments: all, and of each kind


QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


def shape(payments: Iterable[tuple[int, int, int, int, int]]) -> Shape:
    """Of (time in ms, kind, customer, terminal, amount in minor units)."""
    amounts, seconds = [], []
    customers: Counter[int] = Counter(dict.fromkeys(range(CUSTOMERS), 0))
    terminals: Counter[int] = Counter(dict.fromkeys(range(2 * CUSTOMERS), 0))
    places: set[int] = set()
    days: Counter[int] = Counter()
    kinds: Counter[int] = Counter()
    for at_ms, kind, customer, terminal, amount in payments:
        amounts.append(amount)
        seconds.append(at_ms // 1_000 % 86_400)
        customers[customer] += 1
        terminals[terminal] += 1
        places.add(customer * 2 * CUSTOMERS + terminal)
        days[at_ms // DAY_MS] += 1
        kinds[kind] += 1
    amounts.sort()
    seconds.sort()
    count = len(amounts)
    return Shape(
        amounts,
        seconds,
        sorted(customers.values()),
        sorted(terminals.values()),
        sorted(Counter(one // (2 * CUSTOMERS) for one in places).values()),
        sorted(days.values()),
        tuple(amounts[int(share * count)] for share in QUANTILES),
        (1 - kinds[0] / count, *(kinds[kind] / count for kind in (1, 2, 3))),
    )


def made(seed: int, days: int = DAYS) -> Shape:
    """What the generator makes of that many days."""
    found = Payments(seed).slices()
    return shape(
        (at_ms, kind, customer, terminal, amount)
        for some in islice(found, days)
        for at_ms, kind, _, customer, terminal, amount in some
    )


def published(path: Path, days: int = DAYS) -> Shape:
    """The same days of the given file."""
    return shape(_rows(path, START_MS + days * DAY_MS))


def distances(ours: Shape, theirs: Shape) -> dict[str, float]:
    """Everything compared, by name."""
    names = ("fraud", "fraud 1 amount", "fraud 2 terminal", "fraud 3 customer")
    mean_ours, mean_theirs = (sum(one.a_day) / len(one.a_day) for one in (ours, theirs))
    return {
        "amount": apart(ours.amounts, theirs.amounts),
        "time of day": apart(ours.seconds, theirs.seconds),
        "payments of a customer": apart(ours.by_customer, theirs.by_customer),
        "payments at a terminal": apart(ours.by_terminal, theirs.by_terminal),
        "terminals of a customer": apart(ours.reached, theirs.reached),
        "payments a day": abs(mean_ours / mean_theirs - 1),
        "quantiles of the amount": max(abs(a / b - 1) for a, b in zip(ours.quantiles, theirs.quantiles, strict=True)),
        **{name: abs(a / b - 1) for name, a, b in zip(names, ours.rates, theirs.rates, strict=True)},
    }


def apart(ours: Sequence[int], theirs: Sequence[int]) -> float:
    """Kolmogorov and Smirnov's statistic of two sorted samples."""
    points = sorted({*ours, *theirs})
    return max(abs(bisect_right(ours, at) / len(ours) - bisect_right(theirs, at) / len(theirs)) for at in points)


def _rows(path: Path, until_ms: int) -> Iterable[tuple[int, int, int, int, int]]:
    days: dict[bytes, int] = {}
    with gzip.open(path) as lines:
        next(lines)
        for line in lines:
            _, at, customer, terminal, amount, _, kind = line.split(b",")
            day = at[:10]
            if day not in days:
                days[day] = int(datetime.fromisoformat(day.decode()).replace(tzinfo=UTC).timestamp()) * 1_000
            at_ms = days[day] + (int(at[11:13]) * 3_600 + int(at[14:16]) * 60 + int(at[17:19])) * 1_000
            if at_ms >= until_ms:
                return
            yield at_ms, int(kind), int(customer), int(terminal), round(float(amount) * 100)


def main() -> None:
    """Print the distances."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("file", type=Path, help="the published stream, gzip")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--days", type=int, default=DAYS)
    given = options.parse_args()
    ours, theirs = made(given.seed, given.days), published(given.file, given.days)
    for name, one in distances(ours, theirs).items():
        print(f"{name:26} {one:.4f}")
    for whose, one in (("made", ours), ("published", theirs)):
        print(f"{whose:10} {len(one.amounts):,} payments, quantiles {one.quantiles}, rates {one.rates}")


if __name__ == "__main__":
    main()
