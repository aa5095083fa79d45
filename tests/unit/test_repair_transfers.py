"""An epoch where no record says how far transfers were read begins at their end."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from sidechain.agents.lane.log_ends import Span
from sidechain.agents.repair import _Repair
from sidechain.agents.repair_plan import Believed
from tests.sharing import SHARING
from tests.unit.test_repair_plan import POLICY, at

TRANSFERS = TopicPartition("dry.transfers", 1)


class Ends:
    """The ends of topics; asked only where it matters."""

    def __init__(self) -> None:
        self.asked: list[TopicPartition] = []

    async def spans(self, tps: Any) -> dict[TopicPartition, Span]:
        self.asked += tps
        return {one: Span(3, 41) for one in tps}


@pytest.mark.parametrize(
    ("following", "policy", "has_topic", "goes_on"),
    [
        (at(5), SHARING, True, 41),  # what was credited before the loss may have been spent: never once more
        ({**at(5), "transfers": 8}, SHARING, True, 8),  # a record says it
        (at(5), POLICY, True, None),  # nothing is shared
        (at(5), SHARING, False, None),  # there is no such topic yet
    ],
    ids=["nobody says", "a record says", "nothing shared", "no topic"],
)
def test_where_transfers_go_on(following, policy, has_topic, goes_on):
    ends = Ends()
    config = SimpleNamespace(topic=str)
    grounds: Any = SimpleNamespace(ends=ends, config=config, has_transfers=has_topic)
    repair = _Repair(grounds, None, 1)  # type: ignore[arg-type]
    begin = Believed(following, policy.ref, "the state says, written at entry 4")
    found = asyncio.run(repair._with_transfers(begin, policy))
    assert found.next.get("transfers") == goes_on
    assert {name: found.next[name] for name in at(5)} == at(5)
    assert ends.asked == ([TRANSFERS] if goes_on == 41 else [])
