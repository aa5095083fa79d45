"""What each expert of the panel is worth on a labelled stream: all of them, each alone, and all but one.

    python -m tests.bench.ablation ../shared/data/fraud_handbook_2018-04_07.csv.gz --cache /tmp/handbook.npz

The last rows of the payments stream pass the panel as they would live: scored, then learned, and their outcomes told
seven days later. What every expert said of the second half of them is kept; leaving one out means to choose again, and
to agree again, without it. No expert sees what labels say of a terminal: that is for the champion
(`tests.bench.champion`).
"""

import argparse
import sys
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from sidechain.agents.bench.place import machine
from sidechain.models.wet.experts.consensus import agree
from sidechain.models.wet.experts.contract import Batch, Flags, Opinion
from sidechain.models.wet.experts.forest import Forest
from sidechain.models.wet.experts.geometric import Geometric
from sidechain.models.wet.experts.heuristic import Heuristic
from sidechain.models.wet.experts.panel import CONSENSUS, Panel
from sidechain.models.wet.experts.retrieval import Retrieval
from sidechain.models.wet.ranking import rank
from sidechain.models.wet.selector import Selector
from tests.bench.champion import Stream, read, windowed
from tests.bench.payments_rows import DELAY_MS

ROWS = 1_000  # a batch
SEED = 1


def batch_of(stream: Stream, some: slice) -> Batch:
    """Some rows as a batch."""
    keys = [str(one) for one in stream.customer[some].tolist()]
    return Batch(stream.names, stream.values[some].astype(np.float64), keys, [str(at) for at in range(len(keys))])


def heard(stream: Stream, panel: Panel) -> list[list[Opinion]]:
    """What every expert but the consensus says of each batch of the second half."""
    late: deque[tuple[int, Batch, Flags]] = deque()
    said = []
    for start in range(0, len(stream.at_ms) - ROWS + 1, ROWS):
        some = slice(start, start + ROWS)
        batch = batch_of(stream, some)
        while late and late[0][0] <= stream.at_ms[start]:
            _, known, is_bad = late.popleft()
            panel.learn_outcomes(known, is_bad)
        opinions = panel.score(batch).opinions[:-1]
        if start >= len(stream.at_ms) // 2:
            said.append(list(opinions))
        panel.learn(batch)
        late.append((int(stream.at_ms[some][-1]) + DELAY_MS, batch, stream.is_bad[some]))
    return said


def chosen(said: list[list[Opinion]], names: Sequence[str], left: Sequence[str]) -> np.ndarray:
    """The scores the panel would give if it had only the experts in `left`, in that order."""
    selector = Selector((*left, CONSENSUS))
    scores = []
    for opinions in said:
        voices = [opinions[names.index(name)] for name in left]
        voices.append(agree(voices))
        expert = selector.choose(voices).expert
        all_scores = np.stack([*(one.score for one in voices), np.full(len(expert), 0.5)])
        scores.append(all_scores[expert, np.arange(len(expert))])
    return np.concatenate(scores)


def main() -> None:
    """Pass the stream once, choose many times, print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("file", type=Path, help="the Handbook's stream, gzip")
    options.add_argument("--cache", type=Path, help="where features are kept once they are made")
    options.add_argument("--last", type=int, default=300_000, help="rows from the end")
    given = options.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}, python {sys.version.split()[0]}, one thread")
    whole = read(given.file, None, given.cache, windowed)
    last = slice(max(0, len(whole.at_ms) - given.last), None)
    stream = Stream(whole.names, *(column[last] for column in whole[1:]))
    experts = [make(stream.names, seed=SEED) for make in (Forest, Geometric, Heuristic, Retrieval)]
    panel = Panel(experts, lambda: 0.0)
    with threadpool_limits(1):
        began = time.process_time()
        said = heard(stream, panel)
        print(f"{len(stream.at_ms) / (time.process_time() - began):,.0f} rows a second of processor time")
    names = [one.name for one in experts]
    first = len(stream.at_ms) // 2 // -ROWS * -ROWS
    is_bad = stream.is_bad[first : first + ROWS * len(said)]
    alone = {name: np.concatenate([one[at].score for one in said]) for at, name in enumerate(names)}
    alone[CONSENSUS] = np.concatenate([agree(one).score for one in said])
    lines = {f"{name} alone": np.nan_to_num(score, nan=0.5) for name, score in alone.items()}
    lines["the panel"] = chosen(said, names, names)
    for name in names[1:]:
        lines[f"without {name}"] = chosen(said, names, [one for one in names if one != name])
    for name, score in lines.items():
        found = rank(score, is_bad)
        print(
            f"{name:<20} {found.rows:,} rows {found.bad:,} bad  AP {found.average_precision or 0:.3f}"
            f"  AUROC {found.auroc or 0:.3f}"
        )


if __name__ == "__main__":
    main()
