"""From the scores of an entity to its risk: evidence that adds up, a level that does not flicker, an end in event time.

Every score is weighed as Wald's sequential test weighs it. Let p = 1 - score be the share of the training sample that
was at least as unusual. If nothing is wrong p is uniform; if something is, small p are likelier, by the density
a·p^(a-1). The logarithm of the ratio, ln a - (1-a)·ln p, is the evidence: above rank 0.84 it adds, below it takes
away, one event adds WEIGHT_MOST at most, so no single event raises anybody. The sum never falls below 0. Risk is the
evidence put on a scale: a prior of 1 % plus the evidence, as a probability would be. It orders entities well; it is
not the probability that something is wrong, because an entity's events are not independent.

Levels have hysteresis: raised at `raise_at_bp` or above, and then until `clear_at_bp` or below. A risk that is not
confirmed for `ttl_ms` of event time ends by itself. Whatever is told carries the reasons of the latest score that had
any, and says which one that is: an ordinary one has none, and what it leads to still rests on the others. Everything
here follows from the last metadata record, so a restarted agent continues where the topic stands.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, NamedTuple, Protocol

from sidechain.models.policy import Wet
from sidechain.models.wet.breaker import Breaker
from sidechain.models.wet.reasoning import Reason, Reasoning

Level = Literal["normal", "raised", "critical"]

SHAPE: Final = 0.25  # a: how much likelier small p are when something is wrong
PRIOR: Final = math.log(0.01 / 0.99)
WEIGHT_MOST: Final = 2.5
ORDINARY: Final = 0.84  # scores up to here weigh less than nothing, whatever the logarithm says exactly
EVIDENCE_MOST: Final = math.log(0.99 / 0.01) - PRIOR  # risk 0.99: about seven ordinary events lead back from anywhere
MOVED_BP: Final = 250  # a raised risk that moved this far is worth a record
MAX_ENTITIES: Final = 100_000  # per partition; only entities with evidence against them are kept at all
LET_THROUGH: Final = ("allow", "monitor")


class Scored(Protocol):
    """What risk needs of a score, whoever gave it: the seam for further scorers."""

    @property
    def id(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def at(self) -> int: ...
    @property
    def partition(self) -> int: ...
    @property
    def seq(self) -> int: ...
    @property
    def action(self) -> str: ...
    @property
    def model(self) -> str | None: ...
    @property
    def score(self) -> float | None: ...
    @property
    def base(self) -> float | None: ...
    @property
    def rationale(self) -> str: ...
    @property
    def reasons(self) -> tuple[Reason, ...]: ...


class Standing(NamedTuple):
    """What is held about one entity."""

    evidence: float = 0.0
    level: Level = "normal"
    as_of: int = 0  # event time of the latest score, ms
    told_bp: int = 0  # risk in the last metadata record
    told_at: int = 0  # ... and its as_of
    why: Reasoning | None = None  # of the latest score that came with reasons; kept while the level is not normal


@dataclass(frozen=True, kw_only=True, slots=True)
class Metadata:
    """An entity's risk, for whoever decides about it next."""

    key: str
    risk_bp: int
    level: Level
    model: str
    as_of: int
    expires_at: int
    id: str
    why: Reasoning


@dataclass(frozen=True, kw_only=True, slots=True)
class Compensation:
    """A decision that let something through while its entity is critical: please look again."""

    id: str
    key: str
    decision_id: str
    partition: int
    seq: int
    action: str
    risk_bp: int
    model: str
    as_of: int
    why: Reasoning
    request: str


class Outcome(NamedTuple):
    """What one score led to."""

    metadata: Metadata | None = None
    compensation: Compensation | None = None
    is_suppressed: bool = False  # a compensation was due and the breaker held it back


NOTHING: Final = Outcome()


def compensation_id(decision_id: str, partition: int, seq: int) -> str:
    """The same decision always asks under the same id, so asking twice is asking once."""
    return f"cmp-{sha256(f'{decision_id}|{partition}|{seq}'.encode()).hexdigest()[:32]}"


def weight(score: float) -> float:
    """The evidence in one score: negative for an ordinary one, WEIGHT_MOST at most."""
    p = max(1.0 - score, 1e-12)
    return min(math.log(SHAPE) - (1.0 - SHAPE) * math.log(p), WEIGHT_MOST)


def risk_bp(evidence: float) -> int:
    """Evidence on the scale of basis points; none at all is 100."""
    return round(10_000 / (1.0 + math.exp(-(PRIOR + evidence))))


def evidence_of(risk: int) -> float:
    """The evidence behind a risk in basis points: what a restart takes from the last metadata record."""
    share = min(max(risk, 1), 9_999) / 10_000
    return min(max(math.log(share / (1.0 - share)) - PRIOR, 0.0), EVIDENCE_MOST)


def explained_from(wet: Wet) -> float:
    """The score from which on a record needs its reasons: as the pack says, but whatever raises anybody has some.

    A score that adds evidence is one of them in every pack; where no evidence at all raises everybody, all are.
    """
    return wet.explain_above_bp / 10_000 if is_calm(wet) else 0.0


def is_calm(wet: Wet) -> bool:
    """Whether an entity that nothing was held against is normal."""
    return level_after("normal", risk_bp(0.0), wet) == "normal"


def level_after(level: Level, risk: int, wet: Wet) -> Level:
    """The level that `risk` leads to from `level`; edges belong to the rule that names them."""
    if risk >= wet.critical_at_bp:
        return "critical"
    if risk >= wet.raise_at_bp:
        return "raised"
    if level == "normal" or risk <= wet.clear_at_bp:
        return "normal"
    return "raised"


def step(
    standing: Standing, score: Scored, wet: Wet, at: int | None = None
) -> tuple[Standing, Metadata | None, Compensation | None]:
    """Fold one score into one entity's standing. A score of a scorer that is warming up changes nothing.

    `at`: when the score counts, where that is not its own event time (see `Clock`).
    """
    if score.score is None or score.model is None:
        return standing, None, None
    at = score.at if at is None else at
    if standing.as_of and at - standing.as_of >= wet.ttl_ms:
        standing = standing._replace(evidence=0.0)  # unconfirmed for too long: over, and the record below says so
    evidence = min(max(standing.evidence + weight(score.score), 0.0), EVIDENCE_MOST)
    risk = risk_bp(evidence)
    level = level_after(standing.level, risk, wet)
    tell = level != standing.level or (
        level != "normal" and (abs(risk - standing.told_bp) >= MOVED_BP or 2 * (at - standing.told_at) >= wet.ttl_ms)
    )
    told_bp, told_at = (risk, at) if tell else (standing.told_bp, standing.told_at)
    after = Standing(evidence, level, max(standing.as_of, at), told_bp, told_at)
    if level == "normal" and not tell:
        return after, None, None
    why = _of(score) if score.reasons or standing.why is None else standing.why
    if level != "normal":
        after = after._replace(why=why if why.reasons else None)
    metadata = _metadata(after, score, why, risk, wet) if tell else None
    is_due = level == "critical" and score.action in LET_THROUGH
    return after, metadata, _compensation(after, score, why, risk, wet) if is_due else None


def _of(score: Scored) -> Reasoning:
    return Reasoning(score.score, score.base, score.reasons, score.rationale, score.id)


def _metadata(standing: Standing, score: Scored, why: Reasoning, risk: int, wet: Wet) -> Metadata:
    return Metadata(
        key=score.key,
        risk_bp=risk,
        level=standing.level,
        model=score.model or "",
        as_of=standing.as_of,
        expires_at=standing.as_of + wet.ttl_ms,
        id=score.id,
        why=why,
    )


def _compensation(standing: Standing, score: Scored, why: Reasoning, risk: int, wet: Wet) -> Compensation:
    return Compensation(
        id=compensation_id(score.id, score.partition, score.seq),
        key=score.key,
        decision_id=score.id,
        partition=score.partition,
        seq=score.seq,
        action=score.action,
        risk_bp=risk,
        model=score.model or "",
        as_of=standing.as_of,
        why=why,
        request=wet.compensate,
    )


class Clock:
    """Event time as the scores tell it: it never runs back, and one score moves it by `max_step_ms` at most.

    A single timestamp far in the future would otherwise end every risk at once, its sender's first.
    """

    def __init__(self, max_step_ms: int) -> None:
        self._now = -1
        self._max_step = max_step_ms

    @property
    def now(self) -> int:
        """How far it has come; -1: nothing was heard."""
        return self._now

    def hear(self, at: int) -> int:
        """When a score with this event time counts: then, but not beyond what the clock allows."""
        now = at if self._now < 0 else max(self._now, min(at, self._now + self._max_step))
        self._now = now
        return min(at, now)


class Risks:
    """The entities of one partition. Bounded: the one heard of longest ago is forgotten first, and counted."""

    def __init__(self, wet: Wet, max_step_ms: int, max_entities: int = MAX_ENTITIES) -> None:
        """`max_step_ms`: how far one event may move event time, from the policy's event schema."""
        self.breaker = Breaker(wet.compensations_per_minute)
        self.forgotten = 0
        self.repeated = 0
        self._wet = wet
        self._max = max_entities
        self._standings: OrderedDict[str, Standing] = OrderedDict()
        self._seq = -1
        self._clock = Clock(max_step_ms)
        self._calm = is_calm(wet)

    def __len__(self) -> int:
        return len(self._standings)

    def restore(self, key: str, risk: int, level: Level, as_of: int, why: Reasoning | None = None) -> None:
        """Continue from a metadata record."""
        if level != "normal":
            self._keep(
                key, Standing(evidence_of(risk), level, as_of, risk, as_of, why if why and why.reasons else None)
            )
        else:
            self._standings.pop(key, None)

    def standing(self, key: str) -> Standing:
        """What is held about `key`."""
        return self._standings.get(key, Standing())

    def fold(self, score: Scored) -> Outcome:
        """One score. Scores come in chain order; one that was folded before is counted and changes nothing."""
        if score.seq <= self._seq:
            self.repeated += 1
            return Outcome()
        self._seq = score.seq
        at = self._clock.hear(score.at)
        self.breaker.hear(at)
        if self._calm and score.key not in self._standings:
            said = score.score
            if said is None or said <= ORDINARY or weight(said) <= 0.0:
                return NOTHING  # as most are: nothing was held against anybody, and nothing is
        standing, metadata, compensation = step(self.standing(score.key), score, self._wet, at)
        if standing.evidence > 0.0 or standing.level != "normal":
            self._keep(score.key, standing)
        else:
            self._standings.pop(score.key, None)
        if compensation is not None and not self.breaker.allows():
            return Outcome(metadata, None, is_suppressed=True)
        return Outcome(metadata, compensation)

    def count(self, level: Level) -> int:
        """How many entities stand at `level`, as of what was heard; those kept are few."""
        return sum(1 for one in self._standings.values() if one.level == level)

    def _keep(self, key: str, standing: Standing) -> None:
        self._standings[key] = standing
        self._standings.move_to_end(key)
        if len(self._standings) > self._max:
            self._standings.popitem(last=False)
            self.forgotten += 1
