"""Control records on their way to a lane: a list waits for its rows, in order, and decisions do not."""

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError

from sidechain.agents.lane import control_queue
from sidechain.agents.lane.control_queue import ControlQueue
from sidechain.agents.lane.lists import _spans
from sidechain.agents.lane.log_ends import Span
from sidechain.models.dry import Line
from tests.doors import activation, chunk


class Loader:
    """Rows that are there when the test says so."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.answers: dict[int, asyncio.Future] = {}

    async def rows(self, offset: int, _activation):
        self.asked.append(offset)
        self.answers[offset] = asyncio.get_running_loop().create_future()
        return await self.answers[offset]


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def offsets(records) -> list[int]:
    return [one.offset for one in records]


RECORDS = [
    Line(0, b"doors", b'{"kind":"policy"}'),
    Line(1, b"k", chunk("a\n")),
    Line(2, b"k", activation("a\n", [1])),
    Line(3, b"doors", b"junk"),
    Line(4, b"k", activation("a\n", [1], version=2)),
    Line(5, b"k", activation("a\n", [1], version=3)),
]


def test_a_list_waits_for_its_rows_and_what_stands_behind_it_waits_too():
    """Rows are no part of the queue; a list is the last record of its round."""

    async def play() -> None:
        loader = Loader()
        queue = ControlQueue(loader)
        queue.extend(RECORDS)
        assert len(queue) == 5
        assert offsets(queue.ready(4)) == [0]
        await turns()
        assert queue.ready(4) == []
        assert loader.asked == [2]
        loader.answers[2].set_result("rows")
        await turns()
        (only,) = queue.ready(4)
        assert (only.offset, queue.rows(2, None)) == (2, "rows")
        assert offsets(queue.ready(4)) == [3]
        with pytest.raises(KeyError):  # a record of another round: a mistake of ours
            queue.rows(2, None)
        for offset, answer in ((4, None), (5, "rows")):
            assert queue.ready(4) == []
            await turns()
            loader.answers[offset].set_result(answer)
            await queue.wait(1)
            assert offsets(queue.ready(4)) == [offset]
            assert queue.rows(offset, None) == answer
        assert len(queue) == 0
        queue.close()

    asyncio.run(play())


def test_rows_that_cannot_be_read_are_asked_for_again_and_our_own_mistakes_raise(monkeypatch):
    """A broker that is away delays a list; a fault of ours ends the worker."""
    monkeypatch.setattr(control_queue, "AGAIN_S", 0)

    async def play() -> None:
        loader = Loader()
        queue = ControlQueue(loader)
        queue.extend(RECORDS[2:3])
        for fault in (KafkaConnectionError(), TimeoutError()):
            assert queue.ready(1) == []
            await turns()
            loader.answers[2].set_exception(fault)
            await turns()
            assert queue.ready(1) == []
        assert queue.ready(1) == []
        await turns()
        assert loader.asked == [2, 2, 2]
        loader.answers[2].set_exception(ZeroDivisionError())
        await turns()
        with pytest.raises(ZeroDivisionError):
            queue.ready(1)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("offsets_", "spans"),
    [
        ([], []),
        ([7], [Span(7, 8)]),
        ([9, 7, 8], [Span(7, 10)]),
        ([0, 64], [Span(0, 65)]),
        ([0, 65], [Span(0, 1), Span(65, 66)]),
        ([0, 1, 10**9], [Span(0, 2), Span(10**9, 10**9 + 1)]),
    ],
)
def test_no_more_of_the_log_is_read_than_holds_the_rows(offsets_, spans):
    """Whoever names offsets far apart makes nobody read all between them."""
    assert list(_spans(offsets_)) == spans


def test_what_a_record_asks_for_is_read_as_the_kernel_reads_it():
    """A record that the queue takes for no list makes the kernel ask for no rows."""
    from sidechain.models.dry import Fold
    from sidechain.models.dry.lists import read_activation
    from tests.unit.test_lists import BAD, POLICY

    def never(_offset, _activation):
        raise AssertionError("the kernel asked for rows that nobody loaded")

    records = [one for records in BAD.values() for one in records]
    records += [
        activation("a\n") + b" ",
        b" " + activation("a\n"),
        activation("a\n").replace(b"list", b"lis\\u0074", 1),
    ]
    for value in records:
        if read_activation(value) is None:
            Fold(POLICY, 0).control(Line(0, None, value), rows=never)
    assert read_activation(records[-1]) is not None
