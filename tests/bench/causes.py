"""Whether the panel names a planted cause: what stands first in the reasons of its records, of all planted rows.

    OMP_NUM_THREADS=1 python -m tests.bench.causes ../shared/data/adbench

Rows of an ADBench set that are not bad pass the wet worker's scorer as taps, of 200 entities, BATCH at a time. Once the
panel knows its sample, one row in twenty is planted: one feature, drawn at random among those that vary, is put as far
behind the sample's largest value, or before its smallest, as the sample is wide. Told is in how many of all
planted rows that very feature stands first in the record on wet.scores; a record without reasons counts as a miss.
Once without outcomes, and once more with: of every row, 2,000 rows later, bad where it was planted.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from sidechain.agents.bench.place import machine
from sidechain.agents.wet.anomaly import Scorer
from sidechain.agents.wet.at_once import AtOnce
from sidechain.models.policy import PANEL, Wet
from sidechain.topics.codec import encode
from sidechain.topics.wet import Case, Score, Tap
from tests.bench.adbench_read import integers, labelled, shuffled
from tests.bench.forest import FIRST, planted

SAMPLE: Final = 4_096
ROWS: Final = 10_000  # after the sample
BATCH: Final = 250
ONE_IN: Final = 20
ENTITIES: Final = 200
LATE: Final = 2_000  # rows
READ: Final = msgspec.json.Decoder(Score).decode


class Told(NamedTuple):
    """What records say of planted rows."""

    planted: int
    first: int  # the planted feature stands first
    unexplained: int  # no reasons
    wrong: Counter[str | None]  # whose word it was where another feature stands first

    @property
    def share(self) -> float:
        """Of all planted rows."""
        return self.first / self.planted


def told(
    names: Sequence[str],
    sample: np.ndarray,
    rows: np.ndarray,
    seed: int,
    *,
    has_outcomes: bool,
    experts: tuple[str, ...] = PANEL,
) -> Told:
    """Plant among `rows` (rows × features, whole numbers), which come after `sample`, and read the records."""
    random = np.random.default_rng(seed)
    made, cause = planted(sample, rows, random)
    is_planted = random.random(len(rows)) < 1.0 / ONE_IN
    stream = np.concatenate([sample, np.where(is_planted[:, None], made, rows)]).astype(np.int64)
    is_bad = np.concatenate([np.zeros(len(sample), dtype=np.bool_), is_planted])
    scorer = Scorer(Wet(vector=tuple(names), warmup=512, experts=experts), AtOnce(), clock=lambda: 0.0)
    records: list[Score] = []
    for begin in range(0, len(stream), BATCH):
        some = stream[begin : begin + BATCH]
        taps = [_tap(names, begin + at, row) for at, row in enumerate(some.tolist())]
        records += [READ(encode(one)) for one in scorer.score(taps)]
        if has_outcomes and begin >= LATE:
            due = range(begin - LATE, begin - LATE + BATCH)
            scorer.settle([_case(at, is_bad=bool(is_bad[at])) for at in due])
    first, unexplained, wrong = 0, 0, Counter[str | None]()
    for at in np.flatnonzero(is_planted).tolist():
        one = records[len(sample) + at]
        is_first = bool(one.reasons) and one.reasons[0][0] == names[cause[at]]
        first += is_first
        unexplained += not one.reasons
        if one.reasons and not is_first:
            wrong[one.expert] += 1
    return Told(int(is_planted.sum()), first, unexplained, wrong)


def _tap(names: Sequence[str], seq: int, row: Sequence[int]) -> Tap:
    return Tap(
        id=f"e-{seq}", key=f"entity-{seq % ENTITIES}", at=seq, partition=0, seq=seq, action="allow", tier="pass",
        trust_bp=9_000, score_bp=0, policy="adbench@1:000000000000", features=dict(zip(names, row, strict=True)),
    )  # fmt: skip


def _case(seq: int, *, is_bad: bool) -> Case:
    return Case(partition=0, offset=seq, seq=seq, at=seq + LATE, label="bad" if is_bad else "good")


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--sets", default="", help="only these, with commas, as in 32_shuttle")
    options.add_argument("--rows", type=int, default=ROWS)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    wanted = tuple(filter(None, given.sets.split(",")))
    files = [one for one in sorted(given.folder.glob("*.npz")) if not wanted or one.stem in wanted]
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}, python {sys.version.split()[0]}, one thread\n")
    print("| set | features | outcomes | planted | named first | no reasons | another first, by whose word |")
    print("|---|---:|---|---:|---:|---:|---|")
    shares = []
    with threadpool_limits(1):
        for file in files:
            data = shuffled(labelled(file), given.seed)
            usual = integers(data, SAMPLE).rows[~data.is_bad]
            sample, rows = usual[: min(SAMPLE, len(usual) // 2)], usual[min(SAMPLE, len(usual) // 2) :][: given.rows]
            for has_outcomes in (False, True):
                found = told(data.names, sample, rows, given.seed, has_outcomes=has_outcomes)
                shares.append(found.share)
                wrong = ", ".join(f"{name} {count}" for name, count in sorted(found.wrong.items(), key=str))
                print(
                    f"| {data.name} | {len(data.names)} | {'known' if has_outcomes else 'none'} | {found.planted} "
                    f"| {found.share:.1%} | {found.unexplained} | {wrong} |",
                    flush=True,
                )
    print(f"\n{sum(one >= FIRST for one in shares)} of {len(shares)} at {FIRST:.0%} or more")
    print(f"load average {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
