"""A lane: one shard, one writer. It takes over, decides until told to stop, and stands still rather than guess.

    asleep ── resume ──▶ taking over ──▶ deciding ── suspend ──▶ asleep
                 ▲            │              │
                 └── log ◀────┴── a failure ─┘      halted: assigned, not deciding, alarmed

After any failure the folds are thrown away and the log is asked anew: there is no other way to know what was written.
A batch that fails is tried again in smaller ones, down to the record at fault, which is never skipped. Refused by the
cluster twice alone, it halts this lane, while the other lanes go on. When it is our own code that fails, twice alone,
the worker ends: whoever computes wrongly here cannot be trusted with other shards. Nothing is written for the record.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import ConsumerRecord
from aiokafka.errors import ConsumerStoppedError, KafkaError

from sidechain.agents.lane.batch import Batch
from sidechain.agents.lane.pipeline import UNDER_WAY, Committed, Names, Output, Pipeline
from sidechain.agents.lane.problems import NotAccounted, Refused, Revoked, is_fenced, is_passing
from sidechain.agents.lane.takeover import Grounds, Held, let_go, still_stands, take_over
from sidechain.agents.lane.tally import count
from sidechain.agents.metrics import DryMetrics
from sidechain.agents.problems import EnvironmentProblem
from sidechain.models.dry.entry import CO_PARTITIONED, TOPICS, TRANSFERS

log = logging.getLogger(__name__)

PACE_S: Final = 0.01  # between two batches: fuller ones cost broker and worker less; a lone event never waits for it
PAUSE_S: Final = 0.2  # before the second attempt; doubled each time
LONGEST_PAUSE_S: Final = 5.0
NARROWER: Final = 16  # times smaller, each time a batch fails
FENCED_LIMIT: Final = 8  # times in a row without a commit: two workers believe they own the shard
OUR_FAULT: Final = (
    "This is a fault of ours, not of the record: every worker of this release ends here. Keep the record and this "
    "report, go back to the release before, and send us both"
)
STOP_S: Final = 5.0  # for what does not end by itself after it was cancelled


Input = tuple[str, int]  # logical topic, partition
Records = Mapping[int, Sequence[ConsumerRecord]]
Sides = Mapping[str, Records]  # by logical topic
NOTHING: Final[Sides] = {one: {} for one in CO_PARTITIONED}


class Lag(NamedTuple):
    """What a lane has not decided yet."""

    records: int  # of all its inputs
    events: Mapping[int, tuple[int, int]]  # by partition: the next event to read, and behind the last one


class Lane:
    """One shard on this worker, through all its assignments."""

    def __init__(
        self,
        grounds: Grounds,
        shard: int,
        partitions: Sequence[int],
        channel: Any,
        metrics: DryMetrics,
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        """`channel`: the agent's. `on_fatal`: told what must end the worker."""
        self.shard = shard
        self.partitions = tuple(partitions)
        self.halted: str | None = None  # why, in words
        self.held: Held | None = None
        self._grounds = grounds
        self._channel = channel
        self._metrics = metrics
        self._on_fatal = on_fatal
        self._pipeline: Pipeline | None = None
        self._task: asyncio.Task[None] | None = None
        self._batch: Batch | None = None
        self._stopping = asyncio.Event()
        self._is_deciding = False
        # These begin anew with a commit.
        self._attempts = 0
        self._fenced = 0
        self._failing_since: float | None = None
        # Looking for a record at fault: among those handed over before, in batches of at most `_limit`. Nothing else is
        # read until it is found: other partitions may hold more than small batches ever get through.
        self._handed = 0
        self._handed_to: dict[Input, int] = {}  # offset behind the last record handed over
        self._limit: int | None = None
        self._suspect: tuple[str, int, int] | None = None  # failed alone once: topic, partition, offset

    def resume(self) -> None:
        """The shard is ours."""
        if self.halted is None:
            self._stopping.clear()
            self._task = asyncio.create_task(self._run(), name=f"lane-{self.shard}")
            self._task.add_done_callback(self._ended)

    async def suspend(self, timeout_s: float) -> None:
        """Finish what is under way and write no more; what does not finish in time is given up."""
        task, self._task = self._task, None
        if task is None:
            return
        self._stopping.set()
        if not self._is_deciding:
            task.cancel()  # a takeover only reads: it can be broken off anywhere
        _, unfinished = await asyncio.wait([task], timeout=timeout_s)
        if unfinished:
            log.warning("shard %d: gave up what was not committed within %.0f s", self.shard, timeout_s)
            task.cancel()
            await asyncio.wait([task], timeout=STOP_S)
            await self._discard()

    async def close(self) -> None:
        """The shard went to somebody else, or the worker ends. Call `suspend` first."""
        if self.halted is not None:
            self._metrics.halted.dec()
            self.halted = None
        await self._discard()

    async def failed(self, _agent: Any, fault: BaseException) -> None:
        """The agent raised. Faust would go on with the next batch; there is none until this one is understood."""
        if self._batch is None:
            self._on_fatal(fault)
        else:
            self._batch.fail(fault)

    async def lag(self) -> Lag:
        """Records of the shard that are not decided yet."""
        if self.held is None or not self._is_deciding:
            return Lag(0, {})
        try:
            held = self.held
            events = await held.events.places()
            waiting = sum(max(0, end - at) for at, end in events.values())
            return Lag(waiting + await held.outcomes.lag() + await held.transfers.lag(), events)
        except (KafkaError, ConsumerStoppedError):  # the lane was ended while we asked
            return Lag(0, {})

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._hold()
                await self._decide()
            except Revoked as why:
                log.info("shard %d: no longer ours: %s", self.shard, why)
                await self._discard()
                return
            except Refused as why:
                await self._halt(str(why))
                return
            except Exception as fault:  # noqa: BLE001 - _after sorts it and raises what it does not know
                await self._discard()
                await self._after(fault)
            except asyncio.CancelledError:
                await asyncio.shield(self._discard())
                raise

    async def _hold(self) -> None:
        """Have the shard, by continuing where we stood or by taking over."""
        began = time.perf_counter()
        try:
            how = await self._continue() or await self._take_over()
        except Exception:
            self._metrics.takeovers["failed"].inc()
            raise
        took = time.perf_counter() - began
        self._metrics.takeovers[how].inc()
        self._metrics.takeover_seconds.observe(took)
        assert self.held is not None
        at = " ".join(f"{one}@{fold.next['events']}" for one, fold in self.held.folds.items())
        log.info("shard %d: %s in %.3f s, events %s", self.shard, how, took, at)

    async def _continue(self) -> str | None:
        if self.held is None:
            return None
        if await still_stands(self._grounds, self.held):
            return "continued"
        await self._discard()
        return None

    async def _take_over(self) -> str:
        config = self._grounds.config
        written = ("dry.decisions", "dry.state", "dry.deadletters", "dry.checkpoints")
        names = Names(*(config.topic(one) for one in (*written, "outcomes", TOPICS[TRANSFERS])))
        self.held = held = await take_over(self._grounds, self.shard, self.partitions)
        self._pipeline = Pipeline(held.producers, names, config.commit_timeout_s, self._committed, held.books)
        for kind in held.repairs:
            self._metrics.repairs[kind].inc()
        return held.how

    async def _decide(self) -> None:
        held, pipeline = self.held, self._pipeline
        assert held is not None
        assert pipeline is not None
        latest = {one: table.latest for one, table in held.side.tables.items()}
        self._is_deciding, is_informed, ready_at = True, False, 0.0
        self._metrics.lanes.inc()
        try:
            while not self._stopping.is_set() and pipeline.failure is None:
                control = await held.side.poll()
                is_informed = is_informed or not (
                    control or held.side.is_behind
                )  # every policy that is active already comes before any event
                await asyncio.sleep(ready_at - time.perf_counter())
                if is_informed:
                    await held.transfers.follow(held.folds)
                    sides = await self._inputs(held)
                else:
                    sides = {**NOTHING, "events": await held.side.catch_up()}
                if control or any(sides.values()):
                    ready_at = time.perf_counter() + PACE_S
                    batch = Batch(
                        held.folds,
                        sides["events"],
                        control,
                        latest,
                        self._load,
                        self._hand_over,
                        held.side.rows,
                        sides["outcomes"],
                        self._grounds.layout.partitions,
                        sides[TRANSFERS],
                        self._grounds.latest_of,
                    )
                    await self._round(batch, pipeline)
                else:
                    await pipeline.sign()
            await pipeline.drained()
            await pipeline.sign(last=True)  # so that the next owner has nothing to read again
            await pipeline.drained()
        finally:
            self._is_deciding = False
            self._metrics.lanes.dec()

    async def _inputs(self, held: Held) -> Sides:
        """The inputs of the next batch; while a record at fault is looked for, only what may hold it."""
        suspected = self._suspected(held)
        if suspected is None or self._limit is None:
            await held.outcomes.read()
            events = await held.events.poll()
            outcomes = await held.outcomes.due(held.events.reached)
            return {"events": events, "outcomes": outcomes, TRANSFERS: await held.transfers.read()}
        topic = next(one for one in CO_PARTITIONED if any(one == suspect for suspect, _ in suspected))
        partitions = [one for suspect, one in suspected if suspect == topic]
        if topic == "events":
            return {**NOTHING, topic: await held.events.poll(self._limit, partitions)}
        again = held.outcomes.again if topic == "outcomes" else held.transfers.read
        return {**NOTHING, topic: await again(partitions, self._limit)}

    async def _round(self, batch: Batch, pipeline: Pipeline) -> None:
        self._batch, self._handed = batch, batch.size
        for one, behind in _behind(batch).items():
            self._handed_to[one] = max(self._handed_to.get(one, 0), behind)
        await self._settled(batch)
        if self._limit == 1:
            await pipeline.drained()  # so that what fails is known to be this record
        self._batch = None

    def _suspected(self, held: Held) -> list[Input] | None:
        """The inputs that may hold the record at fault; None: nothing is looked for, or no longer."""
        if self._limit is None:
            return None
        waiting = [one for one, behind in self._handed_to.items() if held.folds[one[1]].next.get(one[0], 0) < behind]
        if not waiting:
            self._limit = None
        return waiting or None

    async def _settled(self, batch: Batch) -> None:
        """Returns when the agent is done with the batch; it waits at most for those before it to be committed."""
        bound_s = (UNDER_WAY + 1) * self._grounds.config.commit_timeout_s
        try:
            async with asyncio.timeout(bound_s) as waiting:
                await self._channel.put(batch)
                await batch.settled()
        except TimeoutError as fault:
            if waiting.expired():
                raise TimeoutError(f"the decider did not answer within {bound_s:.0f} s") from fault
            raise

    async def _hand_over(self, batch: Batch, outputs: Sequence[Output]) -> None:
        if batch is not self._batch:
            return  # given up meanwhile: its folds are thrown away, and the log is asked anew
        self._metrics.fold_seconds.observe(time.perf_counter() - batch.fetched_at)
        if unaccounted := batch.unaccounted(outputs):
            raise NotAccounted(f"shard {self.shard}: {unaccounted}. Nothing was written for this batch. {OUR_FAULT}")
        self._metrics.accounted.inc(sum(len(one.entries) for one in outputs))
        pipeline, held = self._pipeline, self.held
        if outputs and pipeline is not None and held is not None:
            await pipeline.submit([held.sealed(one, self._grounds.layout) for one in outputs], batch.fetched_at)

    def _committed(self, committed: Committed) -> None:
        if committed.outputs:  # checkpoints alone say nothing about the batches
            self._attempts = self._fenced = 0
            self._failing_since = None
        try:
            count(self._metrics, committed)
        except Exception:  # the batch is in the log: a figure that cannot be counted must not have it decided again
            log.exception("shard %d: a committed batch was not counted; decisions go on", self.shard)

    def _load(self, text: bytes) -> Any:
        return self._grounds.policies.load(text)

    async def _after(self, fault: Exception) -> None:
        """Decide whether to ask the log and try again. Raises what must end the worker."""
        batch, self._batch = self._batch, None
        if isinstance(fault, NotAccounted):
            raise fault
        if is_fenced(fault):
            self._count_fence(fault)
        elif is_passing(fault):
            self._check_patience(fault)
        elif batch is not None and batch.fault is fault:
            self._handed_to = _behind(batch)  # it is in this batch, and in none of those on their way
            await self._blame(fault, batch.only)
        elif isinstance(fault, KafkaError):
            await self._blame(fault, batch.only if batch is not None else None)
        else:
            raise fault
        pause_s = min(LONGEST_PAUSE_S, PAUSE_S * 2**self._attempts)
        self._attempts += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()

    def _count_fence(self, fault: Exception) -> None:
        self._metrics.fenced.inc()
        self._fenced += 1
        log.warning("shard %d: fenced, somebody else has begun to write it", self.shard)
        if self._fenced >= FENCED_LIMIT:
            raise EnvironmentProblem(
                f"shard {self.shard} was taken away {self._fenced} times in a row although the group says it is ours; "
                "does another installation use the same prefix?"
            ) from fault

    def _check_patience(self, fault: Exception) -> None:
        self._metrics.retries.inc()
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        patience_s = self._grounds.config.retry_timeout_s
        log.warning("shard %d: %s; asking the log again", self.shard, _words(fault))
        if now - self._failing_since > patience_s:
            raise EnvironmentProblem(
                f"shard {self.shard} has been failing for {patience_s:.0f} s: {_words(fault)}; is the cluster well? "
                "(`sidechain doctor`)"
            ) from fault

    async def _blame(self, fault: Exception, only: ConsumerRecord | None) -> None:
        """A batch cannot be decided or written: narrow it down to one record, then go no further.

        Raises the fault when it is ours.
        """
        if only is not None:
            suspect = (only.topic, only.partition, only.offset)
            if suspect == self._suspect:
                found = f"{only.topic}/{only.partition}@{only.offset} failed twice alone"
                if not isinstance(fault, KafkaError):
                    fault.add_note(f"shard {self.shard}: {found}; nothing was written for it. {OUR_FAULT}")
                    raise fault
                await self._halt(f"{found}: {_words(fault)}")
                self._stopping.set()
                return
            self._suspect = suspect
        log.error("shard %d: a batch of %d failed, trying smaller ones", self.shard, self._handed, exc_info=fault)
        self._limit = max(1, self._handed // NARROWER)

    async def _halt(self, why: str) -> None:
        self.halted = why
        self._metrics.halted.inc()
        log.error("shard %d stands still, other shards go on: %s", self.shard, why)
        await self._discard()

    async def _discard(self) -> None:
        """Forget what we believed and disconnect."""
        pipeline, held = self._pipeline, self.held
        self._pipeline = self.held = None
        if pipeline is not None:
            await pipeline.close()
        if held is not None:
            await let_go(held)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._on_fatal(fault)


def _behind(batch: Batch) -> dict[Input, int]:
    return {(topic, one): found[-1].offset + 1 for topic, side in batch.sides.items() for one, found in side.items()}


def _words(fault: BaseException) -> str:
    return f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
