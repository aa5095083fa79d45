"""The dashboards are a program: `python deploy/grafana/make_dashboards.py` writes the files of dashboards/.

Panels stand in `deciding.py`, `listening.py` and `watching.py`, what they have in common in `graphs.py`. The JSON is
committed, because who deploys it needs neither Python nor the builder; a test generates it again and compares.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from deciding import BUDGETS_ROW, DRY_ROW
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from graphs import Graph, board
from listening import DRIFT_ROW, ISOLATION_ROW, OUTCOMES_ROW, SHADOW_ROW, SPEAKERS_ROW, TRAINER_ROW, WET_ROW
from watching import INCIDENT_ROW, METRICS_ROW, PIPELINE_ROW

FOLDER: Final = Path(__file__).parent / "dashboards"


class Board(NamedTuple):
    """One file."""

    uid: str
    title: str
    says: str
    rows: Mapping[str, Sequence[Graph]]


BOARDS: Final = {
    "sidechain": Board(
        "sidechain",
        "Sidechain",
        "Sealed decisions, what listens to them, and that the second never slows down the first.",
        {"Dry": DRY_ROW, "Wet": WET_ROW, "Isolation": ISOLATION_ROW},
    ),
    "watch": Board(
        "sidechain-watch",
        "Sidechain: watch",
        "Where the pipeline is held up, how near its queues are to running over, and what the sentinel made of it.",
        {"Pipeline": PIPELINE_ROW, "Incidents": INCIDENT_ROW},
    ),
    "panel": Board(
        "sidechain-panel",
        "Sidechain: panel",
        "The experts behind a score: whose word it is and why, how sound each is, how well outcomes bear it out.",
        {"Experts": SPEAKERS_ROW, "Outcomes": OUTCOMES_ROW},
    ),
    "drift": Board(
        "sidechain-drift",
        "Sidechain: drift",
        "Whether inputs, scores and metrics are still what they were: the pipeline's own metrics and those of users.",
        {"Models": DRIFT_ROW, "Metrics": METRICS_ROW},
    ),
    "budgets": Board(
        "sidechain-budgets",
        "Sidechain: budgets",
        "Where a pack has budgets: what is held, settled and refused, and what governance answers.",
        {"Budgets": BUDGETS_ROW},
    ),
    "shadow": Board(
        "sidechain-shadow",
        "Sidechain: shadow",
        "Candidate policies beside the live chains: how far they are, and how often they would decide otherwise.",
        {"Shadow": SHADOW_ROW},
    ),
    "trainer": Board(
        "sidechain-trainer",
        "Sidechain: trainer",
        "What is learned from outcomes: what waits for one, what is on trial, and what was proposed to people.",
        {"Trainer": TRAINER_ROW},
    ),
}


def rendered(one: Board) -> str:
    """The text of its file."""
    return JSONEncoder(sort_keys=True, indent=2).encode(board(*one).build()) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    for name, one in BOARDS.items():
        folder.joinpath(f"{name}.json").write_text(rendered(one), encoding="utf-8")
