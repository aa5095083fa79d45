"""The panel at work without a broker: taps of a pack made up, and what became of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sidechain.agents.wet.anomaly import Scorer
from sidechain.agents.wet.at_once import AtOnce
from sidechain.models.policy import Wet
from sidechain.topics.wet import Case, Score, Tap

HOUR_MS = 3_600_000
T0 = 807_256_800_000


def scorer(wet: Wet, **more: Any) -> Scorer:
    """A scorer whose forests are there at once, and whose experts take no time."""
    return Scorer(wet, AtOnce(), clock=lambda: 0.0, **more)


def taps(wet: Wet, first: int, count: int, *, bad: float = 0.1) -> tuple[list[Tap], list[bool]]:
    """Twenty entities with habits of their own; what is bad is far from them in the first two features."""
    random = np.random.default_rng(first)
    who = random.integers(0, 20, count)
    is_bad = random.random(count) < bad
    values = random.lognormal(3 + (who % 5)[:, None] / 3, 0.4, (count, len(wet.vector)))
    values[is_bad, :2] *= 30
    found = []
    for at in range(count):
        features: dict[str, int | None] = dict(zip(wet.vector, values[at].round().astype(int).tolist(), strict=True))
        if random.random() < 0.1:
            features[wet.vector[-1]] = None
        found.append(tap(first + at, f"p:{who[at]}", features))
    return found, is_bad.tolist()


def tap(seq: int, key: str, features: dict[str, int | None], **more: Any) -> Tap:
    """One tap, a minute after the one before."""
    stated = {"action": "allow", "tier": "pass", "trust_bp": 9_000, "score_bp": 0, "policy": "test@1:000000000000"}
    return Tap(id=f"e-{seq}", key=key, at=T0 + seq * 60_000, partition=1, seq=seq, features=features, **stated, **more)


def cases(told: Sequence[Tap], is_bad: Sequence[bool], late_ms: int = HOUR_MS) -> list[Case]:
    """What became of them, so much later."""
    return [
        Case(partition=one.partition, offset=10_000 + one.seq, seq=one.seq, at=one.at + late_ms, label=label)
        for one, label in zip(told, ["bad" if x else "good" for x in is_bad], strict=True)
    ]


def at_work(one: Scorer, wet: Wet, rows: int, *, begin: int = 0, size: int = 250, labelled: bool = True) -> list[Score]:
    """Rows passing in batches, with their outcomes an hour of event time later."""
    scores = []
    for first in range(begin, begin + rows, size):
        some, is_bad = taps(wet, first, size)
        scores += one.score(some)
        if labelled:
            one.settle(cases(some, is_bad))
    return scores
