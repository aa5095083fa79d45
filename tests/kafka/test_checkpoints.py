"""Checkpoints of a running worker: signed behind the commit, continued by the next owner, refused where they differ."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidechain.agents.checkpoints import load_keys, origin_of
from sidechain.agents.local_kafka import LocalKafka
from sidechain.models.proof import note as notes
from sidechain.models.proof.ledger import Ledger
from tests.checkpoints import assert_rooted, checkpoints, is_covered, key_files
from tests.lanes import (
    Process,
    assert_balanced,
    config_of,
    made,
    ordinary,
    pinned,
    request,
    send,
    until,
    visible,
    wait_decided,
)
from tests.proofs import NEW, OTHER_ROOT, STRANGER

SESSION_S = 2.0
READ_BEHIND = re.compile(r"partition (\d+): checkpoint over (\d+) entries, (\d+) read behind it")


@pytest.fixture
def config(broker: LocalKafka, prefix: str, tmp_path: Path):
    return made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path)))


def signing(config: Any, folder: Path, **more: Any) -> dict[str, Any]:
    """Settings of a worker that signs for this installation."""
    keys = key_files(folder, config.topic_prefix.removesuffix("."), **more)
    return {**keys, "session_timeout_s": SESSION_S}


def stands(worker: Process) -> list[tuple[int, int, int]]:
    """Partition, size of the checkpoint, entries read behind it: as the worker says since its last start."""
    return [(int(a), int(b), int(c)) for a, b, c in READ_BEHIND.findall(worker.said())]


def test_an_idle_chain_gets_its_last_checkpoint(config, tmp_path: Path) -> None:
    """Without another event; each states what the chain holds, and the root's public key is all it takes to see it."""
    with Process(config, tmp_path / "log", **signing(config, tmp_path / "k")) as worker:
        send(config, ordinary(200))
        wait_decided(config, 200, [worker])
        until(lambda: is_covered(config), worker.said)
        before = assert_rooted(config)
        assert all(before.values())
        assert worker.stop() == 0
    assert assert_rooted(config) == before, "a size was signed again on the way out"


def test_a_stop_signs_what_is_not_signed_yet(config, tmp_path: Path) -> None:
    """However long the pause between two checkpoints: the next owner has nothing to read again."""
    settings = {**signing(config, tmp_path / "k"), "checkpoint_every_s": 3_600}
    with Process(config, tmp_path / "log", **settings) as worker:
        send(config, ordinary(50))
        wait_decided(config, 50, [worker])
        send(config, ordinary(300, first=50))
        wait_decided(config, 350, [worker])
        assert worker.stop() == 0
        until(lambda: is_covered(config))  # what was committed is visible a moment later
        assert all(len(one) <= 2 for one in assert_rooted(config).values())
        worker.start()
        worker.wait_for("restored in")
        assert [behind for _, _, behind in stands(worker)] == [0] * 4


def test_five_kills_and_one_root_for_each_size(config, tmp_path: Path) -> None:
    """Each owner goes on from the last checkpoint and reads only what stands behind it; so does another key."""
    first, second = signing(config, tmp_path / "a"), signing(config, tmp_path / "b", worker=NEW, serial=2, previous=1)
    sent = 0
    for turn in range(6):
        keys = first if turn < 3 else second
        with Process(config, tmp_path / f"log{turn}", **keys) as worker:
            send(config, ordinary(1_000, first=sent))
            sent += 1_000
            worker.wait_for("(genesis|restored) in")
            assert all(size > 0 and behind < 1_000 for _, size, behind in stands(worker)), worker.said()
            assert bool(stands(worker)) == (turn > 0)
            wait_decided(config, sent, [worker])
            if turn % 2 == 0:
                until(lambda: is_covered(config), worker.said)
            worker.kill()
    with Process(config, tmp_path / "last", **second) as worker:
        until(lambda: is_covered(config), worker.said)
    assert_rooted(config)
    assert_balanced(config)
    signers = {
        notes.parse(msgspec.json.decode(record.value)["note"]).signatures[0].key_id
        for records in visible(config, "dry.checkpoints").values()
        for record in records
    }
    assert len(signers) == 2


def test_a_chain_without_checkpoints_is_read_once(config, tmp_path: Path) -> None:
    """Whoever begins to sign a chain that was not signed reads it from its first entry, and never again."""
    with Process(config, tmp_path / "log") as worker:
        send(config, ordinary(300))
        wait_decided(config, 300, [worker])
        assert "nothing is signed" in worker.said()
        assert worker.stop() == 0
    assert not any(checkpoints(config).values())
    with Process(config, tmp_path / "signing", **signing(config, tmp_path / "k")) as worker:
        until(lambda: is_covered(config), worker.said)
        assert sum(behind for _, _, behind in stands(worker)) == 300
        assert worker.stop() == 0
        worker.start()
        worker.wait_for("restored in")
        assert sum(behind for _, _, behind in stands(worker)) == 0
    assert_rooted(config)


WHOLE, FOREIGN, STRANGE, ALTERED, ELSEWHERE, LONGER, FORKED, BEHIND, PEAKS = range(9)
SAYS = {
    FOREIGN: "is no checkpoint",
    STRANGE: "is not to be believed: .* none of the 2 certificates",
    ALTERED: "is not to be believed: the signature .* is false",
    ELSEWHERE: "is a checkpoint of sidechain/.*/0/epoch-0, and this chain is",
    LONGER: "holds 10 entries, and a checkpoint was signed over 11",
    FORKED: "does not agree with its last checkpoint, over 10 entries",
    BEHIND: "does not agree with its last checkpoint, over 8 entries",
    PEAKS: "leads nowhere: the peaks come to the root",
}


def test_what_disagrees_is_refused_in_words_and_nothing_is_written(broker: LocalKafka, prefix, tmp_path: Path) -> None:
    """Nine chains, all but the first with a last checkpoint that cannot be; without a key all nine are refused."""
    shards = {"partitions": 9, "shard_size": 1}
    config = made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path), **shards))
    settings = {**signing(config, tmp_path / "k"), **shards}
    hosts = [f"h{one}.example" for one in range(9)]
    events = [
        (one, host.encode(), request(n, host, id=f"{one}-{n}")) for one, host in enumerate(hosts) for n in range(10)
    ]
    send(config, events)
    with Process(config, tmp_path / "log", **settings) as worker:
        wait_decided(config, 90, [worker])
        assert worker.stop() == 0
    until(lambda: is_covered(config), worker.said)  # what was committed is visible a moment later
    good = {one: records[-1].value for one, records in visible(config, "dry.checkpoints").items()}
    _spoil(config, settings, tmp_path, good)
    before = {topic: visible(config, topic) for topic in ("dry.decisions", "dry.state", "dry.checkpoints")}
    with Process(config, tmp_path / "refusing", **settings) as worker:
        worker.wait_for("stands still", times=8)
        for partition, says in SAYS.items():
            assert re.search(rf"shard {partition} stands still, .*{says}", worker.said()), worker.said()
        assert "shard 0: restored" in worker.said()
        assert worker.stop() == 0
    unkeyed = {name: value for name, value in settings.items() if not name.startswith("checkpoint")}
    with Process(config, tmp_path / "keyless", **unkeyed) as worker:
        worker.wait_for("stands still", times=9)
        assert worker.said().count("no key is configured") == 8
        assert worker.stop() == 0
    assert before == {topic: visible(config, topic) for topic in before}
    send(config, [(one, b"%d" % one, value) for one, value in good.items() if one != WHOLE], "dry.checkpoints")
    with Process(config, tmp_path / "put-right", **settings) as worker:
        worker.wait_for("restored in", times=9)


def _spoil(config: Any, settings: dict[str, Any], folder: Path, good: dict[int, bytes]) -> None:
    """Write a wrong last checkpoint to every partition but the first."""
    named = {name: value for name, value in settings.items() if name.startswith("checkpoint")}
    ours = load_keys(config_of(config.bootstrap, str(config.prefix), **named))
    strangers = key_files(folder / "s", config.topic_prefix.removesuffix("."), worker=STRANGER, root=OTHER_ROOT)
    theirs = load_keys(config_of(config.bootstrap, str(config.prefix), **strangers))
    assert ours is not None
    assert theirs is not None
    lines = {one: [record.value for record in records] for one, records in visible(config, "dry.decisions").items()}

    def signed(keys: Any, partition: int, entries: list[bytes]) -> bytes:
        ledger = Ledger()
        ledger.extend(entries)
        return keys.record(origin_of(config, partition, 0), ledger)

    peaks = msgspec.json.decode(good[PEAKS])
    peaks["peaks"] = ["ab" * 32, *peaks["peaks"][1:]]
    altered = msgspec.json.decode(good[ALTERED])
    altered["note"] = altered["note"].replace("\ndecision=10\n", "\ndecision=9\nduplicate=1\n")
    wrong = {
        FOREIGN: b"not json",
        STRANGE: signed(theirs, STRANGE, lines[STRANGE]),
        ALTERED: msgspec.json.encode(altered),
        ELSEWHERE: good[WHOLE],
        LONGER: signed(ours, LONGER, [*lines[LONGER], lines[WHOLE][-1]]),
        FORKED: signed(ours, FORKED, [*lines[FORKED][:9], lines[WHOLE][9]]),
        BEHIND: signed(ours, BEHIND, [*lines[BEHIND][:7], lines[WHOLE][7]]),
        PEAKS: msgspec.json.encode(peaks),
    }
    send(config, [(one, b"%d" % one, value) for one, value in wrong.items()], "dry.checkpoints")
