"""A fence is an ordinary end: it is told once, to whoever sent, and asyncio logs nothing about it."""

import asyncio
import gc
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced

from sidechain.agents.config import load
from sidechain.agents.lane import producers
from sidechain.agents.lane.pipeline import Names, Output, Pipeline

NAMES = Names("decisions", "state", "dead_letters")


async def opened() -> AIOKafkaProducer:
    """A producer as after its initialisation, its cluster out of reach: what is sent stays in its hands."""
    producer = producers._producer({}, load({"prefix": "t."}, environ={}).config, "t.dry-0-0")
    producer._txn_manager.set_pid_and_epoch(1, 0)

    async def known(_topic: str) -> set[int]:
        return {0, 1}

    producer.client._wait_on_metadata = known
    producer._partition = lambda _topic, partition, *_: partition
    producer._sender._sender_task = asyncio.create_task(asyncio.sleep(3_600))
    return producer


def fence(producer: AIOKafkaProducer) -> None:
    """What aiokafka's sender does when the coordinator says that there is a successor."""
    failed = asyncio.get_running_loop().create_future()
    failed.set_exception(ProducerFenced())
    producer._sender._fail_all(failed)


async def told_by_a_fence(*, drained: bool) -> tuple[BaseException | None, list[str]]:
    """What the pipeline says of a batch whose producer is fenced, and what asyncio logs of it."""
    logged: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: logged.append(context["message"]))
    producer = await opened()
    pipeline = Pipeline([producer], NAMES, 30.0, lambda _committed: None)
    output: Any = Output(0, [(b"k", b"entry")], [(b"s", b"state")], [(b"k", b"letter", ())])
    await pipeline.submit([output], 0.0)
    for _ in range(20):  # turns of the loop
        await asyncio.sleep(0)
    assert len(producer._message_accumulator._batches) == 3
    if drained:  # on their way when the answer came
        for tp in list(producer._message_accumulator._batches):
            producer._message_accumulator._pop_batch(tp)
    fence(producer)
    with pytest.raises(ProducerFenced):
        await pipeline.drained()
    assert pipeline.failure is not None
    failure = pipeline.failure.with_traceback(None)  # which holds the producer
    producer._sender._sender_task.cancel()
    await pipeline.close()
    del pipeline, producer
    await asyncio.sleep(0)
    gc.collect()
    await asyncio.sleep(0)
    return failure, logged


@pytest.mark.parametrize("drained", [False, True], ids=["before they left", "on their way"])
def test_a_fence_leaves_no_exception_that_nobody_looked_at(drained: bool) -> None:
    failure, logged = asyncio.run(told_by_a_fence(drained=drained))
    assert isinstance(failure, ProducerFenced)
    assert logged == []


def test_such_an_exception_would_be_seen_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transaction's own, and one of each batch."""
    monkeypatch.setattr(producers, "retrieve", lambda _producer: None)
    _, logged = asyncio.run(told_by_a_fence(drained=False))
    assert logged == ["Future exception was never retrieved"] * 4
