"""The Numenta Anomaly Benchmark's own scoring, and our metric scorer beside others under it.

    python -m tests.bench.nab ../shared/data/nab --detectors ours,gaussian,forest
    python -m tests.bench.nab ../shared/data/nab --results NAB/results/randomCutForest

The folder holds `data/<group>/<series>.csv` and `labels/combined_windows.json`. `--results` scores what somebody else
said of the same series, as NAB's repository keeps it: columns timestamp, value, anomaly_score.

How NAB scores (Lavin and Ahmad 2015): the first 15 % of a series, of at most 5,000 rows, count for nothing. A
detection in a labelled window counts once, by how early it stands, from 1 at the left edge to 0 at the right one; a
missed window costs as much. Every detection outside of windows costs its weight, less right behind a window. One
threshold for all series is chosen as the best one there is. The figure is 100 for a perfect detector, 0 for one that
never speaks.
"""

import argparse
import csv
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sidechain.agents.bench.place import machine
from sidechain.models.wet.metric_stream import MetricStream
from tests.bench.nab_others import RandomCutForest, WindowedGaussian

Values = NDArray[np.float64]
Codes = NDArray[np.int64]

PROBATION: Final = 0.15
PROBATION_OF: Final = 5_000  # rows at most
FAR: Final = 3.0  # window widths behind a window: from there on a false alarm costs all of its weight
STEEP: Final = 5.0
OUTSIDE: Final = -1


class Profile(NamedTuple):
    """What each mistake costs."""

    found: float = 1.0
    false_alarm: float = 0.11
    missed: float = 1.0


PROFILES: Final = {
    "standard": Profile(),
    "fewer false alarms": Profile(false_alarm=0.22),
    "fewer missed": Profile(missed=2.0),
}


class Series(NamedTuple):
    """One file of the benchmark."""

    name: str
    times: Sequence[datetime]
    values: Values
    windows: Sequence[tuple[datetime, datetime]]  # first and last row of each, both included


class Swept(NamedTuple):
    """What a detection at each scorable row of some series is worth."""

    worth: Values  # (rows,)
    window: Codes  # (rows,): which window the row lies in; OUTSIDE: in none
    windows: int


class Best(NamedTuple):
    """The best threshold there is."""

    threshold: float  # detections are rows with this score or a higher one; above all scores: none
    score: float  # 0 to 100; below 0 is worse than saying nothing
    found: int  # windows
    false_alarms: int  # rows


def sigmoid(position: float) -> float:
    """Worth of a detection: -1 is a window's left edge, 0 its right one, above 0 are window widths behind it."""
    return -1.0 if position > FAR else 2.0 / (1.0 + math.exp(STEEP * position)) - 1.0


def sweep(series: Series, profile: Profile) -> Swept:
    """Every row of one series, without its beginning."""
    rows = len(series.times)
    worth = np.full(rows, -profile.false_alarm)
    window = np.full(rows, OUTSIDE)
    place = {at: row for row, at in reversed(list(enumerate(series.times)))}
    edges = [(place[left], place[right]) for left, right in series.windows]
    for number, (left, right) in enumerate(edges):
        width = right - left + 1
        for row in range(left, right + 1):
            worth[row] = profile.found * sigmoid(-(right - row + 1) / width) / sigmoid(-1.0)
            window[row] = number
        until = edges[number + 1][0] if number + 1 < len(edges) else rows
        for row in range(right + 1, until):
            worth[row] = profile.false_alarm * sigmoid((row - right) / (width - 1))
    # Of a fraction of a row the benchmark takes the next one.
    first = math.ceil(min(math.floor(PROBATION * rows), PROBATION * PROBATION_OF))
    return Swept(worth[first:], window[first:], len(edges))


def joined(swept: Sequence[Swept]) -> Swept:
    """All series as one: their windows numbered through."""
    *shifts, windows = np.cumsum([0, *(one.windows for one in swept)])
    window = [
        np.where(one.window == OUTSIDE, OUTSIDE, one.window + shift) for one, shift in zip(swept, shifts, strict=True)
    ]
    return Swept(np.concatenate([one.worth for one in swept]), np.concatenate(window), int(windows))


def best(swept: Swept, said: Values, profile: Profile) -> Best:
    """The threshold at which `said` (rows,), higher is stranger, earns most."""
    order = np.argsort(-said, kind="stable")
    worth, window, said = swept.worth[order], swept.window[order], said[order]
    earned = np.where(window == OUTSIDE, worth, 0.0)
    first_found = np.zeros(len(said), dtype=np.bool_)
    so_far: dict[int, float] = {}
    for row in np.flatnonzero(window != OUTSIDE).tolist():
        number = int(window[row])
        first_found[row] = number not in so_far
        before = so_far.get(number, -profile.missed)
        so_far[number] = max(before, float(worth[row]))
        earned[row] = so_far[number] - before
    scorable = len(so_far)
    lasts = np.append(np.flatnonzero(np.diff(said)), len(said) - 1)  # the last row of each distinct score
    totals = np.concatenate(([0.0], np.cumsum(earned)[lasts])) - profile.missed * scorable
    at = int(np.argmax(totals))
    perfect, nothing = profile.found * swept.windows, -profile.missed * scorable
    score = 100.0 * (float(totals[at]) - nothing) / (perfect - nothing)
    if at == 0:
        return Best(math.inf, score, 0, 0)
    upto = int(lasts[at - 1]) + 1
    return Best(float(said[upto - 1]), score, int(first_found[:upto].sum()), int((window[:upto] == OUTSIDE).sum()))


def corpus(folder: Path) -> Iterator[Series]:
    """The series that are there, by name."""
    windows = json.loads((folder / "labels" / "combined_windows.json").read_text())
    for file in sorted((folder / "data").glob("*/*.csv")):
        name = f"{file.parent.name}/{file.name}"
        times, columns = table(file)
        edges = [(datetime.fromisoformat(left), datetime.fromisoformat(right)) for left, right in windows[name]]
        yield Series(name, times, columns["value"], edges)


def table(file: Path) -> tuple[list[datetime], Mapping[str, Values]]:
    """A CSV file with a column `timestamp`: that, and the numbers of all others that hold some."""
    with file.open(newline="", encoding="ascii") as stream:
        rows = list(csv.DictReader(stream))
    names = [one for one in ("value", "anomaly_score") if one in rows[0]]
    columns = {name: np.array([float(row[name]) for row in rows]) for name in names}
    return [datetime.fromisoformat(row["timestamp"]) for row in rows], columns


def _results(folder: Path, series: Sequence[Series]) -> list[Values]:
    """What a folder of NAB's results says of each series."""
    found = []
    for one in series:
        group, _, name = one.name.partition("/")
        times, columns = table(folder / group / f"{folder.name}_{name}")
        if len(times) != len(one.times):  # some detectors wrote times an hour off; NAB itself goes by the row
            raise ValueError(f"{folder.name} speaks of {len(times)} rows of {one.name}, which has {len(one.times)}")
        found.append(columns["anomaly_score"])
    return found


def _said(make: Callable[[], Callable[[datetime, float], float]], series: Sequence[Series]) -> list[Values]:
    found = []
    for one in series:
        score = make()
        found.append(np.array([score(at, value) for at, value in zip(one.times, one.values.tolist(), strict=True)]))
    return found


def _gaussian() -> Callable[[datetime, float], float]:
    detector = WindowedGaussian()
    return lambda _, value: detector.score(value)


def _forest() -> Callable[[datetime, float], float]:
    detector = RandomCutForest(seed=1)
    return lambda _, value: detector.score(value)


def _ours() -> Callable[[datetime, float], float]:
    stream = MetricStream()
    return lambda _, value: stream.add(value).score


DETECTORS: Final = {"ours": _ours, "gaussian": _gaussian, "forest": _forest}


def told(name: str, said: Sequence[Values], series: Sequence[Series], seconds: float | None) -> None:
    """One line of the table, and one for every group of series under the same threshold."""
    figures = []
    for profile in PROFILES.values():
        swept = [sweep(one, profile) for one in series]
        kept = [one[len(one) - len(part.worth) :] for one, part in zip(said, swept, strict=True)]
        figures.append(best(joined(swept), np.concatenate(kept), profile))
    first = figures[0]
    speed = "-" if seconds is None else f"{sum(map(len, said)) / seconds:,.0f}"
    scores = " | ".join(f"{one.score:.1f}" for one in figures)
    print(f"| {name} | {scores} | {first.found} | {first.false_alarms} | {first.threshold:.5g} | {speed} |", flush=True)


def main() -> None:
    """Score and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--detectors", default=",".join(DETECTORS), help=f"some of {', '.join(DETECTORS)}")
    options.add_argument("--groups", default="", help="only series of these groups, with commas")
    options.add_argument(
        "--results", type=Path, action="append", default=[], help="a detector's folder of NAB's results"
    )
    given = options.parse_args()
    groups = tuple(filter(None, given.groups.split(",")))
    series = [one for one in corpus(given.folder) if not groups or one.name.split("/")[0] in groups]
    rows, windows = sum(len(one.times) for one in series), sum(len(one.windows) for one in series)
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}, python {sys.version.split()[0]}")
    print(f"{len(series)} series, {rows:,} rows, {windows} labelled windows\n")
    print(f"| detector | {' | '.join(PROFILES)} | windows found | false alarms | threshold | rows/s |")
    print("|---|" + "---:|" * (len(PROFILES) + 4))
    for folder in given.results:
        told(f"{folder.name}, as published", _results(folder, series), series, None)
    for name in filter(None, given.detectors.split(",")):
        began = time.perf_counter()
        said = _said(DETECTORS[name], series)
        told(name, said, series, time.perf_counter() - began)
    print(f"\nload average {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
