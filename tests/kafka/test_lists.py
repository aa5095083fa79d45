"""Very many rows put in force on running workers: decisions go on, and everybody finds the same rows.

A hundred thousand of them; `TEST_LIST_ROWS=1000000` for the million that a list may well have.
"""

import asyncio
import json
import os
import threading
from pathlib import Path

import msgspec
import pytest

from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.lane.lists import ListLoader
from sidechain.agents.lane.log_ends import Ends
from sidechain.agents.lane.problems import Refused
from sidechain.agents.local_kafka import LocalKafka
from sidechain.models.dry.lists import Standing, read_activation
from tests.answered import answered
from tests.doors import activation, chunk, doors
from tests.lanes import Process, config_of, made, send, visible, wait_decided

ROWS = int(os.environ.get("TEST_LIST_ROWS", "100000"))
PACK = doors("""\
lists:
  lost: {type: string}
  limits: {type: string, value: int, default: 9}
features:
  - {name: seen_1h, aggregate: count, window: 1h}
rules:
  - {id: lost, when: event.badge in lists.lost, then: block, reason: Lost.}
  - {id: often, when: "features.seen_1h > lists.limits[event.badge]", then: review, reason: Often.}
""")


def events(first: int, count: int) -> list[tuple[int, bytes, bytes]]:
    """Every other badge is on the list of lost ones."""
    found = []
    for number in range(first, first + count):
        badge = f"b-{number * 7919 % (2 * ROWS):07d}"
        value = json.dumps({"id": f"e-{number}", "badge": badge, "at": 1_700_000_000_000 + number}).encode()
        found.append((number % 4, badge.encode(), value))
    return found


@pytest.fixture
def config(broker: LocalKafka, prefix: str, tmp_path: Path):
    (tmp_path / "doors.yaml").write_text(PACK)
    return made(config_of(broker.bootstrap, prefix, policy=tmp_path / "doors.yaml"))


def test_many_rows_take_effect_while_events_flow(config, tmp_path: Path) -> None:
    """Each partition seals the list between two decisions; killed workers, replays and exports find the same rows."""
    options = ["--policy", str(config.policy), "--bootstrap", config.bootstrap, "--prefix", str(config.prefix)]
    lost, limits = tmp_path / "lost.txt", tmp_path / "limits.csv"
    lost.write_text("".join(f"b-{number:07d}\n" for number in reversed(range(ROWS))))
    limits.write_text("b-0000000,1\nb-0007919,3\n")
    with Process(config, tmp_path / "worker.log") as worker:
        send(config, events(0, 400))
        wait_decided(config, 400, [worker])
        done = threading.Event()

        def flow() -> int:
            at = 400
            while not done.wait(0.05):
                send(config, events(at, 40))
                at += 40
            return at

        sent: list[int] = []
        sender = threading.Thread(target=lambda: sent.append(flow()))
        sender.start()
        try:
            asked = ["lists", "activate", str(lost), "--list", "lost", "--version", "7", "--by", "anna", *options]
            answer = answered(*asked, "--json")
        finally:
            done.set()
            sender.join()
        assert answer.returncode == 0, answer.stderr
        said = json.loads(answer.stdout)
        assert (said["rows"], said["new"], sorted(said["sealed_at_seq"])) == (ROWS, True, ["0", "1", "2", "3"])
        again = answered(*asked, "--json")
        assert (again.returncode, json.loads(again.stdout)["new"]) == (0, False), again.stderr
        other = answered(*[str(limits) if one == str(lost) else one for one in asked])
        assert (other.returncode, "has a value, and the list has none" in other.stderr) == (2, True)
        wait_decided(config, sent[0], [worker])
        worker.kill()

    with Process(config, tmp_path / "heir.log") as heir:
        send(config, events(sent[0], 400))
        asked = ["lists", "activate", str(limits), "--list", "limits", "--version", "1", "--by", "ben", *options]
        answer = answered(*asked)
        assert answer.returncode == 0, answer.stderr
        again = answered(*asked, "--again", "--json")  # everywhere in force already: read, and no entry made
        assert (again.returncode, json.loads(again.stdout)["new"]) == (0, True), again.stderr
        send(config, events(sent[0] + 400, 400))
        wait_decided(config, sent[0] + 800, [heir])
        assert f"{ROWS} rows loaded" in heir.said()
        assert heir.stop() == 0, heir.said()

    check_entries(config, said["list"], sent[0] + 800)
    shown = json.loads(answered("lists", "show", *options, "--json").stdout)
    assert [one["by"] for one in shown["activated"]] == ["anna", "ben", "ben"]
    assert {one["lost"] for one in shown["cited"].values()} == {said["list"]}
    words = answered("lists", "show", *options).stdout
    assert f"{said['list']:40} {ROWS:>10,} rows" in words
    assert f"lost: last decided with {said['list']} on partitions 0, 1, 2, 3\n" in words
    replayed = answered("replay", *options)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    folder, shot = tmp_path / "audit", tmp_path / "shot"
    assert answered("export", str(folder), "--with-events", *options).returncode == 0
    assert answered("snapshot", str(shot), *options).returncode == 0
    for begun in ([], ["--snapshot", str(shot)]):
        offline = answered("replay", "--export", str(folder), *begun)
        assert offline.returncode == 0, offline.stdout + offline.stderr
    complete = answered("verify", "--export", str(folder), "--against-events")
    assert complete.returncode == 0, complete.stdout + complete.stderr


def test_rows_are_found_where_they_stand_and_their_loss_is_said(config, tmp_path: Path) -> None:
    """By offset, or anywhere on a replaced topic; read once for all who ask at the same time."""

    async def play() -> None:
        ends, loader = Ends(kafka_options(config)), ListLoader(kafka_options(config), config.topic("control"))
        await ends.start()
        try:
            right = read_activation(visible_control[3])
            assert right is not None
            tables = await asyncio.gather(*(loader.rows(3, right) for _ in range(5)))
            assert tables[0] is not None
            assert tables == [tables[0]] * 5
            assert len(loader._tables) == 1
            for offset, chunks, why in ((3, (2,), "other rows"), (3, (9,), "behind it"), (0, (1,), "before")):
                assert await loader.rows(offset, msgspec.structs.replace(right, chunks=chunks)) is None, why
            for offset in (3, 0, 99):  # where it stands; at another place; behind the log's end
                standing = Standing(1, *right.kind_of_rows, offset)
                found = await loader.standing({b"list:lost": msgspec.json.encode(standing)}, ends)
                assert list(found.values()) == tables[:1]
            tables.clear()
            found.clear()
            lost = Standing(1, "0" * 64, 1, "string", None, 3)
            with pytest.raises(Refused, match=r"a list of 1 rows .* holds its rows no more"):
                await loader.standing({b"list:lost": msgspec.json.encode(lost)}, ends)
        finally:
            await loader.stop()
            await ends.stop()

    values = [b"junk", chunk("a\n"), chunk("b\n"), activation("a\n", [1])]
    send(config, [(0, b"k", one) for one in values], "control")
    visible_control = {one.offset: one.value for one in visible(config, "control")[0]}
    asyncio.run(play())


def test_a_list_that_is_unknown_to_a_policy_is_said_before_it_is_in_force(config, tmp_path: Path) -> None:
    """By the check that is asked for a cluster, by the doctor, and by the activation, which goes on."""
    send(config, [(0, b"k", one) for one in (chunk("a\n"), activation("a\n"))], "control")
    changed = tmp_path / "changed.yaml"
    changed.write_text(PACK.replace("version: 1", "version: 2").replace("lost: {type: string}", "lost: {type: int}"))
    changed.write_text(changed.read_text().replace("event.badge in lists.lost", "event.at in lists.lost"))
    at, said = (
        ["--bootstrap", config.bootstrap, "--prefix", str(config.prefix)],
        "list lost stands on `control` as string",
    )
    checked = answered("policy", "check", str(changed), *at)
    assert (checked.returncode, said in checked.stdout) == (0, True), checked.stdout + checked.stderr
    examined = answered("doctor", "--policy", str(changed), *at)
    assert said in examined.stdout, examined.stdout
    activated = answered("policy", "activate", str(changed), "--by", "anna", "--wait", "0", "--json", *at)
    assert (activated.returncode, said in activated.stderr) == (0, True), activated.stderr
    assert [one["list"] for one in json.loads(activated.stdout)["unknown_lists"]] == ["lost"]


def check_entries(config, ref: str, count: int) -> None:
    """Decisions follow the rows from the list's entry on; meanwhile none waited."""
    decided, meanwhile = 0, 0
    for records in visible(config, "dry.decisions").values():
        in_force, lists = None, 0
        for one in (json.loads(record.value) for record in records):
            if one["kind"] == "list":
                in_force, lists = (one["list"], lists + 1) if one["key"] == "doors/lost" else (in_force, lists)
                continue
            decided += 1
            meanwhile += in_force is None and int(one["id"][2:]) >= 400
            assert one["lists"]["lost"] == in_force
            on_it = in_force is not None and int(one["key"][2:]) < ROWS
            assert (one["action"] == "block") == on_it, one
        assert (in_force, lists) == (ref, 1)
    assert decided == count
    assert meanwhile > 40  # decided while the rows were written and loaded
