"""Risk: evidence adds up, levels have hysteresis, risks end in event time, compensations are rare and idempotent."""

import math
from dataclasses import dataclass
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidechain.models.policy import Wet
from sidechain.models.wet.breaker import Breaker
from sidechain.models.wet.risk import (
    MOVED_BP,
    Risks,
    Standing,
    compensation_id,
    evidence_of,
    explained_from,
    level_after,
    risk_bp,
    step,
    weight,
)

MINUTE = 60_000
START = 807_256_800_000
WET = Wet(raise_at_bp=8_000, clear_at_bp=6_000, critical_at_bp=9_500, ttl_ms=10 * MINUTE, compensations_per_minute=4)


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score as the topic carries it."""

    score: float | None = 0.999
    at: int = START
    seq: int = 0
    key: str = "p:a"
    action: str = "allow"
    partition: int = 2
    model: str | None = "forest-1:00000000"
    base: float | None = 0.599
    rationale: str = "far from own history: gap_s 1 (usually 10-90)"
    reasons: tuple[tuple[str, float], ...] = (("gap_s", 0.4),)

    @property
    def id(self) -> str:
        return f"req-{self.seq}"


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (0.0, math.log(0.25)),  # as ordinary as it gets
        (0.5, math.log(0.25) + 0.75 * math.log(2)),
        (1 - 0.25 ** (4 / 3), 0.0),  # rank 0.8425: says nothing
        (0.99, math.log(0.25) + 0.75 * math.log(100)),
        (0.999_9, 2.5),  # one event adds so much at most
        (1.0, 2.5),
    ],
)
def test_the_weight_of_one_score(score: float, expected: float) -> None:
    """ln a - (1 - a) ln p, with a = 1/4 and p the share of the sample at least as unusual."""
    assert weight(score) == pytest.approx(expected)


def test_chance_alone_carries_no_weight_on_average() -> None:
    """Over uniform ranks the mean weight is below zero: ordinary traffic drifts to no evidence."""
    assert sum(weight((i + 0.5) / 10_000) for i in range(10_000)) / 10_000 < -0.5


@pytest.mark.parametrize(("evidence", "expected"), [(0.0, 100), (4.595_119_85, 5_000), (9.190_239_7, 9_900)])
def test_risk_is_a_prior_of_one_percent_plus_the_evidence(evidence: float, expected: int) -> None:
    """ln(99) = 4.595: as much evidence as that makes it even."""
    assert risk_bp(evidence) == expected
    assert evidence_of(expected) == pytest.approx(evidence, abs=0.001)


@pytest.mark.parametrize(
    ("before", "risk", "after"),
    [
        ("normal", 7_999, "normal"),
        ("normal", 8_000, "raised"),  # raised at its edge
        ("normal", 9_499, "raised"),
        ("normal", 9_500, "critical"),  # critical at its edge
        ("raised", 9_500, "critical"),
        ("raised", 7_999, "raised"),  # below where it was raised: stays
        ("raised", 6_001, "raised"),
        ("raised", 6_000, "normal"),  # cleared at its edge
        ("critical", 9_499, "raised"),
        ("critical", 6_001, "raised"),
        ("critical", 6_000, "normal"),
    ],
)
def test_levels_have_hysteresis(before: str, risk: int, after: str) -> None:
    """Between clear and raise the level stays what it was."""
    assert level_after(before, risk, WET) == after


def test_no_single_event_raises_anybody_and_the_fourth_is_critical() -> None:
    """2.5 each: 5.0 is 60 %, 7.5 is 94.8 %, and the cap at 99 % is reached with the fourth."""
    standing, seen = Standing(), []
    for at in range(4):
        standing, metadata, _ = step(standing, Score(at=START + at), WET)
        seen.append((risk_bp(standing.evidence), standing.level, metadata is not None))
    assert seen == [
        (1_096, "normal", False),
        (5_999, "normal", False),
        (9_481, "raised", True),
        (9_900, "critical", True),
    ]


def test_a_score_of_a_scorer_that_warms_up_changes_nothing() -> None:
    """Warm-up is a state, not a score of 0: it takes no evidence away either."""
    standing = Standing(evidence=7.0, level="raised", as_of=START, told_bp=9_000, told_at=START)
    assert step(standing, Score(score=None, model=None, at=START + MINUTE), WET) == (standing, None, None)


@pytest.mark.parametrize(
    ("after_ms", "level"),
    [
        (10 * MINUTE - 1, "critical"),  # one millisecond before its end it stands; one ordinary event changes little
        (10 * MINUTE, "normal"),
    ],
)
def test_an_unconfirmed_risk_ends_after_its_ttl(after_ms: int, level: str) -> None:
    """In event time, with a record that says so."""
    standing = Standing(evidence=9.0, level="critical", as_of=START, told_bp=9_880, told_at=START)
    after, metadata, _ = step(standing, Score(score=0.5, at=START + after_ms), WET)
    assert after.level == level
    assert metadata is not None
    assert metadata.level == level
    assert metadata.expires_at == START + after_ms + 10 * MINUTE


@pytest.mark.parametrize(
    ("told_bp", "told_ms_ago", "tells"),
    [
        (9_000, 0, False),  # evidence 6.79 after this score is 9,000
        (9_000 - MOVED_BP + 1, 0, False),
        (9_000 - MOVED_BP, 0, True),
        (9_000 + MOVED_BP, 0, True),
        (9_000, 5 * MINUTE - 1, False),
        (9_000, 5 * MINUTE, True),  # half the TTL: confirmed before it would end
    ],
)
def test_a_raised_risk_is_told_again_when_it_moved_or_half_its_time_has_passed(
    told_bp: int, told_ms_ago: int, tells: bool
) -> None:
    """And not at every score."""
    neutral = 1 - 0.25 ** (4 / 3)
    standing = Standing(evidence_of(9_000), "raised", START - 1, told_bp, START - told_ms_ago)
    after, metadata, _ = step(standing, Score(score=neutral), WET)
    assert risk_bp(after.evidence) == 9_000
    assert (metadata is not None) is tells


ORDINARY = {"reasons": (), "base": None, "rationale": "ordinary, not explained"}


def test_whatever_is_told_says_which_score_it_rests_on() -> None:
    """Raised, critical, asked for, after a restart and at its end: the latest score that had reasons, whole."""
    risks = Risks(WET, MINUTE)
    scores = [Score(seq=seq) for seq in range(4)]
    scores += [Score(seq=4, score=0.95, base=0.55), *(Score(seq=seq, score=0.2, **ORDINARY) for seq in range(5, 20))]
    seen = []
    for one in scores:
        if one.seq == 8:
            risks, before = Risks(WET, MINUTE), risks
            risks.restore("p:a", 9_000, "raised", START, before.standing("p:a").why)
        seen.append(risks.fold(one))
    told = [one.metadata for one in seen if one.metadata]
    assert [one.level for one in told][-1] == "normal"
    asked = [one.compensation for one in seen if one.compensation]
    assert len(told) >= 6
    assert len(asked) >= 2
    for one in (*told, *asked):
        assert one.why.score == pytest.approx(one.why.base + sum(part for _, part in one.why.reasons), abs=1e-6)
        assert one.why.rationale == Score().rationale
    assert [one.why.of for one in told][-3:] == ["req-4"] * 3
    assert told[-1].id not in ("req-3", "req-4"), "what led here is another one"


@pytest.mark.parametrize(("raise_at_bp", "above"), [(8_000, 0.82), (101, 0.82), (100, 0.0)])
def test_where_no_evidence_raises_everybody_every_score_has_reasons(raise_at_bp: int, above: float) -> None:
    """The risk of nobody in particular is 100 basis points."""
    wet = Wet(raise_at_bp=raise_at_bp, clear_at_bp=50, critical_at_bp=9_500, explain_above_bp=8_200)
    assert explained_from(wet) == above
    assert weight(explained_from(Wet(explain_above_bp=8_400))) < 0.0


def test_a_normal_risk_is_never_told() -> None:
    """Most entities never appear on the metadata topic."""
    standing = Standing()
    for at in range(200):
        standing, metadata, compensation = step(standing, Score(score=0.84, at=START + at * MINUTE), WET)
        assert metadata is None
        assert compensation is None


CRITICAL = Standing(evidence_of(9_900), "critical", START, 9_900, START)


@pytest.mark.parametrize(("action", "asks"), [("allow", True), ("monitor", True), ("review", False), ("block", False)])
def test_a_compensation_is_asked_only_for_what_was_let_through(action: str, asks: bool) -> None:
    """A decision that stopped or parked something needs no second look from here."""
    compensation = step(CRITICAL, Score(action=action), WET)[2]
    assert (compensation is not None) is asks


def test_a_raised_risk_asks_for_nothing() -> None:
    """Only critical does."""
    standing = Standing(evidence_of(8_500), "raised", START, 8_500, START)
    assert step(standing, Score(score=0.8), WET)[2] is None


def test_the_same_decision_asks_under_the_same_id() -> None:
    """SHA-256 of decision id, partition and seq, 32 hex digits; any of them different is another request."""
    assert compensation_id("req-7", 2, 41) == "cmp-" + sha256(b"req-7|2|41").hexdigest()[:32]
    assert len({compensation_id(*one) for one in (("a", 1, 2), ("a", 1, 3), ("a", 2, 2), ("b", 1, 2))}) == 4
    asked = [step(CRITICAL, Score(seq=5), WET)[2] for _ in range(2)]
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    ("asks", "passed", "tripped"),
    [
        ([0, 0, 0, 0], [1, 1, 1, 1], False),  # a burst of four, as many as a minute allows
        ([0, 0, 0, 0, 0], [1, 1, 1, 1, 0], True),  # the fifth trips it
        ([0, 0, 0, 0, 0, 59_999], [1, 1, 1, 1, 0, 0], True),  # all four are within a minute
        ([0, 0, 0, 0, 0, 60_000], [1, 1, 1, 1, 0, 1], False),  # none is
        ([0, 0, 30_000, 30_000, 30_000, 60_000], [1, 1, 1, 1, 0, 1], False),  # half of them are not: recovered
        ([0, 1, 1, 1, 1, 60_000], [1, 1, 1, 1, 0, 0], True),  # one is not: not yet
        ([0, 0, 1, 1, 1, 60_000, 60_000, 60_000], [1, 1, 1, 1, 0, 1, 1, 0], True),
        ([0, 15_000, 30_000, 45_000, 60_000, 75_000], [1, 1, 1, 1, 1, 1], False),  # a steady pace never trips it
        ([60_000, 0, 0, 0, 0], [1, 1, 1, 1, 0], True),  # time does not run backwards
    ],
)
def test_the_breaker_trips_and_recovers(asks: list[int], passed: list[int], tripped: bool) -> None:
    """Four a minute of event time."""
    breaker, seen = Breaker(4), []
    for at in asks:
        breaker.hear(START + at)
        seen.append(int(breaker.allows()))
    assert (seen, breaker.is_tripped) == (passed, tripped)


@pytest.mark.parametrize(
    ("before", "passed"),
    [
        ([], 4),
        ([0, 0, 0], 1),  # three within the minute before
        ([-60_000, -60_000, -59_999], 3),  # the first two are a minute old
        ([0] * 9, 0),  # more than there may be: another number was in force
        ([30_000] * 3, 1),  # we read again what was read before
        ([9 * 60_000] * 4, 0),  # of a time that has not come ...
    ],
)
def test_what_passed_before_a_restart_counts(before: list[int], passed: int) -> None:
    """For the minute they are in."""
    breaker = Breaker(4)
    for one in before:
        breaker.restore(START + one)
    breaker.hear(START)
    assert sum(breaker.allows() for _ in range(6)) == passed
    breaker.hear(START + 120_000)
    assert breaker.allows()  # ... holds nothing up for longer than two minutes


@given(
    steps=st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 6)), max_size=60),
    restarts=st.dictionaries(st.integers(0, 59), st.integers(0, 90_000), max_size=3),
)
def test_no_minute_has_more_than_allowed(steps: list[tuple[int, int]], restarts: dict[int, int]) -> None:
    """Whatever is asked when, however often the worker begins anew, and however far back: counted over every minute."""
    breaker, now, passed = Breaker(4), START, list[int]()
    for number, (later, asks) in enumerate(steps):
        now += later
        if number in restarts:
            breaker, now = Breaker(4), now - restarts[number]
            for one in passed:
                breaker.restore(one)
        breaker.hear(now)
        passed += [now for _ in range(asks) if breaker.allows()]
    assert all(sum(begin <= one < begin + MINUTE for one in passed) <= 4 for begin in passed)


def test_a_pack_that_allows_no_compensation_gets_none() -> None:
    """Zero a minute is zero."""
    breaker = Breaker(0)
    breaker.hear(START)
    assert not breaker.allows()
    breaker.hear(START + 1_000 * MINUTE)
    assert not breaker.allows()


def fold_all(risks: Risks, scores: list[Score]) -> list[tuple[bool, bool, bool]]:
    return [
        (one.metadata is not None, one.compensation is not None, one.is_suppressed) for one in map(risks.fold, scores)
    ]


def test_what_the_breaker_holds_back_is_said() -> None:
    """The metadata goes out all the same."""
    risks = Risks(WET, max_step_ms=MINUTE)
    outcomes = fold_all(risks, [Score(seq=seq, at=START) for seq in range(10)])
    assert [one for _, one, _ in outcomes] == [False] * 3 + [True] * 4 + [False] * 3
    assert [one for _, _, one in outcomes] == [False] * 7 + [True] * 3
    assert (risks.breaker.trips, risks.breaker.is_tripped) == (1, True)


def test_a_score_folded_twice_counts_once() -> None:
    """At-least-once delivery repeats records; evidence must not double."""
    once, twice = Risks(WET, MINUTE), Risks(WET, MINUTE)
    scores = [Score(seq=seq) for seq in (0, 1, 2)]
    fold_all(once, scores)
    fold_all(twice, [scores[0], scores[0], scores[1], scores[0], scores[1], scores[2], scores[2]])
    assert once.standing("p:a") == twice.standing("p:a")
    assert twice.repeated == 4


def test_one_far_future_timestamp_ends_nobodys_risk() -> None:
    """Not its sender's either: event time moves by one step at most."""
    risks = Risks(WET, max_step_ms=MINUTE)
    fold_all(risks, [Score(seq=seq) for seq in range(4)])
    risks.fold(Score(seq=4, score=0.9, at=START + 10**12))
    assert risks.standing("p:a").level == "critical"
    assert risks.standing("p:a").as_of == START + MINUTE
    risks.fold(Score(seq=5, score=0.9, at=START + 1))
    assert risks.standing("p:a").level == "critical"


def test_a_restart_continues_from_the_last_metadata_record() -> None:
    """Evidence is derived from the risk that was told."""
    before, after = Risks(WET, MINUTE), Risks(WET, MINUTE)
    told = [one.metadata for one in map(before.fold, [Score(seq=seq) for seq in range(3)]) if one.metadata][-1]
    after.restore(told.key, told.risk_bp, told.level, told.as_of, told.why)
    assert after.standing("p:a").evidence == pytest.approx(before.standing("p:a").evidence, abs=0.005)
    nexts = [risks.fold(Score(seq=3)).metadata for risks in (before, after)]
    assert nexts[0] == nexts[1]
    after.restore("p:a", 100, "normal", START)
    assert len(after) == 0


def test_entities_are_bounded_and_the_longest_unheard_goes_first() -> None:
    """Counted, and only entities with evidence against them are kept at all."""
    risks = Risks(WET, MINUTE, max_entities=3)
    fold_all(risks, [Score(seq=seq, key=key) for seq, key in enumerate("abcad")])
    assert (len(risks), risks.forgotten) == (3, 1)
    assert risks.standing("b") == Standing()
    assert risks.standing("a").evidence == 5.0
    risks.fold(Score(seq=5, key="quiet", score=0.1))
    assert len(risks) == 3
