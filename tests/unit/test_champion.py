"""The champion's place in the panel: empty, taken, explained, and scored by whichever runtime is right."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from sidechain.agents.wet.anomaly import Scorer
from sidechain.models.policy import Wet
from sidechain.models.wet import runtime
from sidechain.models.wet.boosted import Boosted
from sidechain.models.wet.experts.champion import Champion, ChampionSlot, missing
from sidechain.models.wet.experts.contract import SCORED, STATES, WARMING
from sidechain.models.wet.runtime import OWN, Runtime, around
from sidechain.topics.wet import Tap
from tests.experts import NAMES, grown, world


@pytest.fixture(scope="module")
def champion() -> Champion:
    """Of the experts' world."""
    return grown(NAMES, 1)


@pytest.mark.parametrize("only_own", [True, False])
def test_base_and_parts_add_up_to_the_score(champion: Champion, *, only_own: bool) -> None:
    """By either runtime, on every row, and the feature that gave a row away weighs most."""
    one = Champion(champion.model, champion.learned_from, only_own=only_own)
    batch, is_bad = world(3, 400)
    why = one.explain(batch)
    assert np.array_equal(why.score, one.score(batch).score)
    assert np.abs(why.base + why.parts.sum(axis=1) - why.score).max() < 1e-9
    assert why.parts[is_bad].sum() > 0.0 > why.parts[~is_bad].sum()


def test_parts_add_up_where_the_model_says_nothing() -> None:
    """One leaf alone: the base is the score."""
    nodes = grown(NAMES, 1).model.nodes
    leaf = replace(nodes, **{name: getattr(nodes, name)[:1] for name in type(nodes).__slots__})
    alone = replace(leaf, left=np.zeros(1, np.int32), right=np.zeros(1, np.int32), value=np.array([0.3]))
    batch, _ = world(3, 5)
    why = Champion(Boosted(1, NAMES, -2.0, alone), 100).explain(batch)
    assert np.abs(why.base + why.parts.sum(axis=1) - why.score).max() < 1e-12


def test_onnx_runtime_and_own_arrays_agree(champion: Champion) -> None:
    """Beside thresholds too, and far out."""
    both = Runtime(champion.model), Runtime(champion.model, only_own=True)
    assert [one.name for one in both] == ["CPUExecutionProvider", OWN]
    for rows in (around(champion.model), world(4, 500)[0].rows, np.full((2, 4), 1e30), np.empty((0, 4))):
        found = [one.score(np.array(rows)) for one in both]
        assert found[0].shape == (len(rows),)
        assert np.abs(found[0] - found[1]).max(initial=0.0) < runtime.AGREED
    assert pickle.loads(pickle.dumps(both[0])).name == "CPUExecutionProvider"


@pytest.mark.parametrize("fault", ["wrong", "raises", "absent"])
def test_a_runtime_that_is_wrong_is_not_used(champion: Champion, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """It is asked about rows around the model's own thresholds before it is believed."""

    def asked(_: object, rows: np.ndarray) -> np.ndarray:
        if fault == "raises":
            raise RuntimeError("no kernel for that")
        return champion.model.score(rows) + 2e-5

    if fault == "absent":
        monkeypatch.setattr(runtime, "find_spec", lambda _: None)
    else:
        monkeypatch.setattr(runtime, "_asked", asked)
    found = Runtime(champion.model)
    assert found.name == OWN
    assert np.array_equal(found.score(np.zeros((1, 4))), champion.model.score(np.zeros((1, 4))))


def test_a_slot_is_empty_until_somebody_is_promoted(champion: Champion) -> None:
    """And empty again when nobody is."""
    slot, (batch, _) = ChampionSlot(), world(5, 20)
    for one, state in ((None, WARMING), (champion, SCORED), (None, WARMING)):
        slot.take(one)
        assert set(slot.score(batch).state.tolist()) == {state}, STATES[state]
        assert (slot.explain(batch) is None) == (one is None)
        assert slot.model_name == (None if one is None else champion.model.name)
        assert slot.names == (() if one is None else NAMES)


def test_what_nobody_can_tell_the_model_is_named(champion: Champion) -> None:
    """A model of another version of the pack."""
    assert missing(champion.model, ["gap", "amount", "other"]) == ("count", "rare")
    assert missing(champion.model, NAMES) == ()


def test_a_promoted_champion_speaks_in_the_wet_worker(champion: Champion) -> None:
    """Nobody at first; from the next batch on its name stands on every score, and base and parts add up to it."""
    slot = ChampionSlot()
    wet = Wet(vector=NAMES[:3], experts=("champion",), explain_above_bp=0)
    scorer = Scorer(wet, NoFits(), given={"champion": slot}, signals=["rare"])
    batch, _ = world(6, 1_200)
    taps = [
        Tap(
            id=batch.ids[at],
            key=batch.keys[at],
            at=at,
            partition=0,
            seq=at,
            action="allow",
            tier="pass",
            trust_bp=9_000,
            score_bp=0,
            policy="p@1:000000000000",
            features={name: None if np.isnan(row[of]) else int(row[of]) for of, name in enumerate(NAMES[:3])},
            signals={"rare": None if np.isnan(row[3]) else int(row[3])},
        )
        for at, row in enumerate(batch.rows)
    ]
    assert {one.score for one in scorer.score(taps[:100])} == {None}
    slot.take(champion)
    scorer.score(taps[100:1_100])  # what a score ranks among
    scores = scorer.score(taps[1_100:])
    assert {one.model for one in scores} == {champion.model.name}
    spoken = [one for one in scores if one.score is not None]
    assert spoken
    for one in spoken:
        assert one.base is not None
        assert abs(one.base + sum(part for _, part in one.reasons) - one.score) < 1e-6
    assert {name for one in spoken for name, _ in one.reasons} <= set(NAMES)


class NoFits:
    """No forest is asked for."""

    is_busy = is_done = False

    def ask(self, *_: object) -> None:
        raise AssertionError

    async def wait(self, bound_s: float) -> None:
        raise AssertionError

    def take(self) -> None:
        raise AssertionError
