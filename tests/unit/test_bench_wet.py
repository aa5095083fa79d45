"""`bench wet` says no when a bound is broken, and what it counts is what it says."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from sidechain.agents.bench import unruly
from sidechain.agents.bench.advised import most_in_a_minute, summed, told
from sidechain.agents.bench.wet import modes, plan, summary
from sidechain.agents.bench.wet_round import UNRULY
from sidechain.agents.problems import UsageProblem
from sidechain.agents.wet.anomaly import Scorer
from sidechain.agents.wet.risk import RiskAgent
from sidechain.models.policy import Wet
from sidechain.models.wet.experts.fitted import FittedForest
from sidechain.models.wet.experts.geometric import Geometric
from sidechain.models.wet.risk import Risks
from tests.scoring import T0, at_work, scorer, taps

WET = Wet(vector=("a", "b"), warmup=64, compensations_per_minute=3)
QUIET: dict[str, Any] = {
    "faults": {}, "trips": {}, "breaker_trips": 0, "held_back": 0, "compensations": 5, "most_in_a_minute": 3,
}  # fmt: skip
ALONE: dict[str, Any] = {"faults": {"geometric": 9}, "trips": {"geometric": 1}}


def row(mode: str, per_s: int = 1_000, p99: float = 20.0, **did: Any) -> dict[str, Any]:
    """One round."""
    return {
        "mode": mode,
        "events_per_s": per_s,
        "p50_ms": 3.0,
        "p99_ms": p99,
        **(QUIET if mode != "off" else {}),
        **did,
    }


@pytest.mark.parametrize(
    ("rows", "broken"),
    [
        ([row("on", 900, 25.0), row("nan", 810, 31.25, **ALONE)], []),  # bounds include their edges
        ([row("on", 899)], ["the wet side leaves 0.899"]),
        ([row("on", p99=25.2)], ["the wet side makes p99 1.260 times that with none"]),
        ([row("on"), row("slow", 890)], ["slow: the wet side leaves 0.890 of the throughput with one at work"]),
        ([row("on"), row("killed", p99=26.0)], ["killed: the wet side makes p99 1.300"]),
        ([row("on", most_in_a_minute=4)], ["on: one partition has 4 compensations within a minute, 3 are allowed"]),
        ([row("on"), row("lying", most_in_a_minute=4)], ["lying: one partition has 4"]),
        ([row("on"), row("raising")], ["faults were counted of nobody", "geometric went on failing"]),
        ([row("on"), row("hanging", faults={"geometric": 9})], ["hanging: geometric went on failing"]),
        ([row("on"), row("nan", **{**ALONE, "faults": {"geometric": 9, "forest": 1}})], ["of forest, geometric"]),
        ([row("on", faults={"forest": 1})], ["on: faults were counted of forest"]),
        ([row("on"), row("certain", **ALONE)], ["certain: faults were counted of geometric"]),
        ([row("on"), row("critical")], ["critical: no breaker tripped"]),
        ([row("on"), row("critical", breaker_trips=1)], []),
    ],
)
def test_a_bound_that_is_broken_is_named(rows: list[dict[str, Any]], broken: list[str]) -> None:
    """Beside one round without a wet side, at 1,000 decisions a second and 20 ms; three a minute are allowed."""
    found = summary([row("off"), *rows], 3)
    assert found["is_met"] is not bool(broken)
    assert len(found["broken"]) == len(broken)
    assert all(part in said for part, said in zip(broken, found["broken"], strict=True)), found["broken"]


@pytest.mark.parametrize(
    ("times", "most"),
    [([], 0), ([5], 1), ([0, 59_999], 2), ([0, 60_000], 1), ([70_000, 0, 20_000, 69_999], 3), ([1] * 9, 9)],
)
def test_a_minute_is_any_sixty_seconds(times: list[int], most: int) -> None:
    """Not those of the clock."""
    assert most_in_a_minute(times) == most


def test_several_rounds_are_summed_up_and_the_worst_minute_counts() -> None:
    """Of a round whose worker could not be asked nothing is known."""
    found = summed([{**QUIET, **ALONE, "most_in_a_minute": 7}, {"compensations": 2, "most_in_a_minute": 1}])
    assert (found["compensations"], found["most_in_a_minute"], found["faults"]) == (7, 7, {"geometric": 9})


def test_what_a_worker_shows_is_told_by_expert() -> None:
    """Those that never failed are left out."""
    shown = {
        "sidechain_expert_faults_total": {(("expert", "forest"),): 0.0, (("expert", "geometric"),): 5.0},
        "sidechain_breaker_trips_total": {(): 2.0},
        "sidechain_compensations_total": {(("result", "sent"),): 9.0, (("result", "suppressed"),): 4.0},
    }
    found = told(shown)
    assert (found["faults"], found["trips"], found["breaker_trips"], found["held_back"]) == ({"geometric": 5}, {}, 2, 4)


def test_ways_to_go_wrong_are_named_and_stand_between_the_pairs() -> None:
    """Each has a round without a wet side and one with it near by."""
    assert modes("") == UNRULY
    assert modes(" killed, nan") == ("nan", "killed")
    assert " ".join(plan(2, ("nan", "slow", "killed"))) == "off on nan on off slow killed"
    assert list(plan(1, ())) == ["off", "on"]
    with pytest.raises(UsageProblem, match="--only: nann is no way to go wrong; there are slow, lying, nan"):
        modes("slow,nann")


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is replaced is itself again afterwards."""
    for owner, name in ((Scorer, "score"), (RiskAgent, "_metadata"), (Geometric, "score"), (FittedForest, "score")):
        monkeypatch.setattr(owner, name, getattr(owner, name))


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(("way", "trips"), [("nan", 1), ("raising", 1), ("certain", 0)])
def test_a_planted_expert_fails_as_it_is_called(way: str, trips: int) -> None:
    """And nobody else; for one that hangs see `test_wet_faults`."""
    unruly.WAYS[way]()
    made = scorer(WET)
    scores = at_work(made, WET, 800, size=50, labelled=False)
    assert scores[-1].state == "scored"
    assert made.ensemble.panel.trips == Counter(geometric=trips, forest=0, heuristic=0, retrieval=0, consensus=0)


@pytest.mark.usefixtures("planted")
def test_a_forest_that_goes_wrong_trips_the_breaker_and_asks_for_no_more_than_it_may() -> None:
    """It was right before; from then on whoever decides is asked to look at everything."""
    unruly.critical(right_rows=2_000)
    made, risks, sent, trips = scorer(WET), Risks(WET, 86_400_000), list[int](), list[int]()
    for first in range(0, 4_000, 200):
        for one in made.score(taps(WET, first, 200, bad=0.0)[0]):
            soon = msgspec.structs.replace(one, at=T0 + one.seq * 1_000)  # made-up taps are a minute apart
            sent += [soon.at] * (risks.fold(soon).compensation is not None)
        trips.append(risks.breaker.trips)
    assert trips[-1] > 2 * trips[9], "from the 2,000th row on"
    assert most_in_a_minute(sent) == WET.compensations_per_minute
