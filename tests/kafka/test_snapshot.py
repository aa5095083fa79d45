"""`sidechain snapshot` of a running worker, and replay from it: the same head as from the beginning, or a refusal."""

import asyncio
import json
import random
import shutil
from pathlib import Path

import pytest

from sidechain.agents.activate import activate, sealed_everywhere
from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.problems import AnswerIsNo, UsageProblem
from sidechain.agents.proof import Topics
from sidechain.agents.snapshot import Snapshot, snapshot
from sidechain.models.dry.state import POLICY_PREFIX
from tests.answered import answered
from tests.lanes import Process, config_of, made, ordinary, pinned, second_version, send, wait_decided

SEED = 20_261_121


@pytest.fixture
def config(broker: LocalKafka, prefix: str, tmp_path: Path):
    return made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path)))


def taken(config, folder: Path) -> None:
    async def scenario() -> None:
        async with Topics.of(config) as topics:
            await snapshot(topics, config.loaded_policy, folder, lambda _: None)

    asyncio.run(scenario())


def replayed(config, *words: str) -> tuple[int, list[dict]]:
    at = ["--bootstrap", config.bootstrap, "--prefix", str(config.prefix), "--policy", str(config.policy)]
    done = answered("replay", *at, "--json", *words)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def test_replay_from_any_snapshot_of_a_running_worker_ends_where_replay_from_the_beginning_does(
    config, tmp_path: Path
) -> None:
    """Taken under load, before and after another policy; the worker never stops. On the topics and on an export."""
    folders = [tmp_path / f"snapshot-{number}" for number in range(3)]
    with Process(config, tmp_path / "worker.log") as worker:
        send(config, ordinary(400))
        wait_decided(config, 400, [worker])
        for number, folder in enumerate(folders[:2]):
            send(config, ordinary(1_500, 1_000 + 1_500 * number))
            taken(config, folder)
        activated = asyncio.run(activate(config, second_version(config), "anna"))
        asyncio.run(sealed_everywhere(config, activated, 30, lambda _partition, _seq: None))
        send(config, ordinary(1_000, 10_000))
        taken(config, folders[2])
        send(config, ordinary(200, 20_000))
        wait_decided(config, 400 + 3_000 + 1_000 + 200, [worker])
        assert worker.stop() == 0, worker.said()
    code, whole = replayed(config)
    assert code == 0
    assert sum(one["entries"] for one in whole) == 4_604
    at = ["--bootstrap", config.bootstrap, "--prefix", str(config.prefix), "--policy", str(config.policy)]
    assert answered("export", str(tmp_path / "export"), "--with-events", *at).returncode == 0
    seqs = []
    for folder in folders:
        places = json.loads((folder / "manifest.json").read_text())["partitions"]
        seqs.append(sum(one["seq"] for one in places))
        assert replayed(config, "--snapshot", str(folder)) == (0, whole)
    exported = ["--export", str(tmp_path / "export")]
    assert replayed(config, *exported, "--snapshot", str(folders[1])) == (0, whole)
    assert seqs == sorted(seqs)
    assert {place["policy"].split(":")[0] for place in places} == {"web@2"}
    (standing, *_) = Snapshot(folders[-1]).standings(range(4))
    assert sum(name.startswith(POLICY_PREFIX) for name in standing.state) == 2  # no text has to be brought along
    config.policy.write_text(second_version(config).text, encoding="utf-8")
    assert replayed(config, "--snapshot", str(folders[0])) == (0, whole)


def test_a_snapshot_that_was_altered_is_refused(config, tmp_path: Path) -> None:
    """Every byte of the manifest and of an entry, and bytes of the state here and there; each file missing."""
    with Process(config, tmp_path / "worker.log") as worker:
        send(config, ordinary(60))
        wait_decided(config, 60, [worker])
        assert worker.stop() == 0
    folder = tmp_path / "snapshot"
    taken(config, folder)
    assert len(list(Snapshot(folder).standings(range(4)))) == 4
    draw = random.Random(SEED)
    for name in ("manifest.json", "entry-2.json", "state-1.ndjson"):
        content = (folder / name).read_bytes()
        every = range(len(content))
        for at in draw.sample(every, 300) if len(content) > 3_000 else every:
            altered = bytearray(content)
            altered[at] ^= 1 << draw.randrange(8)
            (folder / name).write_bytes(altered)
            with pytest.raises(AnswerIsNo, match="SHA-256"):
                list(Snapshot(folder).standings(range(4)))
        (folder / name).unlink()
        with pytest.raises(UsageProblem, match="cannot be read"):
            list(Snapshot(folder).standings(range(4)))
        (folder / name).write_bytes(content)


def test_a_snapshot_of_other_chains_is_no_beginning_here(config, broker: LocalKafka, tmp_path: Path) -> None:
    """Other events under the same policy: nothing of the one stands in the other. And nothing is overwritten."""
    other = made(config_of(broker.bootstrap, f"other{config.prefix}", policy=config.policy))
    for number, one in enumerate((config, other)):
        with Process(one, tmp_path / f"{number}.log") as worker:
            send(one, ordinary(40, 500 * number))
            wait_decided(one, 40, [worker])
            assert worker.stop() == 0
    taken(other, tmp_path / "snapshot")
    code, found = replayed(config, "--snapshot", str(tmp_path / "snapshot"))
    assert code == 1
    assert all("the snapshot's entry is not in the chain" in one["fault"]["problem"] for one in found)
    at = ["--bootstrap", config.bootstrap, "--prefix", str(config.prefix), "--policy", str(config.policy)]
    again = answered("snapshot", str(tmp_path / "snapshot"), *at)
    assert (again.returncode, "nothing is overwritten" in again.stderr) == (2, True)
    shutil.rmtree(tmp_path / "snapshot")
    assert answered("snapshot", str(tmp_path / "snapshot"), *at).returncode == 0
    assert replayed(config, "--snapshot", str(tmp_path / "snapshot"))[0] == 0
