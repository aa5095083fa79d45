"""The dry worker: as many lanes as the group gives it shards, and nothing that could make one of them wait.

It reads events, outcomes, transfers, metadata and control, and writes decisions, state, transfers and dead letters.
Killing it loses nothing: the next owner of a shard asks the log.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from aiokafka.errors import KafkaError

from sidechain.agents.arrivals import Arrivals, tell
from sidechain.agents.checkpoints import Keys, check_scope
from sidechain.agents.dry.decider import decider
from sidechain.agents.lane.assignor import partitions_of
from sidechain.agents.lane.lane import Lane
from sidechain.agents.lane.layout import Layout, check_layout, count_alike, partition_counts, read_layouts
from sidechain.agents.lane.lists import ListLoader
from sidechain.agents.lane.log_ends import FETCH_BYTES, Ends, reader
from sidechain.agents.lane.membership import Membership
from sidechain.agents.lane.policies import Policies
from sidechain.agents.lane.problems import Revoked
from sidechain.agents.lane.signals import Learned, SignalsTable
from sidechain.agents.lane.takeover import Grounds
from sidechain.agents.metrics import DryMetrics
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.settings import Config
from sidechain.agents.worker import GRACE_S, cut_off
from sidechain.models.policy import Policy

log = logging.getLogger(__name__)

START_S: Final = 30.0
MEASURE_S: Final = 1.0
TELL_S: Final = 5.0  # between two commits of offsets, which are for lag dashboards only
REQUIRED: Final = ("events", "dry.decisions", "dry.state", "dry.deadletters")
OPTIONAL: Final = ("outcomes", "wet.metadata", "dry.checkpoints", "dry.transfers")


class DryWorker:
    """Wires lanes and the decider into a Faust app: one channel and one agent per shard."""

    def __init__(
        self,
        app: Any,
        policy: Policy,
        config: Config,
        options: Mapping[str, Any],
        metadata_name: Callable[[str], str],
        load: Callable[[bytes], Policy],
        metrics: DryMetrics,
        keys: Keys | None = None,
        subjects: Mapping[str, Callable[[str], str]] | None = None,
    ) -> None:
        """`policy`: the one chains begin under. `metadata_name`: an event's key -> the key its metadata stands under.
        `load`: a policy's text -> the policy. `keys`: None where no checkpoints are signed. `subjects`: of each learned
        signal, what it is of -> the name it stands under."""
        self._app = app
        self._config = config
        self._metrics = metrics
        self._options = options
        self._ends = Ends(options)
        self._membership = Membership(options, config, self._assigned, self._revoked)
        self._policies = Policies(policy, load, options, config.topic("control"))
        self._lists = ListLoader(options, config.topic("control"))
        self._metadata_name = metadata_name
        self._lanes: dict[int, Lane] = {}
        self._ours: set[int] = set()
        self._is_stopping = False
        self._has_metadata = self._has_checkpoints = self._has_outcomes = self._has_transfers = False
        self._keys = keys
        self._metadata_read = 0
        self._arrivals = Arrivals()
        self._signals = SignalsTable(subjects or {})
        self._learned: Learned | None = None
        self._learned_told = (0, 0, 0)
        self._metadata_forgotten = 0
        self._fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def prepare(self) -> None:
        """Look at the cluster and declare the agents; before the Faust app starts. Raises EnvironmentProblem."""
        await _reached(self._ends.start(), self._config.bootstrap)
        layout = await self._layout()
        if self._learned is not None:
            await self._learned.start(self._config.metadata_timeout_s)
        grounds = Grounds(
            self._options,
            self._config,
            self._ends,
            self._policies,
            layout,
            self._metadata_name,
            self._has_metadata,
            self._membership.confirm,
            self._has_checkpoints,
            self._keys,
            self._lists,
            has_outcomes=self._has_outcomes,
            has_transfers=self._has_transfers,
            latest_of=self._signals.latest_of,
        )
        for shard in range(-(-layout.partitions // layout.shard_size)):
            channel = self._app.channel(maxsize=1)
            held = partitions_of(shard, layout.shard_size, layout.partitions)
            lane = self._lanes[shard] = Lane(grounds, shard, held, channel, self._metrics, self._ended)
            self._app.agent(channel, name=f"decider-{shard}", on_error=lane.failed)(decider)

    async def close(self) -> None:
        """Disconnect; also after a `prepare` that failed."""
        await self._membership.stop()
        await self._lists.stop()
        if self._learned is not None:
            await self._learned.stop()
        await self._ends.stop()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; the Faust app is running by then. Finishes what is under way and leaves the group."""
        duties: tuple[Coroutine[Any, Any, Any], ...] = (stop.wait(), self._member(), self._measure())
        tasks = [asyncio.create_task(one) for one in duties]
        try:
            await asyncio.wait([*tasks, self._fatal], return_when=asyncio.FIRST_COMPLETED)
            for task in (*tasks, self._fatal):
                if task.done():
                    task.result()
        finally:
            # After a signal the process sees to this itself; after a fault of ours nobody else would.
            overdue = asyncio.get_running_loop().call_later(self._config.shutdown_timeout_s + GRACE_S, cut_off)
            try:
                await self._stop(tasks)
            finally:
                overdue.cancel()

    async def _layout(self) -> Layout:
        topic, config = self._config.topic, self._config
        counts = await partition_counts(self._options)
        if topic("control") not in counts:
            raise EnvironmentProblem(f"topic {topic('control')} does not exist; `sidechain topics apply` creates it")
        partitions = count_alike(counts, *({one: topic(one) for one in names} for names in (REQUIRED, OPTIONAL)))
        self._has_metadata = topic("wet.metadata") in counts
        self._has_checkpoints = topic("dry.checkpoints") in counts
        self._has_outcomes = topic("outcomes") in counts
        self._has_transfers = topic("dry.transfers") in counts
        if topic("wet.signals") in counts:
            table, signals = self._signals, topic("wet.signals")
            self._learned = Learned(table, self._options, signals, self._ends, self._ended)
        self._check_keys(partitions)
        asked = [topic(one) for one in (*REQUIRED, "control", *OPTIONAL)]
        await self._ends.meet({one: counts[one] for one in asked if one in counts})
        layout = Layout(partitions=partitions, shard_size=config.shard_size)
        first_reader = reader(self._options, max_partition_fetch_bytes=FETCH_BYTES, fetch_max_wait_ms=50)
        await first_reader.start()
        try:
            async with asyncio.timeout(config.takeover_timeout_s):
                sealed = await read_layouts(first_reader, self._ends, topic("dry.state"), partitions)
        finally:
            await first_reader.stop()
        check_layout(sealed.items(), layout)
        return layout

    def _check_keys(self, partitions: int) -> None:
        if self._keys is None:
            log.warning("no checkpoint key: nothing is signed, and a history rewritten whole would not be found out")
            return
        check_scope(self._keys, self._config, range(partitions))
        if not self._has_checkpoints:
            raise EnvironmentProblem(
                f"topic {self._config.topic('dry.checkpoints')} does not exist; `sidechain topics apply` creates it"
            )

    async def _member(self) -> None:
        await self._membership.start()
        await self._membership.watch()

    async def _assigned(self, shards: Sequence[int]) -> None:
        if self._is_stopping:
            return
        lost, self._ours = self._ours - set(shards), set(shards)
        log.info("shards of this worker: %s", " ".join(map(str, shards)) or "none")
        await asyncio.gather(*(self._lanes[one].close() for one in lost))
        for one in shards:
            self._lanes[one].resume()

    async def _revoked(self) -> None:
        bound_s = self._config.shutdown_timeout_s / 2
        await asyncio.gather(*(self._lanes[one].suspend(bound_s) for one in self._ours))

    async def _stop(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        self._is_stopping = True
        await self._revoked()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self._membership.stop()
        await asyncio.gather(*(self._lanes[one].close() for one in self._ours))

    def _ended(self, fault: BaseException) -> None:
        if not self._fatal.done():
            self._fatal.set_exception(fault)

    async def _measure(self) -> None:
        """What costs a look at every lane is looked at once a second. Figures may fail; decisions go on without."""
        loop = asyncio.get_running_loop()
        told = loop.time()
        while True:
            await asyncio.sleep(MEASURE_S)
            try:
                await self._look()
                if loop.time() - told > TELL_S:
                    told = loop.time()
                    held = [one.held for one in self._lanes.values() if one.held is not None]
                    await self._tell_offsets({p: fold.next["events"] for one in held for p, fold in one.folds.items()})
            except Exception:
                log.exception("figures were not taken; decisions go on")

    async def _look(self) -> None:
        held = [one.held for one in self._lanes.values() if one.held is not None]
        self._metrics.keys.set(sum(fold.keys for one in held for fold in one.folds.values()))
        accounts = [fold.budgets for one in held for fold in one.folds.values() if fold.budgets is not None]
        self._metrics.open_reservations.set(sum(one.open for one in accounts))
        governors = [fold.governor for one in held for fold in one.folds.values() if fold.governor is not None]
        self._metrics.downgraded.set(sum(one.tripwire.is_downgraded for one in governors))
        self._metrics.held_bp.set(min((one.held_bp for one in governors), default=0))
        lags = [await one.lag() for one in self._lanes.values()]
        self._metrics.lag.set(sum(one.records for one in lags))
        places = {partition: place for one in lags for partition, place in one.events.items()}
        tell(self._metrics, self._arrivals.fullest(asyncio.get_running_loop().time(), places))
        self._metrics.partitions.set(sum(len(one.folds) for one in held))
        read = sum(table.read for one in held for table in one.side.tables.values())
        self._metrics.metadata.inc(max(0, read - self._metadata_read))
        self._metadata_read = read
        forgotten = sum(table.forgotten for one in held for table in one.side.tables.values())
        self._metrics.forgotten["metadata"].inc(max(0, forgotten - self._metadata_forgotten))
        self._metadata_forgotten = forgotten
        (read, unreadable, forgotten), table = self._learned_told, self._signals
        self._learned_told = table.read, table.unreadable, table.forgotten
        self._metrics.forgotten["signals"].inc(table.forgotten - forgotten)
        self._metrics.learned.inc(table.read - read)
        self._metrics.learned_unreadable.inc(table.unreadable - unreadable)
        self._metrics.subjects.set(len(table))

    async def _tell_offsets(self, offsets: Mapping[int, int]) -> None:
        try:
            if offsets:
                await self._membership.confirm(offsets)
        except Revoked:
            log.debug("offsets not told: the group is rebalancing")
        except TimeoutError:
            log.warning("offsets not told: the group does not answer")


async def _reached(starting: Any, bootstrap: str) -> None:
    try:
        async with asyncio.timeout(START_S):
            await starting
    except (KafkaError, TimeoutError, OSError) as fault:
        raise EnvironmentProblem(f"no Kafka answers at {bootstrap} ({fault}); is it up?") from fault
