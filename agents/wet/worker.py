"""The wet worker: the anomaly agent and the risk agent, side by side, in a process of their own.

It reads wet.taps, wet.cases and wet.scores and writes wet.scores, wet.metadata and wet.compensations; events, decisions
and state it neither reads nor writes. Killing it costs advice, never a decision.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final

from aiokafka import ConsumerRecord

from sidechain.agents.arrivals import tell
from sidechain.agents.metrics import WetMetrics
from sidechain.agents.model_files import ModelFiles
from sidechain.agents.wet.anomaly import CHAMPION, Scorer
from sidechain.agents.wet.bounded import Watch, within
from sidechain.agents.wet.feed import GATHER_MS, Feed, Out, Publisher
from sidechain.agents.wet.fitter import Fitter
from sidechain.agents.wet.overflow import QueueGuard
from sidechain.agents.wet.pace import Pace
from sidechain.agents.wet.panel_metrics import PanelMetrics, PanelSeries
from sidechain.agents.wet.past import Past
from sidechain.agents.wet.promotions import Promotions
from sidechain.agents.wet.risk import Names, RiskAgent, Tally
from sidechain.models.policy import Policy
from sidechain.models.wet.experts.champion import ChampionSlot
from sidechain.models.wet.inputs import columns
from sidechain.models.wet.remedies import EDGES_BP
from sidechain.models.wet.risk import MAX_ENTITIES
from sidechain.topics.codec import encode

log = logging.getLogger(__name__)

MAX_LAG: Final = 100_000
A_ROUND: Final = 4_000  # taps: what a round costs besides is spread over them


class WetWorker:
    """Wires the two agents into a Faust app. Channels carry rounds of batches; all logic is in the agents' files."""

    def __init__(
        self,
        app: Any,
        policy: Policy,
        options: Mapping[str, Any],
        name: Callable[[str], str],
        group: str,
        metrics: WetMetrics,
        files: ModelFiles | None = None,
        *,
        max_lag: int = MAX_LAG,
        gather_ms: int = GATHER_MS,
        share: float = 1.0,
    ) -> None:
        """`options`: aiokafka's connection settings. `name`: topic of a logical name. `group`: prefix of the groups.

        `files`: where promoted models lie; None: nobody can be champion. `max_lag`: taps of a partition that may wait
        before the older half of them is dropped. `gather_ms`, `share`: see `Feed`, `Pace`.
        """
        self._metrics = metrics
        self._unreadable = 0  # as told to the metrics
        self._name = name
        self._publisher = Publisher(options)
        self._watch = Watch()
        self._fitter = Fitter(metrics.fits)
        self.champion = ChampionSlot()
        self._promotions: Promotions | None = None
        if files is not None and CHAMPION in policy.wet.experts:
            take, topic = (lambda one, _: self.champion.take(one)), name("wet.models")
            self._promotions = Promotions(take, files, options, topic, columns(policy))
        self.scorer = Scorer(
            policy.wet,
            self._fitter,
            max_step_ms=policy.event.max_step_ms,
            given={CHAMPION: self.champion},
            bounded=within,
            signals=[one.name for one in policy.signals if one.learn is not None],
        )
        self._explained = self.scorer.record.explained_s, self.scorer.record.scores_from.copy()  # as told
        names = self.scorer.ensemble.names
        if metrics.panel is None or metrics.panel.names != names:
            metrics.panel = PanelSeries(metrics.registered, names)
        self._panel_metrics = PanelMetrics(metrics.panel, self.scorer)
        self._past = Past({name("wet.taps"): self._prime, name("wet.cases"): self._settle}, options)
        self.risk = RiskAgent(policy, Names(name("wet.metadata"), name("wet.compensations")), options)
        pace = Pace(share)
        metrics.share.set(share)
        self._taps = Feed(
            app,
            self._publisher,
            options,
            max_records=A_ROUND,
            gather_ms=gather_ms,
            pace=pace,
            topic=name("wet.taps"),
            beside=[name("wet.cases")],
            max_lag=max_lag,
            guard=QueueGuard(metrics, "taps", max_lag),
            group=f"{group}wet.anomaly",
            opened=self._past.open,
        )
        self._scores = Feed(
            app,
            self._publisher,
            options,
            gather_ms=gather_ms,
            pace=pace,
            topic=name("wet.scores"),
            # Watched and never cut short: what was thought is told.
            guard=QueueGuard(metrics, "scores", max_lag, table=lambda: (self.risk.fullest, MAX_ENTITIES)),
            group=f"{group}wet.risk",
            opened=self.risk.open,
        )
        app.agent(self._taps.rounds, name="anomaly", on_error=self._taps.fail)(self._anomaly)
        app.agent(self._scores.rounds, name="risk", on_error=self._scores.fail)(self._risk)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; the Faust app is running by then. Raises what an agent raised."""
        await self._publisher.start()
        try:
            if self._promotions is not None:
                await self._promotions.open()
            with self._watch:
                await self._work(stop)
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from faults
        finally:
            await self._publisher.stop()

    async def _work(self, stop: asyncio.Event) -> None:
        async with self._fitter, asyncio.TaskGroup() as group:
            if self._promotions is not None:
                group.create_task(self._promotions.run(stop))
            group.create_task(self._taps.run(stop, self._measure))
            group.create_task(self._scores.run(stop, self._measure))

    async def _anomaly(self, rounds: Any) -> None:
        """Wet. Scores what was tapped: a round at once, because asking an expert costs the same for few rows."""
        loop, topic, cases = asyncio.get_running_loop(), self._name("wet.scores"), self._name("wet.cases")
        async for batches in rounds:
            for batch in batches:
                if batch.topic == cases:
                    self._settle(batch.records)
                    await batch.commit(())
            tapped = [batch for batch in batches if batch.topic != cases]
            if not tapped:
                continue
            await self.scorer.ready()
            began = loop.time()
            taps = [self.scorer.read(batch.records) for batch in tapped]
            scores = iter(self.scorer.score(list(chain.from_iterable(taps))))
            told = [list(islice(scores, len(one))) for one in taps]
            await asyncio.gather(
                *(
                    batch.commit(Out(topic, one.key.encode(), encode(one)) for one in some)
                    for batch, some in zip(tapped, told, strict=True)
                )
            )
            self._metrics.score_seconds.observe(loop.time() - began)
            for state, count in Counter(one.state for some in told for one in some).items():
                self._metrics.scores[state].inc(count)

    def _prime(self, records: Sequence[ConsumerRecord]) -> None:
        self.scorer.prime(self.scorer.read(records))

    def _settle(self, records: Sequence[ConsumerRecord]) -> None:
        self.scorer.settle(self.scorer.read_cases(records))

    async def _risk(self, rounds: Any) -> None:
        """Wet. Turns scores into advice for the next decision."""
        async for batches in rounds:
            folded = [(batch, *self.risk.fold(batch.partition, batch.records)) for batch in batches]
            await asyncio.gather(*(batch.commit(out) for batch, out, _ in folded))
            for _, _, tally in folded:
                self._count(tally)

    def _count(self, tally: Tally) -> None:
        for level in tally.levels:
            self._metrics.metadata[level].inc()
        for result in tally.compensations:
            self._metrics.compensations[result].inc()
        self._metrics.forgotten.inc(tally.forgotten)
        self._metrics.breaker_trips.inc(tally.breaker_trips)

    def _measure(self, _: Feed) -> None:
        unreadable = self.scorer.unreadable + self.risk.unreadable
        self._metrics.unreadable.inc(unreadable - self._unreadable)
        self._unreadable = unreadable
        self._tell_explained()
        self._watch.alive()
        self._panel_metrics.tell()
        self._metrics.lag.set(self._taps.lag + self._scores.lag)
        tell(self._metrics, max(self._taps.fullest, self._scores.fullest))
        self._metrics.partitions.set(self._taps.partitions)
        self._metrics.entities.set(self.risk.entities)
        self._metrics.model_version.set(self.scorer.model.version if self.scorer.model else 0)

    def _tell_explained(self) -> None:
        """What full vectors cost, and how many scores there are from which threshold on."""
        record = self.scorer.record
        seconds, counts = self._explained
        self._explained = record.explained_s, record.scores_from.copy()
        self._metrics.explain_seconds.inc(record.explained_s - seconds)
        for edge, count in zip(EDGES_BP, (record.scores_from - counts).tolist(), strict=True):
            self._metrics.scores_from[str(edge)].inc(count)
