"""Alerts on a real topic become one incident, told on the topic and to a webhook, and known to who begins anew."""

import asyncio
import json

import pytest

from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.metrics import registry
from sidechain.agents.watching_metrics import SentinelMetrics
from sidechain.agents.wet.http import address
from sidechain.agents.wet.sentinel import SentinelWorker, Sources
from sidechain.agents.wet.webhook import Webhook
from sidechain.topics.alerts import Alert
from sidechain.topics.codec import encode
from tests.bus import Bus, eventually


def alert(instance: str, state: str = "firing") -> tuple[bytes, bytes]:
    rule = "SidechainLaneHalted"
    labels = {"stage": "dry", "instance": instance}
    made = Alert(rule=rule, at=0, severity="page", state=state, summary="It halts.", labels=labels, evidence={})  # type: ignore[arg-type]
    return rule.encode(), encode(made)


@pytest.mark.kafka
def test_alerts_become_one_incident_that_outlives_its_sentinel(broker: LocalKafka, prefix: str) -> None:
    """Told once by the first; the second knows it, tells nothing again, and takes what comes later to it."""
    bus, posted = Bus(broker.bootstrap, prefix), []

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        posted.append(json.loads(await reader.readexactly(size)))
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
        writer.close()

    async def turn(port: int, alerts: list[tuple[bytes, bytes]], *, tells: bool) -> None:
        """A sentinel from its start to its end, which hears of these meanwhile."""
        metrics, stop = SentinelMetrics(registry()), asyncio.Event()
        webhook = Webhook(address(f"http://127.0.0.1:{port}/", "webhook_url"), None, metrics.webhook)
        sources = Sources(None, None, metrics.prometheus)
        worker = SentinelWorker(sources, webhook, bus.options, bus.name, prefix, metrics)
        task = asyncio.create_task(worker.run(stop))
        await bus.write("alerts", 0, alerts)
        heard = metrics.alerts["joined"]._value
        await eventually(lambda: task.done() or (bool(posted) if tells else heard.get() >= 1))
        stop.set()
        await asyncio.wait_for(task, 30)
        assert metrics.open._value.get() == 1
        assert metrics.told._value.get() == int(tells)

    async def story() -> None:
        await bus.create()
        async with await asyncio.start_server(receive, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await turn(port, [alert("dry-1"), alert("dry-2")], tells=True)
            await turn(port, [alert("dry-3")], tells=False)

    asyncio.run(story())
    assert [one["status"] for one in posted] == ["firing"]
    assert posted[0]["commonLabels"]["alertname"] == "SidechainLaneHalted"
    records = [json.loads(one.value) for one in asyncio.run(bus.read("alerts"))]
    assert [one["kind"] for one in records].count("incident") == 1
