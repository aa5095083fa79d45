"""What a worker refuses and what a person can decide about it: fifteen partitions, fourteen of them broken."""

import re
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from sidechain.agents.local_kafka import LocalKafka, free_port
from sidechain.agents.settings import Config
from tests.lanes import Process, config_of, pinned
from tests.ruins import (
    ALTERED,
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
}


class Broken(NamedTuple):
    """An installation after a worker has looked at it."""

    config: Config
    said: str
    halted: float
    before: Any
    after: Any


@pytest.fixture(scope="module")
def broken(broker: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broken]:
    folder = tmp_path_factory.mktemp("ruins")
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
        yield Broken(config, worker.said(), halted, before, records(config))


def metric(port: int, name: str) -> float:
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("partition", REFUSED)
def test_a_worker_says_what_it_found_and_what_to_do(broken: Broken, partition: int) -> None:
    """The lane stands still with one sentence; the sentence names the repair."""
    line = next(one for one in broken.said.splitlines() if f"shard {partition} stands still" in one)
    assert re.search(REFUSED[partition], line), line
    assert "sidechain repair --" in line or "Put every partition's records back" in line


def test_a_worker_that_refuses_writes_nothing_and_counts_it(broken: Broken) -> None:
    assert broken.halted == len(REFUSED)
    assert broken.before == broken.after
