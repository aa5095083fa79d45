"""The sentinel: alerts in, incidents out, on `alerts` and to a webhook. It acts on nothing.

Alerts come from three places: `alerts` itself, where other workers write; what workers serve for Prometheus
(`metrics_targets`), held against a few rules; and a Prometheus that is asked what fires there (`prometheus_url`). What
comes from the last two is written to `alerts` first, when it begins and ends and now and then between, and heard from
there like any other. So the topic is all there is to know: whoever starts anew reads its tail, and comes to the same
incidents.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from sidechain.agents.watching_metrics import SentinelMetrics
from sidechain.agents.wet.feed import START_S, UNREADABLE, Out, Publisher
from sidechain.agents.wet.http import Address, NoAnswer, ask
from sidechain.agents.wet.pauses import waited
from sidechain.agents.wet.webhook import Webhook
from sidechain.models.wet.alertmanager import of_prometheus
from sidechain.models.wet.incidents import Correlator, Heard, Incident
from sidechain.models.wet.readings import Scrape
from sidechain.models.wet.reasoning import of_figures
from sidechain.models.wet.watch import Watch
from sidechain.topics.alerts import Alert, IncidentRecord
from sidechain.topics.codec import encode

log = logging.getLogger(__name__)

EVERY_S: Final = 10.0  # between two looks at workers and at Prometheus
AGAIN_MS: Final = 300_000  # what still fires is written again so often
POLL_MS: Final = 500
A_ROUND: Final = 1_000  # records heard at once
BACK: Final = 5_000  # records of before that are heard again at the start
PAST_S: Final = 20.0  # for them; then on with what was heard
Scrapes = Mapping[str, Scrape]


class Sources:
    """What workers and Prometheus show, as alerts to write: news, endings, and what still holds now and then."""

    def __init__(
        self,
        scrape: Callable[[], Awaitable[Scrapes]] | None,
        prometheus: Address | None,
        silent: Any,
        *,
        asks: Callable[..., Any] = ask,
    ) -> None:
        """`silent`: a gauge, 1 while Prometheus does not answer."""
        self._scrape = scrape
        self._prometheus = prometheus
        self._silent = silent
        self._asks = asks
        self._watch = Watch()
        self._firing: dict[Any, Heard] = {}  # of Prometheus, as of the last answer
        self._written: dict[Any, int] = {}  # what fires, and when it was written last

    async def look(self, at_ms: int) -> list[Heard]:
        """What is to be written now."""
        found = [] if self._scrape is None else self._watch.look(at_ms, await self._scrape())
        found += await self._of_prometheus(at_ms)
        return [one for one in found if self._is_news(one)]

    async def _of_prometheus(self, at_ms: int) -> list[Heard]:
        if self._prometheus is None:
            return []
        try:
            _, body = await self._asks(self._prometheus)  # a refusal has no alerts in it, and is found so
            now = {one.name: one for one in of_prometheus(body, at_ms)}
        except (NoAnswer, msgspec.DecodeError, UnicodeDecodeError) as fault:
            log.warning("no alerts from Prometheus: %s", fault)
            self._silent.set(1)
            return []
        self._silent.set(0)
        ended = [_ended(one, at_ms) for name, one in self._firing.items() if name not in now]
        self._firing = now
        return [*now.values(), *ended]

    def _is_news(self, one: Heard) -> bool:
        if not one.is_firing:
            return self._written.pop(one.name, None) is not None
        last_ms = self._written.get(one.name)
        if last_ms is not None and one.at_ms - last_ms < AGAIN_MS:
            return False
        self._written[one.name] = one.at_ms
        return True


def _ended(one: Heard, at_ms: int) -> Heard:
    return Heard(
        rule=one.rule, at_ms=at_ms, severity=one.severity, is_firing=False, summary=one.summary, labels=one.labels
    )


class SentinelWorker:
    """One process an installation."""

    def __init__(
        self,
        sources: Sources,
        webhook: Webhook | None,
        options: Mapping[str, Any],
        name: Callable[[str], str],
        group: str,
        metrics: SentinelMetrics,
    ) -> None:
        """`options`: aiokafka's connection settings. `name`: topic of a logical name. `group`: prefix of the group."""
        self._sources = sources
        self._webhook = webhook
        self._options = options
        self._topic = name("alerts")
        self._group = f"{group}sentinel"
        self._metrics = metrics
        self._correlator = Correlator()
        self._publisher = Publisher(options)
        self._kind = msgspec.json.Decoder(_Kind).decode
        self._alert = msgspec.json.Decoder(Alert).decode

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises what Kafka answers."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._publisher.stop)
            await self._publisher.start()
            consumer = self._consumer()
            stack.push_async_callback(consumer.stop)
            await asyncio.wait_for(consumer.start(), START_S)
            await self._restore(consumer)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._look(stop))
                    group.create_task(self._listen(consumer, stop))
                    if self._webhook is not None:
                        group.create_task(self._webhook.run(stop))
            except ExceptionGroup as faults:
                raise faults.exceptions[0] from faults

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._options,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=A_ROUND,
        )

    async def _restore(self, consumer: AIOKafkaConsumer) -> None:
        """Hear the tail again. What was told of it stands there too; what was not, is told now."""
        tp = TopicPartition(self._topic, 0)
        consumer.assign([tp])
        reached = await consumer.committed(tp)
        end = (await consumer.end_offsets([tp]))[tp]
        begin = (await consumer.beginning_offsets([tp]))[tp]
        until = min(end, end if reached is None else reached)
        consumer.seek(tp, max(begin, until - BACK))
        try:
            async with asyncio.timeout(PAST_S):
                while await consumer.position(tp) < until:
                    for found in (await consumer.getmany(tp, timeout_ms=POLL_MS)).get(tp, []):
                        if found.offset < until:
                            self._correlator.forget_over(found.timestamp)
                            self._hear(found, counts=False)
        except TimeoutError:
            log.warning("not all of the tail of %s was read within %.0f s, going on", self._topic, PAST_S)
        consumer.seek(tp, until)
        if reached is None:
            await consumer.commit({tp: until})
        log.info("%d incidents are open", self._correlator.open)

    async def _look(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not stop.is_set():
            news = await self._sources.look(time.time_ns() // 1_000_000)
            await self._publisher.publish(0, [Out(self._topic, one.rule.encode(), encode(record(one))) for one in news])
            due = max(due + EVERY_S, loop.time())
            await waited(stop, due - loop.time())

    async def _listen(self, consumer: AIOKafkaConsumer, stop: asyncio.Event) -> None:
        while not stop.is_set():
            got = await consumer.getmany(timeout_ms=POLL_MS, max_records=A_ROUND)
            for records in got.values():
                for one in records:
                    self._hear(one, counts=True)
            await self._tell(self._correlator.tick(time.time_ns() // 1_000_000))
            if got:
                await consumer.commit({tp: records[-1].offset + 1 for tp, records in got.items()})
            self._metrics.open.set(self._correlator.open)
            self._metrics.waiting.set(self._webhook.waiting if self._webhook else 0)

    def _hear(self, found: ConsumerRecord, *, counts: bool) -> None:
        """One record of `alerts`; incidents among them are our own words, and other kinds are not for us."""
        try:
            kind = self._kind(found.value or b"")
            if kind.kind != "alert":
                self._correlator.was_told(kind.id)
                return
            alert = self._alert(found.value or b"")
        except UNREADABLE as fault:
            if counts:
                self._metrics.unreadable.inc()
                log.warning("%s@%d is no alert: %s", found.topic, found.offset, fault)
            return
        became = self._correlator.hear(heard(alert, found.timestamp))
        if counts:
            self._metrics.alerts[became].inc()

    async def _tell(self, told: Sequence[Incident]) -> None:
        await self._publisher.publish(0, [Out(self._topic, one.id.encode(), encode(incident(one))) for one in told])
        for one in told:
            log.info("incident %s (%s): %s", one.id, "open" if one.is_open else "over", one.summary)
            if self._webhook is not None:
                self._webhook.offer(one)
        self._metrics.told.inc(len(told))


class _Kind(msgspec.Struct):
    kind: str
    id: str = ""  # of an incident


def heard(alert: Alert, at_ms: int) -> Heard:
    """An alert as it stands on the topic. `at_ms`: the broker's stamp, because everybody's clock is another."""
    return Heard(
        rule=alert.rule,
        at_ms=at_ms,
        severity=alert.severity,
        is_firing=alert.state == "firing",
        summary=alert.summary,
        labels=alert.labels,
        evidence=alert.evidence,
    )


def record(one: Heard) -> Alert:
    """The same the other way, with what its rule went by."""
    why = of_figures(one.rule, one.evidence, is_firing=one.is_firing)
    return Alert(
        rule=one.rule,
        at=one.at_ms,
        severity=one.severity,
        state="firing" if one.is_firing else "resolved",
        summary=one.summary,
        labels=dict(one.labels),
        evidence=dict(one.evidence),
        score=why.score,
        base=why.base,
        reasons=why.reasons,
        rationale=why.rationale,
    )


def incident(one: Incident) -> IncidentRecord:
    """An incident as it stands on the topic."""
    return IncidentRecord(
        id=one.id,
        at=one.at_ms,
        began=one.began_ms,
        severity=one.severity,
        state="open" if one.is_open else "over",
        cause=one.cause,
        stage=one.stage,
        summary=one.summary,
        rules=one.rules,
        alerts=one.alerts,
        suppressed=one.suppressed,
        labels=dict(one.labels),
        because=one.because,
        triage=one.triage,
        links=one.links,
    )
