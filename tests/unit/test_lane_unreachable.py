"""A cluster that is there and names no broker: what aiokafka asserts then is no mistake of ours."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError

from sidechain.agents.config import load
from sidechain.agents.lane import producers
from sidechain.agents.lane.membership import Membership
from sidechain.agents.lane.problems import is_passing
from sidechain.agents.problems import EnvironmentProblem


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
