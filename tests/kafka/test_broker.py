"""The local broker: it starts, survives and ends as told, and every failure is one sentence that says what to do."""

import asyncio
import json
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import NewTopic

from sidechain.agents.admin import administrator
from sidechain.agents.config import load
from sidechain.agents.kafka_files import lock
from sidechain.agents.local_kafka import running
from sidechain.agents.problems import EnvironmentProblem


async def write(bootstrap: str, topic: str, values: list[bytes]) -> None:
    async with administrator({"bootstrap_servers": bootstrap}) as client:
        await client.create_topics([NewTopic(topic, 1, 1)])
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def read(bootstrap: str, topic: str, count: int, **options: object) -> list[bytes]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", **options)
    await consumer.start()
    try:
        return [(await asyncio.wait_for(consumer.getone(), 30)).value for _ in range(count)]
    finally:
        await consumer.stop()


@pytest.fixture
def jar_folder(broker, tmp_path) -> Path:
    """A folder of jars as somebody without a network would bring one; the broker's start has filled the cache."""
    folder = tmp_path / "jars"
    folder.mkdir()
    for jar in lock():
        here = jar.within(load().config.cache)
        (folder / here.name).symlink_to(here)
    return folder


def test_starting_it_again_leaves_it_as_it_is(broker):
    before = broker.status()
    assert before is not None
    assert broker.start() == before


def test_it_survives_a_crash_and_a_change_of_port(private_broker, jar_folder, tmp_path):
    """Out of a folder of jars: two starts at once make one broker; after a SIGKILL its topics are there again."""
    home = tmp_path / "home"
    first, second = (private_broker(home, jars=jar_folder, cache=tmp_path / "no-cache", quick=True) for _ in range(2))
    with ThreadPoolExecutor(2) as pool:
        started = [pool.submit(one.start) for one in (first, second)]
        found = [one.result() for one in started]
    assert found[0] == found[1]
    asyncio.run(write(first.bootstrap, "kept", [b"a", b"b"]))

    os.kill(found[0].pid, signal.SIGKILL)
    kafka = private_broker(home, jars=jar_folder, cache=tmp_path / "no-cache", quick=True)
    again = kafka.start()
    assert again.pid != found[0].pid
    assert asyncio.run(read(kafka.bootstrap, "kept", 2)) == [b"a", b"b"]
    with pytest.raises(EnvironmentProblem, match="stop it before deleting"):
        kafka.delete_data()

    assert kafka.stop()
    assert kafka.status() is None
    assert not kafka.stop()
    assert not (tmp_path / "no-cache").exists()
    with pytest.raises(EnvironmentProblem, match="not running; `sidechain broker start`"):
        _ = kafka.bootstrap


def test_the_command_line_starts_finds_and_ends_it(broker, sidechain, tmp_path):
    cache = str(load().config.cache)
    environment = os.environ | {"XDG_DATA_HOME": str(tmp_path), "SIDECHAIN_CACHE": cache}
    status = sidechain("broker", "status", env=environment)
    assert (status.returncode, status.stdout) == (1, "")
    assert "`sidechain broker start` starts it" in status.stderr
    try:
        started = sidechain("broker", "start", "--port", "0", "--json", env=environment)
        assert started.returncode == 0, started.stderr
        found = json.loads(started.stdout)
        assert json.loads(sidechain("broker", "status", "--json", env=environment).stdout) == found
        # Whoever names no other cluster means this one.
        shown = json.loads(sidechain("config", "show", "--json", env=environment).stdout)
        assert shown["bootstrap"] == {"value": found["bootstrap"], "origin": "the running local broker"}
        elsewhere = {"SIDECHAIN_DATA": str(tmp_path / "other"), "SIDECHAIN_BROKER_PORT": port(found)}
        taken = sidechain("broker", "start", env=environment | elsewhere)
        assert taken.returncode == 3
        assert "in use by another program" in taken.stderr
    finally:
        stopped = sidechain("broker", "stop", "--delete-data", "--json", env=environment)
    assert json.loads(stopped.stdout) == {"stopped": True, "data_deleted": True}
    assert running(tmp_path / "sidechain" / "broker") is None
    assert not (tmp_path / "sidechain" / "broker" / "data").exists()
    assert sidechain("broker", "stop", env=environment).returncode == 0


def port(found: dict) -> str:
    return found["bootstrap"].rpartition(":")[2]


def test_a_number_left_behind_is_not_taken_for_the_broker(private_broker, tmp_path):
    """After a reboot the number may be anybody's: here it is ours, and we must live on."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "run.json").write_text(json.dumps({"pid": os.getpid(), "port": 1, "log": "x"}))
    kafka = private_broker(home)
    assert kafka.status() is None
    assert not kafka.stop()
    assert not (home / "run.json").exists()


def test_a_port_in_use_is_said(private_broker):
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        with pytest.raises(EnvironmentProblem, match=f"port {number} on 127.0.0.1 is in use .*--port"):
            private_broker(port=number).start()


def test_a_folder_that_cannot_be_written_is_said(private_broker, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match=r"is not writable .*SIDECHAIN_DATA"):
        private_broker(tmp_path / "file" / "home").start()


def test_a_setting_kafka_refuses_is_said_in_its_words(private_broker, broker):
    with pytest.raises(EnvironmentProblem, match=r"could not prepare .*num\.io\.threads"):
        private_broker(properties={"num.io.threads": "many"}).start()


def test_a_broker_that_ends_while_starting_is_said_with_its_log(private_broker, broker):
    """The address is nobody's, which shows only when it listens."""
    kafka = private_broker(properties={"listeners": "PLAINTEXT://192.0.2.1:9092,CONTROLLER://192.0.2.1:9093"})
    with pytest.raises(EnvironmentProblem, match=r"ended while starting: .*log: .*broker\.log"):
        kafka.start()
    assert kafka.status() is None


def test_a_broker_that_is_gone_is_said_by_every_command(sidechain, prefix):
    done = sidechain("topics", "show", "--bootstrap", "127.0.0.1:1", "--prefix", prefix)
    assert done.returncode == 3
    assert done.stderr == (
        "sidechain: no Kafka serves us at 127.0.0.1:1 ([Errno 111] Connect call failed ('127.0.0.1', 1)); `sidechain "
        "broker start` starts one here, --bootstrap or the setting `bootstrap` names another\n"
    )
