"""The aggregator beside a cluster that shuts it out, fails or hangs: it ends in a sentence, and counts nothing."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import InvalidProducerEpoch, KafkaConnectionError, KafkaError, ProducerFenced
from prometheus_client import CollectorRegistry

from sidechain.agents.metrics import AggregatorMetrics
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.wet import aggregator
from sidechain.models.pack_file import load_pack

TP = TopicPartition("wet.cases", 0)
CASE = {"partition": 0, "seq": 0, "offset": 0, "at": 1, "of": {"terminal_risk": "17"}, "label": None}


class Cluster:
    """A publisher and a consumer in one: one round of cases, and an answer to what is written."""

    def __init__(self, answer: BaseException | None = None, *, hangs: bool = False) -> None:
        self.answer, self.hangs = answer, hangs
        self.stopped = 0
        self.published = 0
        self.stop_after = asyncio.Event()

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.stopped += 1

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        return {TP: [SimpleNamespace(value=msgspec.json.encode(CASE), topic=TP.topic, partition=0, offset=0)]}

    async def publish_once(self, *_: Any) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.answer is not None:
            raise self.answer
        self.published += 1
        self.stop_after.set()

    def assignment(self) -> list[TopicPartition]:
        return []


def run(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> AggregatorMetrics:
    """Until it is told to stop; raises what the worker raises."""
    metrics = AggregatorMetrics(CollectorRegistry())
    worker = aggregator.AggregatorWorker(load_pack("payments"), {}, str, "p.", metrics)
    monkeypatch.setattr(aggregator, "Publisher", lambda *_, **__: cluster)
    monkeypatch.setattr(worker, "_consumer", lambda: cluster)

    async def restored(_consumer: object) -> None:
        pass

    monkeypatch.setattr(worker, "_restore", restored)
    asyncio.run(worker.run(cluster.stop_after))
    return metrics


def counted(metrics: AggregatorMetrics) -> float:
    return sum(one._value.get() for one in metrics.cases.values())


def test_a_round_is_counted_when_it_is_committed(monkeypatch):
    cluster = Cluster()
    assert counted(run(cluster, monkeypatch)) == 1
    assert (cluster.published, cluster.stopped) == (1, 2)


@pytest.mark.parametrize("fault", [ProducerFenced(), InvalidProducerEpoch()], ids=["fenced", "an old epoch"])
def test_one_that_is_shut_out_says_so_and_ends_with_exit_3(fault, monkeypatch):
    """And lets go of the cluster: the other goes on where it stood."""
    cluster = Cluster(fault)
    with pytest.raises(EnvironmentProblem, match="another aggregator of this prefix has begun") as ended:
        run(cluster, monkeypatch)
    assert ended.value.exit_code == 3
    assert cluster.stopped == 2


def test_any_other_failure_is_told_as_it_is(monkeypatch):
    """It is not another aggregator, so nobody is sent to look for one."""
    cluster = Cluster(KafkaConnectionError("gone"))
    with pytest.raises(KafkaError, match="gone"):
        run(cluster, monkeypatch)
    assert cluster.stopped == 2


def test_a_commit_that_never_ends_is_given_up(monkeypatch):
    """Within a bound; what was not committed is read and counted again by whoever comes next."""
    monkeypatch.setattr(aggregator, "COMMIT_S", 0.01)
    cluster = Cluster(hangs=True)
    with pytest.raises(TimeoutError):
        run(cluster, monkeypatch)
    assert (cluster.published, cluster.stopped) == (0, 2)
