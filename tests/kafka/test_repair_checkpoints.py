"""Repairing chains that were signed: another epoch is another chain to sign, and no number is signed for twice."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.problems import UsageProblem
from sidechain.agents.proof import Proof, Topics
from sidechain.agents.repair import repair
from sidechain.agents.repair_plan import Deed
from sidechain.agents.settings import Config
from sidechain.models.dry.chain import Verifier
from sidechain.models.dry.entry import is_epoch
from tests.checkpoints import checkpoints, key_files, recounted
from tests.lanes import Process, config_of, made, pinned, send, until, visible
from tests.ruins import delete_records, events

PARTITIONS = 3
COUNT = 20
DEED = Deed("anna", "the drill of November", 1_700_000_000_000)


@pytest.fixture
def config(broker: LocalKafka, prefix: str, tmp_path: Path) -> Config:
    keys = key_files(tmp_path / "keys", prefix.removesuffix("."))
    layout = {"partitions": PARTITIONS, "shard_size": 1}
    return made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path), **keys, **layout))


def at_work(config: Config, log: Path) -> Process:
    """A worker with the same settings, keys and all."""
    names = ("checkpoint_key_file", "checkpoint_certificate_file", "checkpoint_root_file", "checkpoint_every_s")
    settings: dict[str, Any] = {name: getattr(config, name) for name in names}
    return Process(config, log, shard_size=1, partitions=PARTITIONS, **settings)


def decide(config: Config, log: Path, first: int) -> None:
    """Let a worker decide so many events of each partition and sign what it has decided."""
    send(config, [one for partition in range(PARTITIONS) for one in events(partition, first, COUNT)])
    with at_work(config, log) as worker:
        until(lambda: len(ends(config)) == PARTITIONS and ends(config) == signed_ends(config), worker.said)
        assert "stands still" not in worker.said()
        assert worker.stop() == 0


def epochs(config: Config) -> dict[int, dict[int, list[bytes]]]:
    """Per partition, the right entries of each epoch that is still there."""
    found: dict[int, dict[int, list[bytes]]] = {}
    for partition, records in visible(config, "dry.decisions").items():
        verifier = Verifier()
        found[partition] = {}
        for record in records:
            count = verifier.count
            verifier.take(record.value or b"")
            if verifier.count > count:
                found[partition].setdefault(verifier.epoch, []).append(record.value)
    return found


def ends(config: Config) -> dict[int, tuple[int, int]]:
    """Per partition, the last epoch and its size, where all events have an entry."""
    decided = epochs(config)
    sent = {partition: len(records) for partition, records in visible(config, "events").items()}
    return {
        partition: (last := max(chain), len(chain[last]))
        for partition, chain in decided.items()
        if chain and b'"next":{"events":%d,' % sent[partition] in chain[max(chain)][-1]
    }


def signed_ends(config: Config) -> dict[int, tuple[int, int]]:
    """Per partition, epoch and size of the last checkpoint."""
    return {one: (last[-1].origin.epoch, last[-1].size) for one, last in checkpoints(config).items() if last}


def lose(config: Config, chains: Iterable[int], states: Iterable[int]) -> None:
    state = visible(config, "dry.state")
    asyncio.run(delete_records(config, [("dry.decisions", one) for one in chains]))
    send(config, [(one, record.key, None) for one in states for record in state[one]], "dry.state")


def mend(config: Config, partition: int, at: int | None = None) -> int:
    """Begin another epoch; returns its number."""
    asyncio.run(repair(config, partition, "epoch", DEED, at))
    [number] = [
        int(one.value.partition(b'"epoch":')[2].partition(b",")[0])
        for one in visible(config, "dry.decisions")[partition][-1:]
        if is_epoch(one.value)
    ]
    return number


def assert_replayed(config: Config) -> None:
    """The command for it says where a chain is broken, and goes on at its next epoch."""

    async def scenario() -> list[Proof]:
        async with Topics.of(config) as topics:
            return await topics.replay(config.loaded_policy)

    lost, spoilt, stateless = asyncio.run(scenario())
    assert (lost.fault, lost.entries) == (None, 1 + COUNT)
    assert (stateless.fault, stateless.entries) == (None, 1 + 2 * COUNT)
    assert spoilt.fault is not None
    assert (spoilt.fault.problem, spoilt.fault.position) == ("not readable as an entry", COUNT)
    assert [(one.number, one.entries, one.fault) for one in spoilt.epochs[1:]] == [(1, 1 + 2 * COUNT, None)]


def test_every_epoch_is_signed_for_itself_and_none_twice(config: Config, tmp_path: Path) -> None:
    """Three chains are signed and broken: one lost, one spoilt, one lost with its state; then an epoch is lost too."""
    decide(config, tmp_path / "first.log", 0)
    lose(config, chains=[0, 2], states=[2])
    send(config, [(1, b"k", b"junk")], "dry.decisions")
    with at_work(config, tmp_path / "refusing.log") as worker:
        worker.wait_for("stands still", times=PARTITIONS)
        assert worker.stop() == 0
    before = checkpoints(config)
    with pytest.raises(UsageProblem, match="no record says where to go on"):
        mend(config, 2)
    assert [mend(config, 0), mend(config, 1), mend(config, 2, COUNT)] == [1, 1, 1]
    assert checkpoints(config) == before, "a repair signs nothing: what it wrote is not committed before"
    decide(config, tmp_path / "second.log", COUNT)

    lose(config, chains=[0], states=[0])
    assert mend(config, 0, 2 * COUNT) == 2, "epoch 1 is lost, and its checkpoints are not"
    decide(config, tmp_path / "third.log", 2 * COUNT)

    kept = epochs(config)
    assert_replayed(config)
    for partition, signed in checkpoints(config).items():
        places = [(one.origin.epoch, one.size) for one in signed]
        assert places == sorted(set(places)), f"partition {partition}: {places}"
        for one in signed:
            if one.origin.epoch in kept[partition]:
                assert one == recounted(kept[partition][one.origin.epoch], one)
    assert {one: set(chain) for one, chain in kept.items()} == {0: {2}, 1: {0, 1}, 2: {1}}
