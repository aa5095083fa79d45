"""Every wait has an end and every queue a limit: each driven to it, with small numbers and nobody at the other side.

What needs a broker that hangs is in tests/kafka/test_bounds.py; the table of all bounds is in deploy/README.md.
"""

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import ProducerFenced

from sidechain.agents import app as faust_app
from sidechain.agents import metrics as metrics_module
from sidechain.agents import reader
from sidechain.agents.dry import worker as dry_worker
from sidechain.agents.lane import inputs, lane, log_ends, membership, pipeline, producers
from sidechain.agents.lane.batch import Batch
from sidechain.agents.lane.log_ends import Span
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.wet import anomaly, feed, risk
from tests.lanes import config_of

TP = TopicPartition("t", 0)


def run(story: Callable[[], Any], within_s: float = 10.0) -> Any:
    """A story in a loop of its own; one that hangs fails."""

    async def bounded() -> Any:
        async with asyncio.timeout(within_s):
            return await story()

    return asyncio.run(bounded())


async def for_ever(*_: Any, **__: Any) -> Any:
    """The other side does not answer."""
    await asyncio.Event().wait()


async def nothing(*_: Any, **__: Any) -> None:
    """The other side has nothing to say."""


def at(offset: int) -> Any:
    """A broker that says this of every partition it is asked about."""

    async def offsets(tps: Any) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, offset)

    return offsets


class Silent:
    """A consumer whose connections are up and on which nothing ever comes, unless a test puts it there."""

    def __init__(self, come: Sequence[Mapping[TopicPartition, Sequence[Any]]] = ()) -> None:
        self.come = list(come)
        self.is_paused: set[TopicPartition] = set()
        self.positions: dict[TopicPartition, int] = {}

    async def getmany(self, *_: Any, **__: Any) -> Mapping[TopicPartition, Sequence[Any]]:
        await asyncio.sleep(0)
        if self.is_paused or not self.come:
            return {}
        return self.come.pop(0)

    async def position(self, tp: TopicPartition) -> int:
        return self.positions.get(tp, 0)

    def assign(self, tps: Any) -> None: ...
    def seek(self, tp: TopicPartition, offset: int) -> None: ...

    def pause(self, *tps: TopicPartition) -> None:
        self.is_paused |= set(tps)

    def resume(self, *tps: TopicPartition) -> None:
        self.is_paused -= set(tps)

    def paused(self) -> set[TopicPartition]:
        return self.is_paused


# The lane: its agent, its pipeline, its inputs.


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
    return inputs.SideInputs({}, config_of("nowhere:1", "t.", **settings), [0], str)


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
    flood = [{control: [SimpleNamespace(offset=at * 100 + one) for one in range(100)]} for at in range(5)]
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


# The group, the worker and its end.


def member(monkeypatch: pytest.MonkeyPatch, consumer: Any) -> membership.Membership:
    monkeypatch.setattr(membership, "AIOKafkaConsumer", lambda **_: consumer)
    return membership.Membership({}, config_of("nowhere:1", "t."), for_ever, for_ever)


@pytest.mark.parametrize("bound", ["START_S", "LEAVE_S", "CONFIRM_S"])
def test_a_group_that_does_not_answer_is_not_waited_for(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joining and being confirmed fail; leaving is given up, the session ends by itself."""
    monkeypatch.setattr(membership, bound, 0.02)
    mute = SimpleNamespace(start=for_ever, stop=for_ever, commit=for_ever, subscribe=lambda *_, **__: None)

    async def story() -> None:
        one = member(monkeypatch, mute)
        if bound == "LEAVE_S":
            await one.stop()
            return
        with pytest.raises(TimeoutError):
            await (one.start() if bound == "START_S" else one.confirm({0: 1}))

    run(story)


def test_a_cluster_that_does_not_answer_at_the_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 3 and its address, after START_S."""
    monkeypatch.setattr(dry_worker, "START_S", 0.02)
    with pytest.raises(EnvironmentProblem, match="no Kafka answers at nowhere:1"):
        run(lambda: dry_worker._reached(for_ever(), "nowhere:1"))


def test_figures_that_fail_stop_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The next look is taken all the same."""
    monkeypatch.setattr(dry_worker, "MEASURE_S", 0.001)
    looks: list[int] = []

    async def explode() -> None:
        looks.append(1)
        raise ZeroDivisionError("planted")

    async def story() -> None:
        one = dry_worker.DryWorker.__new__(dry_worker.DryWorker)
        monkeypatch.setattr(one, "_look", explode)
        task = asyncio.create_task(one._measure())
        while len(looks) < 3:  # noqa: ASYNC110 - it loops by itself, there is no event
            await asyncio.sleep(0.001)
        assert not task.done()
        task.cancel()

    run(story)
    assert "figures were not taken; decisions go on" in caplog.text


def test_after_a_fault_of_ours_the_worker_ends_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sends a signal then: what hangs on the way out is cut off all the same."""

    async def story() -> None:
        cut = asyncio.Event()
        monkeypatch.setattr(dry_worker, "GRACE_S", 0.01)
        monkeypatch.setattr(dry_worker, "cut_off", cut.set)
        one = dry_worker.DryWorker.__new__(dry_worker.DryWorker)
        one._config = config_of("nowhere:1", "t.", shutdown_timeout_s=0.01)
        one._fatal = asyncio.get_running_loop().create_future()
        one._fatal.set_exception(ZeroDivisionError("planted"))
        for name in ("_member", "_measure", "_stop"):
            monkeypatch.setattr(one, name, for_ever)
        task = asyncio.create_task(one.run(asyncio.Event()))
        await cut.wait()
        task.cancel()

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


HANGS = """
import asyncio, os, signal, sys
from sidechain.agents import worker
from sidechain.agents.config import load

async def stop_me(_stop):
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.Event().wait()

worker.GRACE_S = 0.2
config = load({"pack": "web", "shutdown_timeout_s": 0.2}, environ={}).config
sys.exit(worker.work("dry", lambda _: worker.Role(run=stop_me), config))
"""


def test_a_shutdown_that_hangs_is_cut_off() -> None:
    """SIGTERM, and what should have ended has not: exit 70 behind shutdown_timeout_s and a grace."""
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60)
    assert done.returncode == 70
    assert "the shutdown hangs and is cut off" in done.stderr


def test_agents_that_do_not_stop_are_left(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """STOP_S, and the worker ends without them."""
    monkeypatch.setattr(faust_app, "STOP_S", 0.02)

    async def story() -> None:
        made = faust_app.make_app("test")
        stop = made.stop
        async with faust_app.running(made):
            monkeypatch.setattr(made, "stop", for_ever)
        await stop()

    run(story, 30)
    assert "the agents did not stop within 0 s" in caplog.text


def test_agents_that_do_not_start_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """START_S."""
    monkeypatch.setattr(faust_app, "START_S", 0.02)

    async def story() -> None:
        async with faust_app.running(SimpleNamespace(start=for_ever)):  # type: ignore[arg-type]
            pytest.fail("it does not run")

    with pytest.raises(TimeoutError):
        run(story)


# What may be dropped: metrics and the wet side.


def test_a_scraper_that_hangs_is_cut_off_and_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are served meanwhile."""
    monkeypatch.setattr(metrics_module, "SCRAPE_S", 0.3)
    port = metrics_module.serve(metrics_module.registry(), "127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as hanging:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert b"sidechain_build_info" in answer.read()
        assert hanging.recv(1) == b"", "cut off"


def test_a_wet_agent_that_is_stuck_ends_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while there are more partitions than its channel holds batches."""
    monkeypatch.setattr(feed, "BATCH_S", 0.05)

    async def story() -> None:
        app = SimpleNamespace(channel=asyncio.Queue)
        one = feed.Feed(app, SimpleNamespace(), {}, topic="t", group="g")  # type: ignore[arg-type]
        with pytest.raises(feed.AgentStuckError, match="the agent on t did not answer within 0 s"):
            await one._round({TopicPartition("t", at): [record(at)] for at in range(20)})

    run(story)


def test_a_wet_worker_does_not_wait_for_ever_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to read nor to write: START_S."""
    monkeypatch.setattr(feed, "START_S", 0.02)
    mute = SimpleNamespace(start=for_ever, stop=nothing)
    monkeypatch.setattr(feed, "AIOKafkaConsumer", lambda **_: mute)
    monkeypatch.setattr(feed, "AIOKafkaProducer", lambda **_: mute)

    async def story() -> None:
        with pytest.raises(TimeoutError):
            await feed.Publisher({}).start()
        app = SimpleNamespace(channel=asyncio.Queue)
        with pytest.raises(TimeoutError):
            await feed.Feed(app, SimpleNamespace(), {}, topic="t", group="g").run(asyncio.Event())  # type: ignore[arg-type]

    run(story)


def test_past_taps_are_read_within_a_bound(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Learning begins with what was read by then."""
    monkeypatch.setattr(anomaly, "PAST_S", 0.02)

    class Mute:
        def __init__(self, *_: object) -> None: ...

        __aenter__ = for_ever
        __aexit__ = nothing

    monkeypatch.setattr(anomaly, "Reader", Mute)
    run(lambda: anomaly.Past(None, "t", {}).open([0]))  # type: ignore[arg-type]
    assert "not all of the tail of t was read within 0 s, going on" in caplog.text


def record(partition: int) -> ConsumerRecord[Any, Any]:
    return ConsumerRecord("t", partition, 0, 0, 0, b"k", b"v", None, 1, 1, ())


def test_the_past_of_risks_is_read_within_a_bound(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was not read is not known; the agent goes on."""
    monkeypatch.setattr(risk, "RESTORE_S", 0.02)

    async def story() -> int:
        one = risk.RiskAgent.__new__(risk.RiskAgent)
        one._policy = SimpleNamespace(wet=None, event=SimpleNamespace(max_step_ms=1))  # type: ignore[assignment]
        monkeypatch.setattr(risk.risk, "Risks", lambda *_: [])
        monkeypatch.setattr(one, "_restore_risks", for_ever)
        await one.open([0, 1])
        return one.entities

    with caplog.at_level(logging.WARNING):
        assert run(story) == 0
    assert "not all of the past was read within 0 s" in caplog.text
