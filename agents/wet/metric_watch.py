"""Values of metrics in, alerts out: users' own, and what workers show of themselves, scored as they come.

All of them stand on one topic, `metrics`. Where workers are named (`metrics_targets`) they are looked at each ten
seconds, and a minute of each figure is written there like anybody's. So the topic is all there is to know: whoever
starts anew reads the last BACK values silently, comes to the same scores, and says which alarms stand.

It acts on nothing, and nobody waits for it. When more than BACK values wait, the older ones are left out and counted.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from sidechain.agents.watching_metrics import StreamMetrics
from sidechain.agents.wet.feed import START_S, Out, Publisher
from sidechain.agents.wet.pauses import waited
from sidechain.agents.wet.tail import look_back
from sidechain.models.wet.bottleneck import EVERY_S
from sidechain.models.wet.metric_watch import MetricWatch, Told
from sidechain.models.wet.own_metrics import OWN, Minutes
from sidechain.models.wet.readings import Scrape, snapshot
from sidechain.models.wet.reasoning import of_parts
from sidechain.topics.alerts import Alert
from sidechain.topics.codec import encode
from sidechain.topics.metrics import MetricValue, MetricValueError, metric_value

log = logging.getLogger(__name__)

POLL_MS: Final = 200
A_ROUND: Final = 1_000  # values of one round
BACK: Final = 100_000  # values a new process looks back on, and values that may wait
LOOK_S: Final = float(EVERY_S)
Scrapes = Mapping[str, Scrape]


class MetricWorker:
    """One process an installation: two would write each figure twice."""

    def __init__(
        self,
        watch: MetricWatch,
        scrape: Callable[[], Awaitable[Scrapes]] | None,
        options: Mapping[str, Any],
        name: Callable[[str], str],
        metrics: StreamMetrics,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`scrape`: asks every worker what it shows; None: users' metrics alone. `options`: aiokafka's connection
        settings. `name`: topic of a logical name. `now_ms`: the clock alerts are dated by."""
        self.watch = watch
        self._scrape = scrape
        self._options = options
        self._topic, self._alerts = name("metrics"), name("alerts")
        self._metrics = metrics
        self._now_ms = now_ms
        self._minutes = Minutes()
        self._before: Scrapes = {}
        self._last = (0, time.monotonic())  # a stamp of the broker's, and when it was heard
        self._counted: dict[str, int] = {}  # as told to the metrics

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises what Kafka answers."""
        async with AsyncExitStack() as stack:
            publisher = Publisher(self._options)
            stack.push_async_callback(publisher.stop)
            await publisher.start()
            consumer = AIOKafkaConsumer(
                **self._options,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",  # what is kept may be less than what we look back on
                isolation_level="read_committed",
                max_poll_records=A_ROUND,
            )
            stack.push_async_callback(consumer.stop)
            await asyncio.wait_for(consumer.start(), START_S)
            await look_back(consumer, self._options, [self._topic], self._hear, stop, back=BACK, a_round=A_ROUND)
            self._counted = self._counts()  # by whoever was there when it came
            await self._say(publisher, self.watch.standing)
            log.info("%d metrics known, %d alarms stand", len(self.watch), len(self.watch.standing))
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._listen(publisher, consumer, stop))
                    if self._scrape is not None:
                        group.create_task(self._look(publisher, self._scrape, stop))
            except ExceptionGroup as faults:
                raise faults.exceptions[0] from faults

    async def _listen(self, publisher: Publisher, consumer: AIOKafkaConsumer, stop: asyncio.Event) -> None:
        while not stop.is_set():
            got = await consumer.getmany(timeout_ms=POLL_MS, max_records=A_ROUND)
            await self._say(publisher, [*self._hear(got), *self.watch.tick(self._heard_ms())])
            self._keep_up(consumer)
            self._measure()

    async def _look(self, publisher: Publisher, scrape: Callable[[], Awaitable[Scrapes]], stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not stop.is_set():
            await self.look(publisher, await scrape(), self._now_ms())
            due = max(due + LOOK_S, loop.time())  # a look that took longer is not made up for
            await waited(stop, due - loop.time())

    async def look(self, publisher: Publisher, now: Scrapes, at_ms: int) -> None:
        """One look at the workers; every sixth is a value of each figure."""
        answered = {name: one for name, one in now.items() if one.samples is not None}
        self._metrics.looks["answered"].inc(len(answered))
        self._metrics.looks["silent"].inc(len(now) - len(answered))
        values = self._minutes.add(snapshot(at_ms, self._before, now))
        # Who did not answer is measured from its last answer on.
        self._before = {name: one for name, one in {**self._before, **answered}.items() if name in now}
        told = (MetricValue(metric=one.metric, at=one.at_ms, value=round(one.value, 6)) for one in values)
        await publisher.publish(0, [Out(self._topic, one.metric.encode(), encode(one)) for one in told])

    def _hear(self, got: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> list[Told]:
        told: list[Told] = []
        for records in got.values():
            for record in records:
                try:
                    one = metric_value(record.key, record.value)
                except MetricValueError as fault:
                    self._metrics.unreadable.inc()
                    log.warning("%s@%d is no value of a metric: %s", record.topic, record.offset, fault)
                    continue
                # As the broker stamped it: everybody's clock is another.
                told += self.watch.add(one.metric, one.at, one.value, record.timestamp)
            self._last = records[-1].timestamp, time.monotonic()
        return told

    def _heard_ms(self) -> int:
        """The broker's clock as of now, as far as its last stamp and the time since tell."""
        stamp_ms, heard_s = self._last
        return stamp_ms + int((time.monotonic() - heard_s) * 1_000)

    async def _say(self, publisher: Publisher, told: Sequence[Told]) -> None:
        for one in told:
            log.warning("%s", one.summary)
        at = self._now_ms()
        alerts = [alert(one, at) for one in told]
        await publisher.publish(0, [Out(self._alerts, one.rule.encode(), encode(one)) for one in alerts])

    def _keep_up(self, consumer: AIOKafkaConsumer) -> None:
        behind = 0
        for tp in consumer.assignment():
            end = consumer.last_stable_offset(tp)
            state = consumer._subscription.subscription.assignment.state_value(tp)  # noqa: SLF001 - no public call tells without waiting
            if end is None or end < 0 or not state.has_valid_position:
                continue
            lag = max(0, end - state.position)
            if lag > BACK:
                log.warning("%d values of metrics wait; all but the newest %d are left out", lag, BACK // 2)
                self._metrics.values["skipped"].inc(lag - BACK // 2)
                consumer.seek(tp, end - BACK // 2)
                lag = BACK // 2
            behind += lag
        self._metrics.lag.set(behind)

    def _measure(self) -> None:
        watch, metrics = self.watch, self._metrics
        counters = {**metrics.values, **metrics.anomalies, "forgotten": metrics.forgotten}
        counts = self._counts()
        for name, count in counts.items():
            counters[name].inc(count - self._counted.get(name, 0))
        self._counted = counts
        scores = watch.scores()
        for name, gauge in metrics.scores.items():
            gauge.set(scores.get(name, 0.0))
        others = [score for name, score in scores.items() if name not in OWN]
        metrics.strangest.set(max(others, default=0.0))
        metrics.known["users"].set(len(others))
        metrics.known["own"].set(len(scores) - len(others))
        metrics.standing.set(len(watch.standing))

    def _counts(self) -> dict[str, int]:
        watch = self.watch
        others = {"told": watch.begun, "held_back": watch.held_back, "forgotten": watch.forgotten}
        return {**watch.became, **others}


def alert(one: Told, at_ms: int) -> Alert:
    """The alarm as it stands on the topic."""
    own, why = OWN.get(one.metric), of_parts([(one.metric, float(one.evidence.get("score", one.is_firing)))])
    return Alert(
        rule="MetricAnomaly",
        at=at_ms,
        severity="ticket",
        state="firing" if one.is_firing else "resolved",
        summary=one.summary,
        labels={**({"stage": own.stage} if own else {}), "metric": one.metric},
        evidence=dict(one.evidence),
        score=why.score,
        base=why.base,
        reasons=why.reasons,
        rationale=why.rationale,
    )
