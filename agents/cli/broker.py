"""`sidechain broker start|stop|status`: the local Apache Kafka."""

from typing import Annotated, Any

import typer

from sidechain.agents.cli.connection import SettingsFile
from sidechain.agents.cli.output import Json, emit, say
from sidechain.agents.local_kafka import LocalKafka, Running
from sidechain.agents.problems import AnswerIsNo
from sidechain.agents.settings import Config


def start(
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="0 picks a free one; 9092 otherwise.")] = None,
    *,
    file: SettingsFile,
    json: Json = False,
) -> None:
    """Start the local Apache Kafka and wait until it serves.

    The first start fetches 42 MB of jars. Topics survive a stop. Running already is no failure.
    """
    kafka = local(file.settings(broker_port=port))
    already = kafka.status()
    running = kafka.start()
    if already:
        say("it was running already")
    emit({"running": True, "home": kafka.home, **_fields(running)} if json else _sentence(running), json)


def stop(
    delete_data: Annotated[bool, typer.Option("--delete-data", help="Forget all its topics, too.")] = False,
    *,
    file: SettingsFile,
    json: Json = False,
) -> None:
    """End the local Apache Kafka. Not running is no failure."""
    kafka = local(file.settings())
    was_running = kafka.stop()
    if delete_data:
        kafka.delete_data()
    text = "stopped" if was_running else "it was not running"
    emit({"stopped": was_running, "data_deleted": delete_data} if json else text, json)


def status(file: SettingsFile, json: Json = False) -> None:
    """Say whether the local Apache Kafka runs, and where. Exit 1 when it does not."""
    kafka = local(file.settings())
    running = kafka.status()
    if running is None:
        emit({"running": False, "home": kafka.home}, True) if json else None
        raise AnswerIsNo(f"not running; `sidechain broker start` starts it (data: {kafka.home})")
    emit({"running": True, "home": kafka.home, **_fields(running)} if json else _sentence(running), json)


def local(config: Config) -> LocalKafka:
    """The local broker of these settings."""
    return LocalKafka(
        config.broker_home,
        cache=config.cache,
        port=config.broker_port,
        heap=config.broker_heap,
        quick=config.broker_quick,
        java=config.java,
        jars=config.jars,
        mirror=config.mirror,
        progress=say,
    )


def _fields(running: Running) -> dict[str, Any]:
    return {"bootstrap": running.bootstrap, "pid": running.pid, "log": running.log}


def _sentence(running: Running) -> str:
    return f"Apache Kafka serves at {running.bootstrap} (process {running.pid}, log {running.log})"
