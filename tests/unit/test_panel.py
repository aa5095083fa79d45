"""The panel: everybody is asked, nobody can hurt the others."""

import itertools

import numpy as np
import pytest

from sidechain.models.wet.experts.consensus import agree
from sidechain.models.wet.experts.contract import FAILED, SCORED, TOO_FEW, WARMING, Batch, Flags, Opinion, opinion
from sidechain.models.wet.experts.panel import RESTED, TRIPPED_AT, Panel, sound
from sidechain.models.wet.selector import Settings
from tests.experts import MAKES, NAMES, world

SCORES = np.array([0.1, 0.9, 0.5])


def said(score: object, confidence: object = 0.5, state: int = SCORED, rows: int = 3) -> Opinion:
    """An opinion, also one no sound expert has."""
    return Opinion(
        np.broadcast_to(np.asarray(score, dtype=np.float64), rows).copy(),
        np.broadcast_to(np.asarray(confidence, dtype=np.float64), rows).copy(),
        np.zeros(rows, dtype=np.int64),
        np.full(rows, state, dtype=np.uint8),
    )


class Faulty:
    """An expert that does what it is told, wrong or right."""

    names = NAMES

    def __init__(self, name: str, answer: Opinion | Exception) -> None:
        self.name = name
        self.answer = answer
        self.asked = 0

    def score(self, batch: Batch) -> Opinion:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def learn(self, batch: Batch) -> None:
        if isinstance(self.answer, Exception):
            raise self.answer

    def learn_outcomes(self, batch: Batch, is_bad: Flags) -> None:
        self.learn(batch)


def panel(*experts: Faulty, **settings: float) -> Panel:
    """With a clock that stands still, unless the experts are slow."""
    return Panel(experts, lambda: 0.0, Settings(**settings))  # type: ignore[arg-type]


def three() -> Batch:
    """Rows to ask about."""
    return world(1, 3)[0]


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (said([np.nan, 0.9, 0.5]), [True, False, False]),
        (said([0.1, np.inf, -0.001]), [False, True, True]),
        (said(1.000001), [True, True, True]),
        (said(SCORES, confidence=[0.5, np.nan, 1.5]), [False, True, True]),
        (said(SCORES, confidence=[0.5, -0.001, 0.0]), [False, True, False]),
        (said(SCORES, state=99), [True, True, True]),
        (said(0.5, rows=2), [True, True, True]),  # two answers to three questions
        (RuntimeError("out of order"), [True, True, True]),
    ],
)
def test_an_expert_that_answers_nonsense_has_failed_for_those_rows(
    answer: Opinion | Exception, failed: list[bool]
) -> None:
    """The baseline speaks as if the other were not there, and the fault is counted once."""
    made = panel(Faulty("forest", said(SCORES, 0.3)), Faulty("other", answer))
    verdict = made.score(three())
    assert (verdict.opinions[1].state == FAILED).tolist() == failed
    assert (verdict.opinions[1].confidence[np.array(failed)] == 0.0).all()
    assert made.faults["other"] == 1
    assert made.raised["other"] == (isinstance(answer, Exception) or len(answer.score) != 3)
    assert verdict.score[np.array(failed)].tolist() == SCORES[np.array(failed)].tolist()
    assert not np.isnan(verdict.score).any()


def test_a_faulty_baseline_leaves_the_others_to_speak() -> None:
    """Or nobody, where nobody is sure enough."""
    made = panel(Faulty("forest", RuntimeError("out of order")), Faulty("other", said(SCORES, [0.9, 0.9, 0.1])))
    verdict = made.score(three())
    assert verdict.score[:2].tolist() == [0.1, 0.9]
    assert np.isnan(verdict.score[2])
    assert (made.chosen["other", "only"], made.chosen["nobody", "nobody"]) == (2, 1)


def test_an_expert_that_goes_on_failing_is_left_alone_for_a_while() -> None:
    """Five batches running; then 64 without it; then it is asked again, and may have recovered."""
    other = Faulty("other", RuntimeError("out of order"))
    made = panel(Faulty("forest", said(SCORES)), other)
    for _ in range(TRIPPED_AT + RESTED):
        made.score(three())
        made.learn(three())
        made.learn_outcomes(three(), np.zeros(3, dtype=bool))
    assert (other.asked, made.trips["other"]) == (TRIPPED_AT, 1)
    other.answer = said(0.9, 0.9)
    assert made.score(three()).opinions[1].state.tolist() == [SCORED] * 3
    assert made.trips["forest"] == 0


def test_four_faults_and_an_answer_are_no_reason_to_stop_asking() -> None:
    """Only faults one after the other count."""
    other = Faulty("other", RuntimeError("out of order"))
    made = panel(Faulty("forest", said(SCORES)), other)
    for _ in range(3):
        for answer in (*[RuntimeError("out of order")] * (TRIPPED_AT - 1), said(0.5)):
            other.answer = answer
            made.score(three())
    assert (other.asked, made.trips["other"]) == (3 * TRIPPED_AT, 0)


def test_a_slow_expert_is_worth_less() -> None:
    """Its latency is heard from the clock given: two seconds a batch, a limit of 100 ms."""
    ticks = itertools.cycle([0.0, 0.0, 0.0, 2_000.0])
    made = Panel(
        [Faulty("forest", said(SCORES, 0.3)), Faulty("other", said(0.9, 0.9))],
        lambda: next(ticks),
        Settings(margin=0.1),
    )
    first = made.score(three())
    assert made.selector.latency_ms.tolist() == [0.0, 200.0, 0.0]
    assert 1 not in first.selection.expert


def test_every_pair_of_expert_and_reason_is_counted_from_the_start() -> None:
    """A dashboard sees zeros, not gaps; and no pair appears that was not there."""
    made = Panel([MAKES[name](NAMES, 1) for name in ("forest", "geometric", "heuristic", "retrieval")], lambda: 0.0)
    before = set(made.chosen)
    assert set(made.chosen.values()) == {0}
    batch, is_bad = world(1, 400)
    made.score(batch)
    made.learn(batch)
    made.learn_outcomes(batch, is_bad)
    verdict = made.score(batch)
    assert set(made.chosen) == before
    assert sum(made.chosen.values()) == 800
    assert made.chosen["nobody", "nobody"] == 400
    assert len({expert for (expert, _), rows in made.chosen.items() if rows}) > 3
    assert not np.isnan(verdict.score).any()


def test_names_are_told_apart() -> None:
    """Two experts of one name could not be counted."""
    with pytest.raises(ValueError, match="a name of its own"):
        panel(Faulty("forest", said(0.5)), Faulty("forest", said(0.5)))
    with pytest.raises(ValueError, match="consensus"):
        panel(Faulty("consensus", said(0.5)))


@pytest.mark.parametrize(
    ("first", "second", "score", "confidence"),
    [
        ((0.2, 0.5), (0.2, 0.7), 0.2, 0.6),  # of one mind: the mean confidence
        ((0.2, 0.5), (0.8, 0.5), 0.5, 0.5 * (1 - 2 * 0.3)),
        ((0.0, 0.9), (1.0, 0.9), 0.5, 0.0),  # outright contradiction
        ((0.2, 0.75), (0.6, 0.25), 0.3, 0.5 * (1 - 2 * 0.03**0.5)),
        ((0.2, 0.0), (0.6, 0.0), 0.4, 0.0),  # two shrugs
    ],
)
def test_a_consensus_is_the_weighted_mean_less_what_they_differ(
    first: tuple[float, float], second: tuple[float, float], score: float, confidence: float
) -> None:
    """Worked out by hand."""
    made = agree([said(*first, rows=1), said(*second, rows=1)])
    assert made.score[0] == pytest.approx(score, abs=1e-5)
    assert made.confidence[0] == pytest.approx(confidence, abs=1e-5)


def test_one_voice_is_no_consensus() -> None:
    """Silence does not count as agreement."""
    quiet = opinion(np.zeros(1), np.zeros(1), np.array([WARMING], dtype=np.uint8))
    assert agree([said(0.9, 0.9, rows=1), quiet]).state.tolist() == [TOO_FEW]
    assert agree([said(0.9, 0.9, rows=1), said(0.9, 0.9, rows=1), quiet]).state.tolist() == [SCORED]


def test_a_sound_opinion_passes_as_it_is() -> None:
    """No copy, no change."""
    given = said(SCORES)
    assert sound(given, 3) is given
