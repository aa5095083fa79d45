"""What each expert of the panel is worth on labelled streams of two packs: all of them, each alone, and all but one.

    python -m tests.bench.ablation payments ../shared/data/fraud_handbook_2018-04_07.csv.gz --cache /tmp/handbook.npz
    python -m tests.bench.ablation network ../shared/data/kddcup.data_10_percent.gz --last 100000

The last rows of the stream pass the panel as they would live: scored, then learned, and their outcomes told late, seven
days of event time in payments and so many rows in the other. What every expert said is kept; leaving one out means to
choose again without it, to calibrate again, and to agree again. The second half is judged. No expert sees what labels
say of anything but the entity: that is for the champion (`tests.bench.champion`).

raw         whoever is surest speaks, on the scale of its own
calibrated  as the wet worker does it: ranks, then probabilities once outcomes are known, skill counts
"""

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from sidechain.agents.bench.place import machine
from sidechain.agents.cli.convert import raw_lines
from sidechain.models.decider import Decider
from sidechain.models.pack_file import load_pack
from sidechain.models.policy import PANEL, Wet
from sidechain.models.sources import BadRow, rows
from sidechain.models.wet.ensemble import Ensemble
from sidechain.models.wet.experts.contract import Batch, Flags, Opinion, silent
from sidechain.models.wet.experts.forest import Forest
from sidechain.models.wet.experts.geometric import Geometric
from sidechain.models.wet.experts.heuristic import Heuristic
from sidechain.models.wet.experts.panel import CONSENSUS, Panel
from sidechain.models.wet.experts.retrieval import Retrieval
from sidechain.models.wet.forest import matrix
from sidechain.models.wet.ranking import rank
from tests.bench.champion import read, windowed
from tests.bench.payments_rows import DELAY_MS

ROWS = 1_000  # a batch
LATE_ROWS = 5_000
SEED = 1


class Labelled(NamedTuple):
    """A batch, its truth, and when both are known: outcomes come when `now` has come to `known`."""

    batch: Batch
    is_bad: Flags
    now: int
    known: int


class Recorded:
    """An expert that says again what it said."""

    is_rank = False

    def __init__(self, name: str, names: Sequence[str], said: Sequence[Opinion]) -> None:
        self.name, self.names, self._said = name, tuple(names), iter(said)
        self.is_rank = name in ("forest", "geometric")

    def score(self, batch: Batch) -> Opinion:
        return next(self._said, silent(len(batch), 1))

    def learn(self, batch: Batch) -> None:
        """It has."""

    def learn_outcomes(self, batch: Batch, is_bad: Flags) -> None:
        """It has."""


def payments(file: Path, cache: Path | None, last: int) -> Iterator[Labelled]:
    """The Handbook's stream; the pack's own vector."""
    whole = read(file, None, cache, windowed)
    vector = load_pack("payments").wet.vector
    columns = [whole.names.index(name) for name in vector]
    first = max(0, len(whole.at_ms) - last)
    for start in range(first, len(whole.at_ms) - ROWS + 1, ROWS):
        some = slice(start, start + ROWS)
        keys = [str(one) for one in whole.customer[some].tolist()]
        ids = [str(at) for at in range(start, start + ROWS)]
        at = whole.at_ms[some]
        batch = Batch(vector, whole.values[some][:, columns].astype(np.float64), keys, ids)
        yield Labelled(batch, whole.is_bad[some], int(at[0]), int(at[-1]) + DELAY_MS)


def network(file: Path, cache: Path | None, last: int) -> Iterator[Labelled]:
    """The first rows of KDD Cup 99 through the pack's kernel, in the file's order."""
    policy = load_pack("network")
    decider = Decider(policy)
    lines = (line.rstrip(b"\r\n") for line in raw_lines(file))
    converted = (one for one in rows(policy, None, lines) if not isinstance(one, BadRow))
    for number in range(last // ROWS):
        taken = list(islice(converted, ROWS))
        if len(taken) < ROWS:
            return
        entries = [msgspec.json.decode(one) for one in decider.lines([one.event for one in taken])]
        kept = [(one, entry) for one, entry in zip(taken, entries, strict=True) if entry["kind"] == "decision"]
        values = matrix(policy.wet.vector, [entry["features"] for _, entry in kept])
        batch = Batch(policy.wet.vector, values, [e["key"] for _, e in kept], [e["id"] for _, e in kept])
        yield Labelled(
            batch, np.array([not one.is_normal for one, _ in kept]), number * ROWS, number * ROWS + LATE_ROWS
        )


def heard(stream: Sequence[Labelled]) -> dict[str, list[Opinion]]:
    """What every expert but the consensus says of each batch."""
    names = stream[0].batch.names
    experts = [make(names, seed=SEED) for make in (Forest, Geometric, Heuristic, Retrieval)]
    panel, late, said = Panel(experts, lambda: 0.0), deque[Labelled](), []
    for one in stream:
        while late and late[0].known <= one.now:
            known = late.popleft()
            panel.learn_outcomes(known.batch, known.is_bad)
        said.append(panel.ask(one.batch)[:-1])
        panel.learn(one.batch)
        late.append(one)
    return {expert.name: [one[at] for one in said] for at, expert in enumerate(experts)}


def raw(stream: Sequence[Labelled], said: dict[str, list[Opinion]], left: Sequence[str]) -> list[np.ndarray]:
    """The scores of whoever is surest, as they are."""
    panel = Panel([Recorded(name, stream[0].batch.names, said[name]) for name in left], lambda: 0.0)
    return [panel.score(one.batch).score for one in stream]


def calibrated(stream: Sequence[Labelled], said: dict[str, list[Opinion]], left: Sequence[str]) -> list[np.ndarray]:
    """The scores the wet worker would give with the experts in `left`, in that order."""
    names = stream[0].batch.names
    wet = replace(Wet(vector=names), experts=tuple(one for one in PANEL if one in left or one == CONSENSUS))
    ensemble = Ensemble(wet, [Recorded(name, names, said[name]) for name in left], lambda: 0.0)
    late, scores = deque[tuple[Labelled, np.ndarray]](), []
    for one in stream:
        while late and late[0][0].known <= one.now:
            known, then = late.popleft()
            ensemble.learn_outcomes(known.batch, then, known.is_bad)
        judged = ensemble.judge(one.batch)
        ensemble.learn(one.batch, judged)
        scores.append(judged.score)
        late.append((one, judged.said))
    return scores


def main() -> None:
    """Pass the stream once, choose many times, print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("pack", choices=["payments", "network"])
    options.add_argument("file", type=Path, help="the Handbook's stream or KDD Cup 99, gzip")
    options.add_argument("--cache", type=Path, help="where features of payments are kept once they are made")
    options.add_argument("--last", type=int, default=300_000, help="rows from the end; of network from the beginning")
    given = options.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}, python {sys.version.split()[0]}, one thread")
    stream = list((payments if given.pack == "payments" else network)(given.file, given.cache, given.last))
    with threadpool_limits(1):
        began = time.process_time()
        said = heard(stream)
        count = sum(len(one.batch) for one in stream)
        print(f"{given.pack}: {count / (time.process_time() - began):,.0f} rows a second of processor time")
        names = list(said)
        half = len(stream) // 2
        is_bad = np.concatenate([one.is_bad for one in stream[half:]])
        lines = {f"{name} alone": [one.score for one in said[name]] for name in names}
        for way in (raw, calibrated):
            lines[f"the panel, {way.__name__}"] = way(stream, said, names)
            for name in names:
                left = [one for one in names if one != name]
                lines[f"without {name}, {way.__name__}"] = way(stream, said, left)
    for name, scores in lines.items():
        found = rank(np.nan_to_num(np.concatenate(scores[half:]), nan=0.5), is_bad)
        print(
            f"{name:<32} {found.rows:,} rows {found.bad:,} bad  AP {found.average_precision or 0:.3f}"
            f"  AUROC {found.auroc or 0:.3f}"
        )
    print(f"{time.process_time() - began:.0f} s of processor time")


if __name__ == "__main__":
    main()
