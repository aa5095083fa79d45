"""Decisions joined to what became of them: no label of the future, nothing twice, nothing without a bound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidechain.models.wet.examples import SCORES, Decided, Examples, Label

STEP = 1_000_000


def decided(*some: tuple[int, int]) -> Decided:
    """Decisions of partition 0 by (seq, at); their one feature is their seq."""
    return Decided(
        [(0, seq) for seq, _ in some],
        np.array([at for _, at in some], dtype=np.int64),
        np.array([[seq] for seq, _ in some], dtype=np.float32).reshape(-1, 1),
        np.tile(np.arange(SCORES, dtype=np.float32), (len(some), 1)),
    )


def examples(**bounds: int) -> Examples:
    return Examples(("a",), max_step_ms=STEP, **{"waiting": 8, "known": 8, "early": 4, **bounds})


def known(one: Examples) -> dict[int, bool]:
    """seq -> whether it was bad."""
    sample = one.sample()
    return dict(zip(sample.rows[:, 0].astype(int).tolist(), sample.is_bad.tolist(), strict=True))


def test_a_label_counts_once_its_time_has_come() -> None:
    """The decisions tell the time; a label of a later one is not known yet, whatever the topic holds."""
    one = examples()
    one.decided(decided((1, 100)))
    one.told(Label((0, 1), 700, is_bad=True))
    assert known(one) == {}
    one.decided(decided((2, 699)))
    assert known(one) == {}
    one.decided(decided((3, 700)))
    assert known(one) == {1: True}
    assert (one.known, one.bad, one.waiting, one.early) == (1, 1, 2, 0)


def test_a_label_may_come_before_its_decision() -> None:
    """Two topics are read beside each other."""
    one = examples()
    one.told(Label((0, 1), 50, is_bad=True))
    one.decided(decided((1, 100)))
    assert known(one) == {1: True}


def test_what_came_before_counts_once() -> None:
    """A tap writes again what it does not know to have been written."""
    one = examples()
    for _ in range(2):
        one.decided(decided((1, 100), (2, 100)))
        one.told(Label((0, 9), 50, is_bad=True))
    one.told(Label((0, 1), 50, is_bad=False))
    assert known(one) == {1: False}
    assert one.repeated == 3


def test_memory_has_a_limit_and_what_goes_is_counted() -> None:
    """The oldest decisions, the oldest labels without a decision, and of what is known the oldest too."""
    one = examples(waiting=3, known=2, early=2)
    one.decided(decided(*((seq, 100) for seq in range(5))))
    assert (one.waiting, one.forgotten) == (3, 2)
    for seq in (0, 1, 2, 3, 4):  # of the first two nobody knows any more
        one.told(Label((0, seq), 100, is_bad=seq == 4))
    assert known(one) == {3: False, 4: True}
    assert (one.known, one.early, one.unmatched) == (3, 2, 0)
    one.told(Label((0, 77), 100, is_bad=True))
    assert (one.early, one.unmatched) == (2, 1)


def test_scores_are_those_of_the_decision_unless_who_gave_them_has_gone() -> None:
    """And each outcome is taken once."""
    one = examples()
    one.decided(decided((1, 100), (2, 100), (3, 100)))
    one.told(Label((0, 1), 100, is_bad=True))
    assert one.taken().scores.tolist() == [[0.0, 1.0, 2.0]]
    assert len(one.taken().at) == 0
    one.forget_scores(2)
    one.told(Label((0, 2), 100, is_bad=True))
    np.testing.assert_array_equal(one.taken().scores, [[0.0, 1.0, np.nan]])


steps = st.lists(
    st.one_of(
        st.tuples(st.just("decided"), st.integers(0, 9), st.integers(0, 30)),
        st.tuples(st.just("told"), st.integers(0, 9), st.integers(0, 40)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(steps=steps)
def test_it_joins_what_a_dumber_program_joins(steps: list[tuple[str, int, int]]) -> None:
    """Which looks through everything after every step; a restart on the way changes nothing."""
    one, now = examples(waiting=1_000, known=1_000, early=1_000), -1
    decisions: dict[int, int] = {}
    labels: dict[int, tuple[int, bool]] = {}
    joined: dict[int, bool] = {}
    for what, seq, at in steps:
        if what == "decided" and seq not in joined:
            one.decided(decided((seq, at)))
            decisions.setdefault(seq, at)
            now = max(now, at)
        elif what == "told" and seq not in joined:
            one.told(Label((0, seq), at, is_bad=at % 2 == 0))
            labels.setdefault(seq, (at, at % 2 == 0))
        elif what == "restart":
            again = examples(waiting=1_000, known=1_000, early=1_000)
            again.restore(one.state())
            one = again
        for known_seq in decisions.keys() & labels.keys():
            label_at, is_bad = labels[known_seq]
            if label_at <= now:
                joined.setdefault(known_seq, is_bad)
        assert known(one) == joined
        assert one.waiting == len(decisions) - len(joined)


def test_what_was_kept_of_other_features_is_refused() -> None:
    """A pack of another version."""
    with pytest.raises(ValueError, match="other features"):
        Examples(("b",), max_step_ms=STEP).restore(examples().state())
