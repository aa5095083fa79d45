"""Taps and cases in, proposals out: learns from outcomes, tries what it learned, and asks people. It changes nothing.

One process an installation reads all partitions of wet.taps and wet.cases, in no group: how far it has come is kept
with what it knows, in one file of plain arrays beside the models, written whole every SAVE_S and at the end. Fits run
in a process of their own. A challenger that was better by the stated margin is written to the models folder with its
card, and proposed on human.proposals; one that was not is forgotten, and counted.

A second trainer does no harm but proposes as well. What is read again after a crash is joined again, not twice.
"""

import asyncio
import io
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from sidechain.agents.metrics import TrainerMetrics
from sidechain.agents.model_files import ModelFiles, write_whole
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.wet.feed import START_S, UNREADABLE, Out, Publisher
from sidechain.agents.wet.fitter import FittingProcess
from sidechain.agents.wet.promotions import Promotions
from sidechain.models.policy import Policy
from sidechain.models.proposal import read, sealed
from sidechain.models.wet import boosted_fit
from sidechain.models.wet.boosted import Boosted
from sidechain.models.wet.card import card_of, data_of
from sidechain.models.wet.examples import Label
from sidechain.models.wet.experts.champion import Champion
from sidechain.models.wet.forest import matrix
from sidechain.models.wet.inputs import columns, values
from sidechain.models.wet.promotion import draft_of
from sidechain.models.wet.training import Ended, Request, Training
from sidechain.topics.human import ModelRecord
from sidechain.topics.wet import Case, Tap

log = logging.getLogger(__name__)

POLL_MS: Final = 200
A_ROUND: Final = 5_000  # records
SAVE_S: Final = 300.0
TELL_S: Final = 15.0  # between two looks at the figures of the weeks
FIT_S: Final = 1_800.0
COMMAND: Final = (sys.executable, "-m", "sidechain.agents.wet.champion_fitting")


def now_ms() -> int:
    """By this machine's clock; only proposals and cards are dated by it."""
    return time.time_ns() // 1_000_000


class TrainerWorker:
    """Reads, joins, has fitted, tries, proposes."""

    def __init__(
        self,
        policy: Policy,
        files: ModelFiles,
        options: Mapping[str, Any],
        name: Callable[[str], str],
        prefix: str,
        metrics: TrainerMetrics,
        training: Training | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """`options`: aiokafka's connection settings. `name`: topic of a logical name. `prefix`: of the installation."""
        self.training = training or Training(
            columns(policy), max_step_ms=policy.event.max_step_ms, groups=policy.wet.groups
        )
        self.proposed: list[str] = []  # ids, by this process
        self._policy = policy
        self._files = files
        self._options = options
        self._taps, self._cases = name("wet.taps"), name("wet.cases")
        self._proposals = name("human.proposals")
        self._metrics = metrics
        self._publisher = Publisher(options)
        self._fitter = FittingProcess(metrics.fits, Boosted.from_bytes, command, FIT_S)
        self._asked: Request | None = None
        self._promotions = Promotions(self._promoted, files, options, name("wet.models"), self.training.names)
        self._tap = msgspec.json.Decoder(Tap).decode
        self._case = msgspec.json.Decoder(Case).decode
        self._told = {"forgotten": 0, "unmatched": 0, "known": 0}
        tag = sha256(prefix.encode()).hexdigest()[:8]
        self._kept = files.folder / f"trainer-{policy.name}-{tag}.npz"
        self._first: dict[TopicPartition, int] = {}  # what was read from, ever
        self._next: dict[TopicPartition, int] = {}
        self._case_at: dict[int, int] = {}  # partition -> the entry of the last case

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`."""
        if not self.training.names:
            log.info("the pack has no vector (`wet.vector`), so there is nothing to learn from")
            await stop.wait()
            return
        await asyncio.to_thread(self._restore)
        await self._publisher.start()
        try:
            async with self._fitter:
                await self._promotions.open()
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._promotions.run(stop))
                    group.create_task(self._rounds(stop))
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from faults
        finally:
            await self._publisher.stop()

    async def _rounds(self, stop: asyncio.Event) -> None:
        consumer = AIOKafkaConsumer(
            **self._options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=A_ROUND,
        )
        loop = asyncio.get_running_loop()
        saved_at = told_at = loop.time()
        try:
            await asyncio.wait_for(consumer.start(), START_S)
            await self._assign(consumer)
            while not stop.is_set():
                got = await consumer.getmany(timeout_ms=POLL_MS, max_records=A_ROUND)
                began = loop.time()
                # Taps first: a label that stands beside its decision finds it.
                for tp in sorted(got, key=lambda one: one.topic != self._taps):
                    (self._decided if tp.topic == self._taps else self._settled)(tp, got[tp])
                await self._learn()
                if got:
                    self._metrics.seconds.observe(loop.time() - began)
                    self._metrics.records.inc(sum(map(len, got.values())))
                self._measure(consumer)
                if loop.time() - told_at > TELL_S:
                    told_at = loop.time()
                    self._tell_weeks()
                if loop.time() - saved_at > SAVE_S:
                    await asyncio.to_thread(self._save, self._state())
                    saved_at = loop.time()
        finally:
            await consumer.stop()
            if self._next:
                await asyncio.to_thread(self._save, self._state())

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        """Every partition of both topics, from where the kept file stands."""
        tps = []
        for topic in (self._taps, self._cases):
            await consumer._client.force_metadata_update()  # noqa: SLF001 - no public call refreshes without a subscription
            partitions = consumer.partitions_for_topic(topic)
            if not partitions:
                raise EnvironmentProblem(f"topic {topic} does not exist; `sidechain topics apply` creates it")
            tps += [TopicPartition(topic, one) for one in sorted(partitions)]
        consumer.assign(tps)
        begins = await consumer.beginning_offsets(tps)
        for tp in tps:
            at = self._next.get(tp, 0)
            if tp in self._next and begins[tp] > at:
                self._metrics.missed.inc(begins[tp] - at)
                log.warning("%s/%d: %d records went before they were read", tp.topic, tp.partition, begins[tp] - at)
            consumer.seek(tp, max(at, begins[tp]))

    def _decided(self, tp: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        taps = [one for one in (self._read(record, self._tap, "tap") for record in records) if one is not None]
        self._passed(tp, records)
        if not taps:
            return
        names = self.training.names
        self.training.decided(
            [(one.partition, one.seq) for one in taps],
            np.array([one.at for one in taps], dtype=np.int64),
            matrix(names, [values(one.features, one.signals) for one in taps]).astype(np.float32),
            np.array([one.score_bp for one in taps], dtype=np.float64),
        )

    def _settled(self, tp: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        for record in records:
            case = self._read(record, self._case, "case")
            # Written at least once: an entry that was reached already is a repetition.
            if case is None or case.offset <= self._case_at.get(case.partition, -1):
                continue
            self._case_at[case.partition] = case.offset
            if case.label is not None:
                self.training.told(Label((case.partition, case.seq), case.at, case.label == "bad"))
        self._passed(tp, records)

    def _read(self, record: ConsumerRecord, decode: Callable[[bytes], Any], what: str) -> Any:
        try:
            return decode(record.value or b"")
        except UNREADABLE as fault:
            self._metrics.unreadable.inc()
            log.warning("%s/%d@%d is no %s: %s", record.topic, record.partition, record.offset, what, fault)
            return None

    def _passed(self, tp: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        self._first.setdefault(tp, records[0].offset)
        self._next[tp] = records[-1].offset + 1

    async def _learn(self) -> None:
        """One step: a trial that is over, a fit that is done, a fit that is due."""
        training = self.training
        if (ended := training.judge()) is not None:
            await self._ended(ended)
        if self._asked is not None and self._fitter.is_done:
            asked, self._asked = self._asked, None
            model = self._fitter.take()
            if model is None:
                training.failed()
            else:
                training.begin(model, asked)
                log.info("%s is on trial, fitted to %d outcomes", model.name, len(asked.is_bad))
        if self._asked is None and training.is_due:
            training.version = max(training.version, 1 + max(self._files.versions(), default=0))
            self._asked = asked = training.request()
            self._fitter.ask_for(
                asked.names, rows=asked.rows, is_bad=asked.is_bad, seed=asked.seed, version=asked.version
            )

    async def _ended(self, ended: Ended) -> None:
        verdict = ended.trial.verdict()
        self._metrics.trials[verdict.word].inc()
        log.info(
            "%s beside %s over %d labels: %s, %s",
            ended.trial.after,
            ended.trial.before,
            len(ended.trial),
            verdict.word,
            "; ".join(verdict.why),
        )
        if not ended.trial.is_better():
            return
        model, at = ended.challenger.model, now_ms()
        card = card_of(
            ended,
            data_of(ended.challenger.request, self._ranges(), self.training.examples.forgotten),
            policy=self._policy.ref,
            made=at,
            parameters=boosted_fit.parameters(),
            libraries=boosted_fit.libraries(),
        )
        path, _ = await asyncio.to_thread(self._files.write, model, card)
        value = sealed(draft_of(card, model.version, self._policy.name, at))
        proposal = read(value).id
        await self._publisher.publish(0, [Out(self._proposals, proposal.encode(), value)])
        self.proposed.append(proposal)
        self._metrics.proposals.inc()
        log.info("%s is proposed as %s; its card is beside %s", model.name, proposal[:12], path)

    def _promoted(self, champion: Champion | None, record: ModelRecord | None) -> None:
        until = -1 if record is None or record.until is None else record.until
        self.training.champion_is(None if champion is None else champion.model, until)
        self._metrics.champion.set(0 if champion is None else champion.model.version)

    def _ranges(self) -> dict[str, dict[str, tuple[int, int]]]:
        """topic -> partition -> first and last offset that was read."""
        found: dict[str, dict[str, tuple[int, int]]] = {}
        for tp in sorted(self._next):
            found.setdefault(tp.topic, {})[str(tp.partition)] = (self._first[tp], self._next[tp] - 1)
        return found

    def _measure(self, consumer: AIOKafkaConsumer) -> None:
        examples, metrics, told = self.training.examples, self._metrics, self._told
        metrics.outcomes.inc(examples.known - told["known"])
        metrics.forgotten.inc(examples.forgotten - told["forgotten"])
        metrics.unmatched.inc(examples.unmatched - told["unmatched"])
        told.update(known=examples.known, forgotten=examples.forgotten, unmatched=examples.unmatched)
        metrics.waiting.set(examples.waiting)
        metrics.on_trial.set(0 if self.training.trial is None else len(self.training.trial))
        behind = 0
        for tp, at in self._next.items():
            end = consumer.last_stable_offset(tp)
            behind += max(0, end - at) if end is not None and end >= 0 else 0
        metrics.lag.set(behind)

    def _tell_weeks(self) -> None:
        """The figures of the newest week in which something was bad, by scorer."""
        for by in reversed(self.training.weeks.told().values()):
            if any(one.average_precision is not None for one in by.values()):
                for name, found in by.items():
                    for what in ("average_precision", "auroc", "precision_at"):
                        value = getattr(found, what)
                        self._metrics.week[name, what].set(float("nan") if value is None else value)
                return

    def _state(self) -> dict[str, Any]:
        tps = sorted(self._next)
        return {
            **self.training.state(),
            "topics": np.array([one.topic for one in tps], dtype=np.str_),
            "places": np.array([(one.partition, self._first[one], self._next[one]) for one in tps], dtype=np.int64),
            "cases": np.array(sorted(self._case_at.items()), dtype=np.int64).reshape(-1, 2),
        }

    def _save(self, state: dict[str, Any]) -> None:
        file = io.BytesIO()
        np.savez(file, **state)
        write_whole(self._kept, file.getvalue())

    def _restore(self) -> None:
        """Go on from the kept file. One that is not ours is moved aside: what stands on the topics is read again."""
        try:
            with np.load(self._kept, allow_pickle=False) as arrays:
                state = dict(arrays)
            pairs = zip(state["topics"], state["places"].tolist(), strict=True)
            places = {TopicPartition(str(topic), partition): place for topic, (partition, *place) in pairs}
            cases = dict(state["cases"].tolist())
            self.training.restore(state)  # last: what was learned without its places would be learned twice
        except FileNotFoundError:
            return
        except Exception as fault:  # noqa: BLE001 - a file of another release, of other features, or cut short
            aside = self._kept.with_suffix(".unread")
            self._kept.replace(aside)
            log.warning(
                "what was known could not be read (%s); it lies in %s, and the topics are read anew", fault, aside
            )
            return
        self._first = {tp: first for tp, (first, _) in places.items()}
        self._next = {tp: then for tp, (_, then) in places.items()}
        self._case_at = cases
        log.info(
            "%d outcomes and %d decisions without one known",
            self.training.examples.known,
            self.training.examples.waiting,
        )
