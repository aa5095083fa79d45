"""Energy governance of one partition: each request is answered before anything is reserved, and each cost is watched.

    governor.answer(asked, used=8400, given=10000, now_ms=…)          a decision, before its reservation
    governor.awaits(41, scenario, now_ms)                             … after it, where something is held for it
    governor.settled(97, 41, estimate=120, cost=140, now_ms=…)        the entry that settles what decision 41 held

Rule 1: a request meets its attempts, then what is known already, then what is good enough already, then its cost.
Rule 2: nothing unknown makes a request cheaper or likelier to go on.
Rule 3: a downgrade ends by costs near their estimates, where the policy says so, or by a policy whose `recovered` is
higher than any before it: who activated that stands in its entry. A policy without governance forgets everything.

    governed:   [1,[2,false,0]]   `recovered` of the policies so far, and the tripwire; the changelog's record
"""

from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

import msgspec

from sidechain.models.dry.governance.insights import INSIGHT_PREFIX, Insights
from sidechain.models.dry.governance.rules import (
    FULL_BP,
    Answer,
    Governance,
    Level,
    Request,
    Why,
    authorise,
    charge,
    is_enough,
    level_of,
    wait_before,
)
from sidechain.models.dry.governance.tripwire import CorruptTripwire, Event, Tripwire, adopted, load, step
from sidechain.models.dry.shares import share
from sidechain.models.dry.state import Change

GOVERNED_KEY: Final = b"governed:"
GOVERNED_PREFIXES: Final = (GOVERNED_KEY, INSIGHT_PREFIX)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[int, msgspec.Raw]).decode


class Asked(NamedTuple):
    """What a policy's expressions say of one request. None is unknown."""

    request: Request
    scenario: str | None = None  # None: no insight is kept of it
    attempt: int | None = 1
    quality_bp: int | None = None  # of work that is under way
    consumed: int | None = None  # by it, in the account's unit


class Governed(msgspec.Struct, frozen=True):
    """The answer to a request, as the decision's entry holds it in `budget`."""

    answer: Answer | Literal["insight", "enough"]  # these two need nothing more: it is known, or good enough
    why: Why | Literal["insight_found", "quality_reached", "attempts_exhausted", "attempt_unknown"]
    level: Level  # of the account with what this request would take
    base: int | None  # None: unknown, or no amount
    multipliers: tuple[tuple[str, int], ...]  # name and basis points, in the order they apply
    downgraded: bool
    cost: int  # to be reserved; 0 unless it may go on
    wait_ms: int | None = None  # before this attempt; None: it is the first, or there is none
    insight: int | None = None  # the decision that found it out


class Watched(msgspec.Struct, frozen=True):
    """What a cost did to the tripwire, as the settlement's entry holds it in `budget`."""

    event: Event
    tripwire: Tripwire  # afterwards
    learned: str | None  # the scenario that is known from here on


class Governor:
    """The tripwire and the insights of one partition."""

    def __init__(self, rules: Governance, recovered: int) -> None:
        """`recovered`: that of the policy in force."""
        self._rules = rules
        self._recovered = recovered
        self._tripwire = Tripwire()
        self._insights = Insights(rules)
        self._is_dirty = True
        self._share = 0

    @property
    def names(self) -> list[bytes]:
        """Of its records on the changelog."""
        return [GOVERNED_KEY, *self._insights.names]

    def begin_downgraded(self) -> None:
        """The state is lost: nobody knows whether it was downgraded, so a person has to recover it."""
        self._tripwire = Tripwire(is_downgraded=True)
        self._is_dirty = True

    @property
    def tripwire(self) -> Tripwire:
        """As it stands."""
        return self._tripwire

    @property
    def held_bp(self) -> int:
        """The part of its cost that a request is held at: less than all once the tripwire has downgraded it."""
        return self._rules.downgraded_bp if self._tripwire.is_downgraded else FULL_BP

    @property
    def total(self) -> int:
        """Of the shares of all records, as of the last `changes`."""
        return self._share + self._insights.total

    def change(self, rules: Governance, recovered: int) -> None:
        """A policy took effect."""
        self._tripwire = Tripwire() if recovered > self._recovered else adopted(rules, self._tripwire)
        self._recovered = max(recovered, self._recovered)
        self._rules = rules
        self._insights.change(rules)
        self._is_dirty = True

    def answer(self, asked: Asked, *, used: int, given: int, now_ms: int) -> Governed:
        """Whether the request may go on, and what is to be reserved for it.

        `used` and `given` are those of the account before the request (`Book.used`, `Book.initial`).
        """
        rules, request, downgraded = self._rules, asked.request, self._tripwire.is_downgraded
        charged = charge(rules, request)
        level = level_of(rules, used, given)
        about: tuple[int | None, tuple[tuple[str, int], ...], bool] = (None, (), downgraded)
        if charged is not None:
            about = request.base, charged.multipliers, downgraded
        if asked.attempt is None or asked.attempt < 1:
            return Governed("refuse", "attempt_unknown", level, *about, 0)
        wait_ms = wait_before(rules, asked.attempt)
        if wait_ms is None and asked.attempt > 1:
            return Governed("refuse", "attempts_exhausted", level, *about, 0)
        insight = None if asked.scenario is None else self._insights.find(asked.scenario, now_ms)
        if insight is not None:
            return Governed("insight", "insight_found", level, *about, 0, wait_ms, insight)
        is_told = charged is not None and asked.consumed is not None and asked.consumed >= 0
        if is_told and is_enough(rules, asked.quality_bp, asked.consumed or 0, charged.cost if charged else 0):
            return Governed("enough", "quality_reached", level, *about, 0, wait_ms)
        found = authorise(rules, request, used=used, given=given, is_downgraded=downgraded)
        return Governed(found.answer, found.why, found.level, *about, found.cost, wait_ms)

    def awaits(self, decision: int, scenario: str | None, now_ms: int) -> None:
        """Something is held for this decision, which is the entry in the making: it will find out about a scenario."""
        if scenario is not None:
            self._insights.expect(scenario, decision, now_ms)

    def settled(
        self, entry: int, decision: int, *, estimate: int, cost: int, now_ms: int, is_bad: bool = False
    ) -> Watched:
        """Entry `entry` says what a decision cost; one that turned out bad has found out nothing."""
        self._tripwire, event = step(self._rules, self._tripwire, estimate=estimate, cost=cost)
        self._is_dirty = True
        if is_bad:
            self._insights.forget(decision)
            return Watched(event, self._tripwire, None)
        return Watched(event, self._tripwire, self._insights.learn(decision, entry, now_ms))

    def released(self, decision: int) -> None:
        """What this decision held was given back: nothing came of it."""
        self._insights.forget(decision)

    def changes(self) -> Iterator[Change]:
        """The state records that changed since the last call."""
        if self._is_dirty:
            value = _encode((self._recovered, self._tripwire))
            self._is_dirty = False
            self._share = share(GOVERNED_KEY, value)
            yield GOVERNED_KEY, value
        yield from self._insights.changes()

    def forget_changes(self) -> None:
        """As if `changes` had been asked and its answer thrown away."""
        self._is_dirty = False
        self._insights.forget_changes()

    def restore(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Take over the records of the changelog. Raises CorruptTripwire or CorruptInsight, which say what to do."""
        found = dict(records)
        value = found.pop(GOVERNED_KEY, None)
        if value is None:
            raise CorruptTripwire("the tripwire's record is missing; nobody can say whether it was downgraded")
        try:
            self._recovered, tripwire = _decode(value)
        except (ValueError, RecursionError) as fault:  # any bytes may stand there
            raise CorruptTripwire(f"{GOVERNED_KEY!r} cannot be read: {fault}") from fault
        self._tripwire = load(self._rules, bytes(tripwire))
        self._insights.restore(found.items())
        self._is_dirty = False
        self._share = share(GOVERNED_KEY, value)
