"""The tap: copies what was decided to the wet side, and nothing that names anybody.

It reads the sealed decisions as any consumer does, in a process and a group of its own, so the dry side spends nothing
on it and a dead tap costs a decision nothing. Of each decision it passes on id, key, time, action, trust and the
features the pack declares, with the values of signals learned from outcomes; never the payload. Personal values leave
under a pseudonym, and a feature computed from the text of a personal field does not leave at all. It would rather drop
than fall behind: a share (`wet.sample_bp`) is chosen by position, and beyond `tap_max_lag` records it skips ahead;
before that it passes less and less of the sample (`models.wet.overflow`). All of it is counted.

How decisions turned out leaves as cases, for the scorers. Where the pack has a signal learned from outcomes, decisions
leave a second time too, for the aggregator: what the signal is of. Of cases none is sampled out.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal
from zlib import crc32

import msgspec

from sidechain.agents.arrivals import tell
from sidechain.agents.metrics import TapMetrics
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.pseudonym import Pseudonyms
from sidechain.agents.subjects import KEY_MAX_BYTES, signal_key, subject_names
from sidechain.agents.wet.feed import GATHER_MS, UNREADABLE, Batch, Feed, Out, Publisher
from sidechain.agents.wet.overflow import QueueGuard
from sidechain.agents.wet.pace import Pace
from sidechain.models.policy import EventSchema, Feature, Policy
from sidechain.topics.codec import encode
from sidechain.topics.wet import Case, Tap

log = logging.getLogger(__name__)

WHOLE_BP: Final = 10_000
Fate = Literal["sent", "sampled_out", "shed"]


class Asked(msgspec.Struct, frozen=True):
    """What the tap reads of a signal an entry records."""

    of: str | None = None
    value: int | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the tap reads of an entry; the rest of it stays where it is."""

    kind: Literal["decision"]
    seq: int
    id: str
    key: str
    at: int
    action: str
    tier: str
    trust_bp: int
    score_bp: int
    policy: str
    features: dict[str, int | None]
    signals: dict[str, Asked] = {}


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What the tap reads of a settlement."""

    kind: Literal["settlement"]
    settles: int
    at: int
    key: str | None = None
    label: Literal["good", "bad"] | None = None


class _Entry(msgspec.Struct):
    """What every other entry is told by."""

    kind: str
    seq: int


_decision = msgspec.json.Decoder(Decision).decode
_settlement = msgspec.json.Decoder(Settlement).decode
_entry = msgspec.json.Decoder(_Entry).decode


def entry_in(line: bytes) -> Decision | Settlement | None:
    """What the tap may pass of an entry; None for another kind. Raises one of `UNREADABLE` for what is no entry."""
    try:
        return _decision(line)  # nearly all are
    except UNREADABLE:
        kind = _entry(line).kind
        if kind == "decision":
            raise
        return _settlement(line) if kind == "settlement" else None


class Mask:
    """What of a decision may pass, and under which name."""

    def __init__(self, policy: Policy, secret: bytes | None) -> None:
        """Raises EnvironmentProblem when the pack has a personal id or key and there is no secret."""
        self._id = _namer(policy.event, "id", secret)
        self._key = _namer(policy.event, "key", secret)
        self._features = passing(policy)
        self._sample_bp = policy.wet.sample_bp
        self._subjects = subject_names(policy, secret)
        self._scores_outcomes = policy.wet.uses_outcomes
        self._learned = frozenset(one.name for one in policy.signals if one.learn is not None)

    def fate(self, partition: int, entry: Decision, passed_bp: int = WHOLE_BP) -> Fate:
        """Whether the decision is in the sample, and in what may pass of it. `passed_bp`: the share that may."""
        place = crc32(b"%d:%d" % (partition, entry.seq)) % WHOLE_BP
        if place >= self._sample_bp:
            return "sampled_out"
        return "sent" if place * WHOLE_BP < self._sample_bp * passed_bp else "shed"

    def tap(self, partition: int, entry: Decision) -> Tap | None:
        """The tap of one decision; None when it is not in the sample."""
        if self.fate(partition, entry) != "sent":
            return None
        return Tap(
            id=self._id(entry.id),
            key=self._key(entry.key),
            at=entry.at,
            partition=partition,
            seq=entry.seq,
            action=entry.action,
            tier=entry.tier,
            trust_bp=entry.trust_bp,
            score_bp=entry.score_bp,
            policy=entry.policy,
            # A feature this policy does not know may come from a field it does not know: it stays out.
            features={name: value for name, value in entry.features.items() if name in self._features},
            # What outcomes taught, and nothing the wet side said of this very entity: it would hear itself.
            signals={name: one.value for name, one in entry.signals.items() if name in self._learned},
        )

    def case(self, partition: int, offset: int, entry: Decision | Settlement) -> tuple[bytes, Case] | None:
        """The case an entry at `offset` is, and its key; None where nothing can be learned of it."""
        if isinstance(entry, Settlement):
            if entry.label is None or not (self._subjects or self._scores_outcomes):
                return None
            case = Case(partition=partition, offset=offset, seq=entry.settles, at=entry.at, label=entry.label)
            return b"%d/%d" % (partition, entry.settles), case
        if not self._subjects:
            return None
        # Also without anything to learn of: where the chain has come to says when other outcomes count.
        of = {
            name: said
            for name, named in self._subjects.items()
            if (asked := entry.signals.get(name)) is not None
            and asked.of is not None
            and len(signal_key(name, said := named(asked.of))) <= KEY_MAX_BYTES
        }
        return b"%d/%d" % (partition, entry.seq), Case(
            partition=partition, offset=offset, seq=entry.seq, at=entry.at, of=of
        )


def passing(policy: Policy) -> frozenset[str]:
    """The features that may leave the dry side."""
    personal = {f"event.{one.name}" for one in policy.event.fields if one.personal}
    return frozenset(one.name for one in policy.features if not _tells(one, personal))


def _namer(schema: EventSchema, role: Any, secret: bytes | None) -> Callable[[str], str]:
    field = schema.role(role)
    if not field.personal:
        return str
    if secret is None:
        raise EnvironmentProblem(
            f"the pack marks {field.name} as personal, and there is no secret to make pseudonyms with; "
            "set pseudonym_key_file to a file with at least 16 random bytes"
        )
    return Pseudonyms(secret, field.name)


def _tells(feature: Feature, personal: set[str]) -> bool:
    """Whether the feature's number could give away a personal value: how many distinct ones there were cannot."""
    return feature.of is not None and feature.aggregate != "distinct" and not personal.isdisjoint(feature.of.variables)


class TapWorker:
    """One agent on one feed."""

    def __init__(
        self,
        app: Any,
        policy: Policy,
        secret: bytes | None,
        options: Mapping[str, Any],
        name: Callable[[str], str],
        group: str,
        metrics: TapMetrics,
        *,
        max_lag: int | None = None,
        max_records: int = 2_000,
        gather_ms: int = GATHER_MS,
        share: float = 1.0,
    ) -> None:
        """`options`: aiokafka's connection settings. `name`: topic of a logical name. `group`: prefix of the group.

        `max_lag`: records it may be behind per partition before it skips ahead; None: it never skips.
        `gather_ms`, `share`: see `Feed`, `Pace`.
        """
        self._mask = Mask(policy, secret)
        self._metrics = metrics
        self._topic, self._cases = name("wet.taps"), name("wet.cases")
        self._publisher = Publisher(options)
        self._guard = None if max_lag is None else QueueGuard(metrics, "decisions", max_lag)
        self._feed = Feed(
            app,
            self._publisher,
            options,
            topic=name("dry.decisions"),
            group=f"{group}tap",
            max_lag=max_lag,
            guard=self._guard,
            max_records=max_records,
            gather_ms=gather_ms,
            pace=Pace(share),
        )
        metrics.share.set(share)
        self._skipped = 0
        app.agent(self._feed.rounds, name="tap", on_error=self._feed.fail)(self._tap)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; the Faust app is running by then. Raises what the agent raised."""
        await self._publisher.start()
        try:
            await self._feed.run(stop, self._measure)
        finally:
            await self._publisher.stop()

    async def _tap(self, rounds: Any) -> None:
        """Neither dry nor wet: the one place where both are in sight."""
        async for batches in rounds:
            await asyncio.gather(*(self._pass(batch) for batch in batches))

    async def _pass(self, batch: Batch) -> None:
        began = time.perf_counter()
        entries = self._entries(batch.records)
        decisions = [one for _, one in entries if isinstance(one, Decision)]
        passed_bp = WHOLE_BP if self._guard is None else self._guard.passed_bp
        fates = [self._mask.fate(batch.partition, one, passed_bp) for one in decisions]
        passed = [one for one, fate in zip(decisions, fates, strict=True) if fate == "sent"]
        taps = [tap for one in passed if (tap := self._mask.tap(batch.partition, one)) is not None]
        cases = [case for at, one in entries if (case := self._mask.case(batch.partition, at, one)) is not None]
        outs = [Out(self._topic, one.key.encode(), encode(one)) for one in taps]
        await batch.commit([*outs, *(Out(self._cases, key, encode(one)) for key, one in cases)])
        self._metrics.seconds.observe(time.perf_counter() - began)
        for fate, count in Counter(fates).items():
            self._metrics.taps[fate].inc(count)
        if self._guard is not None and (shed := fates.count("shed")):
            self._guard.dropped(shed)
        self._metrics.cases.inc(len(cases))

    def _entries(self, records: Any) -> list[tuple[int, Decision | Settlement]]:
        """What may pass of these entries, each with its offset."""
        found = []
        for record in records:
            try:
                entry = entry_in(record.value or b"")
            except UNREADABLE as fault:
                self._metrics.unreadable.inc()
                log.warning("%s/%d@%d is no entry: %s", record.topic, record.partition, record.offset, fault)
                continue
            if entry is not None:
                found.append((record.offset, entry))
        return found

    def _measure(self, feed: Feed) -> None:
        self._metrics.lag.set(feed.lag)
        tell(self._metrics, feed.fullest)
        self._metrics.partitions.set(feed.partitions)
        self._metrics.taps["dropped"].inc(feed.skipped - self._skipped)
        self._skipped = feed.skipped
