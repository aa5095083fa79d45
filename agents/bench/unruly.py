"""A wet worker that misbehaves on purpose: the command line with a scorer, an expert or the risk agent replaced.

    python -m sidechain.agents.bench.unruly slow|lying|nan|raising|hanging|certain|critical worker wet --pack …

slow      every batch of taps of a partition takes a second, and nothing else of the process runs meanwhile
lying     scores and risks are drawn by lot: of any size, from any time, also what is no record at all
nan       an expert of the panel scores everything not-a-number
raising   it raises instead of scoring
hanging   it never comes back by itself, and takes all the processor time it gets
certain   it calls everything as bad as can be, from the first row on
critical  the forest does, sure of itself, after it was right for a while: what a model that goes wrong looks like

Measurements and tests run it in place of `worker wet`; nothing of the worker itself knows about it.
"""

import logging
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, NoReturn

import numpy as np

from sidechain.agents.cli import main
from sidechain.agents.wet.anomaly import Scorer
from sidechain.agents.wet.feed import Out
from sidechain.agents.wet.risk import RiskAgent
from sidechain.models.wet.experts.contract import SCORED, Batch, Opinion
from sidechain.models.wet.experts.fitted import FittedForest
from sidechain.models.wet.experts.geometric import Geometric
from sidechain.topics.wet import Score, Tap

log = logging.getLogger("sidechain.unruly")

SLOW_S: Final = 1.0
SEED: Final = 7
MODEL: Final = "forest-0:liar"
YEAR_MS: Final = 365 * 86_400_000
EXTREMES: Final = (0.0, 0.9999)  # what lies between would cancel out, and nothing would be said
RISKS: Final = (-(2**63), -1, 10_001, 2**53)  # beyond what a policy allows, and beyond what a record may hold
NO_RECORDS: Final = (b"", b"\xff\xfe", b"[1,2]", b"{}", b'{"risk_bp":"9","model":"m","as_of":1}', b"null")
PLANTED: Final = "geometric"  # whom nan, raising, hanging and certain replace: an expert that every pack asks
RIGHT_ROWS: Final = 24_000  # what the forest scores before it goes wrong


def slow() -> None:
    """Take a second over every batch of a partition."""
    score = Scorer.score

    def scored(self: Scorer, taps: Sequence[Tap]) -> list[Score]:
        seconds = SLOW_S * len({one.partition for one in taps})
        time.sleep(seconds)
        log.info("took %.0f s over %d taps", seconds, len(taps))
        return score(self, taps)

    Scorer.score = scored  # type: ignore[method-assign]


def lying() -> None:
    """Say anything."""
    lot = random.Random(SEED)  # noqa: S311 - lies, not secrets
    tell = RiskAgent._metadata  # noqa: SLF001 - what is replaced is what the agent keeps to itself

    def scored(_: Scorer, taps: Sequence[Tap]) -> list[Score]:
        return [_lie(one, lot.choice(EXTREMES)) for one in taps]

    def said(self: RiskAgent, told: Any) -> Out:
        false = replace(
            told,
            risk_bp=lot.choice(RISKS) if lot.random() < 0.2 else lot.randint(0, 10_000),
            as_of=told.as_of + (lot.choice((-YEAR_MS, YEAR_MS)) if lot.random() < 0.2 else 0),
        )
        out = tell(self, false)
        return out._replace(value=lot.choice(NO_RECORDS)) if lot.random() < 0.1 else out

    Scorer.score = scored  # type: ignore[method-assign,assignment]
    RiskAgent._metadata = said  # type: ignore[method-assign] # noqa: SLF001


def _lie(tap: Tap, score: float) -> Score:
    stated = {name: getattr(tap, name) for name in ("id", "key", "at", "partition", "seq", "action")}
    return Score(**stated, model=MODEL, state="scored", score=score, base=score, reasons=(), rationale="by lot")


def nan() -> None:
    """Score everything not-a-number."""
    _plant(lambda batch: _sure(np.full(len(batch), np.nan)))


def raising() -> None:
    """Raise."""

    def raises(_: Batch) -> NoReturn:
        raise ZeroDivisionError("planted")

    _plant(raises)


def hanging() -> None:
    """Never come back."""

    def hangs(_: Batch) -> NoReturn:
        while True:
            pass

    _plant(hangs)


def certain() -> None:
    """Call everything as bad as can be."""
    _plant(lambda batch: _sure(np.ones(len(batch))))


def critical(right_rows: int = RIGHT_ROWS) -> None:
    """The same, as the baseline, after so many rows that were scored as they should be."""
    score, rows = FittedForest.score, 0

    def scored(self: FittedForest, batch: Batch) -> Opinion:
        nonlocal rows
        rows += len(batch)
        return score(self, batch) if self.model is None or rows <= right_rows else _sure(np.ones(len(batch)))

    FittedForest.score = scored  # type: ignore[method-assign]


def _plant(says: Callable[[Batch], Opinion]) -> None:
    Geometric.score = lambda _, batch: says(batch)  # type: ignore[method-assign,assignment]


def _sure(score: np.ndarray) -> Opinion:
    rows = len(score)
    return Opinion(score, np.ones(rows), np.zeros(rows, dtype=np.int64), np.full(rows, SCORED, dtype=np.uint8))


WAYS: Final[dict[str, Callable[[], None]]] = {
    "slow": slow,
    "lying": lying,
    "nan": nan,
    "raising": raising,
    "hanging": hanging,
    "certain": certain,
    "critical": critical,
}


if __name__ == "__main__":
    WAYS[sys.argv.pop(1)]()
    main()
