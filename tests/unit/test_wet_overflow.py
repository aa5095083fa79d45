"""A feed that runs over, without a cluster: its levels in the metrics, what it drops, and the checkpoint it forces."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from sidechain.agents.metrics import TapMetrics, WetMetrics
from sidechain.agents.tap import Decision, Mask
from sidechain.agents.wet import feed as feed_module
from sidechain.agents.wet.feed import Feed
from sidechain.agents.wet.overflow import QueueGuard
from sidechain.models.pack_file import load_pack
from sidechain.models.wet.overflow import HOLD_MS, PASSED_BP
from tests.silence import run

MOST = 1_000
TAPS = (TopicPartition("taps", 0), TopicPartition("taps", 1))


class Consumer:
    """Two partitions of the feed's topic and one of another, at places a test says."""

    def __init__(self, **_: Any) -> None:
        self.ends = dict.fromkeys((*TAPS, TopicPartition("cases", 0)), 0)
        self.positions = dict.fromkeys(self.ends, 0)
        self.committed: list[dict[TopicPartition, int]] = []
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=self))

    def assignment(self) -> set[TopicPartition]:
        return set(self.ends)

    def last_stable_offset(self, tp: TopicPartition) -> int:
        return self.ends[tp]

    def state_value(self, tp: TopicPartition) -> Any:
        return SimpleNamespace(has_valid_position=True, position=self.positions[tp])

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.positions[tp] = offset

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.committed.append(offsets)


class Scene:
    """A feed of taps on a clock of ours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, table: Any = None) -> None:
        monkeypatch.setattr(feed_module, "AIOKafkaConsumer", Consumer)
        self.metrics = WetMetrics(CollectorRegistry())
        self.guard = QueueGuard(self.metrics, "taps", MOST, table=table)
        app: Any = SimpleNamespace(channel=lambda maxsize: None)
        self.feed = Feed(app, SimpleNamespace(), {}, topic="taps", group="g", max_lag=MOST, guard=self.guard)  # type: ignore[arg-type]
        self.consumer: Any = self.feed._consumer
        self.at_s = 0.0

    def look(self, *waiting: int, after_s: float = 1.0) -> float:
        """So many records wait in each partition; returns the level as the metrics say it."""
        self.at_s += after_s
        for tp, count in zip(TAPS, waiting, strict=True):
            self.consumer.ends[tp] = max(self.consumer.ends[tp], self.consumer.positions[tp] + count)
            self.consumer.positions[tp] = self.consumer.ends[tp] - count

        async def story() -> None:
            loop: Any = SimpleNamespace(time=lambda: self.at_s)
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(feed_module.asyncio, "get_running_loop", lambda: loop)
                measured = self.feed._measure()
                await measured

        run(story)
        return self.value(self.metrics.overflow)

    def value(self, metric: Any) -> float:
        return float(metric["taps"]._value.get())


def test_all_four_levels_are_reached_by_injection_and_left_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth, a half and all of what may wait, in the fuller of two partitions."""
    scene = Scene(monkeypatch)
    assert [scene.look(0, one) for one in (0, 99, 100, 499, 500, 999, 1_000)] == [0, 0, 1, 1, 2, 2, 3]
    assert [scene.look(0, 0, after_s=HOLD_MS / 1_000 + 1) for _ in range(5)] == [3, 2, 1, 0, 0]


def test_what_runs_over_loses_its_older_half_and_the_place_is_committed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only in the partition that does; what was dropped is counted."""
    scene = Scene(monkeypatch)
    scene.look(40, 1_600)
    assert scene.consumer.positions == {TAPS[0]: 0, TAPS[1]: 1_100, TopicPartition("cases", 0): 0}
    assert scene.consumer.committed == [{TAPS[0]: 0, TAPS[1]: 1_100}]
    assert (scene.feed.skipped, scene.value(scene.metrics.shed), scene.value(scene.metrics.forced)) == (1_100, 1_100, 1)
    assert (scene.feed.lag, scene.feed.fullest.depth, scene.feed.partitions) == (540, 500, 2)
    scene.look(40, 500)
    assert len(scene.consumer.committed) == 1, "no more than needed"


def test_what_waits_too_long_goes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten records that nobody has taken for a quarter of an hour: half of them, and what is left is as old."""
    scene = Scene(monkeypatch)
    assert scene.look(0, 10) == 0
    assert scene.look(0, 10, after_s=60) == 1
    assert scene.look(0, 10, after_s=240) == 2
    assert scene.feed.skipped == 0
    assert scene.look(0, 10, after_s=600) == 3
    assert scene.feed.skipped == 5
    assert scene.metrics.age["taps"]._value.get() == 900


def test_a_table_that_is_nearly_full_forces_a_checkpoint_and_drops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a table has no room for it forgets by itself."""
    scene = Scene(monkeypatch, table=lambda: (96, 100))
    assert scene.look(0, 3) == 3
    assert scene.feed.skipped == 0
    assert len(scene.consumer.committed) == 1
    scene.look(0, 3)
    assert len(scene.consumer.committed) == 1


def test_another_topic_beside_it_is_never_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """How decisions turned out is rare, and worth more than the newest tap."""
    scene = Scene(monkeypatch)
    scene.consumer.ends[TopicPartition("cases", 0)] = 10 * MOST
    assert scene.look(0, 0) == 0
    assert scene.consumer.positions[TopicPartition("cases", 0)] == 0


@pytest.mark.parametrize(
    ("level", "least", "most"), [("safe", 1.0, 1.0), ("critical", 0.47, 0.53), ("imminent", 0.1, 0.15)]
)
def test_a_tap_passes_less_and_less_of_its_sample(level: Any, least: float, most: float) -> None:
    """And what passes at a stricter level would have passed at a milder one."""
    mask = Mask(load_pack("web"), b"sixteen bytes or more")
    fixed: dict[str, Any] = {"kind": "decision", "id": "i", "key": "k", "at": 1, "action": "allow", "tier": "pass"}
    fixed |= {"trust_bp": 1, "score_bp": 0, "policy": "p", "features": {}}
    entries = [Decision(**fixed, seq=seq) for seq in range(4_000)]
    passed = {one.seq for one in entries if mask.fate(0, one, PASSED_BP[level]) == "sent"}
    assert least <= len(passed) / len(entries) <= most
    assert passed <= {one.seq for one in entries if mask.fate(0, one) == "sent"}


def test_every_fate_has_its_series() -> None:
    assert set(TapMetrics(CollectorRegistry()).taps) == {"sent", "sampled_out", "shed", "dropped"}
