"""Whatever the wet side tells carries its reasons on the wire: parts that add up to a score, and words, in any pack."""

import ast
import json
from collections import Counter, OrderedDict
from functools import cache
from math import fsum
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from sidechain.agents.wet.drift import alert
from sidechain.agents.wet.edge import Edge
from sidechain.agents.wet.metric_watch import alert as metric_alert
from sidechain.agents.wet.risk import Names, RiskAgent, restored
from sidechain.agents.wet.sentinel import record
from sidechain.models import Decider, samples
from sidechain.models.pack_file import load_pack
from sidechain.models.wet.alertmanager import of_prometheus
from sidechain.models.wet.drift import BAD, InputDrift, PerformanceDrift, psi
from sidechain.models.wet.incidents import Heard
from sidechain.models.wet.metric_watch import Told
from sidechain.models.wet.reasoning import of_figures, of_parts
from sidechain.models.wet.risk import Risks
from sidechain.topics.alerts import Alert
from sidechain.topics.codec import encode
from sidechain.topics.wet import Compensation, Metadata, Score

PACKS = ("web", "network", "payments")
ROWS = 2_500
AGENTS = Path(__file__).parents[2] / "agents"
T0 = 807_256_800_000


class Written(msgspec.Struct):
    """What a record of a topic looks like to an agent."""

    value: bytes
    topic: str = "wet.scores"
    partition: int = 0
    offset: int = 0


@cache
def entries(pack: str) -> list[bytes]:
    """The beginning of a pack's sample, decided."""
    policy = load_pack(pack)
    return list(Decider(policy).lines(samples.events(policy)[:ROWS]))


def adds_up(one: Score | Metadata | Compensation | Alert) -> bool:
    """Within a millionth, with the weightiest part first, and words."""
    if not one.reasons or one.score is None or one.base is None or not one.rationale:
        return False
    sizes = [abs(part) for _, part in one.reasons]
    return sizes == sorted(sizes, reverse=True) and abs(one.base + fsum(p for _, p in one.reasons) - one.score) <= 1e-6


@pytest.mark.parametrize("pack", PACKS)
def test_every_advice_of_a_packs_sample_carries_its_reasons(pack: str) -> None:
    """Through kernel, tap, panel and risk agent, to the bytes of the records; half way the agent begins anew."""
    policy, lines = load_pack(pack), entries(pack)
    edge = Edge(policy, b"sixteen bytes or more", 250)
    scores = [msgspec.json.decode(encode(one), type=Score) for one in (*edge.scores(lines), *edge.rest())]
    assert all(adds_up(one) for one in scores if one.reasons)
    by_id, told, asked = {one.id: one for one in scores}, list[Metadata](), list[Compensation]()
    for some in (scores[: ROWS // 2], scores[ROWS // 2 :]):
        agent = risk_agent(policy, told)
        for out in agent.fold(0, [Written(encode(one)) for one in some])[0]:
            if out.topic == "metadata":
                told.append(msgspec.json.decode(out.value or b"", type=Metadata))
            else:
                asked.append(msgspec.json.decode(out.value or b"", type=Compensation))
    levels = Counter(one.level for one in told)
    assert min(levels["raised"], levels["critical"], len(asked)) >= 3
    assert pack == "web" or levels["normal"] >= 1, "the record that ends a risk is one of them"
    for one in (*told, *asked):
        assert adds_up(one), one
        assert one.explained is not None
        explained = by_id[one.explained]
        assert (one.score, one.base, one.reasons) == (explained.score, explained.base, explained.reasons)
        assert one.rationale == explained.rationale


def risk_agent(policy: Any, told: list[Metadata]) -> RiskAgent:
    """As it is after its start, with what stands on the topic read back."""
    agent = RiskAgent(policy, Names("metadata", "compensations"), {})
    agent._risks = {0: Risks(policy.wet, policy.event.max_step_ms)}
    agent._asked = {0: OrderedDict()}
    for one in told:
        restored(agent._risks[0], one)
    return agent


@pytest.mark.parametrize("pack", PACKS)
def test_a_decisions_rules_add_up_to_its_score_in_whole_points(pack: str) -> None:
    """The same shape in integers: base 0, cut at 10,000."""
    fired = 0
    for line in entries(pack):
        entry = json.loads(line)
        points = [one[2] for one in entry.get("reasons", []) if one[0] == "rule"]
        fired += bool(points)
        assert entry.get("score_bp", 0) == min(sum(points), 10_000)
    assert fired >= 20


def test_an_alarm_of_drift_says_what_its_figure_is_made_of() -> None:
    """A feature's index is the sum of what its ranges add; a mean has moved from where it was."""
    random = np.random.default_rng(1)
    inputs = InputDrift(("a", "b"), reference=2_000, window=500)
    inputs.add(np.column_stack([random.normal(50, 10, 2_000), np.full(2_000, np.nan)]))
    moved = np.column_stack([random.normal(80, 10, 500), random.normal(0, 1, 500)])
    [first, second] = inputs.add(moved)
    back = inputs.add(np.column_stack([random.normal(50, 10, 500), np.full(500, np.nan)]))
    assert (first.of, second.of, len(back)) == ("a", "b", 2)
    assert first.why.score == pytest.approx(inputs_psi(inputs, moved), abs=1e-6)
    assert first.why.reasons[0][0].startswith("above ")
    assert [name for name, _ in second.why.reasons] == ["known", "unknown"]
    performance, found = PerformanceDrift(), []
    for at in range(4_000):
        found += performance.add(0.9 if at < 2_000 else 0.3, is_bad=True)
    assert found[0].of == BAD
    assert found[0].why.base == pytest.approx(found[0].evidence["before"], abs=1e-6)
    for one in (first, second, *back, *found):
        made = msgspec.json.decode(encode(alert(one, T0)), type=Alert)
        assert adds_up(made), made


def test_a_metric_that_is_strange_is_the_whole_reason() -> None:
    """Its score is one number."""
    one = Told("door.opened", is_firing=True, summary="never so", evidence={"value": 7, "score": 0.99})
    made = metric_alert(one, T0)
    assert adds_up(made)
    assert made.reasons == (("door.opened", 0.99),)


def inputs_psi(inputs: InputDrift, rows: np.ndarray) -> float:
    """The index of the first feature once more, from the edges its rows were cut at."""
    edges = inputs._edges[0]
    actual = np.array([*np.histogram(rows[:, 0], [-np.inf, *edges, np.inf])[0], 0.0])
    return psi(inputs._expected[0], actual)


PROMETHEUS = b"""{"data":{"alerts":[
 {"labels":{"alertname":"A"},"state":"firing","value":"2.5e+00"},
 {"labels":{"alertname":"B"},"state":"firing","value":"NaN"},
 {"labels":{"alertname":"C"},"state":"firing"}]}}"""


@pytest.mark.parametrize(
    ("heard", "score", "words"),
    [
        (Heard(rule="SidechainLaneHalted", at_ms=T0, evidence={"lanes": 3}), 3.0, "lanes 3"),
        (Heard(rule="SidechainCommitStalled", at_ms=T0, evidence={"silent_s": 90, "lag": 7}), 90.0, "silent_s 90"),
        (Heard(rule="SidechainBottleneck", at_ms=T0), 1.0, "it holds"),
        (Heard(rule="SidechainBottleneck", at_ms=T0, is_firing=False), 0.0, "it holds no more"),
        (Heard(rule="X", at_ms=T0, evidence={"is": True, "of": "a", "n": float("nan")}), 1.0, "it holds"),
        *zip(of_prometheus(PROMETHEUS, T0), (2.5, 1.0, 1.0), ("value 2.5", "it holds", "it holds"), strict=True),
    ],
)
def test_an_alert_goes_by_its_first_figure_or_holds(heard: Heard, score: float, words: str) -> None:
    """Whatever the sentinel writes of workers and of Prometheus."""
    made = msgspec.json.decode(encode(record(heard)), type=Alert)
    assert adds_up(made)
    assert (made.score, made.rationale) == (score, words)


def test_nobody_writes_an_alert_without_its_reasons() -> None:
    """Whoever makes one states all of it."""
    made = [
        {one.arg for one in node.keywords}
        for path in AGENTS.rglob("*.py")
        if "Alert(" in (text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Alert"
    ]
    assert len(made) >= 3
    assert all(one >= {"score", "base", "reasons", "rationale"} for one in made)


def test_parts_are_said_by_size() -> None:
    """Three of them in words, from where they begin."""
    why = of_parts([("a", 0.1), ("b", -0.25), ("c", 0.02), ("d", 0.3)], 0.5)
    assert why == (pytest.approx(0.67), 0.5, (("d", 0.3), ("b", -0.25), ("a", 0.1), ("c", 0.02)),
        "d +0.3, b -0.25, a +0.1, from 0.5", None)  # fmt: skip
    assert of_figures("R", {"level": 3}, is_firing=True).reasons == (("level", 3.0),)
