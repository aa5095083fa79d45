"""The drift worker's watch: which scores it joins with which outcomes, what stands, what it says on `alerts`."""

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from sidechain.agents.metrics import DRIFT_MEASURES, DRIFT_RULES, DriftMetrics
from sidechain.agents.wet.drift import Watch, alert
from sidechain.models.policy import Wet
from sidechain.models.proposal import Operation, read, sealed
from sidechain.models.wet.drift import MEASURES, RULES, Alarm, InputDrift
from sidechain.models.wet.reasoning import of_parts
from sidechain.models.wet.retraining import OPEN_MS, Asking, draft_of
from sidechain.topics.alerts import Alert
from sidechain.topics.codec import encode
from sidechain.topics.wet import Case, Score, Tap

WET = Wet(vector=("a", "b"))


def tap(seq: int, **features: int | None) -> Tap:
    return Tap(
        id=f"e-{seq}", key="p:1", at=seq, partition=0, seq=seq, action="allow", tier="pass", trust_bp=9_000,
        score_bp=0, policy="test@1:000000000000", features={"b": None, **features},
    )  # fmt: skip


def score(seq: int, value: float | None, partition: int = 0) -> Score:
    state = "warming" if value is None else "scored"
    return Score(
        id=f"e-{seq}", key="p:1", at=seq, partition=partition, seq=seq, action="allow", model=None, state=state,
        score=value, base=None, reasons=(), rationale="",
    )  # fmt: skip


def label(seq: int, word: str, partition: int = 0) -> Case:
    return Case(partition=partition, offset=seq + 1_000, seq=seq, at=seq, label=word)


def test_an_outcome_judges_the_score_of_its_own_decision_once() -> None:
    """Another partition's, one without a score, one told twice, and a decision itself: none of them counts."""
    watch = Watch(WET)
    watch.scored([score(1, 0.9), score(2, None), score(3, 0.2, partition=1)])
    known = [label(1, "bad"), label(1, "bad"), label(2, "bad"), label(3, "good"), label(4, "good")]
    assert watch.known([*known, Case(partition=0, offset=1, seq=1, at=1, of={"x": "y"})]) == []
    assert watch.judged == 1
    assert watch.performance.means[MEASURES[0]] == 0.9
    watch.known([label(3, "good", partition=1)])
    assert watch.judged == 2


def test_scores_wait_for_their_outcome_in_bounded_memory() -> None:
    """The oldest is forgotten, and counted."""
    watch = Watch(WET, waiting=3)
    watch.scored([score(seq, 0.5) for seq in range(5)])
    watch.known([label(seq, "good") for seq in range(5)])
    assert (watch.forgotten, watch.judged) == (2, 3)


def test_what_stands_is_what_began_and_has_not_ended() -> None:
    """And both are alerts, the same rule and labels on each."""
    watch = Watch(WET, InputDrift(WET.vector, reference=400, window=100))
    random = np.random.default_rng(1)
    usual, moved = random.integers(0, 100, 500).tolist(), random.integers(80, 180, 100).tolist()
    assert watch.tapped([tap(seq, a=value) for seq, value in enumerate(usual)]) == []
    [began] = watch.tapped([tap(seq, a=value) for seq, value in enumerate(moved)])
    assert list(watch.standing) == [("InputDrift", "a")]
    [ended] = watch.tapped([tap(seq, a=value) for seq, value in enumerate(usual[:100])])
    assert not watch.standing
    said = [msgspec.json.decode(encode(alert(one, 7)), type=Alert) for one in (began, ended)]
    assert [one.state for one in said] == ["firing", "resolved"]
    assert {(one.rule, one.at, one.severity) for one in said} == {("InputDrift", 7, "ticket")}
    assert [one.labels for one in said] == [{"stage": "wet", "feature": "a"}] * 2
    assert said[0].evidence["psi"] > 0.25 > said[1].evidence["psi"]


def test_a_pack_without_a_vector_is_watched_for_outcomes_alone() -> None:
    """There is nothing to hold against anything."""
    assert Watch(Wet()).tapped([tap(1, a=1)]) == []


def test_the_labels_of_the_metrics_are_those_of_the_model() -> None:
    """They stand there once more, so that a dry worker need not load numpy for them."""
    assert DRIFT_RULES == RULES
    assert DRIFT_MEASURES == MEASURES
    assert set(DriftMetrics(CollectorRegistry(), WET.vector).psi) == {"a", "b"}


@pytest.mark.parametrize(
    ("standing", "asked"),
    [
        ([0, 1, 2, 1, 1], [1]),  # once in a spell, however many alarms join it
        ([0, 1, 0, 1, 0, 1], [1]),  # and not while people may still say yes
        ([1, OPEN_MS, OPEN_MS], [0]),  # a spell that lasts longer than the proposal is the same spell
        ([1, 0, OPEN_MS, 1, 1], [0, 3]),  # another spell, and nothing is open any more
        ([0, 0, OPEN_MS, 0], []),
    ],
    ids=["one spell", "flapping", "long", "again", "nothing"],
)
def test_people_are_asked_once_in_a_spell_and_not_while_they_are_asked_already(standing, asked) -> None:
    """Each step a second later; a step of OPEN_MS is time that passes, with the alarms of the step before."""
    asking, now, alarms, found = Asking(), 1_000, 0, []
    for step, value in enumerate(standing):
        now += value if value == OPEN_MS else 1_000
        alarms = alarms if value == OPEN_MS else value
        if asking.is_due(alarms, now):
            found.append(step)
    assert found == asked


def test_what_was_asked_before_a_restart_counts() -> None:
    """Until it has expired."""
    asking = Asking()
    asking.remember(5_000)
    assert not asking.is_due(1, 4_999)
    assert not asking.is_due(0, 5_000)
    assert asking.is_due(1, 5_000)


def test_the_proposal_names_every_alarm_with_its_figures_and_what_to_run() -> None:
    """It is one that everybody takes who reads proposals, and a person does what it says."""
    alarms = [
        Alarm("PerformanceDrift", "score", True, "it fell", {"before": 0.9, "now": 0.4}, of_parts([("score", -0.5)])),
        Alarm("InputDrift", "amount", True, "amount moved", {"psi": 0.4}, of_parts([("to 3", 0.4)])),
    ]
    made = read(sealed(draft_of(alarms, "doors", 1_000)))
    assert (made.author, made.target, made.expires) == ("drift", "trainer.fit=now", 1_000 + OPEN_MS)
    assert isinstance(made.change, Operation)
    assert "sidechain train --pack doors" in made.change.words[0]
    [piece] = made.evidence
    assert piece.why == ("amount moved", "it fell")
    assert piece.figures["alarms"] == [
        {"rule": "InputDrift", "of": "amount", "rationale": "to 3 +0.4", "psi": 0.4},
        {"rule": "PerformanceDrift", "of": "score", "rationale": "score -0.5", "before": 0.9, "now": 0.4},
    ]
