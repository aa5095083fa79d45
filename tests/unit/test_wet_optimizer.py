"""The optimizer without a cluster: what it sees, says, proposes and leaves alone."""

import asyncio
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from sidechain.agents.watching_metrics import OptimizerMetrics, Processor, processor_times
from sidechain.agents.wet.optimizer import AUTHOR, Lookout, OptimizerWorker, table
from sidechain.models.proposal import BadProposal, Draft, Operation, PolicyText, read, sealed
from sidechain.models.wet.bottleneck import EVERY_S, LOOKS
from sidechain.models.wet.readings import Scrape
from sidechain.models.wet.remedies import COOL_MS, Given
from tests.shown import samples
from tests.silence import run

T0 = 1_700_000_000_000
LOOK_MS = EVERY_S * 1_000


def scrapes(turn, lag_per_look=4_000):
    """A wet worker that does 600 a second of 1,000 that come, and a dry one that is well."""
    at_ms = T0 + turn * LOOK_MS
    wet = samples(
        scores_total={"state=scored": 6_000 * turn},
        wet_lag_records=lag_per_look * turn,
        score_seconds_bucket={"le=0.5": 0, "le=2.5": 10 * turn, "le=+Inf": 10 * turn},
        processor_seconds_total=1.0 * turn,
        processor_wait_seconds_total=0.2 * turn,
    )
    dry = samples(entries_total={"kind=decision": 10_000 * turn}, lag_records=0)
    return {"wet:1": Scrape("wet:1", at_ms, wet), "dry:1": Scrape("dry:1", at_ms, dry)}


class Scene:
    """An optimizer on a clock of ours."""

    def __init__(self, proposals=None, **more):
        self.turn = 0
        self.written = []
        self.metrics = OptimizerMetrics(CollectorRegistry())
        self._more = more
        given = Given(batch_size=4_000, sample_bp=10_000)
        self.worker = OptimizerWorker("doors", given, self.scrape, self.propose, self.metrics, proposals)

    async def scrape(self):
        return scrapes(self.turn, **self._more)

    async def propose(self, value):
        self.written.append(read(value))

    async def looks(self, count):
        for _ in range(count):
            self.turn += 1
            await self.worker.look(T0 + self.turn * LOOK_MS)

    def value(self, metric):
        return metric._value.get()


def test_a_slow_scorer_is_named_and_a_smaller_sample_proposed():
    """Once, and not again while it lasts; the record is one that people and programs read."""
    scene = Scene()
    run(lambda: scene.looks(LOOKS + 60))
    [one] = scene.written
    assert one.author == AUTHOR
    assert one.kind == "operation"
    assert one.target == "tap.tap_sampling=5400"
    assert one.change.replaces == "10000"
    assert one.evidence[0].figures["cause"] == "slow"
    assert one.evidence[0].figures["lag_s_in_a_minute"] > one.evidence[0].figures["lag_s"]
    assert one.created == T0 + (LOOKS + 1) * LOOK_MS  # of the first look alone there is no rate
    assert one.why.startswith("wet holds up the pipeline (slow): ")
    assert scene.value(scene.metrics.bottleneck["wet", "slow"]) == 1
    assert sum(scene.value(gauge) for gauge in scene.metrics.bottleneck.values()) == 1
    assert scene.value(scene.metrics.proposals["written"]) == 1
    assert scene.value(scene.metrics.proposals["held_back"]) > 10
    assert scene.value(scene.metrics.ahead["wet"]) > scene.value(scene.metrics.lag["wet"]) > 0


def test_where_all_is_well_nothing_is_proposed():
    scene = Scene(lag_per_look=0)
    run(lambda: scene.looks(180))
    assert scene.written == []
    assert sum(scene.value(gauge) for gauge in scene.metrics.bottleneck.values()) == 0
    assert [one.name for one in scene.worker.lookout.latest.stages] == ["dry", "wet"]


class _Before:
    """`human.proposals` as another optimizer left it."""

    def __init__(self, *values):
        self._values = values

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def partitions(self):
        return [0]

    async def to_end(self, _partitions):
        yield [SimpleNamespace(value=value) for value in self._values]


def operation(setting="tap.tap_sampling", value="5400", replaces="10000", author=AUTHOR, created=T0):
    change = Operation(setting=setting, value=value, replaces=replaces, words=())
    draft = Draft(pack="doors", change=change, author=author, why="It is late.", created=created, expires=created + 1)
    return sealed(draft)


@pytest.mark.parametrize(("author", "written"), [(AUTHOR, 0), ("anna", 1)])
def test_what_was_proposed_before_a_restart_is_not_proposed_again(author, written):
    """Its own words alone: what people propose is their business."""
    scene = Scene(_Before(b"no proposal", operation(author=author)))

    async def story():
        await scene.worker._recall(scene.worker._proposals)
        await scene.looks(LOOKS + 2 + COOL_MS // LOOK_MS)

    run(story)
    assert len(scene.written) == written


@pytest.mark.parametrize(
    ("setting", "value", "replaces"), [("wet.workers", "2", "2"), ("workers", "2", "1"), ("wet.workers=9", "2", "1")]
)
def test_what_changes_nothing_is_no_proposal(setting, value, replaces):
    with pytest.raises(BadProposal, match="is no change of how a stage is run"):
        operation(setting, value, replaces)


def test_a_policys_proposal_is_read_as_before():
    assert PolicyText.__struct_config__.tag == "policy"
    assert read(operation()).kind == "operation"


def test_a_worker_that_is_silent_for_a_look_keeps_its_figures():
    """Its next answer is measured from its last one."""
    looked = Lookout()
    for turn in (1, 2):
        looked.look(T0 + turn * LOOK_MS, scrapes(turn))
    gone = {name: one._replace(samples=None) for name, one in scrapes(3).items()}
    looked.look(T0 + 3 * LOOK_MS, gone)
    assert looked.latest.stages == ()
    looked.look(T0 + 4 * LOOK_MS, scrapes(4))
    assert [one.rate for one in looked.latest.stages] == [1_000.0, 600.0]
    assert len(table(looked)) == 3


def test_the_worker_looks_until_it_is_told_to_stop():
    scene, stop = Scene(), asyncio.Event()

    async def scrape():
        stop.set()
        return scrapes(1)

    scene.worker._scrape = scrape
    run(lambda: scene.worker.run(stop))
    assert scene.value(scene.metrics.looks["answered"]) == 2


def test_a_worker_says_what_it_had_of_the_processor():
    """And on a system that does not tell how long it waited, no zero is made up."""
    used, waited = processor_times()
    assert used > 0
    assert waited is None or waited >= 0
    for times, names in (((1.5, 0.25), {"", "_wait"}), ((1.5, None), {""})):
        registered = CollectorRegistry()
        Processor(registered, lambda times=times: times)
        text = generate_latest(registered).decode()
        shown = {one for one in ("", "_wait") if f"\nsidechain_processor{one}_seconds_total" in text}
        assert shown == names
