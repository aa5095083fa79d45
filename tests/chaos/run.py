"""The long form: a schedule of faults under load, and a report.

    python -m tests.chaos.run --minutes 32 --rate 5000 --seed 7 --report chaos-report.md

Rounds of all kinds of fault, each round shuffled, until the time is over and every kind came `--each` times. After each
fault everything visible must be decided and found right by the witness, which decides every entry anew as it comes; at
the end the product's own `verify` and `account` look at all of it, and a worker takes over once more. A failed check
does not end the run: the report lists it, the exit code is 1, and the folder with all logs stays. The same seed gives
the same schedule; what the machine does in between is its own.

At 5,000 events/s half an hour takes about 20 GB in the temporary folder. Ctrl-C ends it and writes the report.
"""

import argparse
import json
import logging
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from tests.chaos.crew import ROOT
from tests.chaos.faults import FAULTS, IMPOSSIBLE
from tests.chaos.report import Inflicted, Outcome, written
from tests.chaos.scene import PREFIX, Scene, Terms
from tests.lanes import Process

MARGIN = 1.05  # of the rate asked for: the mean must hold over the time it takes to stop as well
LONGER = 1.5  # times the minutes, until kinds that are still due are given up
LOOK_S = 900.0
ENOUGH = 3


def schedule(seed: int) -> Iterator[str]:
    """Kinds of fault for ever, each once a round."""
    chance = random.Random(seed)
    while True:
        kinds = [one for one in FAULTS if one not in IMPOSSIBLE]
        chance.shuffle(kinds)
        yield from kinds


def run(scene: Scene, outcome: Outcome, minutes: float, each: int) -> None:
    """Inflict until the time is over; fills the outcome."""
    took = scene.settle()
    say(f"the load runs, {scene.terms.workers} workers, settled within {took:.1f} s")
    began = time.monotonic()
    count = {one: 0 for one in FAULTS if one not in IMPOSSIBLE}
    for kind in schedule(scene.terms.seed):
        elapsed_s = time.monotonic() - began
        is_due = min(count.values()) < each
        if elapsed_s >= 60 * minutes * (LONGER if is_due else 1):
            break
        if is_due and elapsed_s >= 60 * minutes and count[kind] >= each:
            continue
        count[kind] += 1
        one = inflict(scene, kind, time.monotonic() - scene.began)
        outcome.faults.append(one)
        if all(one.problem for one in outcome.faults[-ENOUGH:]) and len(outcome.faults) >= ENOUGH:
            raise AssertionError(f"{ENOUGH} faults in a row failed: what comes behind them would say no more")
        say(f"{len(outcome.faults):4} at {one.at_s:6.0f} s  {one.words}  {scene.decided:,} decided")
    if due := [kind for kind, times in count.items() if times < each]:
        outcome.problem = f"the time was over before these came {each} times: {', '.join(due)}"


def inflict(scene: Scene, kind: str, at_s: float) -> Inflicted:
    """One fault, and whether everything is right behind it."""
    began = time.monotonic()
    one = Inflicted(kind=kind, at_s=at_s)
    try:
        one.detail = FAULTS[kind](scene)
        one.harm_s = time.monotonic() - began
        one.settled_s = scene.settle()
    except Exception as fault:  # noqa: BLE001 - whatever it was, the report says it and the run goes on
        one.problem = f"{type(fault).__name__}: {fault}"
        say(f"FAILED {kind}: {one.problem}")
        scene.recover()
    one.entries = sum(seen.entries for seen in scene.observer.last.partitions.values())
    return one


def conclude(scene: Scene, outcome: Outcome) -> None:
    """No more load: everything decided, and looked at by others than the witness."""
    scene.finish()
    outcome.elapsed_s = time.monotonic() - scene.began
    outcome.decided = scene.decided
    for words in (["verify", "--root", str(scene.keys["checkpoint_root_file"])], ["account"]):
        outcome.looks[words[0]] = look(scene, words)
    with Process(scene.config, scene.folder / "last.log", shard_size=scene.terms.shard_size, **scene.keys) as last:
        for shard in range(scene.terms.shards):
            last.wait_for(rf"shard {shard}: restored")
        assert last.stop() == 0, last.said()
    outcome.looks["takeover"] = "every shard restored once more, at its tail"


def look(scene: Scene, words: list[str]) -> str:
    """What a command of the product says about the whole installation. Raises AssertionError when it says no."""
    named = ["--bootstrap", scene.broker.bootstrap, "--prefix", PREFIX, "--policy", str(scene.config.policy)]
    command = [sys.executable, "-m", "sidechain.agents", *words, *named]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LOOK_S, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{words[0]}: {done.stdout[-4_000:]}\n{done.stderr[-2_000:]}"
    return done.stdout.strip()


def say(text: str) -> None:
    """To whoever waits."""
    print(text, file=sys.stderr, flush=True)


def _asked() -> argparse.Namespace:
    asks = argparse.ArgumentParser(prog="python -m tests.chaos.run", description="Faults under load, and a report.")
    asks.add_argument("--minutes", type=float, default=32.0, help="how long to inflict faults (32)")
    asks.add_argument("--each", type=int, default=5, help="times each kind comes at least (5)")
    asks.add_argument("--rate", type=float, default=5_000.0, help="mean events a second (5000)")
    asks.add_argument("--seed", type=int, default=None, help="of the schedule; else a random one, printed")
    asks.add_argument("--report", type=Path, default=Path("chaos-report.md"), help="where to write it")
    asks.add_argument("--json", action="store_true", help="print the outcome as JSON")
    asks.add_argument("--keep", action="store_true", help="keep the folder with topics and logs")
    return asks.parse_args()


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    """0: every check held. 1: one did not. 130: interrupted."""
    asked = _asked()
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # it tells of every attempt of the harness's own
    logging.getLogger("aiokafka").propagate = False
    signal.signal(signal.SIGTERM, _interrupt)
    seed = random.randrange(1 << 30) if asked.seed is None else asked.seed
    folder = Path(tempfile.mkdtemp(prefix="sidechain-chaos-"))
    terms = Terms(seed=seed, rate=asked.rate * MARGIN, session_s=6.0, settle_s=300.0, heap="1g")
    again = (
        f"python -m tests.chaos.run --minutes {asked.minutes:g} --each {asked.each} --rate {asked.rate:g} --seed {seed}"
    )
    outcome = Outcome(command=again, seed=seed, rate=asked.rate, terms=terms, left_out=IMPOSSIBLE)
    say(f"seed {seed}, everything in {folder}")
    for kind, why in IMPOSSIBLE.items():
        say(f"NOT INFLICTED, {kind}: {why}")
    code = 0
    try:
        with Scene(folder, terms) as scene:
            try:
                run(scene, outcome, asked.minutes, asked.each)
                conclude(scene, outcome)
            finally:
                outcome.seen(scene)
    except KeyboardInterrupt:
        outcome.problem, code = "interrupted", 130
    except Exception as fault:  # noqa: BLE001 - a run of half an hour must not end without its report
        outcome.problem = f"{type(fault).__name__}: {fault}"
    asked.report.write_text(written(outcome), encoding="utf-8")
    if not outcome.is_well:
        say(f"NOT WELL: {outcome.problem or 'see the report'}\nagain: {again}\nlogs: {folder}")
        code = code or 1
    elif not asked.keep:
        shutil.rmtree(folder, ignore_errors=True)
    say(f"{outcome.sentence}; report: {asked.report}")
    if asked.json:
        print(json.dumps(outcome.summary()))
    return code


if __name__ == "__main__":
    sys.exit(main())
