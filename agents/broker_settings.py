"""The local broker's settings: what differs from Kafka's defaults, and why."""

from pathlib import Path
from typing import Final

# One node has nobody to replicate to; fewer partitions of the internal topics start faster.
_SINGLE_NODE: Final = {
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.segment.bytes": "16777216",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
}

_BEHAVIOUR: Final = {
    "auto.create.topics.enable": "false",  # a misspelt name must fail, not make a topic
    "group.initial.rebalance.delay.ms": "0",  # a first worker need not wait for a second
    "group.min.session.timeout.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": "8388608",  # the default of 128 MiB does not fit our heap
    "log.index.size.max.bytes": "1048576",
    "num.network.threads": "2",
    "num.io.threads": "4",
}


def server_properties(data: Path, host: str, port: int, controller_port: int) -> dict[str, str]:
    """A complete `server.properties` for one node that is broker and controller."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        # Not the newer bootstrap servers: those write the controller's port into the data, and it may change.
        "controller.quorum.voters": f"1@{host}:{controller_port}",
        "listeners": f"PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{host}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(data),
        **_SINGLE_NODE,
        **_BEHAVIOUR,
    }


def jvm_options(heap: str, *, quick: bool) -> list[str]:
    """Options of the broker's JVM.

    `quick` gives up the optimising compiler: cheaper for the first minute, slower under lasting load. The collectors
    make no difference we could measure at this size; the serial one is the smallest.
    """
    return [
        f"-Xmx{heap}",
        "-Xms128m",
        "-XX:+UseSerialGC",
        *(["-XX:TieredStopAtLevel=1"] if quick else []),
        "-Djava.awt.headless=true",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
        "-Dlog4j2.level=INFO",
    ]
