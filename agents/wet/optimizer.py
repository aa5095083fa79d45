"""The optimizer: every ten seconds a look at every worker, the bottleneck by name, and now and then a proposal.

It reads what workers serve for Prometheus and nothing of what they decide. It writes proposals, for people to judge;
it changes nothing, and nothing waits for it. Everything it holds is a few minutes of figures: started anew, it needs
two and a half minutes to say something again, and reads from the topic what it proposed before.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from sidechain.agents.reader import Reader
from sidechain.agents.watching_metrics import STAGES, OptimizerMetrics
from sidechain.agents.wet.pauses import waited
from sidechain.models.proposal import BadProposal, Draft, Evidence, Operation, read, sealed
from sidechain.models.wet.bottleneck import EVERY_S, LOOKS, Bottleneck, Detector, Snapshot
from sidechain.models.wet.forecast import Forecast
from sidechain.models.wet.readings import Scrape, snapshot
from sidechain.models.wet.remedies import SAME_MS, CoolDown, Given, Remedy, remedy

log = logging.getLogger(__name__)

AUTHOR: Final = "optimizer"
AHEAD: Final = 6  # looks that the forecast reaches: a minute
LASTS_MS: Final = SAME_MS  # how long a proposal may be taken up: then the pipeline is another
LOOK_S: Final = float(EVERY_S)
Scrapes = Mapping[str, Scrape]


class Lookout:
    """Snapshots of the pipeline, one after the other, and what they say together."""

    def __init__(self) -> None:
        self.latest = Snapshot(0, ())
        self.bottleneck: Bottleneck | None = None
        self._before: Scrapes = {}
        self._detector = Detector()
        self._forecasts: dict[str, Forecast] = {}

    def look(self, at_ms: int, now: Scrapes) -> Bottleneck | None:
        """One more look, ten seconds after the last. Keys: instances."""
        self.latest = snapshot(at_ms, self._before, now)
        # Who did not answer is measured from its last answer on.
        self._before = {**self._before, **{name: one for name, one in now.items() if one.samples is not None}}
        self._before = {name: one for name, one in self._before.items() if name in now}
        for stage in self.latest.stages:
            self._forecasts.setdefault(stage.name, Forecast()).see(stage.lag)
        found = self._detector.look(self.latest)
        if found is not None and (self.bottleneck is None or _name(found) != _name(self.bottleneck)):
            log.info("%s holds up the pipeline (%s): %s", found.stage, found.cause, "; ".join(found.evidence))
        elif found is None and self.bottleneck is not None:
            log.info("nothing holds up the pipeline any more")
        self.bottleneck = found
        return found

    def ahead_s(self, name: str) -> float:
        """Seconds of work before a stage in a minute, at its present pace."""
        stage = next((one for one in self.latest.stages if one.name == name), None)
        return 0.0 if stage is None else self._forecasts[name].ahead(AHEAD) / max(stage.rate, 1.0)


def _name(found: Bottleneck) -> tuple[str, str]:
    return found.stage, found.cause


def proposal(found: Bottleneck, change: Remedy, ahead_s: float, pack: str, at_ms: int) -> bytes:
    """The record for `human.proposals`."""
    evidence = Evidence(
        kind="snapshot",
        policy=change.name,
        verdict="REVIEW",
        why=found.evidence,
        figures={**found.figures, "stage": found.stage, "cause": found.cause, "lag_s_in_a_minute": round(ahead_s, 1)},
    )
    operation = Operation(setting=change.setting, value=change.after, replaces=change.before, words=(change.why,))
    return sealed(
        Draft(
            pack=pack,
            change=operation,
            author=AUTHOR,
            why=f"{found.stage} holds up the pipeline ({found.cause}): {found.evidence[0]}.",
            evidence=(evidence,),
            created=at_ms,
            expires=at_ms + LASTS_MS,
        )
    )


class OptimizerWorker:
    """Looks, and proposes."""

    def __init__(
        self,
        pack: str,
        given: Given,
        scrape: Callable[[], Awaitable[Scrapes]],
        propose: Callable[[bytes], Awaitable[object]],
        metrics: OptimizerMetrics,
        proposals: Reader | None = None,
    ) -> None:
        """`given`: what is set at the moment. `proposals`: reads `human.proposals`, for what was proposed before."""
        self.lookout = Lookout()
        self._pack = pack
        self._given = given
        self._scrape = scrape
        self._propose = propose
        self._metrics = metrics
        self._proposals = proposals
        self._cool = CoolDown()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises what Kafka answers to a proposal."""
        if self._proposals is not None:
            await self._recall(self._proposals)
        log.info("looking every %d s; a bottleneck is named after %d looks that agree", EVERY_S, LOOKS)
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not stop.is_set():
            await self.look(time.time_ns() // 1_000_000)
            due = max(due + LOOK_S, loop.time())  # a look that took longer is not made up for
            await waited(stop, due - loop.time())

    async def look(self, at_ms: int) -> None:
        """One look, and what follows from it."""
        scrapes = await self._scrape()
        silent = sum(one.samples is None for one in scrapes.values())
        self._metrics.looks["silent"].inc(silent)
        self._metrics.looks["answered"].inc(len(scrapes) - silent)
        found = self.lookout.look(at_ms, scrapes)
        self._measure(found, at_ms)
        if found is not None:
            await self._consider(found, at_ms)

    async def _consider(self, found: Bottleneck, at_ms: int) -> None:
        change = remedy(found, self._given)
        if change is None:
            self._metrics.proposals["none"].inc()
            return
        if not self._cool.allows(change.setting, change.before, at_ms):
            self._metrics.proposals["held_back"].inc()
            return
        await self._propose(proposal(found, change, self.lookout.ahead_s(found.stage), self._pack, at_ms))
        self._cool.remember(change.setting, change.before, at_ms)
        self._metrics.proposals["written"].inc()
        log.info("proposed %s instead of %s: %s", change.name, change.before, change.why)

    async def _recall(self, proposals: Reader) -> None:
        async with proposals as reader:
            async for batch in reader.to_end(await reader.partitions()):
                for record in batch:
                    try:
                        one = read(record.value)
                    except BadProposal:
                        continue
                    if one.author == AUTHOR and isinstance(one.change, Operation):
                        self._cool.remember(one.change.setting, one.change.replaces or "", one.created)

    def _measure(self, found: Bottleneck | None, at_ms: int) -> None:
        metrics = self._metrics
        for name, gauge in metrics.bottleneck.items():
            gauge.set(int(found is not None and name == _name(found)))
        shown = {one.name: one for one in self.lookout.latest.stages}
        for role in STAGES:
            stage = shown.get(role)
            metrics.rate[role].set(stage.rate if stage else 0)
            metrics.lag[role].set(stage.lag_s if stage else 0)
            metrics.ahead[role].set(self.lookout.ahead_s(role))
        metrics.last_look.set(at_ms / 1_000)


def table(looked: Lookout) -> Sequence[str]:
    """The latest snapshot for people, a line a stage."""
    lines = ["stage       workers   rate /s   p50 ms   p99 ms       lag   lag s   cpu  wait"]
    for one in looked.latest.stages:
        took = [f"{1_000 * value:.1f}" if value is not None else "-" for value in (one.p50_s, one.p99_s)]
        had = [f"{value:.2f}" if value is not None else "-" for value in (one.cpu, one.waiting)]
        lines.append(
            f"{one.name:11}{one.workers:8}{one.rate:10,.0f}{took[0]:>9}{took[1]:>9}{one.lag:10,}{one.lag_s:8.1f}"
            f"{had[0]:>6}{had[1]:>6}"
        )
    return lines
