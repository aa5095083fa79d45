"""A model that goes wrong is isolated, counted and left alone; what the wet side asks for stays within its bounds."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import msgspec
import numpy as np
import pytest

from sidechain.agents.wet.bounded import HungError, Watch, within
from sidechain.models.policy import Wet
from sidechain.models.wet.experts.contract import SCORED, WARMING, Batch, Flags, Matrix, Opinion, opinion
from sidechain.models.wet.experts.panel import RESTED, TRIPPED_AT, telling
from sidechain.models.wet.risk import Risks
from tests.scoring import cases, scorer, taps

NAMES = ("a", "b", "c", "d")
WET = Wet(vector=NAMES, warmup=100, experts=("forest", "geometric", "champion"), compensations_per_minute=3)
MINUTE_MS = 60_000


def nan(batch: Batch) -> Matrix:
    """Not a number."""
    return np.full(len(batch), np.nan)


def raises(batch: Batch) -> Matrix:
    """Out of order."""
    raise ZeroDivisionError("planted")


def hangs(batch: Batch) -> Matrix:
    """Never comes back by itself."""
    while True:
        pass


def sleeps(batch: Batch) -> Matrix:
    """Nor does this."""
    time.sleep(3_600)
    raise AssertionError


def everything(batch: Batch) -> Matrix:
    """All of it is as bad as can be."""
    return np.ones(len(batch))


def ordinary(batch: Batch) -> Matrix:
    """Something, of everybody."""
    return np.linspace(0.1, 0.9, len(batch))


class Model:
    """Somebody's champion; entirely sure of itself."""

    names = NAMES

    def __init__(self, says: Callable[[Batch], Matrix], *, name: str = "champion", at_learning: bool = False) -> None:
        self.name, self.is_rank = name, name == "forest"
        self.says, self.at_learning, self.asked = says, at_learning, 0

    def score(self, batch: Batch) -> Opinion:
        self.asked += 1
        score = np.full(len(batch), 0.5) if self.at_learning else self.says(batch)
        return Opinion(
            score,
            np.ones(len(batch)),
            np.zeros(len(batch), dtype=np.int64),
            np.full(len(batch), SCORED, dtype=np.uint8),
        )

    def learn(self, batch: Batch) -> None:
        if self.at_learning:
            self.says(batch)

    def learn_outcomes(self, batch: Batch, is_bad: Flags) -> None:
        """Nothing."""


FAULTS = [(nan, False), (raises, False), (raises, True), (hangs, False), (hangs, True), (sleeps, False)]


@pytest.mark.parametrize(("says", "at_learning"), FAULTS)
def test_a_faulty_model_costs_nobody_else_a_word(says: Callable[[Batch], Matrix], at_learning: bool) -> None:
    """It is counted, left alone after five batches, and asked again 64 later; the baseline speaks all the time."""
    model, baseline = Model(says, at_learning=at_learning), Model(ordinary, name="forest")
    wet = replace(WET, experts=("forest", "champion"))
    made = scorer(wet, given={"champion": model, "forest": baseline}, bounded=partial(within, 0.2))
    scores = [one for at in range(TRIPPED_AT + RESTED + 1) for one in made.score(taps(wet, 10 * at, 10)[0])]
    assert {one.state for one in scores} == {"scored"}
    panel = made.ensemble.panel
    assert panel.trips == Counter(forest=0, champion=1, consensus=0)
    assert model.asked == TRIPPED_AT + 1
    failed = TRIPPED_AT + 1 + at_learning  # at the end of its rest it may learn before it is asked
    assert panel.raised["champion"] == (0 if says is nan else failed)
    assert panel.hung["champion"] == (failed if says in (hangs, sleeps) else 0)
    assert panel.faults["champion"] == (0 if at_learning else failed)
    assert panel.raised["forest"] == panel.faults["forest"] == 0


def test_a_model_that_marks_everything_critical_asks_for_nothing() -> None:
    """What it says of everybody says nothing of anybody: it is surest of all, and advice is what it is without it."""
    asked = {}
    for name, given in (("with it", {"champion": Model(everything)}), ("without", {})):
        made, risks, became = scorer(WET, given=given), Risks(WET, 86_400_000), Counter[str]()
        for first in range(0, 1_500, 100):
            for one in made.score(taps(WET, first, 100, bad=0.0)[0]):
                became["asked"] += risks.fold(one).compensation is not None
                assert one.expert != "champion"
        asked[name] = became["asked"]
    assert asked["with it"] == asked["without"] > 0


def test_scores_that_are_all_critical_ask_for_no_more_than_is_allowed() -> None:
    """Whatever the reason: in ten minutes at most ten times the burst and the burst; the rest is counted."""
    made = scorer(WET)
    for first in range(0, 300, 100):
        made.prime(taps(WET, first, 100)[0])
    liar = made.score(taps(WET, 300, 1)[0])[0]
    risks = Risks(WET, 86_400_000)
    became = Counter[str]()
    for at in range(6_000):  # ten a second
        one = msgspec.structs.replace(liar, id=f"e-{at}", seq=at, at=at * 100, key=f"p:{at % 7}", score=1.0)
        outcome = risks.fold(one)
        became["sent"] += outcome.compensation is not None
        became["suppressed"] += outcome.is_suppressed
    assert 3 <= became["sent"] <= 11 * WET.compensations_per_minute
    assert became["suppressed"] > 5_000
    assert risks.breaker.trips >= 1


@pytest.mark.parametrize(("says", "is_heard"), [(everything, False), (ordinary, True)])
def test_who_says_the_same_of_everybody_replaces_nobody(says: Callable[[Batch], Matrix], is_heard: bool) -> None:
    """However sure of it; one that tells rows apart would be heard."""
    made = scorer(WET, given={"champion": Model(says)})
    for first in range(0, 1_500, 100):
        made.score(taps(WET, first, 100)[0])
    chosen = sum(rows for (expert, _), rows in made.ensemble.panel.chosen.items() if expert == "champion")
    assert (chosen > 500) is is_heard
    assert chosen > 500 or chosen == 0


@pytest.mark.parametrize(
    ("rows", "scores", "keeps"),
    [
        (np.arange(64.0), [0.9] * 64, False),
        (np.arange(63.0), [0.9] * 63, True),  # too few to say so
        (np.arange(64.0), [0.9] * 63 + [0.8], True),
        (np.full(64, 7.0), [0.9] * 64, True),  # the same of the same: a flood
        (np.full(64, np.nan), [0.9] * 64, True),
        (np.array([1.0, *[7.0] * 64]), [np.nan, *[0.9] * 64], True),  # the one that differs has no score
    ],
)
def test_one_score_for_rows_that_differ_is_worth_nothing(rows: Matrix, scores: list[float], keeps: bool) -> None:
    """It stays a score, and nobody is sure of it."""
    many = len(scores)
    given = opinion(np.array(scores), np.ones(many), np.where(np.isnan(scores), WARMING, SCORED).astype(np.uint8))
    told = telling(given, Batch(("a",), rows[:, None], [""] * many, [""] * many))
    assert (told is given) is keeps
    assert np.array_equal(told.score, given.score, equal_nan=True)
    assert bool(told.confidence.max() > 0.0) is keeps


def test_an_alarm_ends_a_turn_and_no_other() -> None:
    """What comes after runs as long as it likes; what ends in time never hears it."""
    with pytest.raises(HungError), within(0.01):
        hangs(Batch((), np.empty((0, 0)), [], []))
    with within(0.01), Watch() as watch:
        watch.alive()
    began = time.perf_counter()
    while time.perf_counter() - began < 0.03:
        pass


def test_outcomes_that_nobody_waits_for_are_counted_and_bounded() -> None:
    """Of decisions that never were; told twice; more than are held."""
    made = scorer(WET)
    some, is_bad = taps(WET, 0, 100)
    made.score(some)
    told = cases(some, is_bad, late_ms=0)
    made.settle([*told, *told])
    assert (made.waiting.settled, made.waiting.unknown, made.waiting.outcomes) == (100, 100, 0)
    made.waiting._most = 50
    made.settle(cases(taps(WET, 1_000, 80)[0], [True] * 80))
    assert (made.waiting.outcomes, made.waiting.dropped) == (50, 30)


def test_a_process_that_gives_no_sign_of_life_is_ended_from_outside() -> None:
    """Also where no alarm is heard; it says where it stood."""
    code = (
        "import signal, sidechain.agents.wet.bounded as bounded\n"
        "bounded.STUCK_S = 0.2\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})\n"
        "with bounded.Watch(), bounded.within(0.05):\n"
        "    while True: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == 1
    assert b"Timeout" in done.stderr
