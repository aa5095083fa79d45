"""The scorer: warm-up is a state, models are swapped whole, every score adds up to its reasons."""

import asyncio
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest

from sidechain.agents.wet.anomaly import FIRST_S, Scorer
from sidechain.models.policy import Wet
from sidechain.models.wet.fit import fit
from sidechain.models.wet.forest import ForestModel
from sidechain.topics.codec import encode
from sidechain.topics.wet import Score, Tap

WET = Wet(vector=("a", "b"), warmup=64, words={"a": "far out"}, experts=("forest",), explain_above_bp=0)


@dataclass
class Bench:
    """A fitter whose fits are done when the test says so, and fail when it says so."""

    asked: list[int] = field(default_factory=list)
    samples: list[np.ndarray] = field(default_factory=list)
    answer: ForestModel | None = None
    is_busy: bool = False
    is_done: bool = False
    waited: float | None = None

    def ask(self, sample: np.ndarray, names: tuple[str, ...], seed: int, version: int) -> None:
        assert not self.is_busy
        self.is_busy = True
        self.asked.append(version)
        self.samples.append(sample)
        self._fit = (sample, names, seed, version)

    def finish(self, *, well: bool = True) -> None:
        self.answer = fit(*self._fit) if well else None
        self.is_done = True

    async def wait(self, bound_s: float) -> None:
        self.waited = bound_s

    def take(self) -> ForestModel | None:
        self.is_busy = self.is_done = False
        return self.answer


def taps(first: int, count: int, **features: int | None) -> list[Tap]:
    random = np.random.default_rng(first)
    return [
        Tap(
            id=f"e-{at}",
            key=f"p:{at % 5}",
            at=at,
            partition=1,
            seq=at,
            action="allow",
            tier="pass",
            trust_bp=9_000,
            score_bp=0,
            policy="test@1:000000000000",
            features={"a": int(random.integers(0, 100)), "b": None, "c": 9, **features},
        )
        for at in range(first, first + count)
    ]


def test_until_the_first_model_every_score_is_warming() -> None:
    """Null, not zero; and the first fit is asked for exactly at warm-up."""
    bench = Bench()
    scorer = Scorer(WET, bench)
    early = scorer.score(taps(0, 63))
    assert bench.asked == []
    early += scorer.score(taps(63, 1))
    assert bench.asked == [1]
    early += scorer.score(taps(64, 10))
    assert {(one.state, one.score, one.base, one.model, one.reasons) for one in early} == {
        ("warming", None, None, None, ())
    }
    assert [one.seq for one in early] == list(range(74))


def test_a_finished_model_is_taken_whole_between_two_batches() -> None:
    """The batch after the fit is scored by it, every score names it, and what it learned from is the sample then."""
    bench = Bench()
    scorer = Scorer(WET, bench)
    scorer.score(taps(0, 64))
    bench.finish()
    scores = scorer.score(taps(64, 20))
    assert {one.state for one in scores} == {"scored"}
    assert {one.model for one in scores} == {bench.answer.name}
    assert bench.samples[0].shape == (64, 2)
    assert np.isnan(bench.samples[0][:, 1]).all(), "b was never known, c is not in the vector"


def test_base_and_reasons_add_up_on_the_wire() -> None:
    """After rounding and JSON, within 1e-6; the largest reason first; every feature of the vector has one."""
    bench = Bench()
    scorer = Scorer(WET, bench)
    scorer.score(taps(0, 64))
    bench.finish()
    decode = msgspec.json.Decoder(Score).decode
    for one in map(decode, map(encode, scorer.score(taps(64, 200) + taps(300, 1, a=100_000)))):
        assert one.base + sum(part for _, part in one.reasons) == pytest.approx(one.score, abs=1e-6)
        sizes = [abs(part) for _, part in one.reasons]
        assert sizes == sorted(sizes, reverse=True)
        assert {name for name, _ in one.reasons} == {"a", "b"}
    assert one.rationale.startswith("far out: a 100000 (usually ")


def test_versions_count_fits_and_a_failed_fit_is_asked_for_again_later() -> None:
    """Scoring goes on with the old version meanwhile."""
    bench = Bench()
    scorer = Scorer(WET, bench)
    scorer.score(taps(0, 64))
    bench.finish()
    scorer.score(taps(64, 64))  # version 1 in use; 128 seen: the second fit is due
    assert bench.asked == [1, 2]
    bench.finish(well=False)
    scores = scorer.score(taps(128, 1))
    assert scores[0].model == scorer.model.name
    assert scorer.model.version == 1
    scorer.score(taps(129, 14))
    assert bench.asked == [1, 2], "a tenth more rows, 16 at least, must pass first"
    scorer.score(taps(143, 2))
    assert bench.asked == [1, 2, 2]
    bench.finish()
    assert scorer.score(taps(145, 1))[0].model.startswith("forest-2:")


def test_a_fit_under_way_is_never_overtaken() -> None:
    """However many rows pass meanwhile; then the schedule goes on from what was seen."""
    bench = Bench()
    scorer = Scorer(WET, bench)
    scorer.score(taps(0, 2_000))
    scorer.score(taps(2_000, 2_000))
    assert bench.asked == [1]
    bench.finish()
    scorer.score(taps(4_000, 10))
    assert bench.asked == [1, 2]


def test_a_restarted_scorer_learns_from_what_is_on_the_topic() -> None:
    """Enough of it, and there is no second warm-up."""
    bench = Bench()
    scorer = Scorer(WET, bench)
    scorer.prime(taps(0, 64))
    assert bench.asked == [1]
    bench.finish()
    assert scorer.score(taps(64, 1))[0].state == "scored"


def test_only_the_first_model_is_waited_for() -> None:
    """Within a bound; once there is one, a fit holds nothing up."""
    bench = Bench()
    scorer = Scorer(WET, bench)
    scorer.score(taps(0, 64))
    asyncio.run(scorer.ready())
    assert bench.waited == FIRST_S
    bench.finish()
    scorer.score(taps(64, 64))
    bench.waited = None
    asyncio.run(scorer.ready())
    assert bench.asked == [1, 2]
    assert bench.waited is None
