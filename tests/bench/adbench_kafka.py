"""The forest on ADBench's sets through a real broker: events in, scores out, by the processes of an installation.

    OMP_NUM_THREADS=1 python -m tests.bench.adbench_kafka ../shared/data/adbench --most 100000 --shuffles 2

For each shuffle of a set: a pack whose features are its columns; dry, tap and wet worker; topics of one partition, so
that taps come in the order of events. The pack's `warmup` is the first part (`adbench_split.cut`): it is learned from
and not scored, and the one forest it leads to scores all of the rest, which is sent once the worker says on /metrics
that it has that forest. Events are sent as fast as scores come back, with a bounded number under way, fewer than make
the tap pass less.

Two questions are asked, and either may fail the run:

the same     each score on wet.scores is held against the forest the same sample gives without a broker: the same name,
             which holds the digest, and the same nine digits
as good      a forest is chance: another seed on the same split moves AUROC by up to 0.04. So as many forests of ours
             as of scikit-learn's are drawn on the same splits, until the difference of their means has a standard error
             of at most `--error`, and that difference is asked to be no more than 0.01
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from sidechain.agents.admin import ensure
from sidechain.agents.bench.place import Place, discard, machine, place
from sidechain.agents.child import Child
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.local_kafka import free_port
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.produce import Keyed, produce
from sidechain.agents.reader import Reader
from sidechain.agents.settings import Config
from sidechain.agents.wet.anomaly import SEED
from sidechain.agents.wet.http import Address
from sidechain.agents.wet.scrape import scraped, targets
from sidechain.models.wet.readings import total
from sidechain.topics.wet import Score
from tests.bench.adbench_read import ENTITIES, Labelled, drawn, labelled
from tests.bench.adbench_split import FEATURE, Compared, Ranked, Split, ours, ranked, split

AT: Final = 1_700_000_000_000
BLOCK: Final = 5_000  # events sent at once
AHEAD: Final = 15_000  # events under way, between being sent and being scored
STALL_S: Final = 120.0
LINES: Final = 12
ATTEMPTS: Final = 3
LOOK_S: Final = 0.1
ROLES: Final = ("dry", "tap", "wet")
ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
CLOSE: Final = 0.01  # AUROC
HELD: Final = "sidechain_partitions"
FITS: Final = "sidechain_model_fits_total"
SAME: Final = 1.01e-9  # a score on the topic has nine digits


class Passed(NamedTuple):
    """One shuffle through the pipeline."""

    figures: Ranked
    apart: float  # of the same forest's scores without a broker, at most; infinite: another forest
    events_s: float  # from sending to the last score, the fit between the parts left out


def pack(names: tuple[str, ...], warmup: int) -> str:
    """A pack with a feature for every column, each the field itself; the first model after `warmup` events."""
    fields = "".join(f"    {name}: {{type: int}}\n" for name in names)
    named = [(name, FEATURE.format(name)) for name in names]
    features = "".join(f"  - {{name: {name}, aggregate: value, of: event.{of}}}\n" for of, name in named)
    return (
        "pack: adbench\nversion: 1\nevent:\n  fields:\n    id: {type: string, role: id}\n"
        "    who: {type: string, role: key}\n    at: {type: int, role: time}\n"
        f"{fields}features:\n{features}rules:\n"
        "  - {id: never, when: event.at < 0, then: note, reason: Never.}\n"
        f"wet: {{vector: [{', '.join(name for _, name in named)}], experts: [forest], warmup: {warmup}}}\n"
    )


def events(data: Labelled) -> Iterator[Keyed]:
    """The rows as events, a second apart; ids are their places."""
    for at, row in enumerate(data.rows.tolist()):
        who = f"entity-{at % ENTITIES}"
        event = {"id": str(at), "who": who, "at": AT + at * 1_000, **dict(zip(data.names, row, strict=True))}
        yield Keyed(who.encode(), msgspec.json.encode(event), event["at"])


class Scores:
    """What has come to wet.scores."""

    def __init__(self, reader: Reader, crew: list[Child]) -> None:
        self._reader = reader
        self._crew = crew

    async def reached(self, count: int) -> None:
        """Wait until there are so many. Raises EnvironmentProblem when a worker has ended or nothing moves."""
        seen, moved = -1, time.monotonic()
        while (now := sum((await self._reader.ends([0])).values())) < count:
            for one in self._crew:
                one.check()
            if now > seen:
                seen, moved = now, time.monotonic()
            if time.monotonic() > moved + STALL_S:
                raise EnvironmentProblem(f"no score came for {STALL_S:.0f} s: {now:,} of {count:,} are there")
            await asyncio.sleep(LOOK_S)

    async def shown(self, wet: Address, name: str, **labels: str) -> None:
        """Wait until the wet worker shows this, 1 at least. Raises EnvironmentProblem."""
        until = time.monotonic() + STALL_S
        while time.monotonic() < until:
            for one in self._crew:
                one.check()
            samples = (await scraped([wet]))[wet.place].samples or {}
            if (total(samples, name, **labels) or 0.0) >= 1.0:
                return
            await asyncio.sleep(LOOK_S)
        raise EnvironmentProblem(f"the wet worker does not show {name} {labels} within {STALL_S:.0f} s")

    async def read(self, rows: int) -> tuple[np.ndarray, set[str]]:
        """The score of each row, NaN while warming up, and the models that said them. Each row has exactly one."""
        found, times, models = np.full(rows, np.nan), np.zeros(rows, dtype=np.int64), set()
        decode = msgspec.json.Decoder(Score).decode
        async for batch in self._reader.to_end([0]):
            for record in batch:
                one = decode(record.value)
                times[int(one.id)] += 1
                if one.score is not None and one.model is not None:
                    found[int(one.id)] = one.score
                    models.add(one.model)
        if (times != 1).any():
            raise EnvironmentProblem(f"{(times != 1).sum():,} of {rows:,} rows have no score or several")
        return found, models


async def through(config: Config, here: Place, one: Split, settings: dict[str, str]) -> Passed:
    """The split as events, its scores back, and what the same forest says without a broker."""
    await ensure(config)
    options, sent, port = kafka_options(config), 0, str(free_port())
    with ExitStack() as stack:
        crew = [
            stack.enter_context(
                here.process(
                    role,
                    ("-m", "sidechain.agents", "worker", role),
                    **settings,
                    metrics_port=port if role == "wet" else "0",
                )
            )
            for role in ROLES
        ]
        async with Reader(options, config.topic("wet.scores")) as reader:
            scores, stream, took = Scores(reader, crew), events(one.counts), 0.0
            # One that comes to taps that lie there learns from their tail before it scores them.
            await scores.shown(*targets(port), HELD)
            for part in (islice(stream, one.first), stream):
                began = time.perf_counter()
                while block := list(islice(part, BLOCK)):
                    await scores.reached(sent - AHEAD)
                    sent += await produce(options, config.topic("events"), block)
                await scores.reached(sent)
                took += time.perf_counter() - began
                await scores.shown(*targets(port), FITS, result="swapped")
            found, models = await scores.read(sent)
    early, silent = int((~np.isnan(found[: one.first])).sum()), int(np.isnan(found[one.first :]).sum())
    if early or silent:
        raise EnvironmentProblem(
            f"{early:,} rows of the first part have a score, {silent:,} behind it have none; the worker's last words:\n"
            + "\n".join(crew[-1].said().splitlines()[-LINES:])
        )
    model, expected = ours(one, SEED)
    apart = float(np.abs(found[one.first :] - expected).max()) if models == {model.name} else np.inf
    await discard(config)
    return Passed(ranked(found[one.first :], one.is_bad), apart, sent / took)


async def repeated(here: Place, one: Split, policy: Path, prefix: str) -> Passed:
    """`through`, once more where something came between: a worker that lost its partitions primes itself anew."""
    for attempt in range(1, ATTEMPTS):
        try:
            return await attempted(here, one, policy, f"{prefix}-{attempt}.")
        except EnvironmentProblem as problem:
            print(f"{prefix}, attempt {attempt}: {problem}", file=sys.stderr, flush=True)
    return await attempted(here, one, policy, f"{prefix}-{ATTEMPTS}.")


async def attempted(here: Place, one: Split, policy: Path, prefix: str) -> Passed:
    """On topics of its own."""
    settings = {"policy": str(policy), "prefix": prefix, "partitions": "1", "wet_nice": "0"}
    return await through(here.config(**settings), here, one, settings)


async def measure(here: Place, data: Labelled, shuffles: int, error: float, most: int) -> dict[str, Any]:
    """One set: through the pipeline once a shuffle, then forests of both sides on the same splits."""
    splits = [split(data, seed) for seed in range(1, shuffles + 1)]
    policy = here.folder / f"{data.name}.yaml"
    policy.write_text(pack(data.names, splits[0].first), encoding="utf-8")
    passed = []
    for number, one in enumerate(splits):
        passed.append(await repeated(here, one, policy, f"{data.name}-{number + 1}"))
        print(f"{data.name}, shuffle {number + 1}: {passed[-1]}", file=sys.stderr, flush=True)
    compared = Compared(splits)
    compared.come_down_to(error, most, SEED)
    ours_mean, theirs_mean = compared.means()
    kafka = np.array([one.figures for one in passed]).mean(axis=0)
    return {
        "set": data.name,
        "rows": len(data.rows),
        "learned_from": splits[0].first,
        "features": len(data.names),
        "auroc_through_kafka": float(kafka[0]),
        "aupr_through_kafka": float(kafka[1]),
        "apart_without_kafka": max(one.apart for one in passed),
        "events_s": float(np.median([one.events_s for one in passed])),
        "forests": compared.forests,
        "auroc_ours": ours_mean.auroc,
        "auroc_theirs": theirs_mean.auroc,
        "aupr_ours": ours_mean.aupr,
        "aupr_theirs": theirs_mean.aupr,
        "difference": ours_mean.auroc - theirs_mean.auroc,
        "error": compared.error(),
        "deviations": compared.deviations(),
    }


HEAD: Final = (
    "| set | rows | learned from | AUROC, AUPR through Kafka | events/s | forests | AUROC, AUPR ours "
    "| AUROC, AUPR scikit-learn | difference of AUROC | same scores |\n" + "|---|" + "---:|" * 9
)


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    pairs = [f"{row[f'auroc_{side}']:.4f}, {row[f'aupr_{side}']:.3f}" for side in ("through_kafka", "ours", "theirs")]
    return (
        f"| {row['set']} | {row['rows']:,} | {row['learned_from']:,} | {pairs[0]} | {row['events_s']:,.0f} | "
        f"{row['forests']} | {pairs[1]} | {pairs[2]} | {row['difference']:+.4f} ({row['error']:.4f}) | "
        f"{'yes' if row['apart_without_kafka'] <= SAME else 'NO'} |"
    )


async def run(given: argparse.Namespace) -> list[dict[str, Any]]:
    """All sets on one broker."""
    wanted = tuple(filter(None, given.sets.split(",")))
    files = [one for one in sorted(given.folder.glob("*.npz")) if not wanted or one.stem in wanted]
    rows = []
    os.environ.update(ONE_THREAD)
    with threadpool_limits(1):
        async with place(None) as here:
            for file in files:
                data = drawn(labelled(file), given.most)
                rows.append(await measure(here, data, given.shuffles, given.error, given.forests))
                if not given.json:
                    print(line(rows[-1]), flush=True)
    return rows


def main() -> int:
    """Measure and print; 1 where a set is too far apart."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--sets", default="", help="only these, with commas, as in 38_thyroid")
    options.add_argument("--shuffles", type=int, default=2, help="of each set, each once through the pipeline")
    options.add_argument("--most", type=int, default=10**9, help="rows of a set; of a larger one as many are drawn")
    options.add_argument("--error", type=float, default=0.003, help="standard error to come down to")
    options.add_argument("--forests", type=int, default=120, help="of each side on a split, at most")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    where = {"at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", **machine()}
    if not given.json:
        print(f"{where}, one thread\n\n{HEAD}")
    rows = asyncio.run(run(given))
    close = sum(abs(one["difference"]) <= CLOSE for one in rows)
    same = sum(one["apart_without_kafka"] <= SAME for one in rows)
    if given.json:
        print(json.dumps({**where, "load_average": os.getloadavg()[0], "sets": rows}, indent=1))
    else:
        print(f"\nwithin {CLOSE} of scikit-learn: {close} of {len(rows)}; the same scores: {same} of {len(rows)}")
        print(f"in brackets the standard error; {given.shuffles} shuffles; load average {os.getloadavg()[0]:.2f}")
    return 0 if close == same == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
