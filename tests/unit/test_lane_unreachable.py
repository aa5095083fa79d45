"""A cluster that is there and names no broker: what aiokafka asserts then is no mistake of ours."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    TopicAuthorizationFailedError,
)

from sidechain.agents.config import load
from sidechain.agents.lane import producers
from sidechain.agents.lane.membership import Membership
from sidechain.agents.lane.problems import is_passing
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.worker import work


def test_producers_that_find_no_broker_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen when the only broker hung as long as its own session: it fenced itself, and its metadata was empty."""

    class Unled:
        def __init__(self, **_: Any) -> None:
            self.client = SimpleNamespace()
            self._txn_manager = SimpleNamespace(wait_for_transaction_end=lambda: None)
            self._message_accumulator = SimpleNamespace(_batches={}, _pending_batches=set())

        async def start(self) -> None:
            raise AssertionError("Did we not perform bootstrap?")

        async def stop(self) -> None:
            """Nothing was opened."""

    monkeypatch.setattr(producers, "AIOKafkaProducer", Unled)
    config = load({"prefix": "t."}, environ={}).config
    with pytest.raises(KafkaConnectionError, match="names no broker") as caught:
        asyncio.run(producers.open_producers({}, config, 0))
    assert is_passing(caught.value)


def test_a_membership_that_aiokafka_ends_is_the_environment() -> None:
    """The worker ends with a sentence and is started again; it is no fault of the record nor of ours."""

    async def broken(**_: Any) -> None:
        raise KafkaError("Unexpected error during coordination AssertionError('Did we not perform bootstrap?')")

    membership = Membership.__new__(Membership)
    membership._consumer, membership.fault = SimpleNamespace(getmany=broken), None
    with pytest.raises(EnvironmentProblem, match="membership in the group of the workers has ended"):
        asyncio.run(membership.watch())


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (NodeNotReadyError("node None"), 3, "is the cluster well"),  # seen in the half-hour fault run
        (KafkaTimeoutError("30 s"), 3, "is the cluster well"),
        (TopicAuthorizationFailedError("sidechain.web.events"), 3, "may we use it"),
        (KafkaConnectionError("refused"), 3, "no Kafka answers at"),
        (IllegalStateError("we asked at the wrong time"), 70, "a fault of ours"),
        (ValueError("we computed nonsense"), 70, "a fault of ours"),
    ],
)
def test_a_worker_that_cannot_begin_says_whose_fault_it_is(
    fault: Exception, code: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def failing() -> None:
        raise fault

    async def nothing() -> None:
        """Nothing was opened."""

    role: Any = SimpleNamespace(prepare=failing, close=nothing)
    config = load({"prefix": "t.", "pack": "web", "metrics_port": "0"}, environ={}).config
    assert work("dry", lambda _setting: role, config) == code
    assert said in caplog.text
