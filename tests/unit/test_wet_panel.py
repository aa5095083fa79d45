"""The panel at work: whose word a score is, parts that add up, outcomes that come later."""

import math
import re
from collections import Counter
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from sidechain.agents.wet.panel_metrics import PanelMetrics, PanelSeries
from sidechain.agents.wet.past import NEWEST
from sidechain.models.pack_file import load_pack
from sidechain.models.policy import PANEL, Wet
from sidechain.models.wet.selector import REASONS, labels
from sidechain.topics.codec import encode
from sidechain.topics.wet import Score
from tests.scoring import at_work, cases, scorer, taps

WET = Wet(vector=("a", "b", "c", "d"), warmup=200, words={"a": "unusual temporal cluster"})
OLD = (
    b'{"id":"door-3","key":"p:a","at":807256861000,"partition":0,"seq":4,"action":"review","model":"forest-3:ab12cd34",'
    b'"state":"scored","score":0.93,"base":0.41,"reasons":[["gap",0.52]],"rationale":"unusual"}'
)


@pytest.mark.parametrize("pack", ["web", "network", "payments"])
def test_every_record_with_a_vector_adds_up_and_every_high_score_has_one(pack: str) -> None:
    """On the wire, whoever speaks, before and after experts are calibrated; a part for every feature."""
    wet = load_pack(pack).wet
    made = scorer(wet)
    decode = msgspec.json.Decoder(Score).decode
    spoke, calibrated = Counter[str | None](), Counter[str]()
    scores = at_work(made, wet, 1_000, labelled=False) + at_work(made, wet, 1_000, begin=1_000)
    for one in map(decode, map(encode, scores)):
        if one.score is None:
            assert (one.state, one.model, one.base, one.reasons) == ("warming", None, None, ())
            continue
        assert 0.0 <= one.score <= 1.0
        assert bool(one.reasons) == (one.score >= 0.8), "full vectors from explain_above on, and nowhere else"
        assert (one.base is None) == (not one.reasons)
        if one.reasons:
            spoke[one.expert] += 1
            calibrated[one.calibration] += 1
            assert one.base is not None
            assert one.base + sum(part for _, part in one.reasons) == pytest.approx(one.score, abs=1e-6)
            assert {name for name, _ in one.reasons} == set(wet.vector)
            sizes = [abs(part) for _, part in one.reasons]
            assert sizes == sorted(sizes, reverse=True)
    assert set(spoke) >= {"forest", "geometric", "consensus"}, spoke
    assert min(calibrated["calibrated"], calibrated["uncalibrated"]) > 50


@pytest.mark.parametrize("labelled", [False, True])
def test_every_experts_parts_add_up_to_what_its_scores_come_to(labelled: bool) -> None:
    """Whichever of them had been chosen, the consensus too; with one base for all rows of an expert."""
    made = scorer(WET)
    at_work(made, WET, 1_000, labelled=labelled)
    ensemble, batch = made.ensemble, made._batch(taps(WET, 1_000, 200)[0])
    judged = ensemble.judge(batch)
    for at, name in enumerate(ensemble.names):
        scored = np.flatnonzero(~np.isnan(judged.said[at]))
        if not len(scored):
            assert name == "retrieval"
            assert not labelled
            continue
        score = np.full(len(batch), np.nan)
        score[scored] = ensemble._standing(at, judged.said[at, scored])
        [why] = ensemble.explain(batch, replace(judged, score=score, expert=np.full(len(batch), at)), scored)
        assert np.abs(why.base + why.parts.sum(axis=1) - score[scored]).max() < 1e-9
        assert set(why.names) == set(WET.vector)


def test_a_record_says_whose_word_it_is_and_why() -> None:
    """Expert and reason are a pair a counter knows; the model is that expert's; words come from the vocabulary."""
    made = scorer(WET)
    passed = at_work(made, WET, 1_000, labelled=False) + at_work(made, WET, 1_000, begin=1_000)
    scores = [one for one in passed if one.state == "scored"]
    known = set(labels(made.ensemble.names))
    for one in scores:
        assert (one.expert, one.chosen) in known
        assert one.model is not None
        assert one.model.startswith(str(one.expert))
        assert (one.calibration == "calibrated") == (one.probability is not None)
        assert (one.evidence > 0) <= (one.expert in ("retrieval", "consensus"))
    assert any(one.rationale.startswith("unusual temporal cluster: a ") for one in scores)
    pooled = [one.rationale for one in scores if one.expert == "consensus" and one.calibration == "calibrated"]
    assert any(one.startswith("similar to ") for one in pooled), "in the words of who is surest"


def test_words_come_from_a_fixed_vocabulary() -> None:
    """An expert that does not judge by what is usual for all says what it judges by."""
    said = {}
    for name in ("heuristic", "retrieval"):
        scores = at_work(scorer(replace(WET, experts=(name,))), WET, 1_000)
        said[name] = next(one.rationale for one in reversed(scores) if "usually" in one.rationale)
    assert re.fullmatch(r"far from own history: \w \d+ \(usually -?\d+(--?\d+)?\).*", said["heuristic"])
    assert re.match(r"similar to \d+ confirmed cases \(e-\d+, e-\d+, e-\d+\): \w \d+ \(usually ", said["retrieval"])


@pytest.mark.parametrize("labelled", [False, True])
def test_scores_are_ranks_whoever_speaks(labelled: bool) -> None:
    """About a tenth lies above 0.9: of all rows, and once outcomes are known of those that turned out well."""
    scores = [one.score for one in at_work(scorer(WET), WET, 3_000, labelled=labelled)[1_500:]]
    is_bad = np.concatenate([taps(WET, first, 250)[1] for first in range(1_500, 3_000, 250)])
    ranked = np.array(scores)[~is_bad] if labelled else np.array(scores)
    assert np.mean(ranked > 0.9) == pytest.approx(0.1, abs=0.04)
    assert np.mean(ranked > 0.99) < 0.04


def test_a_flood_of_what_is_bad_does_not_come_to_look_usual() -> None:
    """Half of all rows are of one bad kind, and are known to be: they still score as they did when they were rare."""
    made = scorer(WET)
    at_work(made, WET, 1_000)
    for first in range(1_000, 2_500, 250):
        some, is_bad = taps(WET, first, 250, bad=1.0)
        scores = made.score(some)
        made.settle(cases(some, is_bad))
    assert np.mean([one.score > 0.9 for one in scores if one.score is not None]) > 0.9


def test_outcomes_are_learned_when_their_time_has_come_and_not_before() -> None:
    """With labels an hour late nothing is known within the first hour, however early they are read."""
    made = scorer(WET)
    at_work(made, WET, 50, size=50)  # fifty minutes
    assert (made.waiting.settled, made.waiting.outcomes) == (0, 50)
    made.score(taps(WET, 50, 50)[0])  # up to the hundredth minute: those of the first forty
    assert (made.waiting.settled, made.waiting.outcomes) == (40, 10)
    assert {one.seen for one in made.ensemble.labelled} == {0}, "nobody had said anything by then"


def test_an_expert_is_calibrated_from_fifty_labels_on() -> None:
    """Of rows it scored: its first score is the 201st, and outcomes are an hour late. Until then records say so."""
    made = scorer(WET)
    scores = at_work(made, WET, 400, size=10)
    at = made.ensemble.names.index("forest")
    assert made.ensemble.labelled[at].calibration.is_calibrated
    first = next(one for one in scores if one.calibration == "calibrated")
    assert 200 + 50 + 60 <= first.seq < 200 + 50 + 60 + 30


def test_without_outcomes_everything_stays_uncalibrated_and_says_so() -> None:
    """And nobody quotes cases."""
    scores = at_work(scorer(WET), WET, 1_500, labelled=False)
    assert {(one.calibration, one.probability, one.evidence) for one in scores} == {("uncalibrated", None, 0)}
    assert "retrieval" not in {one.expert for one in scores}


def test_what_outcomes_say_is_bad_scores_higher_although_nothing_is_unusual_about_it() -> None:
    """Small in the first two features, as many are; without outcomes that is nothing to look at."""

    def precision(*, labelled: bool) -> float:
        made, ranked = scorer(WET), []
        for first in range(0, 2_000, 250):
            some, _ = taps(WET, first, 250, bad=0.0)
            is_bad = [(one.features["a"] or 0) < 18 and (one.features["b"] or 0) < 18 for one in some]
            ranked += zip([one.score or 0.0 for one in made.score(some)], is_bad, strict=True)
            if labelled:
                made.settle(cases(some, is_bad))
        best = sorted(ranked[1_000:], reverse=True)[:50]
        return sum(bad for _, bad in best) / 50

    assert precision(labelled=True) > 2 * precision(labelled=False) + 0.2


def test_a_pack_chooses_who_is_asked() -> None:
    """The first one named is the baseline; a consensus that is not asked for is never heard."""
    wet = Wet(vector=("a", "b"), warmup=64, experts=("heuristic", "geometric"))
    made = scorer(wet)
    scores = at_work(made, wet, 1_000)
    assert made.ensemble.names[0] == "heuristic"
    assert {one.expert for one in scores if one.expert} == {"heuristic", "geometric"}
    assert made.model is None


def test_a_record_of_before_is_read_as_it_was_meant() -> None:
    """Fields that came later have their defaults."""
    old = msgspec.json.decode(OLD, type=Score)
    assert (old.expert, old.chosen, old.calibration, old.probability, old.evidence) == (
        None, None, "uncalibrated", None, 0,
    )  # fmt: skip
    assert old.score == 0.93


def test_a_restarted_scorer_knows_its_past_again() -> None:
    """Taps and outcomes of before pass once more: experts have learned, retrieval has its cases."""
    made = scorer(WET)
    for first in range(0, 1_000, 250):
        some, is_bad = taps(WET, first, 250)
        made.prime(some)
        made.settle(cases(some, is_bad))
    scores = made.score(taps(WET, 1_000, 100)[0])
    assert {(one.state, one.calibration) for one in scores} == {("scored", "calibrated")}
    assert made.waiting.settled >= 900


def test_after_a_restart_probabilities_are_those_of_before_within_a_twentieth() -> None:
    """From half of what passed, read as a new worker reads it: taps first, then cases; outcomes come an hour late.

    A worker looks back on more than that. Where outcomes are later than its tail is long, it begins uncalibrated.
    """
    before, after, tail = scorer(WET), scorer(WET), range(1_000, 2_000, 250)
    assert NEWEST > 1_000
    at_work(before, WET, 2_000)
    for first in tail:
        after.prime(taps(WET, first, 250)[0])
    for first in tail:
        after.settle(cases(*taps(WET, first, 250)))
    some, _ = taps(WET, 2_000, 250)
    told, again = ([one.probability for one in made.score(some)] for made in (before, after))
    assert None not in [*told, *again]
    assert np.abs(np.array(told, dtype=float) - np.array(again, dtype=float)).mean() < 0.05


def test_every_series_of_the_panel_is_there_from_the_start_and_adds_up() -> None:
    """Also those of pairs of expert and reason that never come; told twice it says the same."""
    made, registered = scorer(WET), CollectorRegistry()
    metrics = PanelMetrics(PanelSeries(registered, made.ensemble.names), made)

    def of(name: str, **labels: str) -> float:
        found = registered.get_sample_value(f"sidechain_{name}", labels)
        assert found is not None
        return found

    pairs = labels(made.ensemble.names)
    assert {of("expert_chosen_total", expert=expert, reason=why) for expert, why in pairs} == {0.0}
    assert math.isnan(of("expert_calibration_brier", expert="forest"))
    scores = at_work(made, WET, 1_000)
    for _ in range(2):
        metrics.tell()
    told = {pair: of("expert_chosen_total", expert=pair[0], reason=pair[1]) for pair in pairs}
    spoke = Counter((one.expert or "nobody", one.chosen or "nobody") for one in scores)
    assert {pair: rows for pair, rows in told.items() if rows} == spoke
    assert 0.0 < of("expert_calibration_brier", expert="forest") < 0.25
    assert of("panel_outcomes_total", result="learned") == made.waiting.settled == 1_000 - of("panel_waiting")
    assert of("expert_faults_total", expert="forest") == 0.0


def test_the_words_of_the_catalogue_of_experts_are_those_a_pack_may_use() -> None:
    """One list, of which the default is a part."""
    assert set(PANEL) < {"forest", "geometric", "heuristic", "retrieval", "consensus", "champion"}
    assert len(REASONS) == 6
