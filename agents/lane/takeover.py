"""Becoming a shard's only writer.

    fence       initialise every transactional id of the shard: no predecessor can write any more
    settle      wait until nothing is open on its chains and changelogs
    confirm     ask the group: is the shard still ours?
    restore     read the tail and check its links; read the changelog; its head must be the tail
    books       read the last checkpoints; the chain must agree with them
    side        load what the wet side said, and every policy that is active
    confirm     again, because all this took a while
    begin       read events, outcomes and transfers from where the last entry says

Nothing but the log decides where to go on: offsets committed to the group are for dashboards. Every step is bounded,
and the whole can be cancelled at any time, because until the first batch it only reads.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition

from sidechain.agents.checkpoints import Keys
from sidechain.agents.lane.bookkeeping import open_books
from sidechain.agents.lane.inputs import Events, SideInputs
from sidechain.agents.lane.layout import LAYOUT_KEY, Layout, take_layout
from sidechain.agents.lane.lists import ListLoader
from sidechain.agents.lane.log_ends import FETCH_BYTES, Ends, Span, reader
from sidechain.agents.lane.outcomes import Outcomes
from sidechain.agents.lane.pipeline import Output
from sidechain.agents.lane.policies import Policies
from sidechain.agents.lane.problems import Refused, Remedy
from sidechain.agents.lane.producers import close_producers, open_producers
from sidechain.agents.lane.signed import Books
from sidechain.agents.lane.standing import Standing, is_unbegun, read_state, read_tails
from sidechain.agents.lane.transfers import Transfers, missing
from sidechain.agents.settings import Config
from sidechain.models.dry import Fold, LatestOf, StateMismatch, nothing_said
from sidechain.models.dry.entry import CO_PARTITIONED, TOPICS, TRANSFERS

log = logging.getLogger(__name__)


class Confirm(Protocol):
    """Raises Revoked unless the group says these partitions are ours; the offsets are left for dashboards."""

    def __call__(self, offsets: Mapping[int, int]) -> Awaitable[None]: ...


@dataclass
class Grounds:
    """What every lane of a worker has in common."""

    options: Mapping[str, Any]
    config: Config
    ends: Ends
    policies: Policies
    layout: Layout
    metadata_name: Callable[[str], str]  # an event's key -> the key its metadata stands under
    has_metadata: bool  # whether the topic exists; without it every signal is unknown
    confirm: Confirm
    has_checkpoints: bool = False  # whether the topic exists
    keys: Keys | None = None  # without them nothing is signed
    lists: ListLoader | None = None  # None: nothing is decided here, so no rows are asked for
    has_outcomes: bool = False  # whether the topic exists
    has_transfers: bool = False  # whether the topic exists
    latest_of: LatestOf = nothing_said  # what was learned beyond one key

    @property
    def rows(self) -> ListLoader:
        """Who reads the rows of lists."""
        assert self.lists is not None
        return self.lists


@dataclass
class Held:
    """A shard, taken over: everything a lane needs to decide."""

    folds: dict[int, Fold]
    producers: list[AIOKafkaProducer]
    events: Events
    outcomes: Outcomes
    transfers: Transfers
    side: SideInputs
    how: str  # genesis: no chain had begun; restored otherwise
    unbegun: set[int]  # partitions whose first transaction will seal the layout
    repairs: Sequence[Remedy] = ()  # what people sealed last, where nothing was decided since
    books: Books | None = None  # None: nothing is signed

    def sealed(self, output: Output, layout: Layout) -> Output:
        """The output, with the layout as the first record of a changelog that begins here."""
        if output.partition not in self.unbegun:
            return output
        self.unbegun.discard(output.partition)
        first = (LAYOUT_KEY, msgspec.json.encode(layout))
        return output._replace(changes=[first, *output.changes])


async def take_over(grounds: Grounds, shard: int, partitions: Sequence[int]) -> Held:
    """Raises Refused, Revoked, EnvironmentProblem, TimeoutError or what Kafka answers; holds nothing then."""
    config, options = grounds.config, grounds.options
    events = Events(options, config, partitions)
    outcomes = Outcomes(options, config, partitions, grounds.ends)
    transfers = Transfers(options, config, grounds.ends, has_topic=grounds.has_transfers)
    side = SideInputs(options, config, partitions, grounds.metadata_name, grounds.rows)
    tail_reader = reader(options, max_partition_fetch_bytes=FETCH_BYTES, fetch_max_wait_ms=50)
    fencing = asyncio.create_task(open_producers(options, config, shard))
    is_ready = False
    try:
        async with asyncio.timeout(config.takeover_timeout_s):
            await asyncio.gather(fencing, events.start(), outcomes.start(), side.start(), tail_reader.start())
            restored = await restore(grounds, tail_reader, partitions)
            folds = {one: found.fold for one, found in restored.items()}
            positions = await input_positions(grounds, folds)
            books = await stand_by_checkpoints(grounds, tail_reader, folds)
            await side.load(grounds.ends, grounds.has_metadata, min(fold.next["control"] for fold in folds.values()))
            await grounds.confirm(positions["events"])
            events.seek(positions["events"])
            outcomes.seek(positions["outcomes"])
            await transfers.begin(positions[TRANSFERS])
        is_ready = True
    finally:
        await tail_reader.stop()
        if not is_ready:
            await asyncio.shield(_give_up(fencing, events, outcomes, transfers, side))
    unbegun = {one for one, fold in folds.items() if fold.seq == 0}
    how = "genesis" if len(unbegun) == len(folds) else "restored"
    repairs = [one.repair for one in restored.values() if one.repair is not None]
    return Held(folds, fencing.result(), events, outcomes, transfers, side, how, unbegun, repairs, books)


async def still_stands(grounds: Grounds, held: Held) -> bool:
    """Whether the chains end where our folds do: nobody decided the shard while it was not ours."""
    partitions = sorted(held.folds)
    decisions = grounds.config.topic("dry.decisions")
    tail_reader = reader(grounds.options, max_partition_fetch_bytes=FETCH_BYTES, fetch_max_wait_ms=50)
    await tail_reader.start()
    try:
        async with asyncio.timeout(grounds.config.takeover_timeout_s):
            await _settle(grounds, partitions)
            tails = await read_tails(tail_reader, grounds.ends, decisions, partitions)
            if not all(_ends_with(entries, held.folds[one]) for one, entries in tails.items()):
                return False
            await grounds.confirm({one: fold.next["events"] for one, fold in held.folds.items()})
            return True
    finally:
        await tail_reader.stop()


class Restored(NamedTuple):
    """A partition's fold as of its last entry, and what that is if a person sealed it."""

    fold: Fold
    repair: Remedy | None = None


async def restore(grounds: Grounds, tail_reader: Any, partitions: Sequence[int]) -> dict[int, Restored]:
    """Each partition as of its last entry; it only reads. Raises Refused for what cannot be continued."""
    config = grounds.config
    await _settle(grounds, partitions)
    tails = await read_tails(tail_reader, grounds.ends, config.topic("dry.decisions"), partitions)
    await grounds.confirm({one: _events_position(entries) for one, entries in tails.items()})
    states = await read_state(tail_reader, grounds.ends, config.topic("dry.state"), partitions)
    restored = {}
    for one in partitions:
        standing = Standing(tails[one], states.pop(one))
        restored[one] = Restored(await _fold(grounds, one, standing), standing.repair)
    return restored


async def stand_by_checkpoints(grounds: Grounds, tail_reader: Any, folds: Mapping[int, Fold]) -> Books | None:
    """The books of the chains; it only reads. Raises Refused where a chain and its last checkpoint do not agree."""
    if not grounds.has_checkpoints:
        return None
    return await open_books(grounds.config, grounds.keys, tail_reader, grounds.ends, folds)


async def _fold(grounds: Grounds, partition: int, standing: Standing) -> Fold:
    if is_unbegun(standing, partition):
        return Fold(grounds.policies.given, partition, partitions=grounds.layout.partitions)
    assert standing.head is not None
    take_layout(standing.state, partition, grounds.layout)
    policy = await grounds.policies.by_ref(Fold.policy_ref_of(standing.head), grounds.ends, standing.state)
    tables = await grounds.lists.standing(standing.state, grounds.ends) if grounds.lists is not None else {}
    try:
        # Seconds for a million keys: other lanes go on meanwhile, and so does the heartbeat.
        return await asyncio.to_thread(
            Fold.restore,
            partition,
            standing.head,
            standing.state.items(),
            policy,
            tables,
            partitions=grounds.layout.partitions,
        )
    except StateMismatch as fault:
        raise Refused(
            f"{fault}. Somebody else wrote to dry.decisions or dry.state, or one of them was restored without the "
            "other: restore both as of one moment; if that cannot be, `sidechain repair --epoch` begins anew",
            "epoch",
        ) from fault


async def _settle(grounds: Grounds, partitions: Sequence[int]) -> None:
    written = ("dry.decisions", "dry.state", *(["dry.checkpoints"] if grounds.has_checkpoints else []))
    topics = [grounds.config.topic(one) for one in written]
    tps = [TopicPartition(topic, one) for topic in topics for one in partitions]
    await grounds.ends.settled(tps, grounds.config.commit_timeout_s)


async def input_positions(grounds: Grounds, folds: Mapping[int, Fold]) -> dict[str, dict[int, int]]:
    """Where to read each co-partitioned input from: logical topic -> partition -> offset.

    Raises Refused when one of those logs, or that of control, does not reach there.
    """
    control = TopicPartition(grounds.config.topic("control"), 0)
    is_there = {"events": True, "outcomes": grounds.has_outcomes, TRANSFERS: grounds.has_transfers}
    tps = {
        (one, number): TopicPartition(grounds.config.topic(TOPICS[one]), number)
        for one in CO_PARTITIONED
        for number, fold in folds.items()
        if is_there[one] and one in fold.next
    }
    spans = await grounds.ends.spans([control, *tps.values()])
    positions: dict[str, dict[int, int]] = {one: {} for one in CO_PARTITIONED}
    for number, fold in folds.items():
        _check_control(control, fold.next["control"], spans[control])
        if not grounds.has_outcomes and fold.next["outcomes"]:
            raise Refused(
                f"{grounds.config.topic('outcomes')} does not exist, and the chain of partition {number} has read it "
                f"up to {fold.next['outcomes']}: restore it; if it is lost, create it (`sidechain topics apply`) and "
                "say where to go on with `sidechain repair --gap`"
            )
        if not grounds.has_transfers and TRANSFERS in fold.next:
            raise Refused(missing(grounds.config.topic(TOPICS[TRANSFERS])))
    for (one, number), tp in tps.items():
        positions[one][number] = _position(tp, one, folds[number].next[one], spans[tp])
    return positions


def is_within(following: int, span: Span) -> bool:
    """Whether a chain can go on there. At 0 it always can: what was deleted before we came was never ours."""
    return following == 0 or span.start <= following <= span.end


def _check_control(tp: TopicPartition, following: int, span: Span) -> None:
    if not is_within(following, span):
        raise Refused(
            f"{tp.topic} holds offsets {span.start} to {span.end}, and the chain has read it up to {following}: it was "
            "truncated or replaced. Restore it, because policies may be missing, or say where to go on with "
            "`sidechain repair --gap`",
            "gap",
        )


def _position(tp: TopicPartition, inputs: str, following: int, span: Span) -> int:
    if is_within(following, span):
        return following or span.start
    if following < span.start:
        raise Refused(
            f"{tp.topic}/{tp.partition}: {inputs} {following} to {span.start - 1} were deleted before they were "
            "decided; the chain cannot go on as if they had never been. Bring them back, or seal that they are gone "
            f"with `sidechain repair --gap`; and keep {inputs} longer than the longest standstill",
            "gap",
        )
    raise Refused(
        f"{tp.topic}/{tp.partition}: the chain has decided up to {following}, and the log ends at {span.end}: the "
        "topic was replaced or lost records. Restore it, or say where to go on with `sidechain repair --gap`",
        "gap",
    )


class _Reached(msgspec.Struct):
    next: dict[str, int]


def _events_position(entries: Sequence[bytes]) -> int:
    return msgspec.json.decode(entries[-1], type=_Reached).next["events"] if entries else 0


def _ends_with(entries: Sequence[bytes], fold: Fold) -> bool:
    if not entries:
        return fold.seq == 0
    return entries[-1].endswith(b',"hash":"%b"}' % fold.head_hash.encode())


async def _give_up(
    fencing: asyncio.Task[list[AIOKafkaProducer]], *inputs: Events | Outcomes | Transfers | SideInputs
) -> None:
    fencing.cancel()
    await asyncio.wait([fencing])
    opened = [] if fencing.cancelled() or fencing.exception() else fencing.result()
    await asyncio.gather(close_producers(opened), *(one.stop() for one in inputs), return_exceptions=True)


async def let_go(held: Held) -> None:
    """Disconnect everything of a shard that is no longer decided here. The pipeline closes its own producers."""
    inputs = (held.events, held.outcomes, held.transfers, held.side)
    await asyncio.gather(*(one.stop() for one in inputs), return_exceptions=True)
