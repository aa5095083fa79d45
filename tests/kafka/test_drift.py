"""What moved is told on `alerts`, also by a worker that starts behind it, and what is back is told as well.

People are asked once whether a champion should learn anew, also by a worker that was there before.
"""

import asyncio

import msgspec
import numpy as np
import pytest

from sidechain.agents.local_kafka import LocalKafka
from sidechain.agents.metrics import DriftMetrics, registry
from sidechain.agents.wet.drift import DriftWorker, Watch
from sidechain.models.policy import Wet
from sidechain.models.proposal import read
from sidechain.models.wet.drift import InputDrift
from sidechain.topics.alerts import Alert
from sidechain.topics.codec import encode
from tests.bus import Bus, eventually, values
from tests.unit.test_wet_drift import tap

WET = Wet(vector=("a",))


@pytest.mark.kafka
def test_what_stands_is_told_at_the_start_and_what_is_back_later(broker: LocalKafka, prefix: str) -> None:
    """The worker looks back silently: what began and stands is told once; a record that is no tap is counted."""
    bus, random = Bus(broker.bootstrap, prefix), np.random.default_rng(1)

    async def write(values_: list[int]) -> None:
        await bus.write("wet.taps", 0, [(None, encode(tap(seq, a=value))) for seq, value in enumerate(values_)])

    async def tell() -> tuple[list[Alert], DriftMetrics]:
        await bus.create()
        await write(random.integers(0, 100, 1_500).tolist() + random.integers(80, 180, 500).tolist())
        metrics, stop = DriftMetrics(registry(), WET.vector), asyncio.Event()
        watch = Watch(WET, InputDrift(WET.vector, reference=1_000, window=500))
        task = asyncio.create_task(DriftWorker(watch, bus.options, bus.name, metrics, lambda: 7, "doors").run(stop))
        await bus.count("alerts", 1)
        [asked] = await bus.count("human.proposals", 1)
        assert read(asked.value).target == "trainer.fit=now"
        await bus.write("wet.taps", 1, [(None, b"no tap")])
        await write(random.integers(0, 100, 500).tolist())
        said = values(await bus.count("alerts", 2), Alert)
        await eventually(lambda: metrics.unreadable._value.get() == 1)
        stop.set()
        await asyncio.wait_for(task, 30)
        again, stop = DriftMetrics(registry(), WET.vector), asyncio.Event()
        watch = Watch(WET, InputDrift(WET.vector, reference=1_000, window=500))
        task = asyncio.create_task(DriftWorker(watch, bus.options, bus.name, again, lambda: 8, "doors").run(stop))
        await write(random.integers(80, 180, 500).tolist())
        await bus.count("alerts", 3)
        stop.set()
        await asyncio.wait_for(task, 30)
        assert (metrics.proposals._value.get(), again.proposals._value.get()) == (1, 0)
        return said, metrics

    said, metrics = asyncio.run(tell())
    assert [(one.rule, one.state, one.labels["feature"]) for one in said] == [
        ("InputDrift", "firing", "a"),
        ("InputDrift", "resolved", "a"),
    ]
    assert metrics.standing._value.get() == 0
    assert metrics.alarms["InputDrift"]._value.get() == 1
    assert msgspec.json.decode(encode(said[0]))["evidence"]["psi"] > 0.25
