"""A wet worker that misbehaves on purpose: the command line with the scorer or the risk agent replaced.

    python -m sidechain.agents.bench.unruly slow|lying worker wet --pack …

slow    every batch of taps takes a second, and nothing else of the process runs meanwhile
lying   scores and risks are drawn by lot: of any size, from any time, also what is no record at all

Measurements and tests run it in place of `worker wet`; nothing of the worker itself knows about it.
"""

import logging
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from sidechain.agents.cli import main
from sidechain.agents.wet.anomaly import Scorer
from sidechain.agents.wet.feed import Out
from sidechain.agents.wet.risk import RiskAgent
from sidechain.topics.wet import Score, Tap

log = logging.getLogger("sidechain.unruly")

SLOW_S: Final = 1.0
SEED: Final = 7
MODEL: Final = "forest-0:liar"
YEAR_MS: Final = 365 * 86_400_000
EXTREMES: Final = (0.0, 0.9999)  # what lies between would cancel out, and nothing would be said
RISKS: Final = (-(2**63), -1, 10_001, 2**53)  # beyond what a policy allows, and beyond what a record may hold
NO_RECORDS: Final = (b"", b"\xff\xfe", b"[1,2]", b"{}", b'{"risk_bp":"9","model":"m","as_of":1}', b"null")


def slow() -> None:
    """Take a second over every batch."""
    score = Scorer.score

    def scored(self: Scorer, taps: Sequence[Tap]) -> list[Score]:
        time.sleep(SLOW_S)
        log.info("took %.0f s over %d taps", SLOW_S, len(taps))
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


WAYS: Final[dict[str, Callable[[], None]]] = {"slow": slow, "lying": lying}


if __name__ == "__main__":
    WAYS[sys.argv.pop(1)]()
    main()
