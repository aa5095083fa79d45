"""What the trainer's own loop is worth on a labelled stream, and the lift of rules and wet side over the rules alone.

    python -m tests.bench.lift ../shared/data/fraud_handbook_2018-04_07.csv.gz --cache /tmp/handbook.npz

Every payment goes through the payments pack as one chain; features, the rules' score and the terminal's risk (labels
seven days old or older, as the aggregator makes it) are those of the sealed decision. In their order they pass the
trainer's head (`models.wet.training`) with its stated schedule and thresholds: it joins outcomes seven days late, has
challengers fitted to what is known, tries them on what comes after and proposes what was better. A person who says yes
at once to every proposal is assumed, so the champion of an hour is the last one proposed before it. Every score told of
here was given when the payment was decided.

Caught value at 100 reviews a day: of the money of all bad payments of a day, the share among the 100 payments of the
highest score; over all days from 1 June, all bad money counting alike. Rules and wet together: the sum of both scores'
ranks among all payments judged. Lift: theirs over that of the rules alone, to which the wet side tells nothing.
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
from sidechain.models.pack_file import load_pack
from sidechain.models.policy import Policy
from sidechain.models.wet.boosted_fit import fit
from sidechain.models.wet.examples import Label
from sidechain.models.wet.inputs import columns
from sidechain.models.wet.training import Training
from tests.bench.champion import WEEK_MS, Stream, decided, lifted, places, read, report, unaided_of
from tests.bench.payments_rows import DELAY_MS
from tests.bench.payments_rules import SPLIT_MS
from tests.bench.payments_signals import sealed

ROWS = 2_000  # a batch


def live(stream: Stream, policy: Policy, names: tuple[str, ...]) -> np.ndarray:
    """The columns a trainer reads of a tap, what is known of terminals as it would be sealed."""
    told = sealed(policy, stream.at_ms.astype(np.int64), stream.terminal, stream.is_bad)
    made = {**dict(zip(stream.names, stream.values.T, strict=True)), **told}
    return np.column_stack([made[name] for name in names]).astype(np.float32)


def looped(stream: Stream, seed: int, without: Sequence[str] = ()) -> np.ndarray:
    """What the champion of the hour said of each payment; NaN before there was one. `without`: columns left out."""
    policy = load_pack("payments")
    names = tuple(one for one in columns(policy) if one not in without)
    training = Training(names, max_step_ms=policy.event.max_step_ms, seed=seed)
    rows, score = live(stream, policy, names), np.full(len(stream.at_ms), np.nan)
    late: deque[Label] = deque()
    for start in range(0, len(rows), ROWS):
        some = slice(start, start + ROWS)
        at = stream.at_ms[some].astype(np.int64)
        keys = [(0, seq) for seq in range(start, start + len(at))]
        if training.champion is not None:
            score[some] = training.champion.score(rows[some].astype(np.float64))
        training.decided(keys, at, rows[some], stream.score_bp[some].astype(np.float64))
        late.extend(
            Label(key, int(when) + DELAY_MS, bool(bad))
            for key, when, bad in zip(keys, at, stream.is_bad[some], strict=True)
        )
        while late and late[0].at <= at[-1]:
            training.told(late.popleft())
        day = datetime.fromtimestamp(int(at[-1]) / 1_000, UTC)
        if (ended := training.judge()) is not None:
            verdict, (before, after) = ended.trial.verdict(), ended.trial.overall()
            print(
                f"{day:%d %B}: {ended.trial.after} beside {ended.trial.before} over {len(ended.trial):,} outcomes:"
                f" {verdict.word}, AP {before.average_precision:.3f} -> {after.average_precision:.3f}",
                flush=True,
            )
            if ended.trial.is_better():
                training.champion_is(ended.challenger.model, ended.challenger.request.until)
        if training.is_due:
            asked, began = training.request(), time.monotonic()
            model = fit(asked.rows, asked.is_bad, asked.names, asked.seed, asked.version)
            print(
                f"{day:%d %B}: {model.name} fitted to {len(asked.is_bad):,} outcomes"
                f" in {time.monotonic() - began:.1f} s",
                flush=True,
            )
            training.begin(model, asked)
    return score


def told(stream: Stream, champion: np.ndarray, unaided: np.ndarray) -> None:
    """Week by week and overall, beside the rules with the terminal's risk, and beside the rules alone."""
    rules = stream.score_bp.astype(np.float64)
    some = np.flatnonzero((stream.at_ms >= SPLIT_MS) & ~np.isnan(champion))
    both = np.zeros(len(rules))
    both[some] = places(rules[some]) + places(champion[some])
    for begin in range(SPLIT_MS, int(stream.at_ms[-1]) + 1, WEEK_MS):
        week = some[(stream.at_ms[some] >= begin) & (stream.at_ms[some] < begin + WEEK_MS)]
        if len(week):
            report(f"champion, {datetime.fromtimestamp(begin / 1_000, UTC):%d %B}", champion, stream, week)
            report("  rules", rules, stream, week)
    every = {
        "champion": champion,
        "rules": rules,
        "rules and champion": both,
        "rules alone": unaided.astype(np.float64),
    }
    for name, score in every.items():
        report(name, score, stream, some)
    lifted(unaided, both, stream, some)


def main() -> None:
    """Decide or read what was decided, then learn as the trainer does."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("file", type=Path, help="the Handbook's stream, gzip")
    options.add_argument("--cache", type=Path, help="where to keep the decisions once they are made")
    options.add_argument("--limit", type=int, help="rows to read")
    options.add_argument("--without", action="append", default=[], metavar="NAME", help="a column to leave out")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}, python {sys.version.split()[0]}, one thread")
    stream = read(given.file, given.limit, given.cache, decided)
    with threadpool_limits(1):
        told(stream, looped(stream, given.seed, given.without), unaided_of(given.file, given.limit, given.cache))


if __name__ == "__main__":
    main()
