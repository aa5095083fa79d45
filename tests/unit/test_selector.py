"""Who speaks for a row: the baseline, unless another is surer by the margin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidechain.models.wet.experts.contract import SCORED, WARMING, Opinion, opinion
from sidechain.models.wet.selector import REASONS, Selector, Settings, labels

EXPERTS = ("forest", "geometric", "retrieval")
SETTINGS = Settings(minimum=0.4, margin=0.1)

Said = float | tuple[float, int] | None  # confidence, (confidence, evidence), or silence


def opinions(*said: Said) -> list[Opinion]:
    """One row."""
    made = []
    for one in said:
        sure, evidence = one if isinstance(one, tuple) else (one, 0)
        state = np.array([WARMING if sure is None else SCORED], dtype=np.uint8)
        made.append(opinion(np.array([0.5]), np.array([sure or 0.0]), state, np.array([evidence])))
    return made


def chosen(selector: Selector, *said: Said) -> tuple[str, str]:
    """Expert and reason."""
    found = selector.preview(opinions(*said))
    at = int(found.expert[0])
    return "nobody" if at < 0 else selector.experts[at], REASONS[found.reason[0]]


@pytest.mark.parametrize(
    ("forest", "geometric", "retrieval", "expected"),
    [
        # the margin: strictly more is needed, and 0.1 + 0.2 is 0.3 here
        (0.50, 0.60, None, ("forest", "baseline_kept")),
        (0.50, 0.600001, None, ("geometric", "higher_confidence")),
        (0.70, 0.80, None, ("forest", "baseline_kept")),
        (0.30, 0.40, None, ("forest", "baseline_kept")),
        # the minimum: reached is enough
        (0.10, 0.399999, None, ("forest", "baseline_kept")),
        (0.10, 0.40, None, ("geometric", "higher_confidence")),
        (0.00, 0.10, (0.399999, 9), ("forest", "baseline_kept")),  # evidence does not lift anybody to the minimum
        # evidence is worth 0.02, against the baseline ...
        (0.50, None, (0.58, 1), ("forest", "baseline_kept")),
        (0.50, None, (0.580001, 1), ("retrieval", "evidence")),
        (0.50, None, (0.580001, 0), ("forest", "baseline_kept")),
        (0.50, None, (0.60, 1), ("retrieval", "evidence")),
        (0.50, None, (0.600001, 1), ("retrieval", "higher_confidence")),
        # ... and against another expert; at equal worth the one named first speaks
        (0.50, 0.70, (0.68, 1), ("geometric", "higher_confidence")),
        (0.50, 0.70, (0.680001, 1), ("retrieval", "evidence")),
        (0.50, 0.70, (0.680001, 0), ("geometric", "higher_confidence")),
        (0.50, 0.70, (0.70, 0), ("geometric", "higher_confidence")),
        # who is silent is not chosen
        (0.50, None, None, ("forest", "only")),
        (None, 0.40, None, ("geometric", "only")),
        (None, 0.41, (0.40, 1), ("retrieval", "only")),
        (None, 0.399999, None, ("nobody", "nobody")),
        (None, None, None, ("nobody", "nobody")),
        # no margin reaches beyond 1
        (0.90, 1.0, None, ("forest", "baseline_kept")),
        (0.89, 1.0, None, ("geometric", "higher_confidence")),
    ],
)
def test_the_baseline_speaks_unless_another_is_surer_by_the_margin(
    forest: Said, geometric: Said, retrieval: Said, expected: tuple[str, str]
) -> None:
    """Minimum 0.4, margin 0.1."""
    assert chosen(Selector(EXPERTS, SETTINGS), forest, geometric, retrieval) == expected


@pytest.mark.parametrize(
    ("considered", "expected"),
    [(1, ("geometric", "higher_confidence")), (2, ("retrieval", "evidence"))],
)
def test_only_so_many_are_considered(considered: int, expected: tuple[str, str]) -> None:
    """Before evidence counts: the second surest comes first by it, if it is looked at."""
    settings = Settings(minimum=0.4, margin=0.1, considered=considered)
    assert chosen(Selector(EXPERTS, settings), 0.5, 0.7, (0.69, 3)) == expected


def test_switched_off_the_baseline_speaks_or_nobody_does() -> None:
    """However sure the others are."""
    off = Selector(EXPERTS, Settings(is_enabled=False))
    assert chosen(off, 0.01, 0.99, (0.9, 5)) == ("forest", "disabled")
    assert chosen(off, None, 0.99, None) == ("nobody", "nobody")


@pytest.mark.parametrize(
    ("latency_ms", "errors", "share", "expected"),
    [
        (0.0, 0.0, 0.0, "geometric"),  # 0.8 against 0.5 + 0.1
        (24.999, 0.0, 0.0, "geometric"),
        (25.0, 0.0, 0.0, "forest"),  # 0.8 · 0.75 = 0.6
        (0.0, 0.25, 0.0, "forest"),
        (0.0, 0.249, 0.0, "geometric"),
        (1e9, 0.0, 0.0, "forest"),  # worth nothing, not less
        (10.0, 0.0, 0.5, "geometric"),  # 0.8 · 0.9 = 0.72: half of the rows is not yet most
        (0.0, 0.0, 0.51, "geometric"),  # 0.8 · 0.8 = 0.64
        (10.0, 0.0, 0.51, "forest"),  # 0.8 · 0.8 · 0.9 = 0.576
    ],
)
def test_slow_failing_and_crowded_experts_are_worth_less(
    latency_ms: float, errors: float, share: float, expected: str
) -> None:
    """The baseline is as fast and sound as can be; crowding does not count against it."""
    selector = Selector(EXPERTS, SETTINGS)
    selector.share[0] = 1.0
    selector.latency_ms[1], selector.errors[1], selector.share[1] = latency_ms, errors, share
    assert chosen(selector, 0.5, 0.8, None)[0] == expected


def test_latency_errors_and_shares_are_moving_averages() -> None:
    """The latest batch counts for a tenth."""
    selector = Selector(EXPERTS, SETTINGS)
    selector.hear(1, 50.0, is_error=True)
    selector.hear(1, 50.0, is_error=False)
    assert selector.latency_ms[1] == pytest.approx(5.0 + 4.5)
    assert selector.errors[1] == pytest.approx(0.1 * 0.9)
    selector.choose(opinions(0.5, None, None))
    selector.choose(opinions(None, 0.9, None))
    assert selector.share.tolist() == pytest.approx([0.09, 0.1, 0.0])
    selector.choose([opinion(np.empty(0), np.empty(0), np.empty(0, dtype=np.uint8))] * 3)  # no rows, no news
    assert selector.share.tolist() == pytest.approx([0.09, 0.1, 0.0])


levels = st.one_of(st.none(), st.integers(0, 10).map(lambda one: one / 10), st.floats(0, 1))
sayings = st.tuples(levels, levels, st.one_of(levels, st.tuples(st.floats(0, 1), st.integers(0, 3))))


@given(st.lists(sayings, min_size=1, max_size=6))
def test_whatever_is_said_who_speaks_has_a_score_and_a_label(rows: list[tuple[Said, Said, Said]]) -> None:
    """Row by row the same as all at once; every pair is one that was made beforehand."""
    selector = Selector(EXPERTS, SETTINGS)
    one_by_one = [opinions(*row) for row in rows]
    together = [
        Opinion(*(np.concatenate([getattr(row[at], name) for row in one_by_one]) for name in Opinion.__slots__))
        for at in range(3)
    ]
    found = selector.preview(together)
    for at, row in enumerate(rows):
        expert, reason = chosen(selector, *row)
        assert (expert, reason) in labels(EXPERTS)
        assert found.reason[at] == REASONS.index(reason)
        assert found.expert[at] == (-1 if expert == "nobody" else EXPERTS.index(expert))
        assert expert == "nobody" or row[EXPERTS.index(expert)] is not None


def test_settings_are_read_once_and_make_sense() -> None:
    """A selector keeps what it was made with; settings cannot be changed at all."""
    for wrong in ({"minimum": 1.1}, {"margin": -0.1}, {"considered": 0}, {"latency_most_ms": 0.0}, {"smoothing": 2.0}):
        with pytest.raises(ValueError, match="must"):
            Settings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        SETTINGS.margin = 0.0  # type: ignore[misc]
