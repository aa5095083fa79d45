"""What a worker refuses and what people do about it: sixteen partitions, fifteen of them broken, then put right.

One installation goes through the whole story, a function a chapter: a worker refuses, people repair, a worker goes on.
"""

import asyncio
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import sidechain.agents.repair as repairing
from sidechain.agents.lane.problems import REMEDIES, Remedy
from sidechain.agents.lane.producers import open_producers
from sidechain.agents.local_kafka import LocalKafka, free_port
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.repair import Found, repair
from sidechain.agents.repair_plan import Deed
from sidechain.agents.settings import Config
from tests.lanes import Process, config_of, pinned, send, until, visible
from tests.ruins import (
    ALTERED,
    CONTROL,
    DECIDED,
    EMPTY,
    EXPIRED,
    FORGED,
    HOLE,
    JUNK,
    LINK,
    MIDDLE,
    NO_CHAIN,
    NO_STATE,
    PARTITIONS,
    POLICY,
    SHORT,
    SWAPPED,
    TEXT,
    WHOLE,
    events,
    records,
    ruined,
)

REFUSED = {
    LINK: r"the chain is broken near its end: .* does not follow the entry before it",
    HOLE: r"the chain is broken near its end: .* out of sequence; expected seq 6, found seq 7",
    ALTERED: r"the chain is broken near its end: .* its bytes are not those that were sealed",
    EMPTY: r"the tail holds a record that is no entry",
    TEXT: r"the tail holds a record that is no entry",
    SWAPPED: r"dry.decisions/6 holds the chain of partition 0",
    FORGED: r"the chain ends with entry 6 .*, the state was written at entry 5",
    NO_CHAIN: r"holds no entry any more: the chain was deleted",
    NO_STATE: r"partition 9 has entries but no state",
    POLICY: r"the chain was last decided under web@2:",
    EXPIRED: r"events 6 to 9 were deleted before they were decided",
    SHORT: r"the chain has decided up to 1006, and the log ends at 2",
    JUNK: r"partition 13: state record .* cannot be read",
    CONTROL: r"control holds offsets 0 to 0, and the chain has read it up to 7",
}
GAPS = (EXPIRED, SHORT, CONTROL)
EPOCHS = tuple(one for one in (*REFUSED, MIDDLE) if one not in GAPS)
RESUME = {SHORT: 0, CONTROL: 0, SWAPPED: DECIDED}  # where a person must say where to go on
DEED = Deed("anna", "the drill of November", 1_700_000_000_000)
LATER = 3  # events of each partition after the repairs

Records = dict[tuple[str, int], list[Any]]


class Broken(NamedTuple):
    """An installation after a worker has looked at it."""

    config: Config
    folder: Path
    said: str
    halted: float
    before: Records
    after: Records
    beside_a_worker: str  # what a repair said while the worker ran


def broken_down(broker: LocalKafka, folder: Path) -> Broken:
    """A worker has met every way a partition can be wrong, and was stopped."""
    settings = {"partitions": PARTITIONS, "shard_size": 1}
    config = config_of(broker.bootstrap, f"ruins{free_port()}.", policy=pinned(folder), **settings)
    ruined(config, folder / "ruined.log")
    before = records(config)
    port = free_port()
    with Process(config, folder / "worker.log", shard_size=1, metrics_port=port) as worker:
        worker.wait_for("stands still", times=len(REFUSED))
        worker.wait_for(rf"shard {WHOLE}: restored")
        worker.wait_for(rf"shard {MIDDLE}: restored")
        halted = metric(port, "sidechain_lanes_halted")
        with pytest.raises(EnvironmentProblem) as beside:
            mend(config, LINK, "epoch", DEED)
        assert worker.stop() == 0
        return Broken(config, folder, worker.said(), halted, before, records(config), str(beside.value))


class Mended(NamedTuple):
    """The installation after people repaired it and a worker went on."""

    config: Config
    before: Records
    dead: int  # how a repair ended that was killed before its commit
    after_dead: Records
    fenced: str
    after_fenced: Records
    found: dict[int, Found]
    after: Records
    counted: dict[str, float]  # repairs that the worker behind them met


def put_right(broken: Broken) -> Mended:
    """Every partition was repaired, one of them twice, and each has decided what came afterwards."""
    config = broken.config
    dead = killed(broken)
    after_dead = records(config)
    fenced = overtaken(config)
    after_fenced = records(config)
    found = asyncio.run(all_mended(config))
    send(config, [(TEXT, b"k", b"junk again")], "dry.decisions")
    found[TEXT] = mend(config, TEXT, "epoch", DEED)
    send(config, [one for partition in range(PARTITIONS) for one in events(partition, 5_000, LATER)])
    port = free_port()
    with Process(config, broken.folder / "mended.log", shard_size=1, metrics_port=port) as worker:
        until(lambda: is_decided(config), worker.said)
        counted = {one: metric(port, f'sidechain_repairs_total{{kind="{one}"}}') for one in REMEDIES}
        assert "stands still" not in worker.said()
        assert worker.stop() == 0
    return Mended(config, broken.before, dead, after_dead, fenced, after_fenced, found, records(config), counted)


def mend(config: Config, partition: int, remedy: Remedy | None, deed: Deed | None, at: int | None = None) -> Found:
    return asyncio.run(repair(config, partition, remedy, deed, at))


async def all_mended(config: Config) -> dict[int, Found]:
    """As an operator would: look first, then do what was said to help."""
    found = {}
    for one in (*REFUSED, MIDDLE):
        looked = await repair(config, one, "epoch" if one == MIDDLE else None, None, RESUME.get(one))
        found[one] = await repair(config, one, looked.plan.remedy, DEED, RESUME.get(one))
    return found


def killed(broken: Broken) -> int:
    config, words = broken.config, ["--epoch", "--by", "anna", "--why", "a drill", "--yes"]
    at = ["--bootstrap", config.bootstrap, "--prefix", str(config.prefix), "--policy", str(config.policy)]
    (broken.folder / "one.yaml").write_text(f"shard_size: 1\npartitions: {PARTITIONS}\n", encoding="utf-8")
    program = str(Path(__file__).parent / "kafka" / "dying_repair.py")
    more = ["--config", str(broken.folder / "one.yaml")]
    done = subprocess.run(
        [sys.executable, program, "repair", "--partition", str(LINK), *words, *at, *more],
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode


def overtaken(config: Config) -> str:
    """A repair whose shard somebody else takes over between its fence and its write."""

    async def open_twice(options: Any, settings: Config, shard: int) -> Any:
        ours = await open_producers(options, settings, shard)
        for one in await open_producers(options, settings, shard):
            await one.stop()
        return ours

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repairing, "open_producers", open_twice)
        with pytest.raises(EnvironmentProblem) as fenced:
            mend(config, LINK, "epoch", DEED)
    return str(fenced.value)


def is_decided(config: Config) -> bool:
    last = b'"p%d-%04d"'
    decided = visible(config, "dry.decisions")
    return all(
        any(last % (one, 5_000 + LATER - 1) in (record.value or b"") for record in found)
        for one, found in decided.items()
    )


def metric(port: int, name: str) -> float:
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    assert found is not None
    return float(found[1])
