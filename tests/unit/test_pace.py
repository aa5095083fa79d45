"""The wet side uses its share of a processor and no more, and asks the broker for much at once."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidechain.agents.config import load
from sidechain.agents.wet import feed as feed_module
from sidechain.agents.wet.feed import Feed
from sidechain.agents.wet.pace import BURST_S, REST_S, Pace


class Machine:
    """A clock of ours, and a processor that is used as a test says."""

    def __init__(self, share: float) -> None:
        self.now_s = self.used_s = 0.0
        self.pace = Pace(share, lambda: self.used_s, lambda: self.now_s)

    def round(self, work_s: float, idle_s: float = 0.0) -> float:
        """Works and waits, then rests as long as it is told to; returns that."""
        self.used_s += work_s
        self.now_s += work_s + idle_s
        rest_s = self.pace.rest_s()
        self.now_s += rest_s
        return rest_s


@given(
    share=st.sampled_from([0.05, 0.25, 0.5, 0.9]),
    rounds=st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=50),
)
def test_over_any_time_no_more_is_used_than_the_share_a_burst_and_one_round(share, rounds):
    """Whatever the rounds are like; one that is longer than a rest makes up for is made up for by the next rests."""
    machine = Machine(share)
    for work_s, idle_s in rounds:
        machine.round(work_s, idle_s)
    while machine.round(0.0) > 1e-6:
        """Rests have a length; a long debt takes several."""
    assert machine.used_s <= share * machine.now_s + BURST_S + 1e-6


def test_whoever_uses_less_never_rests():
    """A tenth of a quarter, for a long time."""
    machine = Machine(0.25)
    assert {machine.round(0.025, 0.975) for _ in range(100)} == {0.0}


def test_a_quiet_while_saves_up_no_more_than_a_burst():
    """An hour of nothing is no licence for a minute of everything."""
    machine = Machine(0.25)
    machine.round(0.0, 3_600.0)
    assert machine.round(BURST_S) == 0.0
    assert machine.round(0.1) == pytest.approx(0.1 / 0.25 - 0.1 - BURST_S, abs=0.3)


def test_one_rest_has_an_end():
    """The group must hear of its members."""
    assert Machine(0.05).round(100.0) == REST_S


def test_a_whole_processor_is_no_limit():
    """Also where threads use more than one."""
    machine = Machine(1.0)
    assert [machine.round(work_s) for work_s in (1.0, 50.0)] == [0.0, 0.0]


def test_the_feed_rests_when_it_is_told_to_and_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rest of a second does not hold up the end of a worker."""
    stop, rests = asyncio.Event(), []

    class Consumer:
        def __init__(self, **options: Any) -> None:
            self.options = options
            self._subscription = None

        async def start(self) -> None: ...
        async def stop(self) -> None: ...
        async def topics(self) -> set[str]:
            return {"t"}

        def subscribe(self, topics: list[str], listener: object) -> None: ...
        def assignment(self) -> set[Any]:
            return set()

        async def getmany(self, **_: Any) -> dict[Any, Any]:
            return {}

    class Tired:
        def rest_s(self) -> float:
            rests.append(1)
            asyncio.get_running_loop().call_soon(stop.set)
            return 600.0

    monkeypatch.setattr(feed_module, "AIOKafkaConsumer", Consumer)
    app: Any = SimpleNamespace(channel=lambda maxsize: None)
    pace: Any = Tired()

    async def story() -> None:
        await asyncio.wait_for(Feed(app, SimpleNamespace(), {}, topic="t", group="g", pace=pace).run(stop), 30)  # type: ignore[arg-type]

    asyncio.run(story())
    assert rests == [1]


@pytest.mark.parametrize(("gather_ms", "asked"), [(200, (524_288, 200)), (5, (524_288, 5)), (0, (None, None))])
def test_the_broker_holds_a_fetch_back_for_as_long_as_may_be(monkeypatch, gather_ms, asked):
    """Not at all where nothing may wait: then the client's own defaults hold, which send what there is."""
    found = {}
    monkeypatch.setattr(feed_module, "AIOKafkaConsumer", lambda **options: found.update(options))
    app: Any = SimpleNamespace(channel=lambda maxsize: None)
    Feed(app, SimpleNamespace(), {}, topic="t", group="g", gather_ms=gather_ms)  # type: ignore[arg-type]
    assert (found.get("fetch_min_bytes"), found.get("fetch_max_wait_ms")) == asked


@pytest.mark.parametrize(
    ("cores", "given", "share"), [(2, None, 0.125), (1, None, 0.0625), (64, None, 1.0), (2, "0.7", 0.7), (2, "1", 1.0)]
)
def test_the_share_follows_the_machine_unless_it_is_set(monkeypatch, cores, given, share):
    """A sixteenth of it for the tap and a sixteenth for the wet worker, and never more than one processor each."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    environ = {} if given is None else {"SIDECHAIN_WET_SHARE": given}
    assert load(environ=environ).config.share == share


def test_a_system_that_does_not_say_which_processors_are_ours_has_all_of_them(monkeypatch):
    """Any but Linux."""
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert load(environ={}).config.share == 0.25
