"""`bench backtest`: figures with what they were measured on, and a candidate that differs."""

import pytest

from sidechain.agents.bench.backtesting import EDGE, backtesting
from sidechain.models.pack_file import PACKS, load_pack


def test_it_counts_every_event_and_says_where_it_ran() -> None:
    """Small: whether it works, not how fast."""
    figures = backtesting("web", 2_000, 1, 1, lambda _text: None)
    assert figures["events"] == 2_000
    assert figures["pack"] == load_pack("web").ref
    assert min(figures["events_per_s"], figures["events_per_cpu_s"]) > 0
    assert figures["machine"]["cores"] > 0


@pytest.mark.parametrize("pack", PACKS)
def test_the_candidate_is_another_policy(pack: str) -> None:
    """An edge that is nowhere in the pack would compare it with itself."""
    assert EDGE[0] in load_pack(pack).text
