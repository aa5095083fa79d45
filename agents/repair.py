"""Going on after a refusal, by a person's decision: nothing in a log is edited, one entry more says what was decided.

nobody     the group of the workers has no member
fence      the shard's transactional ids are ours: whoever writes there still is shut out, and shuts us out if later
look       what a takeover would refuse; for an epoch the whole chain is verified. Without a deed this is all
write      the entry and its state records in one transaction, or nothing
"""

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, for_code

from sidechain.agents.admin import administrator
from sidechain.agents.checkpoints import load_keys
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.lane.bookkeeping import last_epoch
from sidechain.agents.lane.layout import Layout, check_layout, count_alike, partition_counts, read_layouts
from sidechain.agents.lane.log_ends import FETCH_BYTES, Ends, read_spans, reader
from sidechain.agents.lane.pipeline import Names, Output, Pipeline
from sidechain.agents.lane.policies import Policies
from sidechain.agents.lane.problems import Refused, Remedy, is_fenced
from sidechain.agents.lane.producers import open_producers
from sidechain.agents.lane.standing import HEAD_KEY
from sidechain.agents.lane.takeover import Grounds, input_positions, is_within, restore, stand_by_checkpoints
from sidechain.agents.problems import AnswerIsNo, EnvironmentProblem, UsageProblem
from sidechain.agents.repair_plan import (
    INPUTS,
    Believed,
    Deed,
    LastTime,
    Plan,
    believed,
    last_watermark,
    plan_epoch,
    plan_gap,
    read_head,
)
from sidechain.agents.settings import Config
from sidechain.models.dry import Fold
from sidechain.models.dry.chain import Verifier
from sidechain.models.dry.entry import CO_PARTITIONED, TOPICS, TRANSFERS, Broken, stated
from sidechain.models.pack_file import load
from sidechain.models.policy import Policy

KEPT: Final = 64  # records at a chain's end among which one to believe is looked for
READ: Final = ("events", "dry.decisions", "dry.state", "dry.deadletters")
IDLE: Final = {"", "Dead", "Empty"}  # states of a group without members

Told = Callable[[int], None]  # told how many entries were verified since the last call


class Found(NamedTuple):
    """What is wrong with a partition, and what would be written."""

    problem: str
    plan: Plan


@dataclass
class _Look:
    problem: str | None
    remedy: Remedy | None
    fold: Fold | None  # where the chain and its state are whole


async def repair(
    config: Config,
    partition: int,
    remedy: Remedy | None,
    deed: Deed | None,
    resume_at: int | None = None,
    told: Told = lambda _count: None,
) -> Found:
    """Look, and with a deed write. Raises AnswerIsNo when nothing is wrong, UsageProblem for the wrong remedy."""
    async with _opened(config, partition) as work:
        if deed is None:
            return await work.found(remedy, Deed("", "", 0), resume_at, told)
        await _check_nobody(config)
        return await work.write(remedy, deed, resume_at, told)


@asynccontextmanager
async def _opened(config: Config, partition: int) -> AsyncIterator["_Repair"]:
    options = kafka_options(config)
    ends, consumer = Ends(options), reader(options, max_partition_fetch_bytes=FETCH_BYTES, fetch_max_wait_ms=50)
    try:
        await ends.start()
        await consumer.start()
        counts = await partition_counts(options)
        layout = await _layout(config, counts, ends, consumer)
        if partition >= layout.partitions:
            raise UsageProblem(f"there is no partition {partition}; there are {layout.partitions}, counted from 0")
        policies = Policies(
            config.loaded_policy, lambda text: load(text, name="control"), options, config.topic("control")
        )
        has_checkpoints, has_outcomes, has_transfers = (
            config.topic(one) in counts for one in ("dry.checkpoints", "outcomes", "dry.transfers")
        )
        keys = load_keys(config)
        grounds = Grounds(
            options,
            config,
            ends,
            policies,
            layout,
            str,
            False,
            _nobody_asks,
            has_checkpoints,
            keys,
            has_outcomes=has_outcomes,
            has_transfers=has_transfers,
        )
        yield _Repair(grounds, consumer, partition)
    finally:
        await consumer.stop()
        await ends.stop()


async def _layout(config: Config, counts: Mapping[str, int], ends: Ends, consumer: AIOKafkaConsumer) -> Layout:
    partitions = count_alike(counts, {one: config.topic(one) for one in READ}, {})
    layout = Layout(partitions=partitions, shard_size=config.shard_size)
    check_layout((await read_layouts(consumer, ends, config.topic("dry.state"), partitions)).items(), layout)
    return layout


async def _nobody_asks(offsets: Mapping[int, int]) -> None:
    """A repair is no member of the group: the fence alone says that nobody else writes."""


async def _check_nobody(config: Config) -> None:
    group = f"{config.topic_prefix}dry"
    async with administrator(kafka_options(config)) as client:
        for response in await client.describe_consumer_groups([group]):
            for code, _, state, _, _, members, *_ in response.groups:
                if code:
                    raise for_code(code)
                if members or state not in IDLE:
                    raise EnvironmentProblem(
                        f"group {group} has {len(members)} worker{'' if len(members) == 1 else 's'} ({state}); stop "
                        f"them all first; a killed one counts for {config.session_timeout_s:.0f} s more. Nothing was "
                        "changed"
                    )


class _Repair:
    """One partition, looked at."""

    def __init__(self, grounds: Grounds, consumer: AIOKafkaConsumer, partition: int) -> None:
        self._grounds = grounds
        self._consumer = consumer
        self._partition = partition
        self._topic = grounds.config.topic

    async def found(self, remedy: Remedy | None, deed: Deed, resume_at: int | None, told: Told) -> Found:
        look = await self._look()
        if look.problem is not None and look.remedy is None:
            raise AnswerIsNo(f"no repair helps here: {look.problem}")
        if remedy is not None and look.remedy not in (None, remedy):
            enough = "which keeps the state" if look.remedy == "gap" else "because the chain cannot go on"
            raise UsageProblem(f"--{look.remedy} is what helps here, {enough}: {look.problem}")
        if (remedy or look.remedy) == "epoch":
            return await self._epoch(look, deed, resume_at, told)
        if look.problem is None or look.fold is None:
            raise AnswerIsNo(f"nothing is wrong with partition {self._partition}: a worker would go on there")
        return Found(look.problem, await self._gap(look.fold, deed, resume_at))

    async def write(self, remedy: Remedy | None, deed: Deed, resume_at: int | None, told: Told) -> Found:
        config = self._grounds.config
        producers = await open_producers(
            self._grounds.options, config, self._partition // self._grounds.layout.shard_size
        )
        names = Names(*(self._topic(one) for one in ("dry.decisions", "dry.state", "dry.deadletters")))
        pipeline = Pipeline(producers, names, config.commit_timeout_s, lambda _committed: None)
        try:
            found = await self.found(remedy, deed, resume_at, told)
            output = Output(self._partition, [(None, found.plan.entry)], found.plan.changes, [])
            await pipeline.submit([output], time.perf_counter())
            await pipeline.drained()
        except (KafkaError, TimeoutError) as fault:
            if is_fenced(fault):
                raise EnvironmentProblem("a worker has begun to write there; nothing was changed. Stop it") from fault
            raise EnvironmentProblem(
                f"the cluster did not confirm the repair ({type(fault).__name__}); it is written whole or not at all, "
                "and the same command without --yes says which"
            ) from fault
        finally:
            await pipeline.close()
        return found

    async def _look(self) -> _Look:
        fold: Fold | None = None
        try:
            fold = (await restore(self._grounds, self._consumer, [self._partition]))[self._partition].fold
            await stand_by_checkpoints(self._grounds, self._consumer, {self._partition: fold})
            await input_positions(self._grounds, {self._partition: fold})
        except Refused as why:
            return _Look(str(why), why.remedy, fold)
        return _Look(None, None, fold)

    async def _gap(self, fold: Fold, deed: Deed, resume_at: int | None) -> Plan:
        grounds = self._grounds
        is_there = {"events": True, "outcomes": grounds.has_outcomes, TRANSFERS: grounds.has_transfers}
        of_chain = [one for one in CO_PARTITIONED if is_there[one] and one in fold.next]
        tps = {"control": TopicPartition(self._topic("control"), 0)}
        tps |= {one: TopicPartition(self._topic(TOPICS[one]), self._partition) for one in of_chain}
        spans = await grounds.ends.spans(tps.values())
        topic = next(one for one, tp in tps.items() if not is_within(fold.next[one], spans[tp]))
        return plan_gap(fold, topic, spans[tps[topic]], resume_at, deed)

    async def _epoch(self, look: _Look, deed: Deed, resume_at: int | None, told: Told) -> Found:
        verifier, last, clock = await self._verified(told)
        fault = verifier.reports[-1].fault
        problem = look.problem or (fault and f"the chain is broken: {fault}")
        if problem is None:
            raise AnswerIsNo(f"nothing is wrong with partition {self._partition}: its {verifier.count:,} entries stand")
        keys, head_value = await self._state()
        head = read_head(head_value)
        end = (await self._span("events")).end
        begin = self._begin(believed(last, head_value, self._partition, end), resume_at, end)
        lost = Broken(None, None, None) if head is None else Broken(head.seq, head.hash, None)
        broken = stated(last[-1][1], last[-1][0]) if last else lost
        number = 1 + max(verifier.epoch, head.epoch if head is not None else 0, await self._signed_epoch())
        policy = await self._policy(begin.policy)
        begin = await self._with_transfers(begin, policy)
        # Events that a person passes over may have been decided by entries that are lost: nobody knows until when.
        watermark_ms = last_watermark(begin, head, self._partition, clock) if resume_at is None else None
        plan = plan_epoch(
            self._partition, number, broken, begin, policy, keys, self._grounds.layout, deed, watermark_ms
        )
        return Found(problem, plan)

    def _begin(self, found: Believed | None, resume_at: int | None, end: int) -> Believed:
        if resume_at is None and found is None:
            raise UsageProblem(
                "no record says where to go on; say it with --resume-at OFFSET, of this partition's events"
            )
        if resume_at is None:
            assert found is not None
            return found
        if resume_at > end:
            raise UsageProblem(f"--resume-at {resume_at} is behind the end of the events, {end}")
        reached = found.next if found is not None else dict.fromkeys(INPUTS, 0)
        policy = found.policy if found is not None else self._grounds.policies.given.ref
        return Believed({**reached, "events": resume_at}, policy, "--resume-at says")

    async def _with_transfers(self, begin: Believed, policy: Policy) -> Believed:
        """Where to go on reading what other partitions give, where no record says so.

        At the end: what was credited before the state was lost may have been spent, and must not be credited again.
        """
        if TRANSFERS in begin.next or not policy.shares_accounts or not self._grounds.has_transfers:
            return begin
        end = (await self._span(TOPICS[TRANSFERS])).end
        return begin._replace(next={**begin.next, TRANSFERS: end})

    async def _signed_epoch(self) -> int:
        """The epoch of the last checkpoint: its sizes are taken, also where the entries behind it are lost."""
        grounds = self._grounds
        if not grounds.has_checkpoints:
            return 0
        return await last_epoch(grounds.config, self._consumer, grounds.ends, self._partition)

    async def _policy(self, ref: str) -> Policy:
        try:
            return await self._grounds.policies.by_ref(ref, self._grounds.ends)
        except Refused:
            return self._grounds.policies.given

    async def _verified(self, told: Told) -> tuple[Verifier, deque[tuple[int, bytes]], LastTime]:
        """The whole chain, its last records, and its clock."""
        verifier, last, clock = Verifier(), deque[tuple[int, bytes]](maxlen=KEPT), LastTime()
        tp = TopicPartition(self._topic("dry.decisions"), self._partition)
        async for _, records in read_spans(self._consumer, {tp: await self._span("dry.decisions")}):
            for one in records:
                verifier.take(one.value or b"")
                clock.take(one.value or b"")
                last.append((one.offset, one.value or b""))
            told(len(records))
        return verifier, last, clock

    async def _state(self) -> tuple[Collection[bytes], bytes | None]:
        """The keys of the changelog, and its head."""
        keys: set[bytes] = set()
        head: bytes | None = None
        tp = TopicPartition(self._topic("dry.state"), self._partition)
        async for _, records in read_spans(self._consumer, {tp: await self._span("dry.state")}):
            for one in records:
                (keys.discard if one.value is None else keys.add)(one.key)
                head = one.value if one.key == HEAD_KEY else head
        return keys, head

    async def _span(self, topic: str) -> Any:
        tp = TopicPartition(self._topic(topic), self._partition)
        return (await self._grounds.ends.spans([tp]))[tp]
