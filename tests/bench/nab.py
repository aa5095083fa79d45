"""The Numenta Anomaly Benchmark's own scoring, and our metric scorer beside others under it.

    python -m tests.bench.nab ../shared/data/nab --detectors ours,gaussian,forest
    python -m tests.bench.nab ../shared/data/nab --results NAB/results/randomCutForest

The folder holds `data/<group>/<series>.csv` and `labels/combined_windows.json`. `--results` scores what somebody else
said of the same series, row by row, as NAB's repository keeps it: columns timestamp, value, anomaly_score. Where that
folder stands in the repository, its rows of all series are scored too, and must come to the total NAB itself gives
them: that is how this scoring is known to be NAB's own. Without `--results` the others are written from their
descriptions (`nab_others`). The run fails where ours is not above all others on the same series.

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
SAME: Final = 0.01  # between two totals: NAB finds its threshold by climbing, we by looking at all


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


class Told(NamedTuple):
    """One detector over some series."""

    detector: str
    scores: Mapping[str, float]  # by profile
    standard: Best
    rows_s: float | None  # None: its scores were there


def told(name: str, said: Sequence[Values], series: Sequence[Series], seconds: float | None) -> Told:
    """What its scores earn under each profile, one threshold for all series."""
    figures = {}
    for profile, costs in PROFILES.items():
        swept = [sweep(one, costs) for one in series]
        kept = [one[len(one) - len(part.worth) :] for one, part in zip(said, swept, strict=True)]
        figures[profile] = best(joined(swept), np.concatenate(kept), costs)
    speed = None if seconds is None else sum(map(len, said)) / seconds
    return Told(name, {profile: one.score for profile, one in figures.items()}, figures["standard"], speed)


def line(one: Told) -> str:
    """One row of the table."""
    scores, first = " | ".join(f"{score:.1f}" for score in one.scores.values()), one.standard
    speed = "-" if one.rows_s is None else f"{one.rows_s:,.0f}"
    return f"| {one.detector} | {scores} | {first.found} | {first.false_alarms} | {first.threshold:.5g} | {speed} |"


def totals(folder: Path) -> tuple[float, float] | None:
    """The standard score of all of NAB's series by a folder of its results: as told here, and as NAB tells it."""
    stated = folder.parent / "final_results.json"
    if not stated.is_file():
        return None
    series = list(corpus(folder.parent.parent))
    here = told(folder.name, _results(folder, series), series, None)
    return here.scores["standard"], float(json.loads(stated.read_text())[folder.name]["standard"])


def main() -> int:
    """Score and print; 1 where ours is not the best, or this scoring is not NAB's."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--detectors", default=",".join(DETECTORS), help=f"some of {', '.join(DETECTORS)}")
    options.add_argument("--groups", default="", help="only series of these groups, with commas")
    options.add_argument(
        "--results", type=Path, action="append", default=[], help="a detector's folder of NAB's results"
    )
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    groups = tuple(filter(None, given.groups.split(",")))
    series = [one for one in corpus(given.folder) if not groups or one.name.split("/")[0] in groups]
    rows, windows = sum(len(one.times) for one in series), sum(len(one.windows) for one in series)
    where = {"at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", **machine()}
    say = print if not given.json else (lambda _: None)
    say(f"{where}\n{len(series)} series, {rows:,} rows, {windows} labelled windows\n")
    say(f"| detector | {' | '.join(PROFILES)} | windows found | false alarms | threshold | rows/s |")
    say("|---|" + "---:|" * (len(PROFILES) + 4))
    found = []
    for folder in given.results:
        found.append(told(f"{folder.name}, as published", _results(folder, series), series, None))
        say(line(found[-1]))
    for name in filter(None, given.detectors.split(",")):
        began = time.process_time()
        said = _said(DETECTORS[name], series)
        found.append(told(name, said, series, time.process_time() - began))
        say(line(found[-1]))
    say("")
    checked = {one.name: both for one in given.results if (both := totals(one)) is not None}
    for name, (here, there) in checked.items():
        say(f"{name}, all of NAB's series: {here:.3f} by this scoring, {there:.3f} by NAB's own")
    say(f"rows/s of processor time; load average {os.getloadavg()[0]:.2f}")
    if given.json:
        kept = [{**one._asdict(), "standard": one.standard._asdict()} for one in found]
        about = {"series": len(series), "rows": rows, "windows": windows, "load_average": os.getloadavg()[0]}
        print(json.dumps({**where, **about, "detectors": kept, "totals": checked}, indent=1))
    own = [one.scores["standard"] for one in found if one.detector == "ours"]
    others = [one.scores["standard"] for one in found if one.detector != "ours"]
    is_best = not own or not others or own[0] > max(others)
    return 0 if is_best and all(abs(here - there) <= SAME for here, there in checked.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
