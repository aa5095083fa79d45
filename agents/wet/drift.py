"""Taps, scores and outcomes in, alerts out: what is not as it was. Nobody waits for it.

It holds no place in a group: every start reads the last BACK records of each partition once more, silently, to learn
what is usual, and then says which alarms stand; whoever reads them takes a repetition. A score waits for the outcome
of its decision, as many of them as WAITING; the one that waits longest is forgotten first, and counted. Where the pack
asks a champion, an alarm is also ground to ask people, once, whether it should learn anew: a proposal with the numbers.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from sidechain.agents.metrics import DriftMetrics
from sidechain.agents.reader import Reader
from sidechain.agents.wet.feed import START_S, UNREADABLE, Out, Publisher
from sidechain.agents.wet.tail import look_back
from sidechain.models.policy import Wet
from sidechain.models.proposal import BadProposal, read, sealed
from sidechain.models.wet.drift import Alarm, InputDrift, PerformanceDrift
from sidechain.models.wet.forest import matrix
from sidechain.models.wet.retraining import AUTHOR, Asking, draft_of
from sidechain.topics.alerts import Alert
from sidechain.topics.codec import encode
from sidechain.topics.wet import Case, Score, Tap

log = logging.getLogger(__name__)

POLL_MS: Final = 200
A_ROUND: Final = 5_000  # records of one round
BACK: Final = 100_000  # records of each partition that a new process looks back on
WAITING: Final = 200_000  # scores whose outcome is to come
READ: Final = ("wet.taps", "wet.scores", "wet.cases")


class Watch:
    """What is looked at, and the alarms that stand. No Kafka."""

    def __init__(self, wet: Wet, inputs: InputDrift | None = None, *, waiting: int = WAITING) -> None:
        """`inputs`: where the usual sizes of reference and window do not fit."""
        self.inputs = inputs or InputDrift(wet.vector)
        self.performance = PerformanceDrift()
        self.standing: dict[tuple[str, str], Alarm] = {}
        self.forgotten = 0  # scores whose outcome did not come in time
        self.judged = 0  # scores whose outcome came
        self._waiting: OrderedDict[tuple[int, int], float] = OrderedDict()
        self._limit = waiting

    def tapped(self, taps: Sequence[Tap]) -> list[Alarm]:
        """Decisions that passed."""
        rows = matrix(self.inputs.names, [one.features for one in taps])
        return self._told(self.inputs.add(rows) if len(rows) and self.inputs.names else [])

    def scored(self, scores: Sequence[Score]) -> None:
        """What was said of them; a score while warming up is none."""
        for one in scores:
            if one.score is not None:
                self._waiting[one.partition, one.seq] = one.score
        while len(self._waiting) > self._limit:
            self._waiting.popitem(last=False)
            self.forgotten += 1

    def known(self, cases: Sequence[Case]) -> list[Alarm]:
        """What became of some. A label that comes before its score, or twice, says nothing here."""
        alarms: list[Alarm] = []
        for one in cases:
            if one.label is None or (score := self._waiting.pop((one.partition, one.seq), None)) is None:
                continue
            self.judged += 1
            alarms += self.performance.add(score, is_bad=one.label == "bad")
        return self._told(alarms)

    def _told(self, alarms: list[Alarm]) -> list[Alarm]:
        for one in alarms:
            if one.is_firing:
                self.standing[one.rule, one.of] = one
            else:
                self.standing.pop((one.rule, one.of), None)
        return alarms


class DriftWorker:
    """Reads what the wet side hears and says, of all partitions, and writes `alerts`."""

    def __init__(
        self,
        watch: Watch,
        options: Mapping[str, Any],
        name: Callable[[str], str],
        metrics: DriftMetrics,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        pack: str | None = None,
    ) -> None:
        """`options`: aiokafka's connection settings. `name`: topic of a logical name.

        `pack`: whose champion people are asked to let learn anew; None: it has none.
        """
        self.watch = watch
        self._pack = pack
        self._asking = Asking()
        self._proposals = name("human.proposals")
        self._options = options
        self._topics = {name(one): one for one in READ}
        self._alerts = name("alerts")
        self._metrics = metrics
        self._now_ms = now_ms
        self._told = (0, 0)  # forgotten and judged, as told to the metrics
        self._decode = {
            "wet.taps": msgspec.json.Decoder(Tap).decode,
            "wet.scores": msgspec.json.Decoder(Score).decode,
            "wet.cases": msgspec.json.Decoder(Case).decode,
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`."""
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
            if self._pack is not None:
                await self._recall()
            await look_back(consumer, self._options, self._topics, self._take, stop, back=BACK, a_round=A_ROUND)
            await self._say(publisher, list(self.watch.standing.values()))
            log.info("%d alarms stand", len(self.watch.standing))
            while not stop.is_set():
                got = await consumer.getmany(timeout_ms=POLL_MS, max_records=A_ROUND)
                if got:
                    with self._metrics.seconds.time():
                        await self._say(publisher, self._take(got))
                    self._metrics.records.inc(sum(map(len, got.values())))
                await self._ask(publisher)
                self._measure(consumer)

    def _take(self, got: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> list[Alarm]:
        """One round: scores before outcomes, which are of them."""
        read: dict[str, list[Any]] = {one: [] for one in READ}
        for tp, records in got.items():
            read[self._topics[tp.topic]] += self._read(self._topics[tp.topic], records)
        alarms = self.watch.tapped(read["wet.taps"])
        self.watch.scored(read["wet.scores"])
        return alarms + self.watch.known(read["wet.cases"])

    def _read(self, topic: str, records: Sequence[ConsumerRecord]) -> Iterator[Any]:
        decode = self._decode[topic]
        for record in records:
            try:
                yield decode(record.value or b"")
            except UNREADABLE as fault:
                self._metrics.unreadable.inc()
                log.warning("%s/%d@%d is no record of %s: %s", *_place(record), topic, fault)

    async def _say(self, publisher: Publisher, alarms: Sequence[Alarm]) -> None:
        if not alarms:
            return
        for one in alarms:
            log.warning("%s", one.summary)
            self._metrics.alarms[one.rule].inc(one.is_firing)
        at = self._now_ms()
        await publisher.publish(0, (Out(self._alerts, one.rule.encode(), encode(alert(one, at))) for one in alarms))

    async def _recall(self) -> None:
        """What was asked before."""
        async with Reader(self._options, self._proposals) as reader:
            async for batch in reader.to_end(await reader.partitions()):
                for record in batch:
                    try:
                        one = read(record.value)
                    except BadProposal:
                        continue
                    if one.author == AUTHOR:
                        self._asking.remember(one.expires)

    async def _ask(self, publisher: Publisher) -> None:
        """Whether the champion should learn anew, where something has moved."""
        standing, at = self.watch.standing, self._now_ms()
        if self._pack is None or not self._asking.is_due(len(standing), at):
            return
        value = sealed(draft_of(standing.values(), self._pack, at))
        await publisher.publish(0, [Out(self._proposals, read(value).id.encode(), value)])
        self._metrics.proposals.inc()
        log.info("proposed that the champion learns anew: %d alarms stand", len(standing))

    def _measure(self, consumer: AIOKafkaConsumer) -> None:
        watch, metrics = self.watch, self._metrics
        for feature, index in watch.inputs.psi.items():
            metrics.psi[feature].set(index)
        for measure, mean in watch.performance.means.items():
            metrics.means[measure].set(mean)
        metrics.standing.set(len(watch.standing))
        metrics.forgotten.inc(watch.forgotten - self._told[0])
        metrics.judged.inc(watch.judged - self._told[1])
        self._told = (watch.forgotten, watch.judged)
        metrics.lag.set(sum(_lag(consumer, tp) for tp in consumer.assignment()))


def alert(alarm: Alarm, at_ms: int) -> Alert:
    """The alarm as it stands on the topic."""
    label = "feature" if alarm.rule == "InputDrift" else "measure"
    return Alert(
        rule=alarm.rule,
        at=at_ms,
        severity="ticket",
        state="firing" if alarm.is_firing else "resolved",
        summary=alarm.summary,
        labels={"stage": "wet", label: alarm.of},
        evidence=dict(alarm.evidence),
        score=alarm.why.score,
        base=alarm.why.base,
        reasons=alarm.why.reasons,
        rationale=alarm.why.rationale,
    )


def _place(record: ConsumerRecord) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


def _lag(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int:
    end = consumer.last_stable_offset(tp)
    state = consumer._subscription.subscription.assignment.state_value(tp)  # noqa: SLF001 - no public call tells without waiting
    return max(0, end - state.position) if end is not None and end >= 0 and state.has_valid_position else 0
