"""Every wait of a lane has an end and every queue a limit: each driven to it, in small numbers.

What needs a broker that hangs is in tests/kafka/test_bounds.py; the table of all bounds is in deploy/README.md.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced

from sidechain.agents import reader
from sidechain.agents.lane import inputs, lane, log_ends, pipeline, producers
from sidechain.agents.lane.batch import Batch
from sidechain.agents.lane.lists import ListLoader
from sidechain.agents.lane.log_ends import Span
from sidechain.agents.problems import EnvironmentProblem
from tests.lanes import config_of
from tests.silence import TP, Silent, at, for_ever, nothing, run


def lane_of(channel: Any, commit_timeout_s: float, metrics: Any = None) -> lane.Lane:
    grounds: Any = SimpleNamespace(config=SimpleNamespace(commit_timeout_s=commit_timeout_s))
    return lane.Lane(grounds, 0, [0], channel, metrics, lambda _: None)


def batch_of() -> Batch:
    return Batch({}, {}, (), {}, for_ever, for_ever)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_full", [False, True], ids=["the agent does not answer", "the channel is full"])
def test_a_lane_does_not_wait_for_ever_for_its_agent(is_full: bool) -> None:
    """It asks the log again, as for anything that does not answer."""

    async def story() -> None:
        channel: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)
        if is_full:
            channel.put_nowait(batch_of())
        with pytest.raises(TimeoutError, match="the decider did not answer within 0 s"):
            await lane_of(channel, 0.01)._settled(batch_of())

    run(story)


def test_a_figure_that_cannot_be_counted_undoes_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The batch is committed; that it was not counted is logged."""

    def explode(*_: object) -> None:
        raise KeyError("a kind nobody counts")

    monkeypatch.setattr(lane, "count", explode)
    lane_of(None, 1.0)._committed(pipeline.Committed([], 0.0, 0.0))
    assert "a committed batch was not counted; decisions go on" in caplog.text


class Stuck:
    """A producer whose transactions begin and do not end until they are let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.client = SimpleNamespace(close=self._closed)
        self.is_closed = False
        self._txn_manager = SimpleNamespace(wait_for_transaction_end=lambda: None)
        self._message_accumulator = SimpleNamespace(_batches={}, _pending_batches=set())

    async def _closed(self) -> None:
        self.is_closed = True

    async def begin_transaction(self) -> None: ...

    def create_batch(self) -> Any:
        return SimpleNamespace(append=lambda **_: True)

    async def send_batch(self, *_: Any, **__: Any) -> Any:
        return asyncio.sleep(0)  # acknowledged

    async def commit_transaction(self) -> None:
        await self.let.wait()

    stop = for_ever


NAMES = pipeline.Names("decisions", "state", "letters")
ONE = [pipeline.Output(0, [(b"k", b"v")], (), ())]


def test_two_batches_are_under_way_and_the_third_waits() -> None:
    """Whoever hands over the third waits until the first is committed: memory is bounded by batches, not by backlog."""

    async def story() -> list[bool]:
        stuck = [Stuck() for _ in range(3)]
        line = pipeline.Pipeline(stuck, NAMES, 5.0, lambda _: None)  # type: ignore[arg-type]
        for _ in range(pipeline.UNDER_WAY):
            await line.submit(ONE, 0.0)
        third = asyncio.create_task(line.submit(ONE, 0.0))
        await asyncio.wait([third], timeout=0.05)
        seen = [third.done()]
        stuck[0].let.set()
        await third
        for one in stuck:
            one.let.set()
        await line.drained()
        return [*seen, third.done()]

    assert run(story) == [False, True]


def test_a_commit_without_an_answer_ends_the_pipeline() -> None:
    """After commit_timeout_s; the batch behind it is not sent."""

    async def story() -> None:
        committed: list[Any] = []
        line = pipeline.Pipeline([Stuck(), Stuck()], NAMES, 0.02, committed.append)  # type: ignore[arg-type]
        await line.submit(ONE, 0.0)
        await line.submit(ONE, 0.0)
        with pytest.raises(TimeoutError):
            await line.drained()
        assert committed == []

    run(story)


def test_a_producer_that_does_not_close_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fenced one's deliveries never come, and `stop` waits for them."""
    monkeypatch.setattr(producers, "CLOSE_S", 0.01)

    async def story() -> bool:
        stuck = Stuck()
        await producers.close_producers([stuck])  # type: ignore[list-item]
        return stuck.is_closed

    assert run(story)


def side_inputs(silent: Silent, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> inputs.SideInputs:
    monkeypatch.setattr(inputs, "reader", lambda *_, **__: silent)
    return inputs.SideInputs({}, config_of("nowhere:1", "t.", **settings), [0], str, ListLoader({}, "t.control"))


@pytest.mark.parametrize("behind", ["wet.metadata", "control"])
def test_loading_what_the_wet_side_said_is_bounded(
    behind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After metadata_timeout_s a lane goes on without metadata, which is unknown then; never without control."""
    silent = Silent()
    control, metadata = TopicPartition("t.control", 0), TopicPartition("t.wet.metadata", 0)
    silent.positions = {control: 5, metadata: 5}
    silent.positions[TopicPartition(f"t.{behind}", 0)] = 4

    async def spans(tps: Sequence[TopicPartition]) -> dict[TopicPartition, Span]:
        return {one: Span(0, 5) for one in tps}

    async def story() -> None:
        side = side_inputs(silent, monkeypatch, metadata_timeout_s=0.02)
        await side.load(SimpleNamespace(spans=spans), True, 0)  # type: ignore[arg-type]

    if behind == "control":
        with pytest.raises(TimeoutError, match=r"t.control was not read within 0 s"):
            run(story)
    else:
        run(story)
        assert "metadata not loaded within 0 s: going on" in caplog.text


def test_control_records_are_held_in_small_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of them: a few a round, and no more are read until those held have been obeyed. None is lost."""
    control = TopicPartition("t.control", 0)
    flood = [{control: [SimpleNamespace(offset=at * 100 + one, value=b"{}") for one in range(100)]} for at in range(5)]
    silent = Silent(flood)

    async def story() -> tuple[list[int], int]:
        side = side_inputs(silent, monkeypatch)
        obeyed: list[int] = []
        most = 0
        while len(obeyed) < 500:
            got = await side.poll()
            assert len(got) <= inputs.CONTROL_A_ROUND
            obeyed += [one.offset for one in got]
            most = max(most, len(side._control))
        return obeyed, most

    obeyed, most = run(story)
    assert obeyed == list(range(500))
    assert most <= inputs.CONTROL_HELD + 100, "one fetch above the limit at most"


def test_a_read_that_makes_no_progress_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a chain's tail or a changelog, at a takeover."""
    monkeypatch.setattr(log_ends, "STALL_S", 0.02)

    async def story() -> None:
        async for _ in log_ends.read_spans(Silent(), {TP: Span(0, 3)}):  # type: ignore[arg-type]
            pytest.fail("nothing came")

    with pytest.raises(EnvironmentProblem, match="no record of t/0 came for 0 s"):
        run(story)


def test_an_open_transaction_is_waited_for_and_then_named() -> None:
    """`settled` at a takeover: commit_timeout_s, then the partition it is open on."""

    class Ends(log_ends.Ends):
        def __init__(self) -> None:
            self._stable, self._all = (SimpleNamespace(end_offsets=at(end)) for end in (3, 5))

    with pytest.raises(EnvironmentProblem, match=r"a transaction on t/0 stays open \(stable up to 3, log up to 5\)"):
        run(lambda: Ends().settled([TP], 0.03))


def test_a_shard_fenced_again_and_again_ends_the_worker() -> None:
    """FENCED_LIMIT times without a commit in between: somebody else writes under the same prefix."""
    counter = SimpleNamespace(inc=lambda: None)
    one = lane_of(None, 1.0, SimpleNamespace(fenced=counter))
    for _ in range(lane.FENCED_LIMIT - 1):
        one._count_fence(ProducerFenced())
    with pytest.raises(EnvironmentProblem, match="shard 0 was taken away 8 times in a row"):
        one._count_fence(ProducerFenced())


def test_a_command_does_not_wait_for_ever_for_a_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    """STALL_S without a record although the end is not reached; and as long for the connection."""
    monkeypatch.setattr(reader, "STALL_S", 0.02)

    async def story() -> None:
        silent: Any = Silent()
        monkeypatch.setattr(reader, "AIOKafkaConsumer", lambda **_: silent)
        silent.end_offsets = at(3)
        silent.beginning_offsets = at(0)
        with pytest.raises(EnvironmentProblem, match="no record of t came for 0 s"):
            await anext(reader.Reader({}, "t").to_end([0]))
        silent.start, silent.stop = for_ever, nothing
        with pytest.raises(TimeoutError):
            await reader.Reader({}, "t").__aenter__()

    run(story)


def test_a_lane_that_ignores_being_cancelled_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """STOP_S behind the time it was given; its shard goes to somebody else in any case."""
    monkeypatch.setattr(lane, "STOP_S", 0.02)
    released = asyncio.Event()

    async def deaf() -> None:
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()

    async def story() -> None:
        one = lane_of(None, 1.0)
        one._is_deciding = True
        one._task = task = asyncio.create_task(deaf())
        await asyncio.sleep(0)
        await one.suspend(0.01)
        assert not task.done()
        released.set()
        await task

    run(story)
