"""What was never so with a metric is told on `alerts`; a worker begun anew has learned it from the topic."""

import asyncio

import pytest

from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.metrics import registry
from sidechain.agents.watching_metrics import StreamMetrics
from sidechain.agents.wet.metric_watch import MetricWorker
from sidechain.models.wet.metric_watch import WARM, MetricWatch
from sidechain.topics.alerts import Alert
from sidechain.topics.codec import encode
from sidechain.topics.metrics import MetricValue
from tests.bus import Bus, eventually, values

NAME = b"orders.waiting_s"


def value(at: int, value: float) -> tuple[bytes, bytes]:
    return NAME, encode(MetricValue(metric=NAME.decode(), at=at, value=value))


@pytest.mark.kafka
def test_an_anomaly_is_told_and_outlives_its_worker(broker: LocalKafka, prefix: str) -> None:
    """Learned before it began, told while it runs, and told once more by the next one as what stands."""
    bus = Bus(broker.bootstrap, prefix)

    async def turn(written: list[tuple[bytes, bytes]], alerts: int) -> StreamMetrics:
        """A worker from its start to its end, with values that come while it listens."""
        metrics, stop = StreamMetrics(registry()), asyncio.Event()
        task = asyncio.create_task(MetricWorker(MetricWatch(), None, bus.options, bus.name, metrics).run(stop))
        await eventually(lambda: task.done() or metrics.known["users"]._value.get() == 1)
        await bus.write("metrics", 0, written)
        await bus.count("alerts", alerts)
        await eventually(lambda: task.done() or metrics.standing._value.get() == 1)
        stop.set()
        await asyncio.wait_for(task, 30)
        return metrics

    async def story() -> tuple[StreamMetrics, StreamMetrics]:
        await bus.create()
        await bus.write("metrics", 0, [value(at, 10 + at % 7) for at in range(2 * WARM)])
        first = await turn([(NAME, b"no value"), (NAME, b"1970-01-01 00:10:00,500")], 1)
        return first, await turn([], 2)

    first, second = asyncio.run(story())
    told = values(asyncio.run(bus.read("alerts")), Alert)
    assert [(one.rule, one.state, one.labels) for one in told] == [
        ("MetricAnomaly", "firing", {"metric": NAME.decode()})
    ] * 2
    assert told[0].evidence["value"] == 500
    assert first.unreadable._value.get() == 1
    assert first.anomalies["told"]._value.get() == 1
    assert first.values["scored"]._value.get() == 1
    assert second.anomalies["told"]._value.get() == 0, "that was counted by the first"
